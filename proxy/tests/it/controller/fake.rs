//! An engine that can be started as a program: this test binary, run for one test that serves instead of testing.
//!
//! It takes vLLM's arguments, says its knobs as vLLM does, and is slow at each of the things that a switch waits for, so that
//! a test can strike while the switch is at it.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep, sleep_until},
};

use crate::common::beside;

/// Names the folder of a fake engine that runs as a program.
const FOLDER: &str = "GEARSHIFT_TEST_FAKE_ENGINE";
/// The knob that makes it end as soon as it starts.
const BROKEN: &str = "--max-num-seqs=13";
/// How long it is slow for.
pub(crate) const SLOW: Duration = Duration::from_millis(600);
/// A file of its folder: how long it takes until it listens, milliseconds.
pub(crate) const START_MS: &str = "start-ms";
/// A file of its folder: it publishes no metrics.
pub(crate) const NO_METRICS: &str = "no-metrics";

/// The command that runs it, as YAML.
pub(crate) fn command() -> String {
    let program = std::env::current_exe().unwrap();
    format!("[{:?}, 'controller::fake::serves_as_a_program', --exact, --nocapture, --]", program.display())
}

/// Its environment, as YAML.
pub(crate) fn environment(folder: &Path) -> String {
    format!("{{{FOLDER}: {:?}}}", folder.display())
}

/// Not a test: the engine.
#[tokio::test]
async fn serves_as_a_program() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let arguments: Vec<String> = std::env::args().collect();
    let value =
        |name: &str| arguments.iter().find_map(|argument| argument.strip_prefix(name)).unwrap().to_owned();
    let address: SocketAddr = format!("{}:{}", value("--host="), value("--port=")).parse().unwrap();
    note(&folder.join("starts"), &std::process::id().to_string());
    if arguments.iter().any(|argument| argument == BROKEN) {
        println!("there is no room for the KV cache");
        std::process::exit(1);
    }
    let start_ms = std::fs::read_to_string(folder.join(START_MS)).ok().map(|text| text.parse().unwrap());
    sleep(start_ms.map_or(SLOW, Duration::from_millis)).await;
    let fake = Fake::new(arguments.iter().any(|argument| argument == "--enable-prefix-caching"));
    fake.slow.store(true, SeqCst);
    fake.silent.store(folder.join(NO_METRICS).exists(), SeqCst);
    let listener = TcpListener::bind(address).await.unwrap();
    let mut told = signal(SignalKind::terminate()).unwrap();
    tokio::select! {
        () = fake.serve(listener) => {}
        _ = told.recv() => {
            sleep(SLOW).await;
            // Read once by the probe of memory, which then finds it free.
            std::fs::write(folder.join(format!("memory-{}", address.port())), "9000").unwrap();
        }
    }
    std::process::exit(0);
}

