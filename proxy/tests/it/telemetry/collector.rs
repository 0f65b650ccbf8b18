//! An OTLP collector: an engine whose requests are read as batches of spans.

use http::Response;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind},
};
use prost::Message as _;

use super::{ANSWER, SECRET};
use crate::common::{Engine, Exchange, within};

/// Takes spans.
pub(crate) struct Collector {
    pub(crate) engine: Engine,
    spans: Vec<Seen>,
}

/// A span that came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) span: Span,
    pub(crate) resource: Vec<KeyValue>,
    /// The header `x-house`, as it came with the batch.
    pub(crate) house: String,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        Self { engine: Engine::start().await, spans: Vec::new() }
    }

    /// What the configuration says of it.
    pub(crate) fn settings(&self, more: &str) -> String {
        format!("tracing: {{endpoint: \"http://{}\"{more}}}", self.engine.address)
    }

    /// The spans of a trace, once there are so many: the server's first, then the attempts in order.
    pub(crate) async fn trace(&mut self, id: &str, count: usize) -> Vec<Seen> {
        loop {
            let of_trace = |seen: &&Seen| hex(&seen.span.trace_id) == id;
            let mut found: Vec<_> = self.spans.iter().filter(of_trace).cloned().collect();
            if found.len() >= count {
                assert_eq!(found.len(), count, "{found:#?}");
                found.sort_by_key(|seen| {
                    (seen.span.kind != SpanKind::Server as i32, seen.span.start_time_unix_nano)
                });
                return found;
            }
            self.batch().await;
        }
    }

    /// The next spans of any trace.
    pub(crate) async fn any(&mut self, count: usize) -> &[Seen] {
        while self.spans.len() < count {
            self.batch().await;
        }
        &self.spans
    }

    /// How many have come.
    pub(crate) fn seen(&self) -> usize {
        self.spans.len()
    }

    async fn batch(&mut self) {
        let exchange = within("a batch of spans", self.engine.next()).await;
        self.spans.extend(read(&exchange));
        exchange.respond(Response::new(bytes::Bytes::new()));
    }
}

fn read(exchange: &Exchange) -> Vec<Seen> {
    assert_eq!(exchange.head.uri.path(), "/v1/traces");
    assert_eq!(exchange.header("content-type"), "application/x-protobuf");
    let holds = |text: &str| exchange.body.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(!holds(SECRET) && !holds(ANSWER), "a prompt or an answer is in a span");
    let house = exchange.header("x-house").to_owned();
    let request = ExportTraceServiceRequest::decode(exchange.body.clone()).unwrap();
    let mut seen = Vec::new();
    for of_resource in request.resource_spans {
        let resource = of_resource.resource.unwrap_or_default().attributes;
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            seen.push(Seen { span, resource: resource.clone(), house: house.clone() });
        }
    }
    seen
}

impl Seen {
    /// An attribute as text; empty where it is missing.
    pub(crate) fn text(&self, name: &str) -> String {
        text(&self.span.attributes, name)
    }

    /// A number; fails where it is missing.
    pub(crate) fn number(&self, name: &str) -> f64 {
        self.text(name).parse().unwrap_or_else(|_| panic!("no {name} in {:#?}", self.span.attributes))
    }

    /// As hexadecimal digits.
    pub(crate) fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    pub(crate) fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }
}

pub(crate) fn text(attributes: &[KeyValue], name: &str) -> String {
    let found = attributes.iter().find(|pair| pair.key == name);
    match found.and_then(|pair| pair.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        other => {
            assert!(other.is_none(), "{name}: {other:?}");
            String::new()
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
