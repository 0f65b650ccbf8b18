//! What a decision costs: hashing the prompt, choosing, what the learner is given, entering and leaving the ledger.

use std::{hint::black_box, sync::Arc};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gearshift_config::{Knobs, Objective};
use gearshift_selector::{
    Deployment, Flight, Prior, PriorFactors, RequestFacts, Situation, Software, inputs, prefix_chain,
};

#[path = "../tests/decision/facts.rs"]
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
mod facts;
#[path = "../tests/decision/fleet.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "shared with the tests, which use more of it")]
mod fleet;

use facts::{h100, llama_3b};
use fleet::{Fleet, replicas, request_with_text};

const LONG: usize = 400_000;

/// Replicas with some load each; `warm` of them hold `facts`' prefix.
fn fleet(len: usize, warm: usize, facts: &RequestFacts) -> (Fleet, Vec<Flight>) {
    let fleet = Fleet::new(replicas(len, &h100(), &llama_3b()), Objective::Latency);
    let other = request_with_text(&[b'o'; 2000]);
    let mut flights: Vec<_> = (0..4 * len).map(|i| fleet.send_to(i % len, &other)).collect();
    flights.extend((0..warm).map(|i| fleet.send_to(i, facts)));
    (fleet, flights)
}

fn text(bytes: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(1);
    std::iter::repeat_with(|| rng.u8(..)).take(bytes).collect()
}

fn hashing(c: &mut Criterion) {
    let mut group = c.benchmark_group("prefix_chain");
    for bytes in [1_000, 32_000, LONG] {
        let text = text(bytes);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |b| {
            b.iter(|| prefix_chain(1, black_box(&text)));
        });
    }
}

fn choosing(c: &mut Criterion) {
    let mut group = c.benchmark_group("choose");
    let (short, long) = (request_with_text(&text(1_000)), request_with_text(&text(LONG)));
    // A conversation that went on: the held prefix ends within the chain, where the search is longest.
    let mut turn = text(LONG);
    turn[250_000..].fill(0);
    let turn = request_with_text(&turn);
    for len in [8, 64, 512] {
        for (name, facts, held, warm) in [
            ("short", &short, &short, len),
            ("long_cold", &long, &short, 0),
            ("long_all_warm", &turn, &long, len),
        ] {
            let (mut fleet, _flights) = fleet(len, warm, held);
            group.bench_function(BenchmarkId::new(name, len), |b| b.iter(|| fleet.choose(black_box(facts))));
        }
    }
}

fn flying(c: &mut Criterion) {
    let mut group = c.benchmark_group("flight");
    for (name, bytes) in [("short", 1_000), ("long", LONG)] {
        let facts = request_with_text(&text(bytes));
        let (fleet, _flights) = fleet(1, 0, &facts);
        group.bench_function(BenchmarkId::new("begin_and_drop", name), |b| {
            b.iter(|| fleet.send_to(0, black_box(&facts)));
        });
        group.bench_function(BenchmarkId::new("progress", name), |b| {
            b.iter_batched_ref(
                || fleet.send_to(0, &facts),
                |flight| flight.progress(1, fleet.now),
                BatchSize::NumIterations(1000),
            );
        });
    }
}

/// One candidate's query for the learner, without and with the prior it is worked out of.
fn describing(c: &mut Criterion) {
    let deployment = Deployment {
        hardware: Arc::new(h100()),
        count: 1,
        model: Arc::new(llama_3b()),
        knobs: Knobs::default(),
        software: Software::default(),
        kv_tokens: None,
    };
    let prior = Prior::new(&deployment, &PriorFactors::default());
    let situation = Situation::closed_loop(8.0, 1000.0, 100.0, 200.0);
    let terms = prior.terms(&situation);
    let mut group = c.benchmark_group("inputs");
    group.bench_function("terms", |b| b.iter(|| black_box(&prior).terms(black_box(&situation))));
    group.bench_function("query", |b| {
        b.iter(|| inputs::query(black_box(&prior), black_box(&terms), black_box(&situation)));
    });
    let mut compared = [inputs::query(&prior, &terms, &situation); 16];
    group.bench_function("centre_16", |b| b.iter(|| inputs::centre(black_box(&mut compared))));
}

criterion_group!(benches, hashing, choosing, describing, flying);
criterion_main!(benches);
