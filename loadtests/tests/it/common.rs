//! What the tests share.

use std::{future::Future, net::SocketAddr};

use gearshift_loadtests::{
    driver::{ChatRequest, Endpoint, Expected, Job},
    mock::{self, Settings},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::LocalSet,
};

pub(crate) const MODEL: &str = "stub-8b";

/// Runs a test as the binary runs its commands.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

/// Starts the stub engine for the length of the test.
pub(crate) async fn stub(settings: Settings) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move { mock::serve(listener, MODEL, settings).await.unwrap() });
    Endpoint::from(address)
}

/// A chat completion of 1 kB.
pub(crate) fn chat(endpoint: &Endpoint, expected: Expected) -> Job {
    let stream = matches!(expected, Expected::Events(_));
    Job::chat(endpoint, &ChatRequest { model: MODEL.into(), body_bytes: 1_000, stream }, expected)
}

/// Sends bytes and reads all that comes back until the server closes.
pub(crate) async fn raw(address: SocketAddr, request: &str) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A request without keep-alive: status line with headers, and body as sent.
pub(crate) async fn ask(endpoint: &Endpoint, method: &str, path: &str, body: &str) -> (String, String) {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: stub\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let answer = raw(endpoint.address(), &request).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// A value of the stub's metrics.
pub(crate) async fn metric(endpoint: &Endpoint, name: &str) -> f64 {
    let (_, metrics) = ask(endpoint, "GET", "/metrics", "").await;
    let line = metrics.lines().find(|line| line.starts_with(name)).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}
