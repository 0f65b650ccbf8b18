//! An engine to be watched: a real server that answers what the test says.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

/// What one path answers.
#[derive(Clone)]
pub(super) enum Reply {
    /// Status and body.
    Page(u16, String),
    /// A page that differs each time: the argument counts the requests to this path.
    Each(fn(u64) -> String),
    /// Nothing, ever.
    Hang,
    /// Part of a body, then the connection breaks.
    Cut(String),
    /// A body without end.
    Endless,
}

#[derive(Default)]
struct Script {
    replies: ArcSwap<HashMap<&'static str, Reply>>,
    asked: watch::Sender<HashMap<String, u64>>,
    authorization: ArcSwap<Option<String>>,
    connections: AtomicU64,
}

/// A running engine. Dropped, it refuses connections.
pub(super) struct Engine {
    pub(super) address: SocketAddr,
    script: Arc<Script>,
    _server: JoinSet<()>,
}

pub(super) fn ok(body: impl Into<String>) -> Reply {
    Reply::Page(200, body.into())
}

pub(super) fn models(names: &[&str]) -> Reply {
    let cards: Vec<_> =
        names.iter().map(|name| format!(r#"{{"id":"{name}","max_model_len":2048}}"#)).collect();
    ok(format!(r#"{{"object":"list","data":[{}]}}"#, cards.join(",")))
}

/// A metrics page with one engine's load and token counter.
pub(super) fn page(running: u32, tokens: u64, awake: bool) -> String {
    format!(
        "vllm:num_requests_running{{engine=\"0\"}} {running}\nvllm:num_requests_waiting{{engine=\"0\"}} 0\n\
         vllm:kv_cache_usage_perc{{engine=\"0\"}} 0.5\nvllm:prompt_tokens_total{{engine=\"0\"}} 0\n\
         vllm:generation_tokens_total{{engine=\"0\"}} {tokens}\n\
         vllm:engine_sleep_state{{engine=\"0\",sleep_state=\"awake\"}} {}\n",
        u8::from(awake)
    )
}

impl Engine {
    /// A healthy vLLM that serves `tiny`.
    pub(super) async fn vllm() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// The same at an address of the caller's.
    pub(super) async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let script = Arc::new(Script::default());
        let engine = Self {
            address: listener.local_addr().unwrap(),
            script: script.clone(),
            _server: serve(listener, script),
        };
        engine.say("/health", ok(""));
        engine.say("/metrics", ok(include_str!("../fixtures/metrics.txt")));
        engine.say("/v1/models", ok(include_str!("../fixtures/models.json")));
        engine.say("/version", ok(r#"{"version":"0.32.0"}"#));
        engine.say("/server_info", ok(include_str!("../fixtures/server_info.json")));
        engine
    }

    /// From now on `path` answers with `reply`.
    pub(super) fn say(&self, path: &'static str, reply: Reply) {
        let mut replies = HashMap::clone(&self.script.replies.load());
        replies.insert(path, reply);
        self.script.replies.store(Arc::new(replies));
    }

    /// Waits until `path` was asked `more` times more.
    pub(super) async fn asked(&self, path: &str, more: u64) {
        let mut asked = self.script.asked.subscribe();
        let of = |asked: &HashMap<String, u64>| asked.get(path).copied().unwrap_or(0);
        let goal = of(&asked.borrow()) + more;
        asked.wait_for(|asked| of(asked) >= goal).await.unwrap();
    }

    /// Connections accepted so far.
    pub(super) fn connections(&self) -> u64 {
        self.script.connections.load(SeqCst)
    }

    /// The last `Authorization` header.
    pub(super) fn authorization(&self) -> Option<String> {
        self.script.authorization.load().as_ref().clone()
    }
}

fn serve(listener: TcpListener, script: Arc<Script>) -> JoinSet<()> {
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            script.connections.fetch_add(1, SeqCst);
            let script = script.clone();
            connections.spawn(async move {
                let service = service_fn(|request| answer(request, script.clone()));
                // A test that breaks the connection has its way.
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    server
}

async fn answer(request: Request<Incoming>, script: Arc<Script>) -> Result<Response<Played>, Infallible> {
    let path = request.uri().path().to_owned();
    let mut count = 0;
    script.asked.send_modify(|asked| {
        let asked = asked.entry(path.clone()).or_default();
        *asked += 1;
        count = *asked;
    });
    let authorization =
        request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    script.authorization.store(Arc::new(authorization));
    let reply = script.replies.load().get(path.as_str()).cloned();
    let (status, body) = match reply {
        None => (404, Played::Whole(Some(Bytes::new()))),
        Some(Reply::Page(status, body)) => (status, Played::Whole(Some(body.into()))),
        Some(Reply::Each(body)) => (200, Played::Whole(Some(body(count).into()))),
        Some(Reply::Hang) => std::future::pending().await,
        Some(Reply::Cut(body)) => (200, Played::Cut(Some(body.into()))),
        Some(Reply::Endless) => (200, Played::Endless),
    };
    Ok(Response::builder().status(status).body(body).unwrap())
}

enum Played {
    Whole(Option<Bytes>),
    Cut(Option<Bytes>),
    Endless,
}

impl Body for Played {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(match self.get_mut() {
            Self::Whole(body) => body.take().map(|body| Ok(Frame::data(body))),
            Self::Cut(body) => Some(match body.take() {
                Some(body) => Ok(Frame::data(body)),
                None => Err(std::io::ErrorKind::ConnectionReset.into()),
            }),
            Self::Endless => Some(Ok(Frame::data(Bytes::from_static(&[b'#'; 65536])))),
        })
    }
}
