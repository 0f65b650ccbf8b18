//! Admit: a place under the limits, an endpoint, a request id. The body has not been read.

use std::sync::Arc;

use gearshift_selector::Moment;
use http::{HeaderValue, Request, request::Parts};
use hyper::body::Incoming;

use crate::{
    admission::Permit,
    clock,
    endpoint::Endpoint,
    error::{ProxyError, Reason},
    snapshot::Snapshot,
    worker::Worker,
};

/// A request that may come in.
pub(super) struct Admitted {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) endpoint: &'static Endpoint,
    pub(super) head: Parts,
    pub(super) body: Incoming,
    pub(super) permit: Permit,
    pub(super) id: RequestId,
    pub(super) arrived: Moment,
}

/// Takes a place for the request.
pub(super) fn admit(
    worker: &Worker,
    snapshot: Arc<Snapshot>,
    endpoint: &'static Endpoint,
    request: Request<Incoming>,
    id: RequestId,
) -> Result<Admitted, ProxyError> {
    let permit = worker.shared.admission.enter()?;
    worker.shared.admission.retries().deposit(snapshot.config.retries.budget);
    let (head, body) = request.into_parts();
    Ok(Admitted { snapshot, endpoint, head, body, permit, id, arrived: clock::now() })
}

/// The id that follows a request to the backend, into the logs, and back to the client.
#[derive(Debug, Clone)]
pub struct RequestId(pub HeaderValue);

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.to_str().unwrap_or("?"))
    }
}

/// The id that the edge gave the request.
pub(super) fn request_id<B>(request: &Request<B>) -> RequestId {
    let given = request.extensions().get::<RequestId>().cloned();
    given.unwrap_or_else(|| RequestId(HeaderValue::from_static("unknown")))
}

/// The answer to a known path with the wrong method.
pub(super) fn wrong_method<B>(request: &Request<B>, right: &'static str) -> ProxyError {
    let message = format!("{} is not supported; use {right}", asked(request));
    ProxyError::new(Reason::MethodNotAllowed, message).allow(right)
}

/// The answer to a path that is nothing for clients.
pub(super) fn unknown_path<B>(request: &Request<B>) -> ProxyError {
    ProxyError::new(Reason::UnknownPath, format!("there is no endpoint {}", asked(request)))
}

/// Method and path, cut to what fits a log line.
fn asked<B>(request: &Request<B>) -> String {
    let cut = |text: &str, length| text.chars().take(length).collect::<String>();
    format!("{} {}", cut(request.method().as_str(), 32), cut(request.uri().path(), 200))
}
