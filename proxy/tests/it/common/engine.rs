//! An engine that does what a test says.
//!
//! It answers what the fleet asks (`/health`, `/metrics`, `/v1/models`) by itself. Everything else comes out of
//! [`Engine::next`], to be answered, streamed, held or dropped.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header, request::Parts};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::{MODEL, beside, within};

/// One engine; it is gone when dropped.
pub(crate) struct Engine {
    pub(crate) address: SocketAddr,
    inbox: mpsc::UnboundedReceiver<Exchange>,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    outbox: mpsc::UnboundedSender<Exchange>,
    health: AtomicU16,
    abrupt: AtomicBool,
    distance: ArcSwap<Duration>,
    models: ArcSwap<String>,
    metrics: ArcSwap<String>,
    connections: AtomicUsize,
    /// Changes when all connections are to be closed.
    hang_up: watch::Sender<()>,
}

/// A name an engine serves.
pub(crate) struct Served<'a>(pub(crate) &'a str);

impl Served<'_> {
    fn list(names: &[Served<'_>]) -> String {
        let model =
            |Served(id): &Served<'_>| serde_json::json!({"id": id, "object": "model", "max_model_len": 4096});
        let data: Vec<_> = names.iter().map(model).collect();
        serde_json::json!({"object": "list", "data": data}).to_string()
    }
}

impl Engine {
    /// An engine in clear text that speaks HTTP/1.1 and HTTP/2.
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// An engine behind TLS.
    pub(crate) async fn start_tls(acceptor: TlsAcceptor) -> Self {
        Self::start_with(Some(acceptor)).await
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (outbox, inbox) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            outbox,
            health: AtomicU16::new(200),
            abrupt: AtomicBool::new(false),
            distance: ArcSwap::from_pointee(Duration::ZERO),
            models: ArcSwap::from_pointee(Served::list(&[Served(MODEL)])),
            metrics: ArcSwap::from_pointee(String::new()),
            connections: AtomicUsize::new(0),
            hang_up: watch::Sender::new(()),
        });
        let accepting = beside(accept(listener, tls, shared.clone()));
        Self { address, inbox, shared, accepting }
    }

    /// The next request of a client.
    pub(crate) async fn next(&mut self) -> Exchange {
        within("a request at the engine", self.inbox.recv()).await.unwrap()
    }

    /// The next request of a client, whenever it comes.
    pub(crate) async fn next_whenever(&mut self) -> Exchange {
        self.inbox.recv().await.unwrap()
    }

    /// A request that has come already.
    pub(crate) fn already(&mut self) -> Option<Exchange> {
        self.inbox.try_recv().ok()
    }

    /// How `/health` answers.
    pub(crate) fn set_health(&self, status: u16) {
        self.shared.health.store(status, SeqCst);
    }

    /// Whether further connections end in a reset, not in a regular close.
    pub(crate) fn set_abrupt(&self, abrupt: bool) {
        self.shared.abrupt.store(abrupt, SeqCst);
    }

    /// How long answers to the fleet's questions are under way.
    pub(crate) fn set_distance(&self, round_trip: Duration) {
        self.shared.distance.store(Arc::new(round_trip));
    }

    /// What `/v1/models` lists.
    pub(crate) fn set_models(&self, names: &[Served<'_>]) {
        self.shared.models.store(Arc::new(Served::list(names)));
    }

    /// What `/metrics` shows.
    pub(crate) fn set_metrics(&self, text: &str) {
        self.shared.metrics.store(Arc::new(text.to_owned()));
    }

    /// Closes every connection, whatever it is doing.
    pub(crate) fn hang_up(&self) {
        self.shared.hang_up.send_replace(());
    }

    /// Stops listening and closes every connection, as a process that died.
    pub(crate) async fn die(&mut self) {
        self.accepting.abort();
        // The listener is closed when the task has ended.
        let _ = (&mut self.accepting).await;
        self.hang_up();
        // A process that another test is just starting has a copy of the listener for a moment.
        while TcpStream::connect(self.address).await.is_ok() {}
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.accepting.abort();
        self.hang_up();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        if shared.abrupt.load(SeqCst) {
            stream.set_zero_linger().unwrap();
        }
        let number = shared.connections.fetch_add(1, SeqCst);
        beside(converse(stream, tls.clone(), number, shared.clone()));
    }
}

async fn converse(stream: TcpStream, tls: Option<TlsAcceptor>, number: usize, shared: Arc<Shared>) {
    let mut hang_up = shared.hang_up.subscribe();
    // A connection that breaks is what many tests are about.
    tokio::select! {
        () = async {
            match tls {
                None => speak(stream, number, shared).await,
                Some(tls) => if let Ok(stream) = tls.accept(stream).await { speak(stream, number, shared).await },
            }
        } => {}
        _ = hang_up.changed() => {}
    }
}

