//! Bundles that route: the same requests, engines that nobody knows from outcomes yet.

use std::sync::Arc;

use gearshift_config::{Objective, Slo};
use gearshift_loadtests::{
    report::{Interval, bootstrap, mean},
    study::{End, Fleet, Gearshift, Settings, run},
};
use gearshift_selector::Bundle;
use serde::Serialize;

use super::{Plan, trips};
use crate::{Error, fit::Progress};

/// Requests that come while engines are hardly known.
const FIRST: u64 = 300;

/// One run: mean end to end times, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Routed {
    /// Share of capacity.
    pub load: f64,
    /// Which repetition.
    pub seed: u64,
    /// By the prior and calibration alone.
    pub prior_s: f64,
    /// With the bundle before.
    pub running_s: f64,
    /// With the new one.
    pub new_s: f64,
    /// The same of the first requests.
    pub first: [f64; 3],
}

/// All runs, and what they say together: geometric means, above 1 is better for the new bundle.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Routing {
    /// Every run.
    pub runs: Vec<Routed>,
    /// Mean end to end time with the bundle before over that with the new one; 95 % by a bootstrap over runs.
    pub over_running: (f64, Interval),
    /// Of the first 300 requests of each run.
    pub over_running_at_first: (f64, Interval),
    /// By the prior alone over that with the new bundle.
    pub over_prior: (f64, Interval),
}

pub(super) fn route(
    fleet: &Fleet,
    rate: f64,
    plan: &Plan,
    old: &Arc<Bundle>,
    new: &Arc<Bundle>,
    progress: &dyn Progress,
) -> Result<Routing, Error> {
    let mut runs = Vec::new();
    progress.begin("routing", plan.loads.len() * usize::try_from(plan.seeds).unwrap_or(usize::MAX));
    for &load in &plan.loads {
        // Other requests than those that rows were logged of.
        for seed in 101..101 + plan.seeds {
            let one = |bundle: Option<&Arc<Bundle>>| times(fleet, load * rate, plan, bundle, seed);
            let (prior, running, fresh) = (one(None)?, one(Some(old))?, one(Some(new))?);
            runs.push(Routed {
                load,
                seed,
                prior_s: prior.0,
                running_s: running.0,
                new_s: fresh.0,
                first: [prior.1, running.1, fresh.1],
            });
            progress.step("");
        }
    }
    progress.end();
    let over = |of: fn(&Routed) -> f64| {
        let logs: Vec<f64> = runs.iter().map(|run| of(run).ln()).collect();
        let interval =
            bootstrap(&logs, 1, |drawn| (drawn.iter().copied().sum::<f64>() / drawn.len() as f64).exp());
        (mean(&logs).exp(), interval)
    };
    Ok(Routing {
        over_running: over(|run| run.running_s / run.new_s),
        over_running_at_first: over(|run| run.first[1] / run.first[2]),
        over_prior: over(|run| run.prior_s / run.new_s),
        runs,
    })
}

/// Mean end to end times: of all, and of the first.
fn times(
    fleet: &Fleet,
    rate: f64,
    plan: &Plan,
    bundle: Option<&Arc<Bundle>>,
    seed: u64,
) -> Result<(f64, f64), Error> {
    let (objective, slo) = (Objective::Latency, Slo::default());
    let mut policy = match bundle {
        Some(bundle) => Gearshift::with_bundle(objective, slo, Arc::clone(bundle), seed),
        None => Gearshift::new(objective, slo, seed),
    };
    let (mut all, mut first) = (Vec::new(), Vec::new());
    let requests = trips(fleet, rate, plan.routed, seed)?;
    run(fleet, requests, &mut policy, &Settings::default(), seed, |row| {
        if row.end == End::Whole {
            all.push(row.e2e_s);
            if row.id < FIRST {
                first.push(row.e2e_s);
            }
        }
    })
    .map_err(|error| Error::Failed(error.to_string()))?;
    Ok((mean(&all), mean(&first)))
}
