//! Forward: send the request to the chosen backend and wait for its response head.

use gearshift_config::UpstreamProtocol;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, uri::PathAndQuery,
};
use http_body_util::Full;

use super::{Failure, choose::Chosen, inspect::Inspected};
use crate::{
    clock,
    error::Reason,
    metrics::Failed,
    snapshot::Upstream,
    telemetry::TRACEPARENT,
    upstream::{
        RequestBody,
        body::UpstreamBody,
        pool::{Patience, SendError},
    },
    worker::Worker,
};

/// Sends the request; gives the response that the client is to see.
pub(super) async fn forward(
    worker: &Worker,
    inspected: &Inspected,
    chosen: &Chosen,
    traceparent: Option<&HeaderValue>,
) -> Result<Response<UpstreamBody>, Failure> {
    let index = chosen.decision.chosen.index;
    let upstream = &inspected.model.targets[index].upstream;
    let uri = uri(upstream, &inspected.head.uri)
        .map_err(|detail| Failure::new(Reason::Internal, None, "the path cannot be forwarded", detail))?;
    let timeouts = &inspected.snapshot.config.timeouts;
    let patience = Patience {
        connect: timeouts.connect,
        response_head: timeouts.response_head,
        idle: timeouts.pool_idle,
    };
    let pool = worker.pools.of(upstream);
    let state = &inspected.model.group.backends()[index].state;
    let answer = pool.send(|| request(upstream, uri.clone(), inspected, traceparent), patience).await;
    if answer.as_ref().is_ok_and(refused) {
        // A refusal is quick: unless it counted, the backend would look idle, and get ever more.
        state.record_failure(clock::now());
    }
    match answer {
        Ok(response) if refused(&response) && inspected.others_left() => {
            let message = "the backend has no room; try again shortly";
            let detail = "it answered 503".to_owned();
            Err(Failure::new(Reason::UpstreamRefused, Some(Failed::Refused), message, detail))
        }
        Ok(response) => Ok(response),
        Err(error) => {
            let failure = failure(&error);
            // A response that takes long is no broken backend: answers may be long.
            if failure.error.reason.retryable() {
                state.record_failure(clock::now());
                upstream.member.check_now();
            }
            Err(failure)
        }
    }
}

/// vLLM answers 503 when its queue is full: it has not begun, and another may have room.
fn refused(response: &Response<UpstreamBody>) -> bool {
    response.status() == StatusCode::SERVICE_UNAVAILABLE
}

/// What the client is told of a failure, which names no address of ours; the log has the rest.
fn failure(error: &SendError) -> Failure {
    const UNREACHABLE: &str = "the backend cannot be reached; try again shortly";
    const BROKEN: &str = "the backend broke off before it answered; try again shortly";
    let (reason, what, message) = match error {
        SendError::Connect(_) => (Reason::UpstreamUnreachable, Failed::Connect, UNREACHABLE),
        SendError::ConnectTimeout(_) => (Reason::UpstreamUnreachable, Failed::ConnectTimeout, UNREACHABLE),
        SendError::Broken(_) => (Reason::UpstreamBroken, Failed::Broken, BROKEN),
        SendError::HeadTimeout(_) => {
            (Reason::UpstreamTimeout, Failed::ResponseTimeout, "the backend did not answer in time")
        }
    };
    Failure::new(reason, Some(what), message, error.to_string())
}

/// The backend's URI for the client's path and query.
fn uri(upstream: &Upstream, client: &Uri) -> Result<Uri, String> {
    let path = client.path_and_query().map_or("/", PathAndQuery::as_str);
    let target = if upstream.path.is_empty() {
        client.path_and_query().cloned().ok_or("the request has no path")?
    } else {
        format!("{}{path}", upstream.path).parse().map_err(|error| format!("{path}: {error}"))?
    };
    match upstream.connector.protocol() {
        UpstreamProtocol::Http1 => Ok(target.into()),
        UpstreamProtocol::Http2 => Uri::builder()
            .scheme(upstream.connector.scheme())
            .authority(upstream.connector.authority().clone())
            .path_and_query(target)
            .build()
            .map_err(|error| error.to_string()),
    }
}

fn request(
    upstream: &Upstream,
    uri: Uri,
    inspected: &Inspected,
    traceparent: Option<&HeaderValue>,
) -> Request<RequestBody> {
    let mut request = Request::new(Full::new(inspected.body.clone()));
    *request.method_mut() = Method::POST;
    *request.headers_mut() = inspected.head.headers.clone();
    let headers: &mut HeaderMap = request.headers_mut();
    if let Some(authorization) = &upstream.authorization {
        headers.insert(header::AUTHORIZATION, authorization.clone());
    }
    if let Some(traceparent) = traceparent {
        headers.insert(TRACEPARENT, traceparent.clone());
    }
    match upstream.connector.protocol() {
        UpstreamProtocol::Http1 => {
            headers.insert(header::HOST, upstream.host.clone());
        }
        UpstreamProtocol::Http2 => *request.version_mut() = Version::HTTP_2,
    }
    *request.uri_mut() = uri;
    request
}
