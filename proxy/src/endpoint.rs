//! The endpoints clients may call: vLLM's, without those that control the engine.
//!
//! Architecture Invariant: a path that is not in this table is never forwarded, so engine control
//! (`/sleep`, `/wake_up`, `/reset_prefix_cache`, `/server_info`, LoRA loading, …) cannot be reached by clients.

use gearshift_selector::Work;
use http::Method;

/// Whose words an endpoint's errors and stream events use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `{"error": {…}}`, as OpenAI and vLLM.
    OpenAi,
    /// `{"type": "error", "error": {…}}`, as Anthropic's messages API.
    Anthropic,
}

/// How a stream on an endpoint announces its regular end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// `data: [DONE]`.
    Done,
    /// An event of one of these types.
    Events(&'static [&'static str]),
}

/// What a request body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// A JSON object.
    Json,
    /// `multipart/form-data` with a `model` field.
    Form,
}

/// Where the prompt stands in a JSON body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// `messages`.
    Messages,
    /// `prompt`.
    Prompt,
    /// `input`.
    Input,
    /// Spread over the body; its length stands for the prompt's.
    Body,
}

/// One forwarded endpoint.
#[derive(Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The path, exact.
    pub path: &'static str,
    /// What the engine does for it.
    pub work: Work,
    /// What the body is.
    pub body: BodyKind,
    /// Where the prompt stands.
    pub prompt: Prompt,
    /// Whose words it speaks.
    pub dialect: Dialect,
    /// How its streams end.
    pub end: StreamEnd,
}

const fn json(path: &'static str, work: Work, prompt: Prompt) -> Endpoint {
    Endpoint { path, work, body: BodyKind::Json, prompt, dialect: Dialect::OpenAi, end: StreamEnd::Done }
}

const fn messages(path: &'static str, work: Work) -> Endpoint {
    Endpoint {
        dialect: Dialect::Anthropic,
        end: StreamEnd::Events(&["message_stop", "error"]),
        ..json(path, work, Prompt::Messages)
    }
}

const fn audio(path: &'static str) -> Endpoint {
    Endpoint { body: BodyKind::Form, ..json(path, Work::Audio, Prompt::Body) }
}

/// Every forwarded endpoint; all take POST.
pub static ENDPOINTS: [Endpoint; 18] = [
    json("/v1/chat/completions", Work::Generate, Prompt::Messages),
    json("/v1/completions", Work::Generate, Prompt::Prompt),
    Endpoint {
        end: StreamEnd::Events(&["response.completed", "response.incomplete", "response.failed", "error"]),
        ..json("/v1/responses", Work::Generate, Prompt::Input)
    },
    messages("/v1/messages", Work::Generate),
    messages("/v1/messages/count_tokens", Work::Utility),
    json("/v1/embeddings", Work::Encode, Prompt::Input),
    json("/pooling", Work::Encode, Prompt::Input),
    json("/classify", Work::Encode, Prompt::Input),
    json("/score", Work::Encode, Prompt::Body),
    json("/v1/score", Work::Encode, Prompt::Body),
    json("/rerank", Work::Encode, Prompt::Body),
    json("/v1/rerank", Work::Encode, Prompt::Body),
    json("/v2/rerank", Work::Encode, Prompt::Body),
    json("/tokenize", Work::Utility, Prompt::Body),
    json("/detokenize", Work::Utility, Prompt::Body),
    audio("/v1/audio/transcriptions"),
    audio("/v1/audio/translations"),
    json("/v1/chat/completions/render", Work::Utility, Prompt::Messages),
];

/// What a method and a path ask for.
#[derive(Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Forward to a backend.
    Forward(&'static Endpoint),
    /// The models of the fleet.
    ListModels,
    /// One model of the fleet.
    DescribeModel(&'a str),
    /// Whether Gearshift can serve.
    Health,
    /// A known path with the wrong method; holds the right ones.
    WrongMethod(&'static str),
    /// Nothing for clients.
    Unknown,
}

/// Finds what a request asks for.
pub fn resolve<'a>(method: &Method, path: &'a str) -> Target<'a> {
    if let Some(endpoint) = ENDPOINTS.iter().find(|endpoint| endpoint.path == path) {
        return if method == Method::POST { Target::Forward(endpoint) } else { Target::WrongMethod("POST") };
    }
    let target = match path {
        "/v1/models" => Target::ListModels,
        "/health" => Target::Health,
        _ => match path.strip_prefix("/v1/models/") {
            Some(name) if !name.is_empty() => Target::DescribeModel(name),
            _ => return Target::Unknown,
        },
    };
    if method == Method::GET || method == Method::HEAD { target } else { Target::WrongMethod("GET, HEAD") }
}

/// The dialect of a path, for errors raised before the endpoint is known.
pub fn dialect(path: &str) -> Dialect {
    ENDPOINTS
        .iter()
        .find(|endpoint| endpoint.path == path)
        .map_or(Dialect::OpenAi, |endpoint| endpoint.dialect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_control_is_never_forwarded() {
        for path in [
            "/sleep",
            "/wake_up",
            "/is_sleeping",
            "/reset_prefix_cache",
            "/server_info",
            "/pause",
            "/resume",
            "/load",
            "/metrics",
            "/version",
            "/v1/load_lora_adapter",
            "/v1/unload_lora_adapter",
            "/collective_rpc",
            "/scale_elastic_ep",
            "/v1/chat/completions/",
            "//v1/chat/completions",
            "/v1/chat/completions/../../sleep",
            "/v1/models/",
        ] {
            for method in [Method::GET, Method::POST] {
                assert_eq!(resolve(&method, path), Target::Unknown, "{method} {path}");
            }
        }
    }

    #[test]
    fn paths_and_methods_resolve() {
        assert!(
            matches!(resolve(&Method::POST, "/v1/chat/completions"), Target::Forward(e) if e.work == Work::Generate)
        );
        assert_eq!(resolve(&Method::GET, "/v1/completions"), Target::WrongMethod("POST"));
        assert_eq!(resolve(&Method::GET, "/v1/models"), Target::ListModels);
        assert_eq!(resolve(&Method::GET, "/v1/models/org/name"), Target::DescribeModel("org/name"));
        assert_eq!(resolve(&Method::DELETE, "/v1/models/x"), Target::WrongMethod("GET, HEAD"));
        assert_eq!(dialect("/v1/messages"), Dialect::Anthropic);
    }
}
