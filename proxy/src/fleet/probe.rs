//! Asking an engine: one bounded exchange at a time, over a connection that is kept.
//!
//! Each kind of probe has its own connection, so that a hanging `/health` holds up no scrape.

use std::{error::Error, future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use gearshift_config::{Backend, UpstreamProtocol};
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::upstream::connect::Connector;

/// Where probes go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    connector: Connector,
    /// Path prefix of the backend's URL.
    prefix: String,
    authorization: Option<HeaderValue>,
}

impl Target {
    /// `None` when the backend's key can stand in no header.
    pub(crate) fn new(backend: &Backend, connector: Connector) -> Option<Self> {
        let authorization = match &backend.api_key {
            Some(key) => {
                let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose())).ok()?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Some(Self { connector, prefix: backend.url.path.clone(), authorization })
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    fn request(&self, ask: &Ask<'_>) -> Result<Request<Full<Bytes>>, http::Error> {
        let path = format!("{}{}", self.prefix, ask.path);
        let authority = self.connector.authority();
        let uri = match self.connector.protocol() {
            UpstreamProtocol::Http1 => Uri::try_from(path)?,
            UpstreamProtocol::Http2 => Uri::builder()
                .scheme(self.connector.scheme())
                .authority(authority.clone())
                .path_and_query(path)
                .build()?,
        };
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(uri)
            .header(header::USER_AGENT, concat!("gearshift/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "*/*");
        if self.connector.protocol() == UpstreamProtocol::Http1 {
            request = request.header(header::HOST, authority.as_str());
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if !ask.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in ask.headers {
            request = request.header(*name, value);
        }
        request.body(Full::new(ask.body.clone()))
    }
}

/// What is asked.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// Below the target's prefix.
    pub(crate) path: &'a str,
    /// JSON, or nothing.
    pub(crate) body: Bytes,
    pub(crate) headers: &'a [(&'static str, String)],
}

impl<'a> Ask<'a> {
    /// A GET.
    pub(crate) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: Bytes::new(), headers: &[] }
    }

    /// A POST of JSON, or of nothing.
    pub(crate) fn post(path: &'a str, body: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, path, body: body.into(), headers: &[] }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    /// From sending to the last byte, where no connection had to be made first.
    pub(super) round_trip: Option<Duration>,
}

/// Why nothing usable came back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    #[error("no answer within {}", seconds(*.0))]
    Timeout(Duration),
    #[error("{0}")]
    Connect(std::io::Error),
    #[error("the connection broke: {0}")]
    Broken(Box<dyn Error + Send + Sync>),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the backend's `url` makes no request: {0}")]
    Request(#[from] http::Error),
}

impl ProbeError {
    /// Whether nobody listens at the backend's address.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::Connect(error) if error.kind() == std::io::ErrorKind::ConnectionRefused)
    }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

/// A client for one kind of probe of one backend.
#[derive(Debug)]
pub(crate) struct Probe {
    tasks: Tasks,
    kept: Option<Connection>,
}

impl Probe {
    /// `tasks` runs what HTTP/2 needs beside the probe itself.
    pub(crate) fn new(tasks: TaskTracker) -> Self {
        Self { tasks: Tasks(tasks), kept: None }
    }

    /// GETs `path` below the target's prefix: `timeout` for everything together, `limit` bytes of body at most.
    pub(super) async fn get(
        &mut self,
        target: &Target,
        path: &str,
        timeout: Duration,
        limit: usize,
    ) -> Result<Answer, ProbeError> {
        self.ask(target, &Ask::get(path), timeout, limit).await
    }

    /// As [`get`](Self::get), of anything. A question that went out over a kept connection may be asked twice.
    pub(crate) async fn ask(
        &mut self,
        target: &Target,
        ask: &Ask<'_>,
        timeout: Duration,
        limit: usize,
    ) -> Result<Answer, ProbeError> {
        // A connection that outlives its timeout is dropped with the exchange.
        tokio::time::timeout(timeout, self.exchange(target, ask, limit))
            .await
            .unwrap_or(Err(ProbeError::Timeout(timeout)))
    }

    async fn exchange(&mut self, target: &Target, ask: &Ask<'_>, limit: usize) -> Result<Answer, ProbeError> {
        if let Some(mut kept) = self.kept.take().filter(|kept| kept.leads_to(target)) {
            let sent = Instant::now();
            match kept.exchange(target.request(ask)?, limit).await {
                Ok((status, body)) => {
                    self.kept = kept.reusable();
                    return Ok(Answer { status, body, round_trip: Some(sent.elapsed()) });
                }
                // vLLM closes idle connections after 5 s; a GET may be sent again.
                Err(ProbeError::Broken(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let mut fresh = Connection::open(target, &self.tasks).await?;
        let (status, body) = fresh.exchange(target.request(ask)?, limit).await?;
        self.kept = fresh.reusable();
        Ok(Answer { status, body, round_trip: None })
    }
}

/// Runs hyper's HTTP/2 tasks where the owner counts them.
#[derive(Debug, Clone)]
struct Tasks(TaskTracker);

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// An open connection; polled only while an exchange runs.
struct Connection {
    connector: Connector,
    sender: Sender,
    /// Moves the bytes; `None` once the connection ended.
    driver: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("connector", &self.connector).finish_non_exhaustive()
    }
}

impl Connection {
    async fn open(target: &Target, tasks: &Tasks) -> Result<Self, ProbeError> {
        let connector = target.connector.clone();
        let io = TokioIo::new(connector.connect().await.map_err(ProbeError::Connect)?);
        // How a connection ends shows in the exchange that was on it.
        let (sender, driver): (_, Pin<Box<dyn Future<Output = ()> + Send>>) = match connector.protocol() {
            UpstreamProtocol::Http1 => {
                let (sender, connection) = http1::handshake(io).await.map_err(broken)?;
                (Sender::Http1(sender), Box::pin(async { drop(connection.await) }))
            }
            UpstreamProtocol::Http2 => {
                let (sender, connection) = http2::handshake(tasks.clone(), io).await.map_err(broken)?;
                (Sender::Http2(sender), Box::pin(async { drop(connection.await) }))
            }
        };
        Ok(Self { connector, sender, driver: Some(driver) })
    }

    fn leads_to(&self, target: &Target) -> bool {
        self.connector.is_same(&target.connector)
    }

    fn reusable(self) -> Option<Self> {
        self.driver.is_some().then_some(self)
    }

    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        limit: usize,
    ) -> Result<(StatusCode, Bytes), ProbeError> {
        let mut answer = std::pin::pin!(self.sender.send(request, limit));
        if let Some(driver) = &mut self.driver {
            tokio::select! {
                answer = &mut answer => return answer,
                () = driver => {}
            }
        }
        // The connection ended, but what it brought may still be read.
        self.driver = None;
        answer.await
    }
}

impl Sender {
    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        limit: usize,
    ) -> Result<(StatusCode, Bytes), ProbeError> {
        let response = match self {
            Self::Http1(sender) => {
                sender.ready().await.map_err(broken)?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await.map_err(broken)?;
                sender.send_request(request).await
            }
        };
        let (head, body) = response.map_err(broken)?.into_parts();
        let body = Limited::new(body, limit).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                ProbeError::TooLarge(limit)
            } else {
                ProbeError::Broken(error)
            }
        })?;
        Ok((head.status, body.to_bytes()))
    }
}

fn broken(error: hyper::Error) -> ProbeError {
    ProbeError::Broken(Box::new(error))
}
