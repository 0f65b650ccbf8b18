//! Records as spans: one of the server, and one of the client for each attempt.
//!
//! Names are those of OpenTelemetry's semantic conventions for HTTP and for generative AI, as of 1.37; what these lack begins with
//! `gearshift.`. The conventions' attributes of prompts and answers are never set.

use gearshift_selector::Decision;
use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId, Value,
    trace::{Event, SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::{Attempt, Context, Record, Wall};
use crate::clock;

/// The spans of a request; none where it is not traced.
pub(super) fn spans(record: &Record, wall: Wall, scope: &InstrumentationScope) -> Vec<SpanData> {
    let Some(own) = record.span else { return Vec::new() };
    let state = record.state.as_ref().and_then(|state| state.parse().ok()).unwrap_or_default();
    let maker = Maker { record, own, state, wall, scope };
    let attempts = (0..record.attempts.len()).map(|number| maker.client(number));
    std::iter::once(maker.server()).chain(attempts).collect()
}

struct Maker<'r> {
    record: &'r Record,
    own: Context,
    state: TraceState,
    wall: Wall,
    scope: &'r InstrumentationScope,
}

impl Maker<'_> {
    fn span(&self, id: u64, parent: Option<u64>, kind: SpanKind, name: String) -> SpanData {
        let trace = TraceId::from_bytes(self.own.trace.to_be_bytes());
        let span_id = |id: u64| SpanId::from_bytes(id.to_be_bytes());
        let start = self.wall.of(self.record.arrived);
        SpanData {
            span_context: SpanContext::new(
                trace,
                span_id(id),
                TraceFlags::SAMPLED,
                false,
                self.state.clone(),
            ),
            parent_span_id: parent.map_or(SpanId::INVALID, span_id),
            parent_span_is_remote: kind == SpanKind::Server && parent.is_some(),
            span_kind: kind,
            name: name.into(),
            start_time: start,
            end_time: self.wall.of(self.record.ending.at),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }

    /// The request, from its arrival to its end.
    fn server(&self) -> SpanData {
        let Record { ending, asked, .. } = self.record;
        let method = method(self.record);
        let name = self.record.path.map_or_else(|| method.to_owned(), |path| format!("{method} {path}"));
        let parent = self.record.parent.map(|parent| parent.span);
        let mut span = self.span(self.own.span, parent, SpanKind::Server, name);
        let mut set = Attributes(&mut span.attributes);
        set.some("http.request.method", method);
        set.maybe("http.route", self.record.path);
        set.maybe("http.response.status_code", ending.status.map(|status| i64::from(status.as_u16())));
        set.some("gearshift.request_id", self.record.id.to_string());
        if let Some(asked) = asked {
            set.some("gearshift.route", asked.route.id.as_str().to_owned());
            set.some("gearshift.model", asked.model.label.clone());
        }
        set.some("gearshift.outcome", ending.outcome);
        set.some("gearshift.attempts", i64::try_from(self.record.attempts.len()).unwrap_or(i64::MAX));
        let error = ending.error_type().filter(|_| ending.failed());
        set.maybe("error.type", error.clone());
        span.status = error.map_or(Status::Unset, Status::error);
        span
    }

    /// One attempt, from the decision to its failure or to the end of the answer.
    fn client(&self, number: usize) -> SpanData {
        let (record, attempt) = (self.record, &self.record.attempts[number]);
        let last = number + 1 == record.attempts.len();
        let operation = operation(record.path.unwrap_or_default());
        let label = record.asked.as_ref().map_or("", |asked| asked.model.label.as_str());
        let mut span =
            self.span(attempt.span, Some(self.own.span), SpanKind::Client, format!("{operation} {label}"));
        span.start_time = self.wall.of(attempt.began);
        span.end_time = self.wall.of(attempt.failed.unwrap_or(record.ending.at));
        let mut set = Attributes(&mut span.attributes);
        set.some("gen_ai.operation.name", operation.to_owned());
        set.some("gen_ai.provider.name", "vllm");
        self.asked(&mut set, attempt);
        self.decided(&mut set, attempt, number);
        if last && attempt.failed.is_none() {
            self.answered(&mut set, attempt);
            if let Some(first) = record.ending.first {
                span.events.events.push(Event::new(
                    "gearshift.first_token",
                    self.wall.of(first),
                    Vec::new(),
                    0,
                ));
            }
        }
        let of_answer = || record.ending.error_type().filter(|_| last);
        let error = attempt.reason.map(|reason| reason.as_str().to_owned()).or_else(of_answer);
        Attributes(&mut span.attributes).maybe("error.type", error.clone());
        span.status = error.map_or(Status::Unset, Status::error);
        span
    }

    fn asked(&self, set: &mut Attributes<'_>, attempt: &Attempt) {
        let authority = attempt.upstream.connector.authority();
        set.some("server.address", authority.host().to_owned());
        set.maybe("server.port", authority.port_u16().map(i64::from));
        if let Some(asked) = &self.record.asked {
            set.some("gen_ai.request.model", asked.model.label.clone());
            set.some("gen_ai.request.stream", asked.stream);
            set.maybe("gen_ai.request.max_tokens", asked.max_tokens.map(i64::from));
        }
    }

    fn decided(&self, set: &mut Attributes<'_>, attempt: &Attempt, number: usize) {
        let Decision { chosen, considered, prompt_tokens, propensity, .. } = &attempt.decision;
        set.some("gearshift.backend", attempt.engine.backend.as_str().to_owned());
        set.some("gearshift.profile", attempt.engine.profile.clone());
        set.maybe(
            "gearshift.hardware",
            attempt.engine.facts.as_ref().map(|facts| format!("{} x {}", facts.count, facts.hardware)),
        );
        set.some("gearshift.decision.reason", attempt.decided_by());
        set.maybe("gearshift.decision.confidence", attempt.confidence());
        set.some("gearshift.decision.candidates", i64::from(*considered));
        set.some("gearshift.decision.propensity", *propensity);
        set.some("gearshift.decision.prompt_tokens", i64::from(*prompt_tokens));
        set.some("gearshift.decision.cached_tokens", i64::from(chosen.cached_tokens));
        if let Some(predicted) = chosen.prediction {
            set.some("gearshift.predicted.ttft", predicted.ttft_s);
            set.some("gearshift.predicted.tpot", predicted.tpot_s);
            set.some("gearshift.predicted.e2e", predicted.e2e_s);
        }
        if number > 0 {
            set.some("http.request.resend_count", i64::try_from(number).unwrap_or(i64::MAX));
        }
    }

    fn answered(&self, set: &mut Attributes<'_>, attempt: &Attempt) {
        let Record { ending, asked, .. } = self.record;
        set.maybe("http.response.status_code", ending.status.map(|status| i64::from(status.as_u16())));
        set.maybe("gen_ai.response.model", asked.as_ref().map(|asked| asked.model.served_name.clone()));
        set.maybe(
            "gen_ai.response.time_to_first_chunk",
            ending.first.map(|first| clock::between(attempt.began, first).as_secs_f64()),
        );
        set.maybe("gen_ai.usage.input_tokens", ending.usage.map(|usage| i64::from(usage.prompt_tokens)));
        let cached = ending.usage.and_then(|usage| usage.cached_tokens);
        set.maybe("gen_ai.usage.cache_read.input_tokens", cached.map(i64::from));
        let output = Some(ending.output_tokens()).filter(|tokens| ending.usage.is_some() || *tokens > 0);
        set.maybe("gen_ai.usage.output_tokens", output.map(i64::from));
    }
}

