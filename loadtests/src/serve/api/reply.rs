//! Responses, with the headers that vLLM's server sends.

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{
    Response, StatusCode,
    body::Body as _,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, SERVER},
};
use serde_json::Value;

use crate::serve::{host::Host, stream::EventStream};

/// A response, whole or streamed.
pub(in crate::serve) type Answer = Response<Either<Full<Bytes>, EventStream>>;

/// Names the engine that answered: proxies pass it on, and whoever measures knows who served.
const ENGINE: HeaderName = HeaderName::from_static("x-sim-engine");

pub(super) fn json(host: &Host, status: StatusCode, body: &Value) -> Answer {
    let body = Full::new(Bytes::from(body.to_string()));
    respond(host, status, Some("application/json"), Either::Left(body))
}

pub(super) fn ok(host: &Host, body: &Value) -> Answer {
    json(host, StatusCode::OK, body)
}

pub(super) fn empty(host: &Host, status: StatusCode) -> Answer {
    respond(host, status, None, Either::Left(Full::default()))
}

pub(super) fn text(host: &Host, body: String) -> Answer {
    let body = Either::Left(Full::new(Bytes::from(body)));
    respond(host, StatusCode::OK, Some("text/plain; version=1.0.0; charset=utf-8"), body)
}

pub(super) fn events(host: &Host, stream: EventStream) -> Answer {
    respond(host, StatusCode::OK, Some("text/event-stream; charset=utf-8"), Either::Right(stream))
}

/// Bytes of a whole answer; 0 for a stream.
pub(super) fn length(answer: &Answer) -> u64 {
    match answer.body() {
        Either::Left(whole) => whole.size_hint().exact().unwrap_or_default(),
        Either::Right(_) => 0,
    }
}

fn respond(
    host: &Host,
    status: StatusCode,
    content_type: Option<&'static str>,
    body: Either<Full<Bytes>, EventStream>,
) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static("uvicorn"));
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if let Ok(name) = HeaderValue::from_str(&host.spec.name) {
        headers.insert(ENGINE, name);
    }
    answer
}
