//! Every fault shows on the wire as it should, and goes away when it is lifted.

use std::{io::ErrorKind, time::Duration};

use gearshift_loadtests::{
    driver::Endpoint,
    serve::{Controller, ServeOptions},
    sim::Fault,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

use super::{events, fast, json, planned, serve, unchunk};
use crate::common::{ask, metric, run};

const STREAM: &str =
    r#"{"messages":[{"role":"user","content":"x"}],"stream":true,"vllm_xargs":{"sim_output_tokens":40}}"#;
const WHOLE: &str = r#"{"messages":[{"role":"user","content":"x"}],"vllm_xargs":{"sim_output_tokens":40}}"#;
const CHAT: &str = "/v1/chat/completions";

/// All that comes back until the end of the connection, and how that was.
async fn read(endpoint: &Endpoint, body: &str) -> (String, Result<(), ErrorKind>) {
    let mut connection = match TcpStream::connect(endpoint.address()).await {
        Ok(connection) => connection,
        Err(error) => return (String::new(), Err(error.kind())),
    };
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all((head + body).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let end = connection.read_to_end(&mut answer).await.map(drop).map_err(|error| error.kind());
    (String::from_utf8(answer).unwrap(), end)
}

/// As things are without faults: a whole stream.
async fn is_well(endpoint: &Endpoint) {
    let (answer, end) = read(endpoint, STREAM).await;
    assert!(end.is_ok() && answer.contains("data: [DONE]"), "{answer}");
}

#[test]
fn connections_are_reset_before_or_after_the_first_byte() {
    run(async {
        let (endpoint, engine) = serve(&planned("{}"), ServeOptions { time_scale: 10.0, ..fast() }).await;
        engine.inject(Fault::ResetBeforeFirstByte { share: 1.0 }, None);
        assert_eq!(read(&endpoint, WHOLE).await, (String::new(), Err(ErrorKind::ConnectionReset)));
        engine.lift(None);
        engine.inject(Fault::ResetMidStream { share: 1.0 }, None);
        let (answer, end) = read(&endpoint, STREAM).await;
        assert_eq!(end, Err(ErrorKind::ConnectionReset));
        assert!(!answer.contains("[DONE]"));
        engine.lift(None);
        is_well(&endpoint).await;
    });
}

#[test]
fn streams_are_truncated_in_order_or_malformed() {
    run(async {
        let (endpoint, engine) = serve(&planned("{}"), fast()).await;
        engine.inject(Fault::TruncatedStream { share: 1.0 }, None);
        let (answer, end) = read(&endpoint, STREAM).await;
        assert!(end.is_ok() && answer.ends_with("0\r\n\r\n"), "the transfer ends in order: {answer}");
        let payload = unchunk(answer.split_once("\r\n\r\n").unwrap().1);
        assert!(!payload.ends_with("\n\n") && !payload.contains("[DONE]"), "in the middle of an event");
        engine.lift(None);
        engine.inject(Fault::MalformedStream { share: 1.0 }, None);
        let (answer, _) = read(&endpoint, STREAM).await;
        let payload = unchunk(answer.split_once("\r\n\r\n").unwrap().1);
        let broken = |(_, data): &(Option<&str>, &str)| {
            *data != "[DONE]" && serde_json::from_str::<Value>(data).is_err()
        };
        assert_eq!(events(&payload).iter().filter(|event| broken(event)).count(), 1);
        assert!(payload.contains("[DONE]"));
        engine.lift(None);
        is_well(&endpoint).await;
    });
}

#[test]
fn errors_come_with_their_status_and_share() {
    run(async {
        let (endpoint, engine) = serve(&planned("{}"), fast()).await;
        for (code, kind) in [
            (429, "Too Many Requests"),
            (500, "InternalServerError"),
            (502, "Bad Gateway"),
            (503, "Service Unavailable"),
        ] {
            engine.inject(Fault::Status { code, share: 1.0 }, None);
            let (status, answer) = json(&endpoint, "POST", CHAT, WHOLE).await;
            assert_eq!((status, &answer["error"]["type"]), (code, &kind.into()));
        }
        engine.inject(Fault::Status { code: 503, share: 0.5 }, None);
        let mut failed = 0;
        for _ in 0..100 {
            failed += u32::from(json(&endpoint, "POST", CHAT, WHOLE).await.0 == 503);
        }
        assert!((25..75).contains(&failed), "{failed}");
    });
}

#[test]
fn a_crash_resets_and_refuses_until_the_engine_has_started_again() {
    run(async {
        let (endpoint, engine) = serve(&planned("{}"), ServeOptions { time_scale: 1000.0, ..fast() }).await;
        is_well(&endpoint).await;
        engine.inject(Fault::Hang, None);
        let waiting = {
            let endpoint = endpoint.clone();
            tokio::task::spawn_local(async move { read(&endpoint, STREAM).await })
        };
        while engine.gauges().running + engine.gauges().waiting == 0 {
            tokio::task::yield_now().await;
        }
        engine.inject(Fault::SlowStart { seconds: 50.0 }, None);
        engine.inject(Fault::Crash, None);
        let (answer, end) = waiting.await.unwrap();
        assert_eq!(end, Err(ErrorKind::ConnectionReset));
        assert!(!answer.contains("data: "), "a dead process does not say goodbye: {answer}");
        assert_eq!(read(&endpoint, WHOLE).await.1, Err(ErrorKind::ConnectionRefused));
        let lifted = Instant::now();
        engine.lift(Some("hang"));
        engine.lift(Some("crash"));
        while TcpStream::connect(endpoint.address()).await.is_err() {
            tokio::task::yield_now().await;
        }
        // 100 s to start and 50 s on top, at a thousand times the speed.
        assert!(lifted.elapsed() >= Duration::from_millis(150), "{:?}", lifted.elapsed());
        is_well(&endpoint).await;
        assert_eq!(metric(&endpoint, "vllm:generation_tokens_total").await, 40.0, "counts began anew");
        assert_eq!(engine.totals().generation_tokens, 80);
    });
}

#[test]
fn a_hang_stops_tokens_and_not_health() {
    run(async {
        let (endpoint, engine) = serve(&planned("{}"), fast()).await;
        engine.inject(Fault::Hang, None);
        let hanging = {
            let endpoint = endpoint.clone();
            tokio::task::spawn_local(async move { json(&endpoint, "POST", CHAT, WHOLE).await })
        };
        while engine.gauges().running + engine.gauges().waiting == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(json(&endpoint, "GET", "/health", "").await.0, 200);
        assert!(!hanging.is_finished());
        engine.lift(None);
        assert_eq!(hanging.await.unwrap().0, 200);
    });
}

#[test]
fn a_slow_engine_takes_its_factor_longer() {
    run(async {
        let (endpoint, engine) = serve(&planned("{}"), ServeOptions { time_scale: 1.0, ..fast() }).await;
        let mut seconds = Vec::new();
        for factor in [1.0, 8.0] {
            engine.inject(Fault::Slow { factor }, None);
            let before = metric(&endpoint, "vllm:e2e_request_latency_seconds_sum").await;
            json(&endpoint, "POST", CHAT, WHOLE).await;
            seconds.push(metric(&endpoint, "vllm:e2e_request_latency_seconds_sum").await - before);
        }
        let ratio = seconds[1] / seconds[0];
        assert!((6.0..10.0).contains(&ratio), "{seconds:?}");
    });
}

#[test]
fn health_and_metrics_lie() {
    run(async {
        let (endpoint, engine) = serve(&planned("{}"), fast()).await;
        engine.inject(Fault::HealthFails, None);
        assert_eq!(json(&endpoint, "GET", "/health", "").await.0, 503);
        is_well(&endpoint).await;
        engine.inject(Fault::StaleMetrics, None);
        is_well(&endpoint).await;
        assert_eq!(metric(&endpoint, "vllm:generation_tokens_total").await, 40.0);
        engine.lift(Some("stale_metrics"));
        assert_eq!(metric(&endpoint, "vllm:generation_tokens_total").await, 80.0);
        engine.inject(Fault::NanMetrics, None);
        assert!(metric(&endpoint, "vllm:num_requests_running").await.is_nan());
        assert_eq!(engine.lift(None), 2);
        assert_eq!(json(&endpoint, "GET", "/health", "").await.0, 200);
    });
}

#[test]
fn faults_are_controlled_over_http_also_while_the_engine_is_down() {
    run(async {
        let (endpoint, engine) = serve(&planned("{}"), fast()).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let control = Endpoint::from(listener.local_addr().unwrap());
        tokio::task::spawn_local(Controller::new(vec![engine]).serve(listener));

        let slow = r#"{"kind":"slow","factor":3.0}"#;
        let (_, faults) = json(&endpoint, "POST", "/sim/faults", slow).await;
        assert_eq!(faults["faults"][0]["factor"], 3.0);
        let (status, _) = json(&endpoint, "POST", "/sim/faults", r#"{"kind":"earthquake"}"#).await;
        assert_eq!(status, 400);
        // Lifts itself after ten hours, which are ten seconds here.
        json(&endpoint, "POST", "/sim/faults", r#"{"kind":"status","code":429,"share":1.0,"for_s":36000}"#)
            .await;
        assert_eq!(json(&endpoint, "POST", CHAT, WHOLE).await.0, 429);
        let expired = async {
            while json(&endpoint, "GET", "/sim/faults", "").await.1["faults"].as_array().unwrap().len() > 1 {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_mins(1), expired).await.unwrap();
        assert_eq!(json(&endpoint, "DELETE", "/sim/faults?kind=slow", "").await.1["lifted"], 1);

        json(&control, "POST", "/engines/sim/faults", r#"{"kind":"crash"}"#).await;
        assert_eq!(read(&endpoint, WHOLE).await.1, Err(ErrorKind::ConnectionRefused));
        let (_, listed) = ask(&control, "GET", "/engines", "").await;
        assert!(listed.contains("crash"), "{listed}");
        json(&control, "DELETE", "/engines/sim/faults", "").await;
        while TcpStream::connect(endpoint.address()).await.is_err() {
            tokio::task::yield_now().await;
        }
        is_well(&endpoint).await;
        assert_eq!(json(&control, "GET", "/engines/nobody/faults", "").await.0, 404);
    });
}

#[test]
fn orders_that_make_no_sense_are_refused_with_the_reason() {
    run(async {
        let (endpoint, engine) = serve(&planned("{}"), fast()).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let control = Endpoint::from(listener.local_addr().unwrap());
        tokio::task::spawn_local(Controller::new(vec![engine.clone()]).serve(listener));
        for (endpoint, path) in [(&endpoint, "/sim/faults"), (&control, "/engines/sim/faults")] {
            for (order, reason) in [
                (r#"{"kind":"slow","factor":1e10}"#, "factor must be above 0 and at most 10000"),
                (r#"{"kind":"status","code":200,"share":1}"#, "code must be 400 to 599"),
                (r#"{"kind":"reset_mid_stream","share":2}"#, "share must be 0 to 1"),
                (r#"{"kind":"hang","fors":5}"#, "unknown field `fors`"),
                (r#"{"kind":"slow","factor":2,"share":1}"#, "unknown field `share`"),
                (r#"{"kind":"hang","for_s":-1}"#, "for_s must not be negative"),
                ("[]", "invalid type"),
            ] {
                let (status, answer) = json(endpoint, "POST", path, order).await;
                let detail = answer["detail"].as_str().unwrap_or_default();
                assert!(status == 400 && detail.contains(reason), "{order}: {status} {answer}");
            }
            let long = " ".repeat((64 << 10) + 1);
            assert_eq!(json(endpoint, "POST", path, &long).await.0, 413);
            assert!(engine.faults().is_empty());
            let order = r#"{"kind":"slow","factor":2,"for_s":null}"#;
            assert_eq!(json(endpoint, "POST", path, order).await.0, 200);
            assert_eq!(engine.faults(), [Fault::Slow { factor: 2.0 }]);
            engine.lift(None);
        }
    });
}
