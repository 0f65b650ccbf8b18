//! What reading the routed fields of a body costs, by its size and by what it holds.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gearshift_proxy::request::{envelope::Envelope, prompt};

const PROSE: &str = "A gearbox trades speed for torque; the right gear depends on the road. ";
const CODE: &str = "    if gear == \"neutral\" {\n        return Err(\"coasting\".into());\n    }\n";
const GERMAN: &str = "Ein Getriebe tauscht Drehzahl gegen Drehmoment; auf die Straße kommt es an – überall. ";

/// A chat completion of about `bytes` bytes: one long message, and what the official Python SDK sends along.
fn chat(text: &str, bytes: usize) -> String {
    let content = serde_json::Value::from(text.repeat(bytes / text.len()));
    format!(
        r#"{{"model":"tiny","messages":[{{"role":"system","content":"You are a careful assistant."}},{{"role":"user","content":{content}}}],"max_tokens":256,"temperature":0.7,"stream":true}}"#
    )
}

/// A completion whose prompt is token ids.
fn tokens(bytes: usize) -> String {
    let ids: Vec<u32> = (0..).map(|i| 1_000 + i % 9_000).take(bytes / 6).collect();
    let ids = serde_json::Value::from(ids).to_string().replace(',', ", ");
    format!(r#"{{"model":"tiny","prompt":{ids},"max_tokens":256,"stream":true}}"#)
}

/// Many short messages, spaced as Python's `json.dumps` does it.
fn turns(bytes: usize) -> String {
    let turn = r#"{"role": "user", "content": "Which gear is next?", "name": "driver"}"#;
    let messages = vec![turn; bytes / turn.len()].join(", ");
    format!(r#"{{"model": "tiny", "messages": [{messages}], "stream": true}}"#)
}

fn reading(c: &mut Criterion) {
    let mut group = c.benchmark_group("envelope");
    for bytes in [1_000, 32_000, 400_000] {
        let bodies = [
            ("prose", chat(PROSE, bytes)),
            ("code", chat(CODE, bytes)),
            ("german", chat(GERMAN, bytes)),
            ("turns", turns(bytes)),
            ("tokens", tokens(bytes)),
        ];
        for (kind, body) in bodies {
            group.throughput(Throughput::Bytes(body.len() as u64));
            group.bench_function(BenchmarkId::new(kind, bytes), |b| {
                b.iter(|| Envelope::read(black_box(body.as_bytes())).is_ok());
            });
        }
    }
}

fn measuring(c: &mut Criterion) {
    let mut group = c.benchmark_group("prompt");
    for bytes in [1_000, 32_000, 400_000] {
        let text = serde_json::Value::from(PROSE.repeat(bytes / PROSE.len())).to_string();
        let texts = format!("[{}]", vec!["\"Which gear is next?\""; bytes / 21].join(","));
        let ids = format!("[{}]", vec!["12345"; bytes / 6].join(","));
        for (kind, raw) in [("text", text), ("texts", texts), ("ids", ids)] {
            group.throughput(Throughput::Bytes(raw.len() as u64));
            group.bench_function(BenchmarkId::new(kind, bytes), |b| {
                b.iter(|| prompt::of_batch(black_box(&raw)));
            });
        }
    }
}

criterion_group!(benches, reading, measuring);
criterion_main!(benches);
