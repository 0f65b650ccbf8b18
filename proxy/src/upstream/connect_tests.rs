use std::io::Write as _;

use gearshift_config::{BackendId, Declared, ModelId};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

fn backend(tls: bool, host: &str, port: u16) -> Backend {
    Backend {
        profiles: Vec::new(),
        actuator: None,
        id: BackendId::new("b"),
        url: BackendUrl { tls, host: host.into(), port, path: String::new() },
        hardware: None,
        model: Declared::Is(ModelId::new("m")),
        profile: Declared::Detect,
        price_usd_per_hour: None,
        api_key: None,
        protocol: UpstreamProtocol::Http1,
        ca_file: None,
    }
}

/// Greets one TLS client with "hi"; returns its port, the CA's PEM file and the task.
async fn tls_server(alpn: &[&[u8]]) -> (u16, tempfile::NamedTempFile, JoinSet<()>) {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mut ca = tempfile::NamedTempFile::new().unwrap();
    ca.write_all(certified.cert.pem().as_bytes()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut server = JoinSet::new();
    server.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        if let Ok(mut stream) = acceptor.accept(stream).await {
            stream.write_all(b"hi").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (port, ca, server)
}

#[test]
fn authority_leaves_out_the_schemes_own_port() {
    let of = |tls, host, port| Connector::new(&backend(tls, host, port)).unwrap().authority().to_string();
    assert_eq!(of(false, "gpu-1", 80), "gpu-1");
    assert_eq!(of(true, "gpu-1", 443), "gpu-1");
    assert_eq!(of(false, "gpu-1", 8000), "gpu-1:8000");
    assert_eq!(of(true, "::1", 8000), "[::1]:8000");
}

#[test]
fn unusable_settings_say_what_to_do() {
    let bad_host = Connector::new(&backend(true, "a b", 1)).unwrap_err().to_string();
    assert!(bad_host.contains("correct the backend's `url`"), "{bad_host}");

    let mut missing = backend(true, "gpu-1", 1);
    missing.ca_file = Some("/nowhere/ca.pem".into());
    let message = Connector::new(&missing).unwrap_err().to_string();
    assert!(message.contains("/nowhere/ca.pem") && message.contains("ca_file"), "{message}");

    let empty = tempfile::NamedTempFile::new().unwrap();
    missing.ca_file = Some(empty.path().to_owned());
    let message = Connector::new(&missing).unwrap_err().to_string();
    assert!(message.contains("holds no certificate"), "{message}");
}

#[tokio::test]
async fn plain_connections_carry_bytes() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connector = Connector::new(&backend(false, "127.0.0.1", port)).unwrap();
    let (io, accepted) = tokio::join!(connector.connect(), listener.accept());
    let (mut io, mut peer) = (io.unwrap(), accepted.unwrap().0);
    assert!(io.is_write_vectored());
    io.write_all(b"ping").await.unwrap();
    io.shutdown().await.unwrap();
    let mut got = Vec::new();
    peer.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"ping");
}

#[tokio::test]
async fn a_dead_first_address_does_not_matter() {
    let dead = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let alive = listener.local_addr().unwrap();
    assert_eq!(first_to_answer(vec![dead, alive]).await.unwrap().peer_addr().unwrap(), alive);
    let refused = first_to_answer(vec![dead, dead]).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert!(first_to_answer(Vec::new()).await.is_err());
}

#[tokio::test]
async fn refusal_names_the_backend_and_keeps_its_kind() {
    let dead = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let error =
        Connector::new(&backend(false, "127.0.0.1", dead.port())).unwrap().connect().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert!(error.to_string().starts_with(&dead.to_string()), "{error}");
}

#[tokio::test]
async fn tls_verifies_against_the_ca_file() {
    let (port, ca, _server) = tls_server(&[b"http/1.1"]).await;
    let mut trusted = backend(true, "localhost", port);
    trusted.ca_file = Some(ca.path().to_owned());
    let mut io = Connector::new(&trusted).unwrap().connect().await.unwrap();
    let mut got = Vec::new();
    io.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"hi");
}

#[tokio::test]
async fn tls_refuses_a_stranger_and_says_how_to_trust_it() {
    let (port, _ca, _server) = tls_server(&[]).await;
    let error = Connector::new(&backend(true, "localhost", port)).unwrap().connect().await.unwrap_err();
    assert!(error.to_string().contains("ca_file"), "{error}");
}

#[tokio::test]
async fn http2_over_tls_needs_the_servers_consent() {
    let (port, ca, _server) = tls_server(&[]).await;
    let mut settings = backend(true, "localhost", port);
    settings.ca_file = Some(ca.path().to_owned());
    settings.protocol = UpstreamProtocol::Http2;
    let error = Connector::new(&settings).unwrap().connect().await.unwrap_err();
    assert!(error.to_string().contains("`protocol: http1`"), "{error}");
}
