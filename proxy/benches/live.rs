//! What a request core pays for what is learned from a request: the difference between a decision and one on record, and
//! the two reports.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up fails")]

use std::{hint::black_box, sync::Arc};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use gearshift_config::{BackendId, Catalog, Knobs, Objective, RouteId, Slo};
use gearshift_proxy::{
    live::{Decided, End, Engine, Report, Subject, queues},
    metrics::{Metrics, Outcome},
};
use gearshift_selector::{
    Availability, BackendSpec, BackendState, Group, ModelState, Moment, OutputLengths, RequestFacts,
    RoutePolicy, Software, Usage, Work, choose, choose_on_record, prefix_chain,
};
use http::HeaderValue;
use prometheus::Registry;
use smallvec::SmallVec;

const NOW: Moment = Moment(1_000_000_000);

fn group(count: usize, model_state: &Arc<ModelState>) -> Group {
    let catalog = Catalog::shipped();
    let spec = |number: usize| BackendSpec {
        id: BackendId::new(format!("engine-{number}")),
        hardware: catalog.hardware("h100_sxm").map(|facts| (facts.clone(), 1)),
        model: catalog.model("qwen3-8b").cloned(),
        knobs: Knobs::default(),
        software: Software::default(),
        lossless: true,
        price_usd_per_hour: None,
        state: Arc::new(BackendState::new(None)),
        model_state: model_state.clone(),
    };
    let specs: Vec<_> = (0..count).map(spec).collect();
    specs.iter().for_each(|spec| spec.state.set_availability(Availability::Ready));
    Group::new(specs)
}

fn facts(text: &[u8]) -> RequestFacts {
    RequestFacts {
        work: Work::Generate,
        prompt_bytes: text.len() as u64,
        prompt_tokens_exact: None,
        max_tokens: None,
        sequences: 1,
        stream: true,
        prefix: prefix_chain(0, text),
    }
}

fn policy() -> RoutePolicy {
    RoutePolicy {
        objective: Objective::Latency,
        slo: Slo::default(),
        allow_lossy: false,
        output_lengths: Arc::new(OutputLengths::default()),
    }
}

fn decisions(c: &mut Criterion) {
    let (state, facts, none) = (Arc::new(ModelState::new()), facts(&[b'x'; 4096]), SmallVec::new());
    let policy = policy();
    for count in [1, 8, 64] {
        let group = group(count, &state);
        let mut rng = fastrand::Rng::with_seed(1);
        c.bench_function(&format!("decision/{count}"), |b| {
            b.iter(|| black_box(choose(&group, &policy, &facts, &none, NOW, &mut rng)));
        });
        c.bench_function(&format!("decision_on_record/{count}"), |b| {
            b.iter(|| black_box(choose_on_record(&group, &policy, &facts, &none, NOW, &mut rng)));
        });
    }
}

fn end() -> End {
    let usage = Usage { prompt_tokens: 1000, completion_tokens: 100, cached_tokens: Some(10) };
    End {
        arrived: NOW,
        first: Some(NOW),
        last: NOW,
        at: NOW,
        outcome: Outcome::Ok,
        status: Some(200),
        counted_tokens: 100,
        usage: Some(usage),
    }
}

fn reports(c: &mut Criterion) {
    let metrics = Metrics::new(&Registry::new()).unwrap();
    let (reporters, inboxes) = queues(1, &metrics);
    let (state, facts, none) = (Arc::new(ModelState::new()), facts(&[b'x'; 4096]), SmallVec::new());
    let subject = Arc::new(Subject {
        model: "chat".into(),
        route: RouteId::new("default"),
        objective: Objective::Latency,
        slo: Slo::default(),
        seen: Arc::default(),
    });
    let engine = |number: usize| {
        Arc::new(Engine {
            backend: BackendId::new(format!("engine-{number}")),
            profile: "p".into(),
            facts: None,
        })
    };
    let engines: Arc<[Arc<Engine>]> = (0..8).map(engine).collect();
    let group = group(8, &state);
    let policy = policy();
    let mut rng = fastrand::Rng::with_seed(1);
    let typical = ModelState::new().typical();
    // What the consumer takes out is not the core's to pay.
    let mut chosen = || {
        inboxes.clear();
        choose_on_record(&group, &policy, &facts, &none, NOW, &mut rng).unwrap()
    };
    c.bench_function("reports", |b| {
        b.iter_batched(
            &mut chosen,
            |(decision, field)| {
                let decided = Decided {
                    request: HeaderValue::from_static("0123456789abcdef0123456789abcdef"),
                    at: NOW,
                    decision,
                    field,
                    engines: engines.clone(),
                    bundle: None,
                    load_age_s: None,
                    round_trip_s: 0.0,
                    typical,
                    stream: true,
                    sequences: 1,
                    attempt: 1,
                };
                let report = Report::begin(&reporters[0], &subject, &facts, &state, NOW);
                if let Some(report) = report {
                    report.end(end(), Some(Box::new(decided)));
                }
            },
            BatchSize::NumIterations(1000),
        );
    });
}

criterion_group!(benches, decisions, reports);
criterion_main!(benches);
