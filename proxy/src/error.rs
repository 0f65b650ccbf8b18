//! Everything that can go wrong with a request, and the one place that turns a cause into a response.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::endpoint::Dialect;

/// Who is at fault; a label of the error metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The request itself.
    Client,
    /// Gearshift, or the state of its fleet.
    Gearshift,
    /// The backend that was chosen.
    Upstream,
}

impl Source {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gearshift => "gearshift",
            Self::Upstream => "upstream",
        }
    }
}

/// What went wrong, as a closed set: each has one status, one source and one name in metrics and bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No such path for clients.
    UnknownPath,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The body is not what the path takes.
    UnsupportedMediaType,
    /// The body is not a JSON object or not a form, or names no model.
    BadRequest,
    /// The body broke off.
    BodyIncomplete,
    /// The body came too slowly.
    BodyTimeout,
    /// The body is larger than the limit.
    BodyTooLarge,
    /// Nobody serves this model.
    UnknownModel,
    /// The proxy holds as much as it may.
    Overloaded,
    /// The model is known, no backend can take it now.
    NoBackend,
    /// Every backend that may serve this is lossy and the route forbids it.
    OnlyLossy,
    /// No connection to the backend could be made.
    UpstreamUnreachable,
    /// The connection to the backend broke before the response head.
    UpstreamBroken,
    /// The backend has no room (it answered 503), and no other may be tried.
    UpstreamRefused,
    /// The response head did not come in time.
    UpstreamTimeout,
    /// The response broke off after its head.
    UpstreamCut,
    /// A bug here.
    Internal,
}

impl Reason {
    /// Every reason, for metrics that exist from the start.
    pub const ALL: [Self; 17] = [
        Self::UnknownPath,
        Self::MethodNotAllowed,
        Self::UnsupportedMediaType,
        Self::BadRequest,
        Self::BodyIncomplete,
        Self::BodyTimeout,
        Self::BodyTooLarge,
        Self::UnknownModel,
        Self::Overloaded,
        Self::NoBackend,
        Self::OnlyLossy,
        Self::UpstreamUnreachable,
        Self::UpstreamBroken,
        Self::UpstreamRefused,
        Self::UpstreamTimeout,
        Self::UpstreamCut,
        Self::Internal,
    ];

    /// The name in metrics and in the error's `code`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownPath => "unknown_path",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::BadRequest => "bad_request",
            Self::BodyIncomplete => "body_incomplete",
            Self::BodyTimeout => "body_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::UnknownModel => "model_not_found",
            Self::Overloaded => "overloaded",
            Self::NoBackend => "no_backend",
            Self::OnlyLossy => "only_lossy_profiles",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamBroken => "upstream_broken",
            Self::UpstreamRefused => "upstream_refused",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamCut => "upstream_cut",
            Self::Internal => "internal",
        }
    }

    /// The response status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::UnknownPath | Self::UnknownModel => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BadRequest | Self::BodyIncomplete | Self::OnlyLossy => StatusCode::BAD_REQUEST,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Overloaded | Self::NoBackend | Self::UpstreamUnreachable | Self::UpstreamRefused => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::UpstreamBroken | Self::UpstreamCut => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Who is at fault.
    pub fn source(self) -> Source {
        match self {
            Self::Overloaded | Self::NoBackend | Self::Internal => Source::Gearshift,
            Self::UpstreamUnreachable
            | Self::UpstreamBroken
            | Self::UpstreamRefused
            | Self::UpstreamTimeout
            | Self::UpstreamCut => Source::Upstream,
            Self::UnknownPath
            | Self::MethodNotAllowed
            | Self::UnsupportedMediaType
            | Self::BadRequest
            | Self::BodyIncomplete
            | Self::BodyTimeout
            | Self::BodyTooLarge
            | Self::UnknownModel
            | Self::OnlyLossy => Source::Client,
        }
    }

    /// Whether it can happen to a request whose route and model are known.
    pub fn understood(self) -> bool {
        match self {
            Self::NoBackend
            | Self::OnlyLossy
            | Self::UpstreamUnreachable
            | Self::UpstreamBroken
            | Self::UpstreamRefused
            | Self::UpstreamTimeout
            | Self::Internal => true,
            // Those of the head and the body, and what a response that has begun breaks off with: its backend's requests
            // count that.
            Self::UnknownPath
            | Self::MethodNotAllowed
            | Self::UnsupportedMediaType
            | Self::BadRequest
            | Self::BodyIncomplete
            | Self::BodyTimeout
            | Self::BodyTooLarge
            | Self::UnknownModel
            | Self::Overloaded
            | Self::UpstreamCut => false,
        }
    }

    /// Whether another backend may be tried: nothing has reached the client and the fault is the backend's.
    pub fn retryable(self) -> bool {
        matches!(self, Self::UpstreamUnreachable | Self::UpstreamBroken | Self::UpstreamRefused)
    }

    fn retry_after(self) -> Option<Duration> {
        match self.source() {
            Source::Gearshift if self != Self::Internal => Some(Duration::from_secs(1)),
            Source::Upstream => Some(Duration::from_secs(1)),
            Source::Client | Source::Gearshift => None,
        }
    }

    /// The error's `type`, in the words of OpenAI's API.
    fn openai_type(self) -> &'static str {
        match self.status() {
            StatusCode::NOT_FOUND => "not_found_error",
            StatusCode::SERVICE_UNAVAILABLE => "service_unavailable_error",
            status if status.is_client_error() => "invalid_request_error",
            _ => "server_error",
        }
    }

    /// The error's `type`, in the words of Anthropic's API.
    fn anthropic_type(self) -> &'static str {
        match self.status() {
            StatusCode::NOT_FOUND => "not_found_error",
            StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
            StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
            StatusCode::GATEWAY_TIMEOUT => "timeout_error",
            status if status.is_client_error() => "invalid_request_error",
            _ => "api_error",
        }
    }
}