async fn speak<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: T,
    connection: usize,
    shared: Arc<Shared>,
) {
    let service = service_fn(move |request| hear(request, connection, shared.clone()));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().max_headers(1_000);
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

async fn hear(
    request: Request<Incoming>,
    connection: usize,
    shared: Arc<Shared>,
) -> Result<Response<EngineBody>, HungUp> {
    let agent = request.headers().get(header::USER_AGENT).map_or(&b""[..], |agent| agent.as_bytes());
    if agent.starts_with(b"gearshift/") {
        tokio::time::sleep(**shared.distance.load()).await;
        return Ok(shared.probe(request.uri().path()).map(EngineBody::Whole));
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| HungUp)?.to_bytes();
    let (reply, answer) = oneshot::channel();
    shared.outbox.send(Exchange { head, body, connection, reply }).map_err(|_| HungUp)?;
    answer.await.map_err(|_| HungUp)
}

impl Shared {
    fn probe(&self, path: &str) -> Response<Option<Bytes>> {
        let (status, body) = match path {
            "/health" => (self.health.load(SeqCst), String::new()),
            "/v1/models" => (200, self.models.load().to_string()),
            "/metrics" => (200, self.metrics.load().to_string()),
            "/version" => (200, r#"{"version":"0.12.0"}"#.to_owned()),
            _ => (404, String::new()),
        };
        let mut response = Response::new(Some(Bytes::from(body)));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response
    }
}

/// The engine closes the connection instead of answering.
#[derive(Debug, thiserror::Error)]
#[error("the engine hung up")]
pub(crate) struct HungUp;

/// A request of a client at the engine. Dropped unanswered, it closes its connection.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) head: Parts,
    pub(crate) body: Bytes,
    /// Which connection it came over, counted from 0.
    pub(crate) connection: usize,
    reply: oneshot::Sender<Response<EngineBody>>,
}

impl Exchange {
    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// A header, as text; empty where it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.head.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Answers with JSON.
    pub(crate) fn json(self, status: u16, body: impl Into<Bytes>) {
        let response = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
        self.respond(response.body(body.into()).unwrap());
    }

    /// Answers with anything in one piece.
    pub(crate) fn respond(self, response: Response<Bytes>) {
        // A client that has gone is no failure of the engine's.
        let _ = self.reply.send(response.map(|body| EngineBody::Whole(Some(body))));
    }

    /// Begins a stream of events.
    pub(crate) fn events(self) -> Stream {
        let head = Response::builder().header(header::CONTENT_TYPE, "text/event-stream; charset=utf-8");
        self.stream(head.body(()).unwrap())
    }

    /// Begins a body in pieces.
    pub(crate) fn stream(self, head: Response<()>) -> Stream {
        let (pieces, body) = mpsc::channel(1);
        let _ = self.reply.send(head.map(|()| EngineBody::Pieces(body)));
        Stream { pieces }
    }

    /// Closes the connection without an answer.
    pub(crate) fn hang_up(self) {}

    /// Waits until the proxy has given the request up.
    pub(crate) async fn cancelled(&mut self) {
        within("the request to be cancelled at the engine", self.reply.closed()).await;
    }
}

/// A response body under way. Dropped, it ends regularly.
#[derive(Debug)]
pub(crate) struct Stream {
    pieces: mpsc::Sender<Result<Bytes, HungUp>>,
}

impl Stream {
    /// Sends a piece; waits while the proxy does not read. False when the proxy has gone.
    pub(crate) async fn try_send(&self, piece: impl Into<Bytes>) -> bool {
        self.pieces.send(Ok(piece.into())).await.is_ok()
    }

    /// Sends a piece.
    pub(crate) async fn send(&self, piece: impl Into<Bytes>) {
        assert!(within("the proxy to read", self.try_send(piece)).await, "the proxy has gone");
    }

    /// Sends all of these and the regular end.
    pub(crate) async fn finish(self, pieces: &[&'static str]) {
        for piece in pieces {
            self.send(*piece).await;
        }
    }

    /// Breaks the connection (HTTP/1.1) or the stream (HTTP/2).
    pub(crate) async fn cut(self) {
        let _ = self.pieces.send(Err(HungUp)).await;
    }

    /// Waits until the proxy has given the response up.
    pub(crate) async fn cancelled(&self) {
        within("the stream to be cancelled at the engine", self.pieces.closed()).await;
    }
}

/// What the engine answers.
#[derive(Debug)]
enum EngineBody {
    Whole(Option<Bytes>),
    Pieces(mpsc::Receiver<Result<Bytes, HungUp>>),
}

impl Body for EngineBody {
    type Data = Bytes;
    type Error = HungUp;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HungUp>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pieces(pieces) => {
                let piece = ready!(pieces.poll_recv(cx));
                Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Whole(bytes) => {
                http_body::SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Self::Pieces(_) => http_body::SizeHint::default(),
        }
    }
}
