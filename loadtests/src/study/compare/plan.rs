//! What is compared, and the comparison.

use std::{ops::Range, sync::Arc};

use gearshift_config::Objective;
use gearshift_selector::Bundle;

use super::{
    Cell, CellResult, Kind,
    cell::{prepare, run_cell},
    parallel::each,
};
use crate::{
    sim::SpecError,
    study::{Fleet, capacity},
    workload::Workload,
};

/// Rate at which the mixes of generated workloads are drawn for measuring capacity, requests a second; only how turns of
/// conversations interleave depends on it.
const CAPACITY_RATE: f64 = 20.0;
/// Requests of such a mix; enough for the deepest closed loop.
const CAPACITY_REQUESTS: u64 = 4_096;

/// What is compared.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Fleets.
    pub fleets: Vec<Fleet>,
    /// Workloads.
    pub workloads: Vec<Workload>,
    /// Shares of capacity.
    pub loads: Vec<f64>,
    /// Policies.
    pub policies: Vec<Kind>,
    /// What Gearshift makes best.
    pub objective: Objective,
    /// The meta-learner that Gearshift asks.
    pub bundle: Option<Arc<Bundle>>,
    /// Repetitions, by their seeds.
    pub seeds: Range<u64>,
    /// Requests of one run; by the grid's time where absent.
    pub requests: Option<u64>,
    /// Threads to work on.
    pub threads: usize,
}

/// Capacity of a fleet for a workload.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Capacity {
    /// The fleet's name.
    pub fleet: String,
    /// The workload's name.
    pub workload: String,
    /// Requests a second.
    pub rate: f64,
}

/// All results. Everything in it is simulated.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Comparison {
    /// What Gearshift was to make best.
    pub objective: Objective,
    /// Requests of one run; by the grid's time where absent.
    pub requests: Option<u64>,
    /// What 100 % load is.
    pub capacities: Vec<Capacity>,
    /// Every run.
    pub cells: Vec<CellResult>,
}

impl Plan {
    /// Runs it consists of: of each policy in each cell, and the closed loops that measure capacity.
    pub fn steps(&self) -> usize {
        let pairs = self.fleets.len() * self.workloads.len();
        let runs = |(seed, load)| self.policies.iter().filter(|kind| kind.takes_part(seed, load)).count();
        let cells = self.loads.iter().flat_map(|&load| self.seeds.clone().map(move |seed| (seed, load)));
        pairs * (1 + cells.map(runs).sum::<usize>())
    }
}

/// Runs a plan. `step` is told after how many of [`Plan::steps`] more.
///
/// # Errors
/// Where an engine cannot be.
pub fn compare(plan: &Plan, step: impl Fn(usize) + Sync) -> Result<Comparison, SpecError> {
    let pairs: Vec<(&Fleet, &Workload)> = plan
        .fleets
        .iter()
        .flat_map(|fleet| plan.workloads.iter().map(move |workload| (fleet, workload)))
        .collect();
    let capacities = each(&pairs, plan.threads, |(fleet, workload)| {
        let mix = || prepare(workload, fleet, CAPACITY_RATE, CAPACITY_REQUESTS, 0);
        let rate = capacity(fleet, mix)?;
        step(1);
        Ok(Capacity { fleet: fleet.name.clone(), workload: workload.name().to_owned(), rate })
    })?;
    let mut cells = Vec::new();
    for (&(fleet, workload), capacity) in pairs.iter().zip(&capacities) {
        for (&load, seed) in
            plan.loads.iter().flat_map(|load| plan.seeds.clone().map(move |seed| (load, seed)))
        {
            let (name, rate) = (fleet.name.clone(), load * capacity.rate);
            let cell = Cell { fleet: name, workload: workload.name().to_owned(), load, seed };
            cells.push((cell, fleet, workload, rate));
        }
    }
    let cells = each(&cells, plan.threads, |(cell, fleet, workload, rate)| {
        let result = run_cell(cell, fleet, workload, *rate, plan)?;
        step(result.policies.len());
        Ok(result)
    })?;
    Ok(Comparison { objective: plan.objective, requests: plan.requests, capacities, cells })
}
