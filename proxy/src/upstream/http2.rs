//! One multiplexed HTTP/2 connection per backend and core.

use std::{cell::RefCell, io, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::task::TaskTracker;

use super::{RequestBody, connect::Connector};
use crate::runtime::LocalExecutor;

/// A silent peer is asked for a sign of life this often, and given up when none comes for as long.
const PING: Duration = Duration::from_secs(10);

/// The connection, made when first needed and again when it has closed.
#[derive(Debug, Default)]
pub struct Http2 {
    sender: RefCell<Option<http2::SendRequest<RequestBody>>>,
    /// Held while connecting, so that a burst makes one connection.
    connecting: tokio::sync::Mutex<()>,
}

/// Where connections are driven.
#[derive(Debug, Clone)]
pub struct Driver {
    /// Tracks the tasks, so that shutdown can wait for them.
    pub tasks: TaskTracker,
}

impl Http2 {
    /// The live connection, and whether it was there before.
    pub async fn sender(
        &self,
        connector: &Connector,
        driver: &Driver,
    ) -> io::Result<(http2::SendRequest<RequestBody>, bool)> {
        if let Some(live) = self.live() {
            return Ok((live, true));
        }
        let _connecting = self.connecting.lock().await;
        if let Some(live) = self.live() {
            return Ok((live, true));
        }
        let io = TokioIo::new(connector.connect().await?);
        let (sender, connection) = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .adaptive_window(true)
            .handshake(io)
            .await
            .map_err(io::Error::other)?;
        driver.tasks.spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP/2 connection to a backend ended");
            }
        });
        *self.sender.borrow_mut() = Some(sender.clone());
        Ok((sender, false))
    }

    /// Forgets the connection; requests on it go on.
    pub fn forget(&self) {
        self.sender.borrow_mut().take();
    }

    /// Whether a connection is open.
    pub fn is_open(&self) -> bool {
        self.live().is_some()
    }

    fn live(&self) -> Option<http2::SendRequest<RequestBody>> {
        self.sender.borrow().as_ref().filter(|sender| !sender.is_closed()).cloned()
    }
}

/// Sends a request and waits for the response head.
pub async fn send(
    mut sender: http2::SendRequest<RequestBody>,
    request: Request<RequestBody>,
) -> hyper::Result<Response<Incoming>> {
    sender.ready().await?;
    sender.send_request(request).await
}
