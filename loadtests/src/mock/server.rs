//! The stub's endpoints.

use std::{cell::Cell, convert::Infallible, rc::Rc};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    Settings,
    answers::{Answers, Usage},
    body::Chunks,
    prompt::Prompt,
    settings,
};
use crate::Error;

/// Tokens in an answer that is not streamed.
const COMPLETION_TOKENS: u64 = 16;
/// The engine version that the stub's shapes were taken from.
const VERSION: &[u8] = br#"{"version":"0.32.0"}"#;

/// What all of the stub's connections share.
#[derive(Debug)]
pub(super) struct Stub {
    pub(super) answers: Answers,
    pub(super) settings: Cell<Settings>,
    model: String,
    running: Cell<u64>,
    prompt_tokens: Cell<u64>,
    generated_tokens: Cell<u64>,
}

/// Counts a request as running for as long as it lives.
#[derive(Debug)]
pub(super) struct Running(Rc<Stub>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
    }
}

type Answer = Response<Either<Full<Bytes>, Chunks>>;

/// Serves HTTP/1.1 as the model named `model` until the future is dropped. Spawns onto the caller's `LocalSet`.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(listener: TcpListener, model: &str, settings: Settings) -> Result<(), Error> {
    let stub = Rc::new(Stub {
        answers: Answers::new(model),
        settings: Cell::new(settings),
        model: model.to_owned(),
        running: Cell::new(0),
        prompt_tokens: Cell::new(0),
        generated_tokens: Cell::new(0),
    });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                let stub = Rc::clone(&stub);
                let service = service_fn(move |request| Rc::clone(&stub).answer(request));
                // A client that goes away in the middle is ordinary.
                connections.spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

impl Stub {
    async fn answer(self: Rc<Self>, request: Request<Incoming>) -> Result<Answer, Infallible> {
        Ok(match (request.method(), without_replica(request.uri().path())) {
            (&Method::POST, "/v1/chat/completions") => self.chat(request.into_body()).await,
            // A collector of spans that takes what comes.
            (&Method::POST, "/v1/traces") => {
                // What broke off is nobody's loss.
                let _ = request.into_body().collect().await;
                text(Bytes::new())
            }
            (&Method::GET, "/v1/models") => json(StatusCode::OK, self.answers.models.clone()),
            (&Method::GET, "/health") => text(Bytes::new()),
            (&Method::GET, "/version") => json(StatusCode::OK, Bytes::from_static(VERSION)),
            (&Method::GET, "/metrics") => text(self.metrics().into()),
            (&Method::POST, settings::PATH) => {
                match self.settings.get().with_query(request.uri().query().unwrap_or_default()) {
                    Ok(settings) => {
                        self.settings.set(settings);
                        text(Bytes::from_static(b"ok\n"))
                    }
                    Err(error) => json(StatusCode::BAD_REQUEST, detail(&error.to_string())),
                }
            }
            _ => json(StatusCode::NOT_FOUND, detail("Not Found")),
        })
    }

    async fn chat(self: Rc<Self>, mut body: Incoming) -> Answer {
        self.running.set(self.running.get() + 1);
        let running = Running(Rc::clone(&self));
        let mut prompt = Prompt::default();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => frame.data_ref().into_iter().for_each(|piece| prompt.feed(piece)),
                Err(error) => return json(StatusCode::BAD_REQUEST, detail(&error.to_string())),
            }
        }
        let tokens = prompt.tokens();
        self.prompt_tokens.set(self.prompt_tokens.get() + tokens);
        if prompt.stream {
            let chunks = Chunks::new(self, running, prompt.include_usage.then_some(tokens));
            return answer(StatusCode::OK, "text/event-stream; charset=utf-8", Either::Right(chunks));
        }
        (0..COMPLETION_TOKENS).for_each(|_| self.count_token());
        let usage = Usage { prompt: tokens, completion: COMPLETION_TOKENS };
        json(StatusCode::OK, self.answers.completion(usage))
    }

    /// Counts one generated token.
    pub(super) fn count_token(&self) {
        self.generated_tokens.set(self.generated_tokens.get() + 1);
    }

    /// The metrics of vLLM that a proxy steers by.
    fn metrics(&self) -> String {
        let labels = format!("engine=\"0\",model_name={}", serde_json::Value::from(self.model.as_str()));
        let families = [
            ("vllm:num_requests_running", "gauge", self.running.get()),
            ("vllm:num_requests_waiting", "gauge", 0),
            ("vllm:kv_cache_usage_perc", "gauge", 0),
            ("vllm:prefix_cache_queries_total", "counter", self.prompt_tokens.get()),
            ("vllm:prefix_cache_hits_total", "counter", 0),
            ("vllm:num_preemptions_total", "counter", 0),
            ("vllm:prompt_tokens_total", "counter", self.prompt_tokens.get()),
            ("vllm:generation_tokens_total", "counter", self.generated_tokens.get()),
        ];
        let mut text: String = families
            .map(|(name, kind, value)| format!("# TYPE {name} {kind}\n{name}{{{labels}}} {value}.0\n"))
            .concat();
        text.push_str(
            "# TYPE vllm:cache_config_info gauge\n\
             vllm:cache_config_info{block_size=\"16\",cache_dtype=\"auto\",enable_prefix_caching=\"True\",\
             engine=\"0\",gpu_memory_utilization=\"0.92\",num_gpu_blocks=\"16384\"} 1.0\n",
        );
        text
    }
}

fn json(status: StatusCode, body: Bytes) -> Answer {
    answer(status, "application/json", Either::Left(Full::new(body)))
}

fn text(body: Bytes) -> Answer {
    answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", Either::Left(Full::new(body)))
}

fn answer(status: StatusCode, content_type: &'static str, body: Either<Full<Bytes>, Chunks>) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    answer.headers_mut().insert(header::SERVER, header::HeaderValue::from_static("uvicorn"));
    answer
}

fn detail(reason: &str) -> Bytes {
    serde_json::json!({ "detail": reason }).to_string().into()
}

/// One stub stands for many engines, each with a base path of its own: `/replica-3/v1/models` is `/v1/models`.
fn without_replica(path: &str) -> &str {
    match path.strip_prefix("/replica-") {
        Some(rest) => rest.find('/').map_or("", |at| &rest[at..]),
        None => path,
    }
}
