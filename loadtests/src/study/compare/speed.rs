//! How fast a study is.

use std::{fmt::Write as _, sync::Arc};

use gearshift_config::{Objective, Slo};
use rustix::time::{ClockId, clock_gettime};

use super::{Kind, cell::prepare};
use crate::{
    Error,
    study::{Fleet, Settings, Trip, capacity, run},
    workload::Workload,
};

/// Requests of one measured run.
const REQUESTS: u64 = 10_000;
const LOADS: [f64; 3] = [0.4, 0.8, 1.0];
const POLICIES: [Kind; 3] = [Kind::Gearshift, Kind::RoundRobin, Kind::WeightedScorer];

/// Simulated requests per CPU-second of one thread, as a table: everything but preparing the workload is in it.
///
/// # Errors
/// Where an engine of the fleet cannot be.
pub fn speed(fleet: &Fleet, workload: &Workload) -> Result<String, Error> {
    let failed = |error: crate::sim::SpecError| Error::Failed(error.to_string());
    let full = capacity(fleet, || prepare(workload, fleet, workload.rate(), 4_096, 1)).map_err(failed)?;
    let mut text = format!(
        "Simulated requests per CPU-second: {} over {} ({} engines), {REQUESTS} requests, one thread\n\n\
         | policy | load | requests per CPU-second |\n| --- | --- | --- |\n",
        workload.name(),
        fleet.name,
        fleet.members.len()
    );
    for load in LOADS {
        let trips: Vec<Arc<Trip>> = prepare(workload, fleet, load * full, REQUESTS, 1).collect();
        for kind in POLICIES {
            let mut policy = kind.build(Objective::Latency, Slo::default(), None, 1);
            let began = cpu_seconds();
            run(fleet, trips.iter().cloned(), policy.as_mut(), &Settings::default(), 1, |_| {})
                .map_err(failed)?;
            let rate = REQUESTS as f64 / (cpu_seconds() - began);
            let _ = writeln!(text, "| {} | {:.0} % | {rate:.0} |", kind.name(), load * 100.0);
        }
    }
    Ok(text)
}

/// CPU time of this thread.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
