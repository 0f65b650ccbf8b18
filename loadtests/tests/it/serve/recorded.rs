//! What vLLM 0.32 answered, a simulated engine answers in the same shape.
//!
//! `vllm-0.32.json` holds requests and the answers of a real server (CPU, a tiny random model, `--max-model-len 2048`,
//! `--enable-prompt-tokens-details`, development mode). Texts, ids and token counts differ; statuses, content types,
//! fields, their types and the order of a stream's events do not.

use gearshift_loadtests::{driver::Endpoint, serve::ServeOptions};
use serde_json::{Value, json};

use super::{events, fast, planned, serve, status, unchunk};
use crate::common::{raw, run};

const RECORDED: &str = include_str!("../../fixtures/vllm-0.32.json");

/// Recordings that are not compared, and why.
const LEFT_OUT: [(&str, &str); 5] = [
    ("compids", "asks for an echo of the prompt, which is not simulated"),
    ("pause", "pausing is not simulated"),
    ("resume", "pausing is not simulated"),
    ("errtype", "an exception of Python's as message"),
    ("errctype", "as errjson"),
];

#[test]
fn every_recorded_request_is_answered_in_the_same_shape() {
    run(async {
        // Every token is an event of its own, as it was when recorded.
        let (endpoint, _engine) = serve(&planned("{}"), ServeOptions { merge_tokens: false, ..fast() }).await;
        let recorded: Vec<Value> = serde_json::from_str(RECORDED).unwrap();
        let left_out = |name: &str| LEFT_OUT.iter().any(|(left_out, _)| *left_out == name);
        let compared = recorded.iter().filter(|exchange| !left_out(exchange["name"].as_str().unwrap()));
        let mut count = 0;
        for exchange in compared {
            compare(&endpoint, exchange).await;
            count += 1;
        }
        assert!(count > 40, "{count}");
    });
}

async fn compare(endpoint: &Endpoint, exchange: &Value) {
    let name = exchange["name"].as_str().unwrap();
    let (head, body) = replay(endpoint, exchange).await;
    assert_eq!(u64::from(status(&head)), exchange["status"], "{name}: {body}");
    let header = |wanted: &str| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case(wanted).then_some(value)
        })
    };
    assert_eq!(header("content-type"), exchange["content_type"].as_str(), "{name}");
    if let Some(load) = exchange["load"].as_str() {
        let digits = |text: &str| text.replace(|character: char| character.is_ascii_digit(), "0");
        assert_eq!(header("endpoint-load-metrics").map(digits), Some(digits(load)), "{name}");
    }
    if let Some(expected) = exchange["events"].as_array() {
        let ours = unchunk(&body);
        let ours: Vec<Value> = events(&ours).into_iter().map(as_recorded).collect();
        assert_eq!(outline(&ours), outline(expected), "{name}");
    } else if let Some(expected) = exchange.get("answer") {
        let ours: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{name}: {body}"));
        assert_eq!(shape(&ours), shape(expected), "{name}");
        for field in ["/error/type", "/error/param", "/error/code", "/detail", "/choices/0/finish_reason"] {
            if field == "/error/param" && name == "errjson" {
                continue; // names the byte at which the parser gave up
            }
            let reasons = (ours.pointer(field), expected.pointer(field));
            assert!(
                reasons.0 == reasons.1 || field.ends_with("finish_reason"),
                "{name}: {field}: {reasons:?}"
            );
        }
    }
}

async fn replay(endpoint: &Endpoint, exchange: &Value) -> (String, String) {
    let field = |name: &str| exchange[name].as_str().unwrap_or_default();
    let body = field("request").replace("LONG", &"word ".repeat(3000));
    let load_format = exchange["load"].as_str().map(|load| load.split(' ').next().unwrap_or_default());
    let load_header =
        load_format.map(|format| format!("endpoint-load-metrics-format: {format}\r\n")).unwrap_or_default();
    let request = format!(
        "{} {} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\n{load_header}content-length: {}\r\n\r\n{body}",
        field("method"),
        field("path"),
        body.len()
    );
    let answer = raw(endpoint.address(), &request).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn as_recorded((kind, data): (Option<&str>, &str)) -> Value {
    let data = serde_json::from_str(data).unwrap_or_else(|_| json!(data));
    match kind {
        Some(kind) => json!({"event": kind, "data": data}),
        None => json!({"data": data}),
    }
}

/// The shapes of a stream's events, in order, repetitions left out: how many tokens an event carries is not fixed.
fn outline(events: &[Value]) -> Vec<Value> {
    let mut shapes: Vec<Value> = Vec::new();
    for event in events {
        let shape = match event["data"].as_str() {
            Some(data) => json!(data),
            None => json!([event.get("event"), shape(&event["data"])]),
        };
        // Choices take turns as the scheduler has it.
        if !shapes.contains(&shape) {
            shapes.push(shape);
        }
    }
    shapes
}

/// Fields and types. Lists are as long as they are with tokens, so only their first element counts; ints and floats
/// are told apart.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
        Value::Array(elements) => elements.first().map_or_else(|| json!([]), |first| json!([shape(first)])),
        Value::Null => json!(null),
        Value::Bool(_) => json!("bool"),
        Value::String(_) => json!("string"),
        Value::Number(number) if number.is_f64() => json!("float"),
        Value::Number(_) => json!("int"),
    }
}