/// Attributes of a span, in order.
struct Attributes<'s>(&'s mut Vec<KeyValue>);

impl Attributes<'_> {
    fn some(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.push(KeyValue::new(name, value));
    }

    fn maybe(&mut self, name: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.some(name, value);
        }
    }
}

/// A method of the standard's, or `_OTHER`, as the conventions have it.
fn method(record: &Record) -> &'static str {
    match record.method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "HEAD" => "HEAD",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        "CONNECT" => "CONNECT",
        "TRACE" => "TRACE",
        _ => "_OTHER",
    }
}

/// The conventions' name of what an endpoint does; the endpoint's own where they have none.
fn operation(path: &str) -> &str {
    match path {
        "/v1/chat/completions" | "/v1/responses" | "/v1/messages" => "chat",
        "/v1/completions" => "text_completion",
        "/v1/embeddings" => "embeddings",
        other => other.rsplit('/').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::ENDPOINTS;

    #[test]
    fn every_endpoint_has_an_operation() {
        let all: Vec<_> = ENDPOINTS.iter().map(|endpoint| operation(endpoint.path)).collect();
        assert!(all.iter().all(|name| !name.is_empty() && !name.contains('/')), "{all:?}");
        assert_eq!(operation("/v1/chat/completions"), "chat");
        assert_eq!(operation("/v2/rerank"), "rerank");
    }
}
