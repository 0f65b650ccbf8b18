//! Routing studies in virtual time: nothing is lost or counted twice, faults hit what they should, and policies do
//! what they say.

mod adapt;
mod command;
mod day;
mod faults;
mod flow;
mod routing;

use std::{sync::Arc, time::Duration};

use gearshift_config::{Catalog, Knobs};
use gearshift_loadtests::{
    sim::{EngineSpec, Moment, Scheduling},
    study::{Fleet, Member, Outcome, Policy, Settings, Summary, Trip, run},
    workload::{Class, Content, Request, Segment},
};

/// An 8 B model on one accelerator.
fn engine(name: &str, hardware: &str) -> EngineSpec {
    EngineSpec {
        name: name.into(),
        hardware_id: hardware.into(),
        hardware: Arc::clone(Catalog::shipped().hardware(hardware).unwrap()),
        count: 1,
        model_name: "llama-3.1-8b".into(),
        model: Arc::clone(Catalog::shipped().model("llama-3.1-8b").unwrap()),
        knobs: Knobs { max_model_len: Some(16_384), ..Knobs::default() },
        draft: None,
        scheduling: Scheduling::Fcfs,
        max_queued: None,
        block_tokens: 16,
        blocks: None,
        factors: None,
        times: gearshift_loadtests::scenario::times(),
    }
}

fn fleet(hardware: &[&str]) -> Fleet {
    let member = |(at, hardware): (usize, &&str)| Member::honest(engine(&format!("e{at}"), hardware));
    Fleet { name: "test".into(), members: hardware.iter().enumerate().map(member).collect() }
}

/// `count` requests, `per_s` of them a second at random moments; every fourth shares a long prefix with others.
fn trips(fleet: &Fleet, count: u64, per_s: f64, seed: u64) -> Vec<Arc<Trip>> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (sizes, mut at) = (fleet.block_sizes(), 0.0);
    let trip = |id| {
        at -= (1.0 - rng.f64()).ln() / per_s;
        let shared = Segment { seed: rng.u64(..4), tokens: if id % 4 == 0 { 1024 } else { 16 } };
        let own = Segment { seed: 1 << 40 | id, tokens: rng.u32(20..600) };
        let answer = Segment { seed: 1 << 41 | id, tokens: rng.u32(1..300) };
        let content = Content { prompt: [shared, own].into(), answer };
        let request = Request {
            id,
            at: Duration::from_secs_f64(at),
            class: Class::ALL[rng.usize(..6)],
            content,
            max_tokens: (id % 3 == 0).then_some(512),
        };
        Arc::new(Trip::new(&request, Moment(0).after(request.at), &sizes, 7))
    };
    (0..count).map(trip).collect()
}

/// The rows of a run, and its summary.
fn rows(
    fleet: &Fleet,
    trips: &[Arc<Trip>],
    policy: &mut dyn Policy,
    settings: &Settings,
) -> (Vec<Outcome>, Summary) {
    let mut rows = Vec::new();
    let summary =
        run(fleet, trips.iter().cloned(), policy, settings, 1, |outcome| rows.push(*outcome)).unwrap();
    (rows, summary)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / f64::max(count, 1.0)
}
