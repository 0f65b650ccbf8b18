//! Simulated engines over real sockets.

mod command;
mod faults;
mod metrics;
mod recorded;
mod requests;

use gearshift_loadtests::{
    driver::Endpoint,
    scenario::{PlannedEngine, Scenario},
    serve::{EngineHandle, EngineServer, ServeOptions},
};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::common::ask;

/// A small model on a small card, with the limits of the engine that was recorded.
const FLEET: &str = "
listen: 127.0.0.1:1
models:
  tiny: {numbers: {parameters_b: 0.1, layers: 2, hidden: 128, heads: 2, kv_heads: 1, context: 2048}}
backends:
  - {name: sim, url: 'http://127.0.0.1:2', hardware: l4, model: tiny}
";

fn planned(truth: &str) -> PlannedEngine {
    let truth = format!(r#"{{"engines":{{"sim":{truth}}}}}"#);
    Scenario::parse("test", FLEET, Some(&truth)).unwrap().engines.remove(0)
}

/// In tests an hour passes in a second, where only the order of things matters.
fn fast() -> ServeOptions {
    ServeOptions { time_scale: 3600.0, dev_mode: true, ..ServeOptions::default() }
}

/// Serves an engine for the length of the test.
async fn serve(planned: &PlannedEngine, options: ServeOptions) -> (Endpoint, EngineHandle) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::from(listener.local_addr().unwrap());
    let server = EngineServer::new(planned, options).unwrap();
    let handle = server.handle();
    tokio::task::spawn_local(async move { server.serve(listener).await.unwrap() });
    (endpoint, handle)
}

/// Status and JSON of an answer.
async fn json(endpoint: &Endpoint, method: &str, path: &str, body: &str) -> (u16, Value) {
    let (head, body) = ask(endpoint, method, path, body).await;
    (status(&head), serde_json::from_str(&body).unwrap_or(Value::Null))
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The payload of a body in chunks.
fn unchunk(body: &str) -> String {
    let (mut rest, mut payload) = (body, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        payload.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    payload
}

/// The events of a stream: their kind, where named, and their data.
fn events(payload: &str) -> Vec<(Option<&str>, &str)> {
    payload
        .split("\n\n")
        .filter(|event| !event.is_empty())
        .map(|event| {
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
            (field("event: "), field("data: ").unwrap_or_default())
        })
        .collect()
}
