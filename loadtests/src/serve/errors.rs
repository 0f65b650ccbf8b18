//! Errors as vLLM words them on the wire.

use hyper::StatusCode;
use serde_json::{Value, json};

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    /// vLLM's name for the kind: an exception's or the status's.
    kind: &'static str,
    message: String,
    /// The parameter that is wrong.
    parameter: Option<String>,
}

impl Failure {
    /// A parameter that cannot be served.
    pub(super) fn parameter(name: &str, message: &str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: "BadRequestError",
            message: format!("{message} (parameter={name})"),
            parameter: Some(name.to_owned()),
        }
    }

    /// A parameter whose value cannot be served.
    pub(super) fn value(name: &str, value: impl std::fmt::Display, message: &str) -> Self {
        let failure = Self::parameter(name, "");
        Self { message: format!("{message} (parameter={name}, value={value})"), ..failure }
    }

    /// A request that cannot be served as a whole.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self { message: message.into(), parameter: None, ..Self::parameter("", "") }
    }

    /// A body that is no JSON, or not of the shape asked for.
    pub(super) fn body(error: &serde_json::Error) -> Self {
        let syntax = error.is_syntax() || error.is_eof();
        let place = if syntax { format!("body.{}", error.column()) } else { "body".to_owned() };
        let kind = if syntax { "json_invalid" } else { "value_error" };
        Self::validation(kind, &place, &error.to_string())
    }

    /// A field that the body lacks.
    pub(super) fn missing(field: &str) -> Self {
        Self::validation("missing", &format!("body.{field}"), "Field required")
    }

    fn validation(kind: &str, place: &str, message: &str) -> Self {
        let message =
            format!("1 validation error:\n  {{'type': '{kind}', 'loc': '{place}', 'msg': '{message}'}}");
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: "Bad Request",
            message,
            parameter: Some(place.to_owned()),
        }
    }

    /// A model that is not served here.
    pub(super) fn unknown_model(asked: &str, served: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            kind: "NotFoundError",
            message: format!("The model `{asked}` does not exist. Valid aliases: {served}."),
            parameter: Some("model".to_owned()),
        }
    }

    /// A prompt that the context does not hold.
    pub(super) fn too_long(context: u32, tokens: u32) -> Self {
        let message = format!(
            "This model's maximum context length is {context} tokens, but the prompt has {tokens} input tokens."
        );
        Self::value("input_tokens", tokens, &message)
    }

    /// The queue is full.
    pub(super) fn queue_full() -> Self {
        Self::status(StatusCode::SERVICE_UNAVAILABLE, "The engine is busy and takes no new requests.")
    }

    /// A status with the kind of error that vLLM gives it.
    pub(super) fn status(status: StatusCode, message: &str) -> Self {
        let kind = match status {
            StatusCode::INTERNAL_SERVER_ERROR => "InternalServerError",
            other => other.canonical_reason().unwrap_or("Error"),
        };
        Self { status, kind, message: message.to_owned(), parameter: None }
    }

    /// The body in OpenAI's shape.
    pub(super) fn openai(&self) -> Value {
        let Self { status, kind, message, parameter } = self;
        json!({"error": {"message": message, "type": kind, "param": parameter, "code": status.as_u16()}})
    }

    /// The body in Anthropic's shape.
    pub(super) fn anthropic(&self) -> Value {
        json!({"type": "error", "error": {"type": self.kind, "message": self.message}})
    }
}
