//! Client connections of one core.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use gearshift_config::Limits;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::{
    close::close,
    watched::{Busy, Command, Watch, Watched},
};
use crate::{
    edge,
    pipeline::{CutError, ProxyResponse, RelayBody},
    runtime::LocalExecutor,
    worker::Worker,
};

/// hyper's own least. A request head must fit the read buffer.
const MIN_READ_BUFFER: usize = 8 * 1024;
/// Requests on one HTTP/2 connection at once.
const MAX_STREAMS: u32 = 1024;
/// HTTP/2 peers are asked for a sign of life this often.
const PING: Duration = Duration::from_secs(20);

/// The connections of one core.
pub(super) struct Connections {
    worker: Rc<Worker>,
    open: RefCell<HashMap<u64, Rc<Watch>>>,
    next: Cell<u64>,
    tasks: TaskTracker,
    retiring: Cell<bool>,
}

impl Connections {
    pub(super) fn new(worker: Rc<Worker>) -> Rc<Self> {
        Rc::new(Self {
            worker,
            open: RefCell::default(),
            next: Cell::new(0),
            tasks: TaskTracker::new(),
            retiring: Cell::new(false),
        })
    }

    /// Serves a connection, unless there are too many.
    pub(super) fn serve(self: &Rc<Self>, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let gauge = self.worker.shared.metrics.connections();
        let limit = self.worker.snapshot().config.limits.max_connections;
        if usize::try_from(gauge.get()).is_ok_and(|open| open >= limit) {
            tracing::warn!(limit, "too many client connections; closing one");
            return;
        }
        let connection = Connection::enter(self);
        self.tasks.spawn_local(async move {
            if let Err(error) = connection.run(stream, tls).await {
                tracing::debug!(%error, "a client connection ended");
            }
        });
    }

    /// Looks after silent connections.
    pub(super) async fn watch(self: Rc<Self>) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tick.tick().await;
            let snapshot = self.worker.snapshot();
            let timeouts = &snapshot.config.timeouts;
            let now = Instant::now();
            for watch in self.open.borrow().values() {
                watch.check(now, timeouts.header, timeouts.client_idle);
            }
        }
    }

    /// Lets every connection finish what it has.
    pub(super) fn retire(&self) {
        self.retiring.set(true);
        self.tell(Command::Retire);
    }

    /// Cuts every connection.
    pub(super) fn abort(&self) {
        self.tell(Command::Abort);
    }

    fn tell(&self, command: Command) {
        self.open.borrow().values().for_each(|watch| watch.tell(command));
    }

    /// Open connections.
    pub(super) fn open(&self) -> usize {
        self.open.borrow().len()
    }

    /// All connections have ended.
    pub(super) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// One connection's entry; leaves the table when dropped.
struct Connection {
    connections: Rc<Connections>,
    watch: Rc<Watch>,
    key: u64,
}

impl Connection {
    fn enter(connections: &Rc<Connections>) -> Self {
        let watch = Watch::new();
        let key = connections.next.get();
        connections.next.set(key + 1);
        connections.open.borrow_mut().insert(key, watch.clone());
        connections.worker.shared.metrics.connections().inc();
        if connections.retiring.get() {
            watch.tell(Command::Retire);
        }
        Self { connections: connections.clone(), watch, key }
    }

    async fn run(self, stream: TcpStream, tls: Option<TlsAcceptor>) -> Result<(), Broken> {
        stream.set_nodelay(true)?;
        let Some(tls) = tls else { return self.speak(stream).await };
        let patience = self.connections.worker.snapshot().config.timeouts.header;
        let stream = timeout(patience, tls.accept(stream)).await??;
        // Boxed for the same reason as HTTP/2.
        Box::pin(self.speak(stream)).await
    }

