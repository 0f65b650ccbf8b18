//! What a request carries along, for those who are told of it.

use std::sync::Arc;

use gearshift_config::Telemetry;
use gearshift_selector::{Decision, Moment};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use smallvec::SmallVec;

use super::{
    Asked, Attempt, Context, Ending, Outlets, Record,
    context::{self, TRACEPARENT, TRACESTATE},
    explain,
};
use crate::{clock, endpoint::ENDPOINTS, error::Reason, worker::Worker};

/// The record of a request under way; tells of it when dropped. Empty where nobody is told.
#[derive(Debug, Default)]
pub struct Trail(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    record: Record,
    outlets: Arc<Outlets>,
    /// Whether its spans are sent.
    traced: bool,
    logged: Logged,
    explained: bool,
    /// Draws spans' ids.
    rng: fastrand::Rng,
}

/// Whether there is a line of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Logged {
    Always,
    WhenWrong,
    Never,
}

impl Trail {
    /// Begins it, and settles to which trace the request belongs: its client's, where that says, else a new one.
    pub fn begin<B>(
        worker: &Worker,
        settings: &Telemetry,
        request: &mut Request<B>,
        id: &HeaderValue,
        arrived: Moment,
    ) -> Self {
        let outlets = &worker.outlets;
        let explained = settings.explain_headers && explain::wanted(request.headers());
        let tracing = settings.tracing.as_ref().filter(|_| outlets.spans.is_some());
        let log = settings.access_log.as_ref().filter(|_| outlets.lines.is_some());
        if tracing.is_none() && log.is_none() && !explained {
            return Self::default();
        }
        let rng = &mut worker.rng.borrow_mut();
        let parent = Context::read(request.headers());
        let span = tracing.map(|tracing| own_span(parent, tracing.sample, request.headers_mut(), rng));
        let logged = log.map_or(Logged::Never, |log| match log.errors {
            _ if log.sample >= 1.0 || rng.f64() < log.sample => Logged::Always,
            true => Logged::WhenWrong,
            false => Logged::Never,
        });
        let traced = span.is_some_and(|span| span.sampled);
        if !traced && logged == Logged::Never && !explained {
            return Self::default();
        }
        let path = request.uri().path();
        let record = Record {
            id: id.to_str().unwrap_or("?").into(),
            method: request.method().clone(),
            path: known_path(path),
            span: span.or(parent),
            parent,
            state: parent.and_then(|_| context::state(request.headers())),
            arrived,
            asked: None,
            attempts: SmallVec::new(),
            ending: Ending::gone(arrived),
        };
        let rng = rng.fork();
        Self(Some(Box::new(Open { record, outlets: outlets.clone(), traced, logged, explained, rng })))
    }

    /// Its body was read. `asked` is made only where somebody is told.
    pub fn asked(&mut self, asked: impl FnOnce() -> Asked) {
        if let Some(open) = &mut self.0 {
            open.record.asked = Some(asked());
        }
    }

    /// A backend was chosen; gives the `traceparent` to send there, where it is not the client's own.
    pub fn chosen(&mut self, decision: &Decision, began: Moment) -> Option<HeaderValue> {
        let open = self.0.as_deref_mut()?;
        let model = &open.record.asked.as_ref()?.model;
        let index = decision.chosen.index;
        let span = open.rng.u64(1..);
        let attempt = Attempt {
            span,
            upstream: model.targets[index].upstream.clone(),
            engine: model.engines[index].clone(),
            decision: decision.clone(),
            began,
            failed: None,
            reason: None,
        };
        open.record.attempts.push(attempt);
        let context = open.record.span.filter(|_| open.traced)?;
        Some(Context { span, ..context }.header())
    }

    /// The backend gave no response that the client should see.
    pub fn failed(&mut self, reason: Reason) {
        if let Some(attempt) = self.0.as_mut().and_then(|open| open.record.attempts.last_mut()) {
            attempt.failed = Some(clock::now());
            attempt.reason = Some(reason);
        }
    }

    /// Says in headers why the request went where it went, where its client asked and may know.
    pub fn explain(&self, headers: &mut HeaderMap) {
        if let Some(open) = self.0.as_ref().filter(|open| open.explained) {
            explain::explain(&open.record, headers);
        }
    }

    /// Gearshift answers itself.
    pub fn answered(&mut self, status: StatusCode) {
        self.end(Ending::answered(clock::now(), status));
    }

    /// Gearshift answers with an error.
    pub fn refused(&mut self, reason: Reason) {
        if let Some(open) = &mut self.0 {
            open.record.ending = Ending::refused(clock::now(), reason);
        }
    }

    /// Nobody is told of it.
    pub fn forget(&mut self) {
        self.0 = None;
    }

    /// The request has ended; tells of it.
    pub fn end(&mut self, ending: Ending) {
        if let Some(mut open) = self.0.take() {
            open.record.ending = ending;
            open.tell();
        }
    }
}

impl Open {
    fn tell(self) {
        let Self { record, outlets, traced, logged, .. } = self;
        let lines = match logged {
            Logged::Always => true,
            Logged::WhenWrong => record.ending.error().is_some(),
            Logged::Never => false,
        };
        let record = Arc::new(record);
        if let Some(outlet) = outlets.spans.as_ref().filter(|_| traced) {
            outlet.put(record.clone());
        }
        if let Some(outlet) = outlets.lines.as_ref().filter(|_| lines) {
            outlet.put(record);
        }
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        let Some(mut open) = self.0.take() else { return };
        let now = clock::now();
        if std::thread::panicking() {
            // The edge makes a 500 of it.
            open.record.ending = Ending::refused(now, Reason::Internal);
        } else if open.record.ending.status.is_none() {
            // Its client has gone.
            open.record.ending = Ending::gone(now);
        }
        open.tell();
    }
}

/// The request's own span. The caller's decision whether to record holds; where there is no caller, `sample` decides. What
/// is not recorded goes on under the caller's name, or says upstream that nothing is.
fn own_span(
    parent: Option<Context>,
    sample: f64,
    headers: &mut HeaderMap,
    rng: &mut fastrand::Rng,
) -> Context {
    let sampled = parent.map_or_else(|| sample >= 1.0 || rng.f64() < sample, |parent| parent.sampled);
    let trace = parent.map_or_else(|| rng.u128(1..), |parent| parent.trace);
    let span = Context { trace, span: rng.u64(1..), sampled };
    if parent.is_none() {
        // What names no trace has no state in it either.
        headers.remove(TRACESTATE);
        headers.insert(TRACEPARENT, span.header());
    }
    span
}

/// Answered by Gearshift itself; names of models follow.
const MODELS: &str = "/v1/models";

/// A path of the table; what clients make up is not kept.
fn known_path(path: &str) -> Option<&'static str> {
    let endpoint = ENDPOINTS.iter().map(|endpoint| endpoint.path).find(|known| *known == path);
    let models = || path.strip_prefix(MODELS).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    endpoint.or_else(|| models().then_some(MODELS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_table_are_known_and_no_others() {
        assert_eq!(known_path("/v1/chat/completions"), Some("/v1/chat/completions"));
        assert_eq!((known_path("/v1/models"), known_path("/v1/models/a/b")), (Some(MODELS), Some(MODELS)));
        for path in ["/v1/modelsfoo", "/v1/model", "/v1/chat/completions/", "/"] {
            assert_eq!(known_path(path), None, "{path}");
        }
    }
}
