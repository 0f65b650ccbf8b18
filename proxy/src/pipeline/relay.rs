//! Relay: the backend's response, piece by piece as it comes, to the client.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Response, header};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::{ProxyResponse, choose::Chosen, headers, inspect::Inspected, record::Ride};
use crate::{
    clock,
    endpoint::{Dialect, Endpoint, StreamEnd},
    error::{ProxyError, Reason},
    relay::{
        sse::{Aligner, Tally},
        usage::Seen,
    },
    telemetry::Trail,
    upstream::body::UpstreamBody,
};

/// Makes the client's response from the backend's.
pub(super) fn relay(
    inspected: Box<Inspected>,
    chosen: Chosen,
    response: Response<UpstreamBody>,
    trail: Trail,
) -> ProxyResponse {
    let (mut head, body) = response.into_parts();
    headers::prepare_response(&mut head.headers);
    trail.explain(&mut head.headers);
    let events = is_event_stream(&head.headers) && head.status.is_success();
    if events {
        // An error event may have to be added.
        head.headers.remove(header::CONTENT_LENGTH);
    }
    let inspected = *inspected;
    let Chosen { flight, waiting, .. } = chosen;
    let (metrics, told) = waiting.answered(trail);
    let (id, arrived, permit) = (inspected.id, inspected.arrived, inspected.permit);
    let ride = Ride::new(flight, metrics, id, head.status, arrived, told, permit);
    let mut relay = Relay {
        body,
        events: events.then(|| Events::new(inspected.endpoint)),
        seen: Seen::default(),
        ride,
        idle: Idle { after: inspected.snapshot.config.timeouts.response_idle, timer: None },
        ended: false,
    };
    // An empty stream of events still needs its error event.
    if relay.events.is_none() && relay.body.is_end_stream() {
        relay.finish();
    }
    Response::from_parts(head, RelayBody::Relay(Box::new(relay)))
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    kind.starts_with(b"text/event-stream") && !headers.contains_key(header::CONTENT_ENCODING)
}

/// A response body: Gearshift's own, or a backend's on its way through.
#[derive(Debug)]
pub enum RelayBody {
    /// In one piece.
    Whole(Option<Bytes>),
    /// As it comes.
    Relay(Box<Relay>),
}

impl RelayBody {
    /// A body in one piece.
    pub fn whole(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

/// The backend's response broke off; hyper then breaks off the client's.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    /// The connection broke.
    #[error("the backend's response broke off: {0}")]
    Broken(#[from] hyper::Error),
    /// Nothing came for too long.
    #[error("the backend's response stalled for {0:?}")]
    Stalled(Duration),
}

/// A backend's response on its way through.
#[derive(Debug)]
pub struct Relay {
    body: UpstreamBody,
    /// For a stream of events.
    events: Option<Events>,
    seen: Seen,
    ride: Ride,
    idle: Idle,
    ended: bool,
}

#[derive(Debug)]
struct Events {
    aligner: Aligner,
    tally: Tally,
    endpoint: &'static Endpoint,
}

impl Events {
    fn new(endpoint: &'static Endpoint) -> Self {
        Self { aligner: Aligner::default(), tally: Tally::default(), endpoint }
    }

    /// The end of a stream that was cut. A torn event stays behind: clients would take it for a whole one.
    fn error(&mut self, message: &str) -> Bytes {
        [self.aligner.discard(), &error_event(self.endpoint, message)].concat().into()
    }
}

impl Relay {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        loop {
            let polled = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(polled) => polled.map(|frame| frame.map_err(CutError::Broken)),
                Poll::Pending => Some(Err(ready!(self.idle.poll_stalled(&self.ride, cx)))),
            };
            match polled {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        if let Some(passed) = self.pass(data) {
                            return Poll::Ready(Some(Ok(Frame::data(passed))));
                        }
                    }
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(error)) => return Poll::Ready(Some(self.broken(error))),
                None => return Poll::Ready(self.finish().map(|last| Ok(Frame::data(last)))),
            }
        }
    }

    /// What of a piece goes on now.
    fn pass(&mut self, data: Bytes) -> Option<Bytes> {
        let Some(events) = &mut self.events else {
            self.seen.look(&data);
            self.ride.output(0);
            if self.body.is_end_stream() {
                self.finish();
            }
            return Some(data);
        };
        let whole = events.aligner.push(data)?;
        self.seen.look(&whole);
        let output = events.tally.count(&whole, events.endpoint.end);
        self.ride.output(output);
        Some(whole)
    }

    /// The regular end of the backend's body; gives what is left to send.
    fn finish(&mut self) -> Option<Bytes> {
        self.ended = true;
        let Some(events) = &mut self.events else {
            self.ride.whole(self.seen.usage());
            return None;
        };
        let mut last = events.aligner.finish();
        events.tally.count(last.as_deref().unwrap_or_default(), events.endpoint.end);
        if events.tally.ended {
            self.ride.whole(self.seen.usage());
        } else {
            const EARLY: &str = "the stream ended before its end was announced";
            self.ride.cut(EARLY);
            last = Some(events.error(EARLY));
        }
        last
    }

    /// The backend's body broke off: a stream ends in an error event, anything else in a broken connection.
    fn broken(&mut self, error: CutError) -> Result<Frame<Bytes>, CutError> {
        self.ended = true;
        self.ride.cut(&error.to_string());
        match &mut self.events {
            Some(events) => Ok(Frame::data(events.error(&error.to_string()))),
            None => Err(error),
        }
    }
}

/// An event that every SDK of the endpoint's dialect raises as an error.
fn error_event(endpoint: &Endpoint, message: &str) -> Bytes {
    let error = ProxyError::new(Reason::UpstreamCut, message);
    let (dialect, end) = (endpoint.dialect, endpoint.end);
    match (dialect, end) {
        (Dialect::OpenAi, StreamEnd::Done) => {
            [b"data: ", &error.to_json(dialect)[..], b"\n\n"].concat().into()
        }
        (Dialect::OpenAi, StreamEnd::Events(_)) => {
            let event = serde_json::json!({
                "type": "error", "code": error.reason.as_str(), "message": message, "param": null,
            });
            format!("event: error\ndata: {event}\n\n").into()
        }
        (Dialect::Anthropic, _) => {
            [b"event: error\ndata: ", &error.to_json(dialect)[..], b"\n\n"].concat().into()
        }
    }
}

/// Notices a backend that has gone silent. The timer is made when first needed and moved only when it fires, not
/// with every piece.
#[derive(Debug)]
struct Idle {
    after: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Idle {
    fn poll_stalled(&mut self, ride: &Ride, cx: &mut Context<'_>) -> Poll<CutError> {
        let after = self.after;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
        loop {
            ready!(timer.as_mut().poll(cx));
            let silent = clock::between(ride.last(), clock::now());
            if silent >= after {
                return Poll::Ready(CutError::Stalled(after));
            }
            timer.as_mut().reset(Instant::now() + (after - silent));
        }
    }
}

impl Body for RelayBody {
    type Data = Bytes;
    type Error = CutError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutError>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Relay(relay) => relay.poll_next(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Relay(relay) => relay.ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Relay(relay) if relay.events.is_none() => relay.body.size_hint(),
            Self::Relay(_) => SizeHint::default(),
        }
    }
}
