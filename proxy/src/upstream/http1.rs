//! One HTTP/1.1 connection, driven by whoever uses it.
//!
//! hyper's client connection is a future that must be polled. Spawned as a task of its own, every chunk of a
//! stream would wake two tasks; polled inside the task that serves the client, it wakes one, and dropping that
//! task closes the connection, which is how vLLM learns that a client has gone.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{Request, Response};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::{
    RequestBody,
    connect::{Connector, Io},
    pool::SendError,
};

/// A connection: idle in a pool, or leased to one request.
#[derive(Debug)]
pub struct Http1 {
    sender: http1::SendRequest<RequestBody>,
    connection: http1::Connection<TokioIo<Io>, RequestBody>,
    closed: bool,
    idle_since: Instant,
}

impl Http1 {
    /// Connects.
    pub async fn open(connector: &Connector) -> io::Result<Box<Self>> {
        let io = TokioIo::new(connector.connect().await?);
        let (sender, connection) = http1::handshake(io).await.map_err(io::Error::other)?;
        // Boxed, because it moves: from pool to request, to response body, and back.
        let mut fresh = Box::new(Self { sender, connection, closed: false, idle_since: Instant::now() });
        // hyper takes a request once the connection has been polled.
        fresh.usable();
        Ok(fresh)
    }

    /// Moves bytes; call whenever something that depends on the connection is pending.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.closed && Pin::new(&mut self.connection).poll(cx).is_ready() {
            self.closed = true;
        }
    }

    /// Whether the connection can take a request now. Sees a close that arrived while nobody polled.
    pub fn usable(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        !self.closed && self.sender.is_ready()
    }

    /// When it was last given back.
    pub fn idle_since(&self) -> Instant {
        self.idle_since
    }

    /// Notes that it is given back now.
    pub fn rest(&mut self) {
        self.idle_since = Instant::now();
    }

    /// Sends a request and waits for the response head, `within` at most. The connection must be usable.
    pub async fn send(
        &mut self,
        request: Request<RequestBody>,
        within: Duration,
    ) -> Result<Response<Incoming>, SendError> {
        let mut response = pin!(self.sender.send_request(request));
        let mut deadline = pin!(tokio::time::sleep(within));
        let (connection, closed) = (&mut self.connection, &mut self.closed);
        poll_fn(|cx| {
            if !*closed && Pin::new(&mut *connection).poll(cx).is_ready() {
                *closed = true;
            }
            if let Poll::Ready(sent) = response.as_mut().poll(cx) {
                return Poll::Ready(sent.map_err(SendError::Broken));
            }
            deadline.as_mut().poll(cx).map(|()| Err(SendError::HeadTimeout(within)))
        })
        .await
    }
}