/// Appends a line, in one piece: two engines may start at once.
fn note(file: &Path, line: &str) {
    use std::io::Write as _;
    let mut file = std::fs::File::options().create(true).append(true).open(file).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// A fake engine.
pub(crate) struct Fake {
    started: Instant,
    /// It takes its time with what a switch waits for.
    pub(crate) slow: AtomicBool,
    /// It publishes no metrics.
    pub(crate) silent: AtomicBool,
    /// It says that it is not well.
    pub(crate) ill: AtomicBool,
    /// How often it said so.
    pub(crate) said_ill: AtomicU32,
    /// It takes questions, and answers none but those of its health and its metrics.
    pub(crate) stuck: AtomicBool,
    pub(crate) prefix_caching: AtomicBool,
    pub(crate) asleep: AtomicBool,
    /// It has been asked, and said so.
    pub(crate) said_asleep: AtomicBool,
    pub(crate) running: AtomicU32,
    tokens: AtomicU64,
    pub(crate) answered: AtomicU64,
}

impl Fake {
    pub(crate) fn new(prefix_caching: bool) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            slow: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            ill: AtomicBool::new(false),
            said_ill: AtomicU32::new(0),
            stuck: AtomicBool::new(false),
            prefix_caching: AtomicBool::new(prefix_caching),
            asleep: AtomicBool::new(false),
            said_asleep: AtomicBool::new(false),
            running: AtomicU32::new(0),
            tokens: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        })
    }

    /// Serves in this process, beside the test.
    pub(crate) async fn beside(self: &Arc<Self>) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let this = self.clone();
        beside(async move { this.serve(listener).await });
        address
    }

    /// Until it sleeps.
    pub(crate) async fn sleeps(&self) {
        while !self.asleep.load(SeqCst) {
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn serve(self: &Arc<Self>, listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let this = self.clone();
            let service = service_fn(move |request| {
                let this = this.clone();
                async move { Ok::<_, Infallible>(this.answer(request).await) }
            });
            beside(async move {
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let slow = self.slow.load(SeqCst);
        let (status, body) = match path.as_str() {
            "/health" if self.ill.load(SeqCst) => {
                self.said_ill.fetch_add(1, SeqCst);
                (503, String::new())
            }
            "/health" => (200, String::new()),
            // It answers before it says what it is.
            "/v1/models" if slow && self.started.elapsed() < 2 * SLOW => (503, String::new()),
            "/v1/models" => (200, r#"{"data": [{"id": "stub", "max_model_len": 4096}]}"#.to_owned()),
            "/metrics" if self.silent.load(SeqCst) => (404, String::new()),
            "/metrics" => (200, self.metrics()),
            "/is_sleeping" | "/sleep" | "/wake_up" if self.stuck.load(SeqCst) => {
                std::future::pending::<(u16, String)>().await
            }
            "/is_sleeping" => {
                let asleep = self.asleep.load(SeqCst);
                self.said_asleep.fetch_or(asleep, SeqCst);
                (200, format!("{{\"is_sleeping\": {asleep}}}"))
            }
            "/sleep" | "/wake_up" => {
                sleep(if slow { SLOW } else { Duration::ZERO }).await;
                self.asleep.store(path == "/sleep", SeqCst);
                (200, String::new())
            }
            "/v1/completions" | "/v1/chat/completions" => (200, self.generate(request, slow).await),
            _ => (404, String::new()),
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response
    }

    /// A prompt may ask for so many milliseconds: `take 500 ms`.
    async fn generate(&self, request: Request<Incoming>, slow: bool) -> String {
        self.running.fetch_add(1, SeqCst);
        let warming = request.uri().path() == "/v1/completions";
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let text = String::from_utf8_lossy(&body);
        let wanted = text.split_once("take ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        let took = if warming && slow { SLOW } else { Duration::from_millis(wanted.unwrap_or(5)) };
        while self.asleep.load(SeqCst) || self.stuck.load(SeqCst) {
            sleep(Duration::from_millis(10)).await;
        }
        sleep_until(Instant::now() + took).await;
        self.tokens.fetch_add(5, SeqCst);
        self.answered.fetch_add(u64::from(!warming), SeqCst);
        self.running.fetch_sub(1, SeqCst);
        let usage = serde_json::json!({"prompt_tokens": text.len() / 4, "completion_tokens": 5});
        serde_json::json!({
            "object": "chat.completion",
            "choices": [{"message": {"role": "assistant", "content": "ho"}}],
            "usage": usage,
        })
        .to_string()
    }

    fn metrics(&self) -> String {
        let (running, tokens) = (self.running.load(SeqCst), self.tokens.load(SeqCst));
        let caching = if self.prefix_caching.load(SeqCst) { "True" } else { "False" };
        let awake = u8::from(!self.asleep.load(SeqCst));
        format!(
            "vllm:num_requests_running {running}\nvllm:num_requests_waiting 0\nvllm:kv_cache_usage_perc 0\n\
             vllm:prompt_tokens_total {tokens}\nvllm:generation_tokens_total {tokens}\n\
             vllm:cache_config_info{{enable_prefix_caching=\"{caching}\"}} 1\n\
             vllm:engine_sleep_state{{sleep_state=\"awake\"}} {awake}\n"
        )
    }
}
