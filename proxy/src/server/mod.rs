//! Listeners and connections: one set per core.

mod close;
mod connection;
mod listen;
pub mod tls;
mod watched;

use std::{rc::Rc, sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::LocalSet, time::timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

pub use self::listen::{BindError, Bound, bind};
use self::{connection::Connections, listen::accept_loop};
use crate::worker::{Shared, Worker};

/// One core's share of a listener.
pub struct Port {
    /// The socket, bound with `SO_REUSEPORT`.
    pub socket: std::net::TcpListener,
    /// TLS, where configured.
    pub tls: Option<TlsAcceptor>,
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port").field("socket", &self.socket).field("tls", &self.tls.is_some()).finish()
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("ports", &self.ports).finish_non_exhaustive()
    }
}

/// What one core needs to serve.
pub struct Core {
    /// What the cores share.
    pub shared: Arc<Shared>,
    /// Its sockets.
    pub ports: Vec<Port>,
    /// Its number, from 0.
    pub number: usize,
    /// Makes its random choices repeatable.
    pub seed: u64,
    /// Cancelled when shutdown begins.
    pub stop: CancellationToken,
    /// Cancelled when shutdown must not wait any longer.
    pub abort: CancellationToken,
}

impl Core {
    /// Serves until told to stop and all connections have ended, or the drain time is over.
    ///
    /// # Errors
    /// When the runtime cannot be made or a socket cannot be used.
    pub fn run(self) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, self.serve())
    }

    async fn serve(self) -> std::io::Result<()> {
        let worker = Worker::new(self.shared, self.number, self.seed);
        let connections = Connections::new(worker.clone());
        let sweeping = worker.tasks.spawn_local(worker.clone().sweep());
        let watching = worker.tasks.spawn_local(connections.clone().watch());
        for port in self.ports {
            let listener = TcpListener::from_std(port.socket)?;
            worker.tasks.spawn_local(accept_loop(listener, port.tls, connections.clone(), self.stop.clone()));
        }
        self.stop.cancelled().await;
        let drain = worker.snapshot().config.timeouts.drain;
        drain_connections(&connections, drain, &self.abort).await;
        sweeping.abort();
        watching.abort();
        Ok(())
    }
}

/// Lets connections finish what they have, for a time.
async fn drain_connections(connections: &Rc<Connections>, drain: Duration, abort: &CancellationToken) {
    connections.retire();
    tokio::select! {
        finished = timeout(drain, connections.ended()) => {
            if finished.is_ok() {
                return;
            }
            tracing::warn!(open = connections.open(), "the drain time is over; cutting what is left");
        }
        () = abort.cancelled() => tracing::warn!(open = connections.open(), "told to stop at once"),
    }
    connections.abort();
    connections.ended().await;
}
