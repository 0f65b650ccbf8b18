//! The whole loop in virtual time: simulated engines that are not what the shipped rows say, Gearshift's own rows of them, a bundle
//! trained further on these, judged, and let route.
//!
//! Everything in it is simulated.

mod report;
mod route;

use std::{path::Path, sync::Arc, time::Duration};

use gearshift_config::{Objective, Slo};
use gearshift_loadtests::{
    scenario::Scenario,
    sim::{FactorTable, Factors, Moment},
    study::{Fleet, Gearshift, Logbook, Settings, Trip, capacity, run},
    workload::Workload,
};
use gearshift_perfdb::Observation;
use gearshift_selector::{Bundle, Exploration, LoadOptions, OnnxRuntime};
use serde::Serialize;

pub use self::{
    report::write,
    route::{Routed, Routing},
};
use crate::{
    Error,
    eval::live::{Judged, LiveReport, Options, Settings as Estimating, judge, split},
    fit::Progress,
    live::{Retraining, journeys, retrain},
};

/// When the virtual clock begins: 2026-06-01.
const EPOCH_UNIX_S: i64 = 1_780_272_000;
/// Prompts to different models share nothing; there is one here.
const SALT: u64 = 1;

/// What is done.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Requests that rows are logged of.
    pub logged: u64,
    /// Share of the fleet's capacity that they come at.
    pub load: f64,
    /// How much is explored meanwhile, a share of the requests.
    pub explore: f64,
    /// How it trains.
    pub retraining: Retraining,
    /// How it judges.
    pub judging: Options,
    /// Requests of each routing run; engines are not known from outcomes when it begins.
    pub routed: u64,
    /// Shares of capacity of the routing runs.
    pub loads: Vec<f64>,
    /// Repetitions of each.
    pub seeds: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            logged: 12_000,
            load: 0.6,
            explore: 0.02,
            retraining: Retraining::default(),
            // Virtual minutes are few; arrivals are Poisson, and queues live for seconds.
            judging: Options {
                estimate: Estimating { block_s: 10.0, ..Estimating::default() },
                ..Options::default()
            },
            routed: 2_000,
            loads: vec![0.3, 0.6, 0.8],
            seeds: 5,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Study {
    /// Always: no engine in it is real.
    pub simulated: bool,
    /// What was done.
    pub plan: Plan,
    /// In which ways the engines differ from what the simulator that made the shipped rows says of them.
    pub differs: &'static str,
    /// Seconds that training took.
    pub training_s: f64,
    /// The bundles on held-out rows.
    pub live: LiveReport,
    /// The bundles, routing.
    pub routing: Routing,
}

/// In which ways [`fleet`] differs.
pub const DIFFERS: &str = "a100: dense layers and attention of prompts at half the speed, attention of decoding sequences at a fifth; \
     l40s: attention of prompts at a quarter; h100: attention of decoding sequences at a third";

/// Six engines with one model on unlike hardware, of which three have kernels that are slower than the shipped rows have them: not by one
/// factor, which calibration would find, but by what a request asks of them.
///
/// # Errors
/// Where the shipped scenario cannot be read.
pub fn fleet() -> Result<Fleet, Error> {
    let scenario = Scenario::shipped("hardware").map_err(|error| Error::Failed(error.to_string()))?;
    let mut fleet = Fleet::of(&scenario);
    for member in &mut fleet.members {
        let engine = &mut member.engine;
        let known = FactorTable::shipped().entry(&engine.hardware_id, &engine.hardware).factors;
        let slowed = match engine.name.as_str() {
            "a100" => Factors {
                gemm_memory: known.gemm_memory / 2.0,
                gemm_compute_16: known.gemm_compute_16 / 2.0,
                attention_prefill: known.attention_prefill / 2.0,
                attention_decode_16: known.attention_decode_16 / 5.0,
                ..known
            },
            "l40s" => Factors { attention_prefill: known.attention_prefill / 4.0, ..known },
            "h100" => Factors { attention_decode_16: known.attention_decode_16 / 3.0, ..known },
            _ => continue,
        };
        engine.factors = Some(Arc::new(slowed));
    }
    Ok(fleet)
}

