//! What the tests share: an engine under their control, the binary, and clients.

mod client;
mod engine;
mod gearshift;
mod metrics;
mod raw;
pub(crate) mod rows;
mod tls;
mod yaml;

use std::{future::Future, time::Duration};

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::Full;
use tokio_util::task::TaskTracker;

pub(crate) use self::{
    client::{Answer, Client, Open},
    engine::{Engine, Exchange, Served, Stream},
    gearshift::Gearshift,
    metrics::Scrape,
    raw::{Raw, read_answer},
    tls::Authority,
    yaml::Yaml,
};

/// What the tests send.
pub(crate) type Body = Full<Bytes>;

/// The model that every engine serves unless a test says otherwise.
pub(crate) const MODEL: &str = "stub";
pub(crate) const CHAT: &str = "/v1/chat/completions";
/// A chat completion as a client asks for it.
pub(crate) const QUESTION: &str = r#"{"model":"stub","messages":[{"role":"user","content":"hi"}]}"#;
/// The same, streamed.
pub(crate) const STREAMED: &str =
    r#"{"model":"stub","messages":[{"role":"user","content":"hi"}],"stream":true}"#;
/// And an answer to it.
pub(crate) const COMPLETION: &str = r#"{"object":"chat.completion","choices":[{"message":{"role":"assistant","content":"ho"}}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#;

/// How long a test waits for what must happen. Only a failure takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for `what`, and fails when it does not come.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// Runs `task` beside the test, until the test's runtime ends.
pub(crate) fn beside<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    TaskTracker::new().spawn(task)
}

/// A JSON request.
pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Request<Body> {
    request(Method::POST, path, body)
}

/// A JSON request with any method.
pub(crate) fn request(method: Method, path: &str, body: impl Into<Bytes>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    request.header(header::CONTENT_TYPE, "application/json").body(Full::new(body.into())).unwrap()
}
