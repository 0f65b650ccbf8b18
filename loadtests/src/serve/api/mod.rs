//! vLLM's endpoints, answered by a simulated engine.

mod control;
mod dev;
mod generate;
mod pooling;
mod reply;
mod text;

use std::rc::Rc;

use bytes::Bytes;
use hyper::{HeaderMap, Method, Request, StatusCode, body::Incoming};
use serde_json::json;

use super::{
    Runner,
    connection::Fate,
    errors::Failure,
    format::Protocol,
    host::Host,
    metrics::Timed,
    stream::Broken,
    upload::{self, Unread},
};
pub(super) use control::control;
pub(super) use reply::Answer;

/// A request that has come whole.
#[derive(Debug)]
struct Asked {
    headers: HeaderMap,
    query: String,
    body: Bytes,
    fate: Fate,
    timed: Timed,
}

/// What is behind a path.
#[derive(Debug, Clone, Copy)]
enum Endpoint {
    Health,
    Ping,
    Load,
    Version,
    Metrics,
    Models,
    Generate(Protocol),
    CountTokens,
    Tokenize,
    Detokenize,
    Pooling(pooling::Task),
    Dev(dev::Action),
    Faults,
}

/// Paths with their method.
const ROUTES: [(&str, Method, Endpoint); 29] = [
    ("/health", Method::GET, Endpoint::Health),
    ("/ping", Method::GET, Endpoint::Ping),
    ("/load", Method::GET, Endpoint::Load),
    ("/version", Method::GET, Endpoint::Version),
    ("/metrics", Method::GET, Endpoint::Metrics),
    ("/v1/models", Method::GET, Endpoint::Models),
    ("/v1/chat/completions", Method::POST, Endpoint::Generate(Protocol::Chat)),
    ("/v1/completions", Method::POST, Endpoint::Generate(Protocol::Completion)),
    ("/v1/responses", Method::POST, Endpoint::Generate(Protocol::Responses)),
    ("/v1/messages", Method::POST, Endpoint::Generate(Protocol::Messages)),
    ("/v1/messages/count_tokens", Method::POST, Endpoint::CountTokens),
    ("/tokenize", Method::POST, Endpoint::Tokenize),
    ("/detokenize", Method::POST, Endpoint::Detokenize),
    ("/v1/embeddings", Method::POST, Endpoint::Pooling(pooling::Task::Embed)),
    ("/score", Method::POST, Endpoint::Pooling(pooling::Task::Score)),
    ("/v1/score", Method::POST, Endpoint::Pooling(pooling::Task::Score)),
    ("/rerank", Method::POST, Endpoint::Pooling(pooling::Task::Rerank)),
    ("/v1/rerank", Method::POST, Endpoint::Pooling(pooling::Task::Rerank)),
    ("/v2/rerank", Method::POST, Endpoint::Pooling(pooling::Task::Rerank)),
    ("/pooling", Method::POST, Endpoint::Pooling(pooling::Task::Pool)),
    ("/classify", Method::POST, Endpoint::Pooling(pooling::Task::Classify)),
    ("/sleep", Method::POST, Endpoint::Dev(dev::Action::Sleep)),
    ("/wake_up", Method::POST, Endpoint::Dev(dev::Action::Wake)),
    ("/is_sleeping", Method::GET, Endpoint::Dev(dev::Action::IsSleeping)),
    ("/reset_prefix_cache", Method::POST, Endpoint::Dev(dev::Action::ResetPrefixCache)),
    ("/server_info", Method::GET, Endpoint::Dev(dev::Action::ServerInfo)),
    ("/sim/faults", Method::GET, Endpoint::Faults),
    ("/sim/faults", Method::POST, Endpoint::Faults),
    ("/sim/faults", Method::DELETE, Endpoint::Faults),
];

impl Endpoint {
    /// Whether this engine has it.
    fn exists(self, host: &Host) -> bool {
        match self {
            Self::Generate(_) | Self::CountTokens => host.options.runner == Runner::Generate,
            Self::Pooling(_) => host.options.runner == Runner::Pooling,
            Self::Dev(_) => host.options.dev_mode,
            Self::Health
            | Self::Ping
            | Self::Load
            | Self::Version
            | Self::Metrics
            | Self::Models
            | Self::Tokenize
            | Self::Detokenize
            | Self::Faults => true,
        }
    }