/// Requests of the drifting mix, prepared for a fleet.
pub(super) fn trips(fleet: &Fleet, rate: f64, count: u64, seed: u64) -> Result<Vec<Arc<Trip>>, Error> {
    let workload = Workload::find("drift").map_err(|error| Error::Failed(error.to_string()))?;
    let span = Duration::from_secs_f64((count as f64 / rate).min(1e9));
    let context = |member: &gearshift_loadtests::study::Member| {
        member.engine.knobs.max_model_len.unwrap_or(member.engine.model.context)
    };
    let context = fleet.members.iter().map(context).min().unwrap_or(u32::MAX);
    let workload = workload.within_context(context).drifting_over(span).at_rate(rate).limited(count);
    let sizes = fleet.block_sizes();
    let trip = |request: gearshift_loadtests::workload::Request| {
        Arc::new(Trip::new(&request, Moment(0).after(request.at), &sizes, SALT))
    };
    Ok(workload.requests(seed).map(trip).collect())
}

/// Requests a second that the fleet can do.
pub(super) fn saturation(fleet: &Fleet, requests: u64) -> Result<f64, Error> {
    let mix = trips(fleet, 20.0, requests, 1)?;
    capacity(fleet, || mix.iter().cloned()).map_err(|error| Error::Failed(error.to_string()))
}

/// Lets Gearshift route with a bundle, and gives the rows that it would have written.
///
/// # Errors
/// Where an engine cannot be.
pub fn logged(
    fleet: &Fleet,
    rate: f64,
    plan: &Plan,
    (name, bundle): (&str, &Arc<Bundle>),
) -> Result<Vec<Observation>, Error> {
    let exploration = Exploration { share: plan.explore, max_loss: 0.2, introduce: Exploration::INTRODUCE };
    let logbook = Logbook::new(EPOCH_UNIX_S, Some(name));
    let (objective, slo) = (Objective::Latency, Slo::default());
    let mut policy =
        Gearshift::with_bundle(objective, slo, Arc::clone(bundle), 1).logging(logbook, exploration);
    let trips = trips(fleet, rate, plan.logged, 1)?;
    run(fleet, trips, &mut policy, &Settings::default(), 1, |_| {})
        .map_err(|error| Error::Failed(error.to_string()))?;
    Ok(policy.into_rows())
}

/// All of it: `base` is the bundle that serves at first, `shipped` the rows it was trained on, `new` where the new one is written.
///
/// # Errors
/// Where any part fails.
pub fn study(
    plan: &Plan,
    base: &Path,
    shipped: &Path,
    new: &Path,
    runtime: &OnnxRuntime,
    progress: &dyn Progress,
) -> Result<(Study, Vec<Observation>), Error> {
    let load = |directory: &Path| {
        Bundle::load(directory, runtime, &LoadOptions::unhurried())
            .map(Arc::new)
            .map_err(|error| Error::Failed(format!("{}: {error}", directory.display())))
    };
    let (fleet, old) = (fleet()?, load(base)?);
    let rate = saturation(&fleet, plan.logged.min(4_096))?;
    let rows = logged(&fleet, plan.load * rate, plan, ("running", &old))?;
    let (journeys, left) = journeys(rows.clone());
    let trained = &journeys[..split(&journeys, plan.judging.held_out)];
    let until_s = trained.last().map_or(0.0, |journey| journey.ended_s);
    #[expect(clippy::disallowed_methods, reason = "only to say how long it took")]
    let started = std::time::Instant::now();
    let retrained = retrain(trained, shipped, base, &plan.retraining, progress)?;
    let training_s = started.elapsed().as_secs_f64();
    retrained.write(new, "new", until_s)?;
    let fresh = load(new)?;
    let judged = Judged {
        journeys: &journeys,
        left: &left,
        new: Some(("new", &fresh)),
        running: Some(("running", &old)),
        trained_until_s: Some(until_s),
    };
    let live = judge(&judged, &plan.judging)?;
    let routing = route::route(&fleet, rate, plan, &old, &fresh, progress)?;
    let study = Study { simulated: true, plan: plan.clone(), differs: DIFFERS, training_s, live, routing };
    Ok((study, rows))
}

#[cfg(test)]
mod tests;
