//! The connections of one core to one backend.

use std::{cell::RefCell, io, rc::Rc, time::Duration};

use gearshift_config::UpstreamProtocol;
use http::{Request, Response};
use tokio::time::{Instant, timeout};

use super::{
    RequestBody,
    body::UpstreamBody,
    connect::Connector,
    http1::Http1,
    http2::{self, Driver, Http2},
};

/// How long the parts of an exchange may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// To connect, handshakes included.
    pub connect: Duration,
    /// From sending the request to the response head.
    pub response_head: Duration,
    /// How long an idle connection is trusted.
    pub idle: Duration,
}

/// Why there is no response head. Nothing has reached the client in any of these cases.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection.
    #[error("{0}")]
    Connect(io::Error),
    /// No connection in time.
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    /// The connection broke before the response head.
    #[error("the connection broke before the response: {0}")]
    Broken(hyper::Error),
    /// No response head in time.
    #[error("no response within {0:?}")]
    HeadTimeout(Duration),
}

/// Idle HTTP/1.1 connections, or the one HTTP/2 connection.
#[derive(Debug)]
pub struct Pool {
    connector: Connector,
    #[expect(clippy::vec_box, reason = "a connection is large and moves to requests and back")]
    idle: RefCell<Vec<Box<Http1>>>,
    http2: Http2,
    driver: Driver,
}

impl Pool {
    /// An empty pool.
    pub fn new(connector: Connector, driver: Driver) -> Self {
        Self { connector, idle: RefCell::default(), http2: Http2::default(), driver }
    }

    /// Sends a request that `build` makes, and waits for the response head. A kept connection that turns out
    /// closed (the engine ends idle ones) is replaced by a fresh one and the request made again, once.
    pub async fn send(
        self: &Rc<Self>,
        build: impl Fn() -> Request<RequestBody>,
        patience: Patience,
    ) -> Result<Response<UpstreamBody>, SendError> {
        match self.connector.protocol() {
            UpstreamProtocol::Http1 => self.send_http1(build, patience).await,
            // Boxed, as connecting is: rare beside a kept HTTP/1.1 connection, and large.
            UpstreamProtocol::Http2 => Box::pin(self.send_http2(build, patience)).await,
        }
    }

    async fn send_http1(
        self: &Rc<Self>,
        build: impl Fn() -> Request<RequestBody>,
        patience: Patience,
    ) -> Result<Response<UpstreamBody>, SendError> {
        if let Some(mut kept) = self.take_idle(patience.idle) {
            match kept.send(build(), patience.response_head).await {
                Ok(response) => return Ok(self.lease(response, kept)),
                Err(SendError::Broken(error)) => {
                    tracing::debug!(backend = %self.connector.authority(), %error, "a kept connection had closed");
                }
                Err(error) => return Err(error),
            }
        }
        let mut fresh = Box::pin(connected(Http1::open(&self.connector), patience)).await?;
        let response = fresh.send(build(), patience.response_head).await?;
        Ok(self.lease(response, fresh))
    }

    async fn send_http2(
        &self,
        build: impl Fn() -> Request<RequestBody>,
        patience: Patience,
    ) -> Result<Response<UpstreamBody>, SendError> {
        let (sender, kept) = connected(self.http2.sender(&self.connector, &self.driver), patience).await?;
        let sent = match head(http2::send(sender, build()), patience).await {
            Err(SendError::Broken(_)) if kept => {
                self.http2.forget();
                let (sender, _) =
                    connected(self.http2.sender(&self.connector, &self.driver), patience).await?;
                head(http2::send(sender, build()), patience).await
            }
            other => other,
        };
        sent.map(|response| response.map(UpstreamBody::multiplexed))
    }

    fn lease(
        self: &Rc<Self>,
        response: Response<hyper::body::Incoming>,
        connection: Box<Http1>,
    ) -> Response<UpstreamBody> {
        response.map(|incoming| UpstreamBody::leased(incoming, connection, self.clone()))
    }

    /// The connection used last, if it is young enough and open.
    fn take_idle(&self, max_idle: Duration) -> Option<Box<Http1>> {
        let now = Instant::now();
        loop {
            let mut kept = self.idle.borrow_mut().pop()?;
            if now.duration_since(kept.idle_since()) < max_idle && kept.usable() {
                return Some(kept);
            }
        }
    }

    /// Takes a connection back whose response has been read to its end.
    pub fn give_back(&self, mut connection: Box<Http1>) {
        if connection.usable() {
            connection.rest();
            self.idle.borrow_mut().push(connection);
        }
    }

    /// Closes connections idle for longer than `max_idle`.
    pub fn sweep(&self, max_idle: Duration) {
        let now = Instant::now();
        self.idle.borrow_mut().retain(|kept| now.duration_since(kept.idle_since()) < max_idle);
    }

    /// Whether an HTTP/2 connection is open.
    pub fn multiplexed(&self) -> bool {
        self.http2.is_open()
    }

    /// Idle connections kept.
    pub fn idle(&self) -> usize {
        self.idle.borrow().len()
    }
}

async fn connected<T>(
    opening: impl Future<Output = io::Result<T>>,
    patience: Patience,
) -> Result<T, SendError> {
    match timeout(patience.connect, opening).await {
        Ok(opened) => opened.map_err(SendError::Connect),
        Err(_) => Err(SendError::ConnectTimeout(patience.connect)),
    }
}

async fn head<T>(
    sending: impl Future<Output = hyper::Result<T>>,
    patience: Patience,
) -> Result<T, SendError> {
    match timeout(patience.response_head, sending).await {
        Ok(sent) => sent.map_err(SendError::Broken),
        Err(_) => Err(SendError::HeadTimeout(patience.response_head)),
    }
}