    /// Most bytes of a request.
    fn body_limit(self) -> usize {
        if matches!(self, Self::Faults) { upload::ORDER_LIMIT } else { upload::REQUEST_LIMIT }
    }

    /// Whether vLLM's HTTP metrics count it: probes are left out, and what vLLM does not have.
    fn counted(self) -> bool {
        !matches!(self, Self::Health | Self::Ping | Self::Load | Self::Version | Self::Metrics | Self::Faults)
            && !matches!(self, Self::Dev(dev::Action::ServerInfo))
    }
}

/// Answers a request. An error leaves it unanswered and closes the connection.
pub(super) async fn answer(host: Rc<Host>, fate: Fate, request: Request<Incoming>) -> Result<Answer, Broken> {
    host.cross_network().await;
    let (head, body) = request.into_parts();
    let found =
        ROUTES.iter().filter(|(path, _, endpoint)| *path == head.uri.path() && endpoint.exists(&host));
    let mut known = None;
    for (path, method, endpoint) in found {
        if *method == head.method {
            let mut timed = host.http.begin(path, method, endpoint.counted());
            // A body that breaks off leaves nobody to answer.
            let limit = endpoint.body_limit();
            let body = match upload::read(body, limit).await {
                Ok(body) => body,
                Err(Unread::BrokenOff) => return Err(Broken::Request),
                Err(Unread::TooLarge) => {
                    let answer = reply::json(&host, StatusCode::PAYLOAD_TOO_LARGE, &upload::too_large(limit));
                    timed.answered(answer.status(), reply::length(&answer));
                    return Ok(answer);
                }
            };
            timed.received(body.len());
            let query = head.uri.query().unwrap_or_default().to_owned();
            let asked = Asked { headers: head.headers, query, body, fate, timed };
            return Box::pin(serve(&host, *endpoint, &head.method, asked)).await;
        }
        known = Some(method);
    }
    Ok(match known {
        Some(_) => {
            reply::json(&host, StatusCode::METHOD_NOT_ALLOWED, &json!({"detail": "Method Not Allowed"}))
        }
        None => reply::json(&host, StatusCode::NOT_FOUND, &json!({"detail": "Not Found"})),
    })
}

async fn serve(
    host: &Rc<Host>,
    endpoint: Endpoint,
    method: &Method,
    mut asked: Asked,
) -> Result<Answer, Broken> {
    let answer = match endpoint {
        Endpoint::Generate(protocol) => return generate::answer(host, protocol, asked).await,
        Endpoint::Health if host.health_fails() => reply::empty(host, StatusCode::SERVICE_UNAVAILABLE),
        Endpoint::Health | Endpoint::Ping => reply::empty(host, StatusCode::OK),
        Endpoint::Load => reply::ok(host, &json!({"server_load": host.in_flight.get()})),
        Endpoint::Version => reply::ok(host, &json!({"version": super::VERSION})),
        Endpoint::Metrics => reply::text(host, host.metrics()),
        Endpoint::Models => reply::ok(host, &text::models(host)),
        Endpoint::CountTokens => text::count_tokens(host, &asked.body),
        Endpoint::Tokenize => text::tokenize(host, &asked.body),
        Endpoint::Detokenize => text::detokenize(host, &asked.body),
        Endpoint::Pooling(task) => pooling::answer(host, task, &asked.body).await?,
        Endpoint::Dev(action) => dev::answer(host, action, &asked.query).await,
        Endpoint::Faults => control::faults(host, method, &asked.query, &asked.body),
    };
    asked.timed.answered(answer.status(), reply::length(&answer));
    Ok(answer)
}

/// An error as an answer.
fn failed(host: &Host, protocol: Protocol, failure: &Failure) -> Answer {
    reply::json(host, failure.status, &protocol.failure(failure))
}
