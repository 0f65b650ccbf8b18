//! Connecting to a backend: TCP, and TLS where its URL says `https`.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use gearshift_config::{Backend, BackendUrl, UpstreamProtocol};
use http::uri::{Authority, Scheme};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long one address may stay silent before the next is tried beside it (RFC 8305 §8).
const STAGGER: Duration = Duration::from_millis(250);

/// Opens connections to one backend. Cheap to clone; clones share TLS sessions.
#[derive(Clone)]
pub struct Connector(Arc<Target>);

struct Target {
    host: String,
    port: u16,
    authority: Authority,
    protocol: UpstreamProtocol,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// Why a [`Connector`] cannot be built from a backend's settings.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// The CA file cannot be read, or is not PEM.
    #[error("{}: no PEM certificates can be read from this `ca_file`: {reason}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: rustls::pki_types::pem::Error,
    },
    /// The CA file holds no certificate.
    #[error("{}: this `ca_file` holds no certificate; give the PEM of the authority that signed the backend's", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate in the CA file is no trust root.
    #[error("{}: a certificate in this `ca_file` cannot be a trust root: {reason}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What the verifier said.
        reason: rustls::Error,
    },
    /// The URL's host can stand in no `Host` header or certificate.
    #[error("{host:?} is no host name or address; correct the backend's `url`")]
    Host {
        /// The host as configured.
        host: String,
    },
    /// The TLS library refused its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
}

impl Connector {
    /// Prepares connections to `backend`; reads its `ca_file`, if any.
    ///
    /// # Errors
    /// When the URL's host is malformed or the CA file is unusable.
    pub fn new(backend: &Backend) -> Result<Self, ConnectorError> {
        let url = &backend.url;
        let bad_host = || ConnectorError::Host { host: url.host.clone() };
        let authority = authority(url).ok_or_else(bad_host)?;
        let tls = if url.tls {
            let name = ServerName::try_from(url.host.clone()).map_err(|_| bad_host())?;
            let config = client_config(backend.protocol, backend.ca_file.as_deref())?;
            Some((TlsConnector::from(Arc::new(config)), name))
        } else {
            None
        };
        let (host, port, protocol) = (url.host.clone(), url.port, backend.protocol);
        Ok(Self(Arc::new(Target { host, port, authority, protocol, tls })))
    }

    /// What belongs in `Host` or `:authority`: the port is there unless it is the scheme's own.
    pub fn authority(&self) -> &Authority {
        &self.0.authority
    }

    /// What belongs in `:scheme`.
    pub fn scheme(&self) -> Scheme {
        if self.0.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// Whether `other` is a clone of this one.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The HTTP version to speak on the connection.
    pub fn protocol(&self) -> UpstreamProtocol {
        self.0.protocol
    }

    /// Opens a connection, TLS handshake included. Never times out: the caller bounds it.
    ///
    /// # Errors
    /// The I/O error's kind is that of the last address tried; its text names the backend's address.
    pub async fn connect(&self) -> io::Result<Io> {
        let target = &*self.0;
        let tcp = target.connect_tcp().await.map_err(|error| target.explain("cannot connect", &error))?;
        tcp.set_nodelay(true)?;
        let Some((connector, name)) = &target.tls else { return Ok(Io::Plain(tcp)) };
        let tls = connector
            .connect(name.clone(), tcp)
            .await
            .map_err(|error| target.explain("TLS failed (a private certificate needs `ca_file`)", &error))?;
        if target.protocol == UpstreamProtocol::Http2 && tls.get_ref().1.alpn_protocol() != Some(b"h2") {
            let problem = io::Error::new(io::ErrorKind::Unsupported, "set `protocol: http1`");
            return Err(target.explain("does not speak HTTP/2 over TLS", &problem));
        }
        Ok(Io::Tls(Box::new(tls)))
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connector({}://{})", self.scheme(), self.0.authority)
    }
}

impl Target {
    async fn connect_tcp(&self) -> io::Result<TcpStream> {
        // Address literals pass through lookup_host without a resolver thread.
        let addresses: Vec<SocketAddr> =
            tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect();
        match addresses.as_slice() {
            [only] => TcpStream::connect(only).await,
            _ => first_to_answer(addresses).await,
        }
    }

    fn explain(&self, what: &str, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {what}: {error}", self.authority))
    }
}

/// Connects to the first of `addresses` that answers; each next one starts when the last failed or stayed
/// silent for [`STAGGER`], so that one dead address costs little.
async fn first_to_answer(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(TcpStream::connect(address));
        }
        tokio::select! {
            attempt = attempts.join_next() => match attempt {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => failure = error,
                Some(Err(error)) => failure = io::Error::other(error),
                None => return Err(failure),
            },
            () = tokio::time::sleep(STAGGER), if waiting.len() > 0 => {}
        }
    }
}

fn authority(url: &BackendUrl) -> Option<Authority> {
    let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
    let default = if url.tls { 443 } else { 80 };
    let text = if url.port == default { host } else { format!("{host}:{}", url.port) };
    text.parse().ok()
}

fn client_config(protocol: UpstreamProtocol, ca_file: Option<&Path>) -> Result<ClientConfig, ConnectorError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = ca_file {
        add_ca_file(&mut roots, path)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ConnectorError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![match protocol {
        UpstreamProtocol::Http1 => b"http/1.1".to_vec(),
        UpstreamProtocol::Http2 => b"h2".to_vec(),
    }];
    Ok(config)
}

fn add_ca_file(roots: &mut RootCertStore, path: &Path) -> Result<(), ConnectorError> {
    let unreadable = |reason| ConnectorError::CaFile { path: path.to_owned(), reason };
    let before = roots.len();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        roots
            .add(certificate.map_err(unreadable)?)
            .map_err(|reason| ConnectorError::Certificate { path: path.to_owned(), reason })?;
    }
    if roots.len() == before {
        return Err(ConnectorError::NoCertificate { path: path.to_owned() });
    }
    Ok(())
}

/// A connection to a backend.
#[derive(Debug)]
pub enum Io {
    /// Clear text.
    Plain(TcpStream),
    /// TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Calls the same method on whichever stream is inside.
macro_rules! forward {
    ($self:ident . $method:ident ( $($argument:expr),* )) => {
        match $self.get_mut() {
            Io::Plain(stream) => Pin::new(stream).$method($($argument),*),
            Io::Tls(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        forward!(self.poll_read(cx, buf))
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        forward!(self.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        forward!(self.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self.poll_shutdown(cx))
    }
}

#[cfg(test)]
#[path = "connect_tests.rs"]
mod tests;
