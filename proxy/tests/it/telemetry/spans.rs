//! Spans, as a collector sees them, and trace context, as engines see it.

use http::Request;
use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};
use rustix::process::Signal;

use super::{
    PIECES,
    collector::{Collector, text},
    completion, known, question,
};
use crate::common::{Answer, Body, CHAT, Engine, Gearshift, QUESTION, Yaml, post, within};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const STATE: &str = "house=1,other=2";

fn traced(mut request: Request<Body>, flags: &str) -> Request<Body> {
    let parent = format!("00-{TRACE}-{CALLER}-{flags}");
    request.headers_mut().insert("traceparent", parent.parse().unwrap());
    request.headers_mut().insert("tracestate", STATE.parse().unwrap());
    request
}

/// The trace context that an engine was given.
struct Upstream(http::HeaderMap);

impl Upstream {
    fn header(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Sends a request and answers it; what the engine saw, and what the client.
async fn pass(proxy: &Gearshift, engine: &mut Engine, request: Request<Body>) -> (Upstream, Answer) {
    let (answer, headers) = tokio::join!(proxy.send(request), async {
        let exchange = engine.next().await;
        let headers = exchange.head.headers.clone();
        exchange.json(200, completion());
        headers
    });
    (Upstream(headers), answer)
}

#[tokio::test]
async fn a_request_is_a_server_span_and_a_client_span_under_its_caller() {
    let (mut engine, mut collector) = (Engine::start().await, Collector::start().await);
    let settings = collector.settings(
        ", headers: {x-house: ours}, service_name: gate, resource: {deployment.environment.name: test}",
    );
    let proxy = Gearshift::start(known(&[&engine], &settings)).await;
    let (upstream, answer) =
        pass(&proxy, &mut engine, traced(post(CHAT, question("chatty", false)), "01")).await;
    let spans = collector.trace(TRACE, 2).await;
    let (server, client) = (&spans[0], &spans[1]);

    assert_eq!((server.span.kind, client.span.kind), (SpanKind::Server as i32, SpanKind::Client as i32));
    assert_eq!((server.parent(), client.parent()), (CALLER.to_owned(), server.id()));
    assert_eq!(upstream.header("traceparent"), format!("00-{TRACE}-{}-01", client.id()));
    assert_eq!((upstream.header("tracestate"), server.span.trace_state.as_str()), (STATE, STATE));
    assert_eq!(server.span.name, format!("POST {CHAT}"));
    assert_eq!(client.span.name, "chat stub");
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", CHAT),
        ("http.response.status_code", "200"),
        ("gearshift.route", "default"),
        ("gearshift.model", "stub"),
        ("gearshift.outcome", "ok"),
        ("gearshift.attempts", "1"),
        ("gearshift.request_id", answer.header("x-request-id")),
        ("error.type", ""),
    ] {
        assert_eq!(server.text(name), value, "{name}");
    }
    for (name, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.request.model", "stub"),
        ("gen_ai.response.model", "stub"),
        ("gen_ai.request.max_tokens", "20"),
        ("gen_ai.usage.input_tokens", "31"),
        ("gen_ai.usage.output_tokens", "7"),
        ("gen_ai.usage.cache_read.input_tokens", "16"),
        ("server.address", "127.0.0.1"),
        ("server.port", &engine.address.port().to_string()),
        ("gearshift.backend", "a"),
        ("gearshift.profile", "fast"),
        ("gearshift.hardware", "1 x l4"),
        ("gearshift.decision.reason", "no_bundle"),
        ("error.type", ""),
    ] {
        assert_eq!(client.text(name), value, "{name}");
    }
    assert!(
        client.number("gearshift.predicted.ttft") > 0.0 && client.number("gearshift.predicted.tpot") > 0.0
    );
    let nested = |at: u64| (server.span.start_time_unix_nano..=server.span.end_time_unix_nano).contains(&at);
    assert!(nested(client.span.start_time_unix_nano) && nested(client.span.end_time_unix_nano));
    assert_eq!(text(&server.resource, "service.name"), "gate");
    assert_eq!(text(&server.resource, "deployment.environment.name"), "test");
    assert_eq!(server.house, "ours");
}

#[tokio::test]
async fn a_stream_has_an_event_at_its_first_token() {
    let (mut engine, mut collector) = (Engine::start().await, Collector::start().await);
    let proxy = Gearshift::start(known(&[&engine], &collector.settings(""))).await;
    let request = traced(post(CHAT, question("stub", true)), "01");
    tokio::join!(proxy.send(request), async { engine.next().await.events().finish(&PIECES).await });
    let spans = collector.trace(TRACE, 2).await;
    let client = &spans[1];
    let event = &client.span.events[0];
    assert_eq!((client.span.events.len(), event.name.as_str()), (1, "gearshift.first_token"));
    let span = client.span.start_time_unix_nano..=client.span.end_time_unix_nano;
    assert!(span.contains(&event.time_unix_nano));
    assert!(client.number("gen_ai.response.time_to_first_chunk") > 0.0);
    assert_eq!(client.text("gen_ai.usage.output_tokens"), "2");
    assert!(spans[0].span.events.is_empty());
}

#[tokio::test]
async fn every_attempt_has_its_span_and_its_error() {
    let (mut a, mut b) = (Engine::start().await, Engine::start().await);
    let mut collector = Collector::start().await;
    let proxy = Gearshift::start(known(&[&a, &b], &collector.settings(""))).await;
    proxy.fleet_ready().await;
    let send = proxy.send(traced(post(CHAT, question("stub", false)), "01"));
    let answered = async {
        // Whoever is asked first breaks off, the other answers.
        let (first, other) = tokio::select! {
            first = a.next() => (first, &mut b),
            first = b.next() => (first, &mut a),
        };
        let one = first.header("traceparent").to_owned();
        first.hang_up();
        let second = other.next().await;
        let two = second.header("traceparent").to_owned();
        second.json(500, "{}");
        (one, two)
    };
    let (answer, (one, two)) = tokio::join!(send, answered);
    assert_eq!(answer.status, 500);
    let spans = collector.trace(TRACE, 3).await;
    let [server, first, second] = &spans[..] else { panic!("{spans:#?}") };
    assert_eq!(one, format!("00-{TRACE}-{}-01", first.id()));
    assert_eq!(two, format!("00-{TRACE}-{}-01", second.id()));
    assert_eq!((first.parent(), second.parent()), (server.id(), server.id()));
    assert_eq!(
        (first.text("error.type").as_str(), second.text("error.type").as_str()),
        ("upstream_broken", "500")
    );
    assert_eq!(
        (server.text("error.type").as_str(), server.text("gearshift.attempts").as_str()),
        ("500", "2")
    );
    assert_eq!(second.text("http.request.resend_count"), "1");
    for span in &spans {
        assert_eq!(span.span.status.as_ref().unwrap().code, StatusCode::Error as i32);
    }
    assert_ne!(first.text("gearshift.backend"), second.text("gearshift.backend"));
}

#[tokio::test]
async fn a_request_that_gearshift_refuses_has_a_span_of_its_own_alone() {
    let (engine, mut collector) = (Engine::start().await, Collector::start().await);
    let proxy = Gearshift::start(known(&[&engine], &collector.settings(""))).await;
    proxy.send(traced(post(CHAT, question("nobody", false)), "01")).await.error(404);
    let spans = collector.trace(TRACE, 1).await;
    assert_eq!(spans[0].text("gearshift.outcome"), "refused");
    assert_eq!(spans[0].text("http.response.status_code"), "404");
    assert_eq!(spans[0].text("gearshift.model"), "", "a name that a client made up is not kept");
    assert_eq!(
        spans[0].span.status.clone().unwrap_or_default().code,
        0,
        "a client's mistake is no server's error"
    );
}

#[tokio::test]
async fn the_callers_decision_holds_and_else_the_sample_decides() {
    let (mut engine, mut collector) = (Engine::start().await, Collector::start().await);
    let proxy = Gearshift::start(known(&[&engine], &collector.settings(", sample: 0"))).await;
    // Not sampled by the caller: everything passes as it came.
    let (upstream, _) = pass(&proxy, &mut engine, traced(post(CHAT, question("stub", false)), "00")).await;
    assert_eq!(upstream.header("traceparent"), format!("00-{TRACE}-{CALLER}-00"));
    assert_eq!(upstream.header("tracestate"), STATE);
    // Nobody's trace, and not drawn: the engine is told not to begin one.
    let mut broken = post(CHAT, question("stub", false));
    broken.headers_mut().insert("traceparent", "00-xyz".parse().unwrap());
    broken.headers_mut().insert("tracestate", STATE.parse().unwrap());
    let (upstream, _) = pass(&proxy, &mut engine, broken).await;
    let parent = upstream.header("traceparent");
    assert!(parent.starts_with("00-") && parent.ends_with("-00") && parent.len() == 55, "{parent}");
    assert_eq!(upstream.header("tracestate"), "", "state of no trace");
    // Sampled by the caller: recorded, though nothing would be drawn.
    pass(&proxy, &mut engine, traced(post(CHAT, question("stub", false)), "01")).await;
    collector.trace(TRACE, 2).await;
    assert_eq!(collector.seen(), 2);
}

#[tokio::test]
async fn without_a_collector_trace_context_passes_as_it_comes() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let (upstream, _) = pass(&proxy, &mut engine, traced(post(CHAT, QUESTION), "01")).await;
    assert_eq!(upstream.header("traceparent"), format!("00-{TRACE}-{CALLER}-01"));
    assert_eq!(upstream.header("tracestate"), STATE);
    let (upstream, _) = pass(&proxy, &mut engine, post(CHAT, QUESTION)).await;
    assert_eq!(upstream.header("traceparent"), "");
}