/// A request that Gearshift answers itself, with an error.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ProxyError {
    /// What went wrong.
    pub reason: Reason,
    /// For people: what is wrong and what would be right.
    pub message: String,
    /// The request's field at fault, where there is one.
    pub param: Option<&'static str>,
    /// The methods that the path takes, where the request's is none of them.
    pub allow: Option<&'static str>,
}

impl ProxyError {
    /// An error with a message for people.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), param: None, allow: None }
    }

    /// Names the request's field at fault.
    #[must_use]
    pub fn param(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    /// Names the methods that would be right.
    #[must_use]
    pub fn allow(mut self, methods: &'static str) -> Self {
        self.allow = Some(methods);
        self
    }

    /// The response, in the words of the API the client speaks.
    pub fn to_response(&self, dialect: Dialect) -> Response<Bytes> {
        let mut response = Response::new(self.to_json(dialect));
        *response.status_mut() = self.reason.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(after) = self.reason.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs()));
        }
        if let Some(methods) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        response
    }

    /// The body alone.
    pub fn to_json(&self, dialect: Dialect) -> Bytes {
        let body = match dialect {
            Dialect::OpenAi => serde_json::to_vec(&OpenAiError {
                error: OpenAiDetail {
                    message: &self.message,
                    r#type: self.reason.openai_type(),
                    param: self.param,
                    code: self.reason.as_str(),
                },
            }),
            Dialect::Anthropic => serde_json::to_vec(&AnthropicError {
                r#type: "error",
                error: AnthropicDetail { r#type: self.reason.anthropic_type(), message: &self.message },
            }),
        };
        // Strings and static names always serialize.
        body.unwrap_or_default().into()
    }
}

#[derive(Serialize)]
struct OpenAiError<'a> {
    error: OpenAiDetail<'a>,
}

#[derive(Serialize)]
struct OpenAiDetail<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'static str>,
    code: &'static str,
}

#[derive(Serialize)]
struct AnthropicError<'a> {
    r#type: &'static str,
    error: AnthropicDetail<'a>,
}

#[derive(Serialize)]
struct AnthropicDetail<'a> {
    r#type: &'static str,
    message: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_openai_error_has_the_shape_the_sdks_read() {
        let error = ProxyError::new(Reason::UnknownModel, "no model \"x\"").param("model");
        let response = error.to_response(Dialect::OpenAi);
        assert_eq!(response.status(), 404);
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(body["error"]["message"], "no model \"x\"");
        assert_eq!(body["error"]["type"], "not_found_error");
        assert_eq!(body["error"]["param"], "model");
        assert_eq!(body["error"]["code"], "model_not_found");
    }

    #[test]
    fn an_anthropic_error_has_the_shape_the_sdk_reads() {
        let error = ProxyError::new(Reason::NoBackend, "none");
        let response = error.to_response(Dialect::Anthropic);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "1");
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(body["type"], "error");
        assert_eq!(body["error"]["type"], "overloaded_error");
    }

    #[test]
    fn reasons_have_distinct_names_and_clients_are_never_told_to_retry_their_own_mistakes() {
        let names: std::collections::HashSet<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            if reason.source() == Source::Client {
                assert!(reason.status().is_client_error());
                assert_eq!(reason.retry_after(), None);
                assert!(!reason.retryable());
            }
        }
    }
}
