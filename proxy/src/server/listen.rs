//! Sockets: bound once per core, so that the kernel spreads connections and no core hands one to another.

use std::{io, net::SocketAddr, rc::Rc, time::Duration};

use gearshift_config::Listener;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{Port, connection::Connections, tls};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// Pause after an accept error that will not pass at once (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The sockets of all cores, and where they listen.
#[derive(Debug)]
pub struct Bound {
    /// Addresses with the ports the system gave.
    pub addresses: Vec<SocketAddr>,
    /// For each core its sockets.
    pub cores: Vec<Vec<Port>>,
}

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

/// Binds every listener once per core.
///
/// # Errors
/// When an address is taken or a certificate cannot be used.
pub fn bind(listeners: &[Listener], cores: usize) -> Result<Bound, BindError> {
    let mut bound = Bound { addresses: Vec::new(), cores: (0..cores).map(|_| Vec::new()).collect() };
    for listener in listeners {
        let tls = listener.tls.as_ref().map(tls::acceptor).transpose()?;
        let mut address = listener.address;
        for core in &mut bound.cores {
            let socket = open(address).map_err(|source| BindError::Bind { address, source })?;
            // With port 0 the first core's socket decides.
            address = socket.local_addr().unwrap_or(address);
            core.push(Port { socket, tls: tls.clone() });
        }
        bound.addresses.push(address);
    }
    Ok(bound)
}

fn open(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until told to stop.
pub(super) async fn accept_loop(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    connections: Rc<Connections>,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => connections.serve(stream, tls.clone()),
            Err(error) if of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