    /// Speaks HTTP/1.1, or HTTP/2 when the client begins with its preface.
    async fn speak<T>(self, stream: T) -> Result<(), Broken>
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let worker = &self.connections.worker;
        let limits = worker.snapshot().config.limits.clone();
        let service = Counted { inner: edge::service(worker.clone()), watch: self.watch.clone() };
        let io = TokioIo::new(Watched::new(stream, self.watch.clone()));
        let mut connection = http1(&limits).serve_connection(io, service);
        let mut aborted = false;
        let ended = poll_fn(|cx| {
            match self.watch.told(cx) {
                Some(Command::Abort) => {
                    aborted = true;
                    return Poll::Ready(Ok(()));
                }
                Some(Command::Retire) => Pin::new(&mut connection).graceful_shutdown(),
                None => {}
            }
            connection.poll_without_shutdown(cx)
        })
        .await;
        match ended {
            Err(error) if error.is_parse_version_h2() => {
                let parts = connection.into_parts();
                let io = parts.io.into_inner().with_prefix(parts.read_buf);
                // Boxed, so that the many HTTP/1.1 connections do not carry its state.
                Box::pin(self.speak_http2(TokioIo::new(io), parts.service, limits)).await
            }
            Err(error) => Err(error.into()),
            Ok(()) if aborted => Ok(()),
            Ok(()) => Ok(close(connection.into_parts().io.into_inner()).await?),
        }
    }

    async fn speak_http2<I, S>(
        &self,
        io: TokioIo<I>,
        service: Counted<S>,
        limits: Limits,
    ) -> Result<(), Broken>
    where
        I: AsyncRead + AsyncWrite + Unpin + 'static,
        S: Edge,
    {
        self.watch.multiplex();
        let mut connection = pin!(http2(&limits).serve_connection(io, service));
        poll_fn(|cx| {
            match self.watch.told(cx) {
                Some(Command::Abort) => return Poll::Ready(Ok(())),
                Some(Command::Retire) => connection.as_mut().graceful_shutdown(),
                None => {}
            }
            connection.as_mut().poll(cx)
        })
        .await?;
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.connections.open.borrow_mut().remove(&self.key);
        self.connections.worker.shared.metrics.connections().dec();
    }
}

fn http1(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // Slow heads are the watch's business: no timer for each request.
    builder
        .header_read_timeout(None)
        .max_buf_size(limits.max_header_bytes.max(MIN_READ_BUFFER))
        .max_header_size(limits.max_header_bytes);
    if limits.max_headers != 100 {
        // hyper's default of 100 needs no allocation.
        builder.max_headers(limits.max_headers);
    }
    builder
}

fn http2(limits: &Limits) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX));
    builder
}

/// Why a connection ended.
type Broken = Box<dyn std::error::Error + Send + Sync>;

/// The edge as a connection uses it: always ready, so a clone can be called at once.
trait Edge:
    tower::Service<Request<Incoming>, Response = ProxyResponse, Error = Infallible, Future: Unpin + 'static>
    + Clone
    + 'static
{
}

impl<S> Edge for S where
    S: tower::Service<
            Request<Incoming>,
            Response = ProxyResponse,
            Error = Infallible,
            Future: Unpin + 'static,
        > + Clone
        + 'static
{
}

/// Tells the watch when requests begin and end.
#[derive(Clone)]
struct Counted<S> {
    inner: S,
    watch: Rc<Watch>,
}

impl<S: Edge> hyper::service::Service<Request<Incoming>> for Counted<S> {
    type Response = Response<CountedBody>;
    type Error = Infallible;
    type Future = Counting<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        Counting { inner: self.inner.clone().call(request), busy: Some(self.watch.begin()) }
    }
}

pin_project! {
    /// A response under way; its body takes the guard along.
    struct Counting<F> {
        #[pin]
        inner: F,
        busy: Option<Busy>,
    }
}

impl<F: Future<Output = Result<ProxyResponse, Infallible>>> Future for Counting<F> {
    type Output = Result<Response<CountedBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(response) = ready!(this.inner.poll(cx));
        let busy = this.busy.take();
        Poll::Ready(Ok(response.map(|body| CountedBody { body, _busy: busy })))
    }
}

/// A response body that keeps its connection busy.
struct CountedBody {
    body: RelayBody,
    _busy: Option<Busy>,
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = CutError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
