//! What the meta-learner adds to a decision: the same fleets and requests with a bundle and without.
//!
//! Needs `ORT_DYLIB_PATH`. `GEARSHIFT_BUNDLE` is the bundle's directory; without it, it is the tests' own, whose graphs are
//! next to nothing: what is left then is the cost of asking.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a bench fails aloud")]

use std::{hint::black_box, path::PathBuf};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gearshift_config::Objective;
use gearshift_selector::{
    Bundle, Decider, Decision, Fallback, Flight, Group, Head, LoadOptions, OnnxRuntime, choose,
};
use smallvec::SmallVec;

#[path = "../tests/decision/facts.rs"]
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
mod facts;
#[path = "../tests/decision/fleet.rs"]
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
mod fleet;
#[path = "../tests/decision/made.rs"]
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
mod made;

use facts::{h100, llama_3b};
use fleet::{Fleet, replicas, request};
use made::Made;

fn deciding(c: &mut Criterion) {
    let Some(library) = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from) else {
        eprintln!("SKIPPED: decisions with a bundle; set ORT_DYLIB_PATH to libonnxruntime.so to run it");
        return;
    };
    let made = Made::split();
    let own = std::env::var_os("GEARSHIFT_BUNDLE").map(PathBuf::from);
    let runtime = OnnxRuntime::load(&library).unwrap();
    let bundle =
        Bundle::load(own.as_deref().unwrap_or(&made.directory), &runtime, &LoadOptions::default()).unwrap();
    eprintln!("{} asks about {:?}", bundle.manifest().id, bundle.cost());
    let mut head = bundle.head().unwrap();
    let mut group = c.benchmark_group("decision");
    let facts = request(1000);
    for len in [8, 64, 512] {
        let mut fleet = Fleet::new(replicas(len, &h100(), &llama_3b()), Objective::Latency);
        let _flights: Vec<_> = (0..4 * len).map(|i| fleet.send_to(i % len, &facts)).collect();
        percentiles(&format!("prior/{len}"), || {
            black_box(fleet.choose(black_box(&facts)));
        });
        group.bench_function(BenchmarkId::new("prior", len), |b| b.iter(|| fleet.choose(black_box(&facts))));
        fleet.group = Group::with_bundle(fleet.group.backends().to_vec(), &bundle).unwrap();
        let mut decide = || {
            let decider = Decider { rng: &mut fleet.rng, head: Some(&mut head) };
            choose(&fleet.group, &fleet.policy, black_box(&facts), &SmallVec::new(), fleet.now, decider)
        };
        assert_eq!(decide().unwrap().fallback, None, "the learner decides");
        percentiles(&format!("bundle/{len}"), || {
            let _ = black_box(decide());
        });
        group.bench_function(BenchmarkId::new("bundle", len), |b| b.iter(&mut decide));
        settle(&mut fleet, &bundle, &mut head);
        let mut decide = || {
            let decider = Decider { rng: &mut fleet.rng, head: Some(&mut head) };
            choose(&fleet.group, &fleet.policy, black_box(&facts), &SmallVec::new(), fleet.now, decider)
        };
        let silent =
            |it: &Result<Decision, _>| it.as_ref().is_ok_and(|it| it.fallback == Some(Fallback::NoSay));
        let unasked = (0..1000).map(|_| decide()).filter(silent).count();
        eprintln!("decision/settled/{len}: not asked in {unasked} of 1,000");
        percentiles(&format!("settled/{len}"), || {
            let _ = black_box(decide());
        });
        group.bench_function(BenchmarkId::new("settled", len), |b| b.iter(&mut decide));
    }
}

/// Lets every backend answer until it is known well: as the prior has it, with noise that no learner foresees.
fn settle(fleet: &mut Fleet, bundle: &Bundle, head: &mut Head) {
    for backend in fleet.group.backends().to_vec() {
        let alone = Group::with_bundle(vec![backend], bundle).unwrap();
        for turn in 0..80u64 {
            let facts = request(100 + turn * 389 % 2000);
            let decider = Decider { rng: &mut fleet.rng, head: Some(head) };
            let decision =
                choose(&alone, &fleet.policy, &facts, &SmallVec::new(), fleet.now, decider).unwrap();
            let prediction = decision.chosen.prediction.unwrap();
            let mut flight = Flight::begin(&alone.backends()[0], &fleet.policy, &facts, &decision, fleet.now);
            let noise = 0.8 + 0.4 * fleet.rng.f64();
            let first = fleet.now.after_seconds(0.001 + prediction.prior_ttft_s * noise);
            flight.first_token(first);
            let last = first.after_seconds(100.0 * prediction.prior_tpot_s * noise);
            flight.progress(101, last);
            flight.finish(None, last);
        }
    }
}

/// Each decision timed by itself: on a busy machine the median is what the decision takes, where the mean is what the
/// machine lets it.
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn percentiles(name: &str, mut decide: impl FnMut()) {
    let mut times: Vec<_> = (0..20_000)
        .map(|_| {
            let began = std::time::Instant::now();
            decide();
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    eprintln!("decision/{name}: p50 {:?}, p99 {:?}", times[times.len() / 2], times[times.len() * 99 / 100]);
}

criterion_group!(benches, deciding);
criterion_main!(benches);