/// A collector that takes connections and never answers, and one that is not there.
#[tokio::test]
async fn a_dead_collector_slows_no_request_and_its_spans_are_counted() {
    let mut engine = Engine::start().await;
    let (hanging, mut gone) = (Collector::start().await, Collector::start().await);
    let gone_settings = gone.settings(", timeout: 2s");
    gone.engine.die().await;
    for settings in [hanging.settings(", timeout: 2s"), gone_settings] {
        let proxy = Gearshift::start(known(&[&engine], &settings)).await;
        let began = tokio::time::Instant::now();
        for _ in 0..50 {
            pass(&proxy, &mut engine, post(CHAT, question("stub", false))).await;
        }
        let took = began.elapsed();
        assert!(took < std::time::Duration::from_mins(1), "{took:?}");
        let failed = async || {
            let spans = proxy.scrape().await;
            spans.sum("gearshift_trace_spans_total", &["result=\"failed\""]) > 0.0
        };
        within("spans to be given up", async { while !failed().await {} }).await;
    }
}

#[tokio::test]
async fn spans_that_wait_are_sent_at_the_end() {
    let (mut engine, mut collector) = (Engine::start().await, Collector::start().await);
    let mut proxy = Gearshift::start(known(&[&engine], &collector.settings(""))).await;
    for _ in 0..3 {
        pass(&proxy, &mut engine, post(CHAT, question("stub", false))).await;
    }
    proxy.signal(Signal::TERM);
    assert_eq!(collector.any(6).await.len(), 6);
    assert!(proxy.ended().await.success());
}
