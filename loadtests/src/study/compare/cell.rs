//! One fleet under one workload at one load with one seed, routed by each policy in turn.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gearshift_config::{Objective, Slo};

use super::Kind;
use crate::{
    sim::{Moment, SpecError},
    study::{Accuracy, Fleet, Measure, Meter, Settings, Trip, grid, run},
    workload::Workload,
};

/// Prompts to different models share nothing; one study has one.
const SALT: u64 = 1;

/// What is run.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Cell {
    /// The fleet's name.
    pub fleet: String,
    /// The workload's name.
    pub workload: String,
    /// Share of the fleet's capacity.
    pub load: f64,
    /// Which repetition.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct CellResult {
    /// What was run.
    #[serde(flatten)]
    pub cell: Cell,
    /// Requests a second that came.
    pub rate: f64,
    /// The figures of each policy.
    pub policies: BTreeMap<Kind, Measure>,
    /// How the predictions of those that predict did.
    #[serde(skip)]
    pub accuracy: BTreeMap<Kind, Accuracy>,
}

/// The longest prompt with its answer that every engine of the fleet serves, tokens.
pub(super) fn context(fleet: &Fleet) -> u32 {
    let served = |engine: &crate::sim::EngineSpec| engine.knobs.max_model_len.unwrap_or(engine.model.context);
    fleet.members.iter().map(|member| served(&member.engine)).min().unwrap_or(u32::MAX)
}

/// Requests of a workload at a rate, prepared for a fleet. What drifts does so once within `count` requests.
pub(in crate::study) fn prepare(
    workload: &Workload,
    fleet: &Fleet,
    rate: f64,
    count: u64,
    seed: u64,
) -> impl Iterator<Item = Arc<Trip>> {
    let span = Duration::from_secs_f64((count as f64 / rate).min(1e9));
    let workload =
        workload.clone().within_context(context(fleet)).drifting_over(span).at_rate(rate).limited(count);
    let sizes = fleet.block_sizes();
    workload
        .requests(seed)
        .map(move |request| Arc::new(Trip::new(&request, Moment(0).after(request.at), &sizes, SALT)))
}

/// Requests of a run at `rate` a second.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float casts saturate")]
fn requests(rate: f64) -> u64 {
    ((rate * grid::SECONDS) as u64).max(grid::LEAST_REQUESTS)
}

/// Runs one cell by all policies.
pub(super) fn run_cell(
    cell: &Cell,
    fleet: &Fleet,
    workload: &Workload,
    rate: f64,
    plan: &super::Plan,
) -> Result<CellResult, SpecError> {
    // A seed of its own for each cell, lest all fleets see the same draws; never 0, which starts traces at their beginning.
    let seed = cell.seed + 1;
    let count = plan.requests.unwrap_or_else(|| requests(rate));
    let trips: Vec<Arc<Trip>> = prepare(workload, fleet, rate, count, seed).collect();
    let limits = grid::limits(&cell.fleet);
    // Latency is made best without limits; what else is made best needs them, or everything would queue where it is
    // cheapest.
    let slo = if plan.objective == Objective::Latency { Slo::default() } else { limits };
    let (mut policies, mut accuracy) = (BTreeMap::new(), BTreeMap::new());
    for &kind in plan.policies.iter().filter(|kind| kind.takes_part(cell.seed, cell.load)) {
        let mut policy = kind.build(plan.objective, slo, plan.bundle.as_ref(), seed);
        let mut meter = Meter::new(limits, trips.len() as u64);
        let rows = |row: &_| meter.take(row);
        let summary = run(fleet, trips.iter().cloned(), policy.as_mut(), &Settings::default(), seed, rows)?;
        policies.insert(kind, meter.measure(&summary));
        accuracy.extend(policy.accuracy().map(|all| (kind, all.clone())));
    }
    Ok(CellResult { cell: cell.clone(), rate, policies, accuracy })
}
