//! Asking a running Gearshift's admin listener.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// How long a running Gearshift may take: it loads and tries the bundle first.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where a running Gearshift listens for operators.
#[derive(Debug, Clone, Args)]
pub(crate) struct Admin {
    /// Its admin listener; http://127.0.0.1:9090 where a running Gearshift is needed and none is named.
    #[arg(long = "admin", value_name = "URL", global = true)]
    pub(in crate::commands) url: Option<String>,
    /// Its admin token.
    #[arg(long, value_name = "TOKEN", env = "GEARSHIFT_ADMIN_TOKEN", hide_env_values = true, global = true)]
    pub(in crate::commands) token: Option<String>,
}

impl Admin {
    fn url(&self) -> &str {
        self.url.as_deref().unwrap_or("http://127.0.0.1:9090")
    }
}

/// Asks, and gives the answer's JSON.
///
/// # Errors
/// What Gearshift says is wrong, or why it cannot be reached.
pub(super) fn ask(admin: &Admin, method: Method, path: &str) -> Result<Value, String> {
    ask_with(admin, method, path, Bytes::new())
}

/// As [`ask`], with a body of JSON.
///
/// # Errors
/// As [`ask`].
pub(super) fn ask_with(admin: &Admin, method: Method, path: &str, body: Bytes) -> Result<Value, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let asked = async { tokio::time::timeout(PATIENCE, exchange(admin, method, path, body)).await };
    runtime.block_on(asked).unwrap_or_else(|_| Err(format!("{} does not answer", admin.url())))
}

/// What a list of an answer holds; nothing where it is none.
pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

async fn exchange(admin: &Admin, method: Method, path: &str, body: Bytes) -> Result<Value, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", admin.url());
    let base: Uri = admin.url().parse().map_err(|error| wrong(&error))?;
    let authority = base
        .authority()
        .filter(|_| base.scheme_str() == Some("http"))
        .ok_or_else(|| wrong(&"write an address such as http://127.0.0.1:9090"))?;
    let place = (authority.host(), authority.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(place).await.map_err(|error| wrong(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| wrong(&error))?;
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, authority.as_str());
    if let Some(token) = &admin.token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Full::new(body)).map_err(|error| wrong(&error))?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(|error| wrong(&error))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| wrong(&error))?.to_bytes();
        let text = String::from_utf8_lossy(&body).trim().to_owned();
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(value);
        }
        Err(value["error"].as_str().map_or_else(|| format!("{status}: {text}"), str::to_owned))
    };
    tokio::select! {
        answer = answered => answer,
        ended = connection => Err(ended.err().map_or_else(|| wrong(&"the connection ended"), |error| wrong(&error))),
    }
}
