//! Many cells in few figures: how each policy stands to Gearshift.

use std::collections::BTreeMap;

use gearshift_config::Objective;

use super::{Cell, CellResult, Comparison, Kind};
use crate::study::Measure;

/// A factor with its 95 % interval over the seeds: the same requests, so pairs are compared. Student's t; with three
/// seeds it is wide.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Factor {
    /// Geometric mean.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// How a policy stands.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PolicySummary {
    /// Which.
    pub policy: Kind,
    /// Its headline figure over Gearshift's, over all cells: above 1 it is worse.
    pub overall: Factor,
    /// The same by fleet.
    pub fleets: BTreeMap<String, f64>,
    /// The same by workload.
    pub workloads: BTreeMap<String, f64>,
    /// The same by load, in the order of the plan.
    pub loads: Vec<(f64, f64)>,
    /// Its cell that is best against Gearshift, all seeds together, and the factor there.
    pub best_cell: Option<Loss>,
    /// Other figures over Gearshift's, all cells.
    pub ratios: BTreeMap<&'static str, f64>,
    /// Mean share of requests answered wholly and within the limits.
    pub goodput: f64,
    /// Mean share of requests answered wholly.
    pub whole: f64,
    /// Mean share of prompt tokens from a cache.
    pub hit_rate: f64,
    /// Mean end-to-end time over the oracle's, less one; where the oracle is among the policies.
    pub regret: Option<f64>,
}

/// A cell in which a policy beats Gearshift.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Loss {
    /// The policy.
    pub policy: Kind,
    /// The fleet's name.
    pub fleet: String,
    /// The workload's name.
    pub workload: String,
    /// Share of capacity.
    pub load: f64,
    /// Its headline figure over Gearshift's, below 1.
    pub factor: f64,
}

/// The summary of a comparison.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Standing {
    /// What the others are measured against: Gearshift, or the first policy where it is not among them.
    pub base: Kind,
    /// What is compared, in words.
    pub headline: &'static str,
    /// By policy.
    pub policies: Vec<PolicySummary>,
    /// Where Gearshift loses by more than 3 % in every seed, worst first; the oracle left out.
    pub losses: Vec<Loss>,
    /// Pairs of another policy and a cell, without seeds and the oracle.
    pub pairs: usize,
}

/// A loss smaller than this is none.
const LOSS: f64 = 0.97;

/// Sums a comparison up.
pub fn standing(comparison: &Comparison) -> Standing {
    let mut all: Vec<Kind> = comparison.cells.iter().flat_map(|cell| cell.policies.keys().copied()).collect();
    all.sort_unstable();
    all.dedup();
    let base = all.iter().copied().find(|kind| *kind == Kind::Gearshift).or(all.first().copied());
    let base = base.unwrap_or(Kind::Gearshift);
    let (headline, figure) = headline(comparison.objective);
    let view = View { comparison, base, figure };
    let policies: Vec<_> = all.iter().map(|&kind| view.policy(kind, all.contains(&Kind::Oracle))).collect();
    let others = all.iter().copied().filter(|kind| *kind != base && *kind != Kind::Oracle);
    let pairs = others.clone().count() * view.places().len();
    let mut losses: Vec<Loss> = others.flat_map(|kind| view.losses(kind)).collect();
    losses.sort_by(|a, b| a.factor.total_cmp(&b.factor));
    Standing { base, headline, policies, losses, pairs }
}

type Figure = fn(&Measure) -> f64;

fn headline(objective: Objective) -> (&'static str, Figure) {
    match objective {
        Objective::Latency | Objective::Throughput => ("mean end-to-end time", |m| m.e2e_s.mean),
        Objective::Cost => ("US dollars for 1,000 tokens", |m| m.usd_per_1k),
        Objective::Energy => ("joules for 1,000 tokens", |m| m.joules_per_1k),
    }
}

/// Other figures that are compared, by the name they have in reports.
const FIGURES: [(&str, Figure); 8] = [
    ("e2e_mean", |m| m.e2e_s.mean),
    ("e2e_p50", |m| m.e2e_s.p50),
    ("e2e_p99", |m| m.e2e_s.p99),
    ("ttft_mean", |m| m.ttft_s.mean),
    ("ttft_p99", |m| m.ttft_s.p99),
    ("tpot_mean", |m| m.tpot_s.mean),
    ("usd_per_1k", |m| m.usd_per_1k),
    ("joules_per_1k", |m| m.joules_per_1k),
];

struct View<'c> {
    comparison: &'c Comparison,
    base: Kind,
    figure: Figure,
}

impl View<'_> {
    /// Natural logs of a policy's figure over the base's, in cells that `wanted` picks.
    fn logs(
        &self,
        kind: Kind,
        base: Kind,
        figure: Figure,
        wanted: impl Fn(&Cell) -> bool,
    ) -> Vec<(u64, f64)> {
        let log = |result: &CellResult| {
            let (this, other) = (figure(result.policies.get(&kind)?), figure(result.policies.get(&base)?));
            let log = (this / other).ln();
            log.is_finite().then_some((result.cell.seed, log))
        };
        self.comparison.cells.iter().filter(|result| wanted(&result.cell)).filter_map(log).collect()
    }

    fn factor(&self, kind: Kind, wanted: impl Fn(&Cell) -> bool) -> f64 {
        geometric(&self.logs(kind, self.base, self.figure, wanted))
    }

    fn policy(&self, kind: Kind, oracle: bool) -> PolicySummary {
        let cells = || self.comparison.cells.iter().map(|result| &result.cell);
        let mut loads: Vec<f64> = cells().map(|cell| cell.load).collect();
        loads.sort_unstable_by(f64::total_cmp);
        loads.dedup();
        let by = |name: fn(&Cell) -> &String| {
            cells()
                .map(|cell| (name(cell).clone(), self.factor(kind, |other| name(other) == name(cell))))
                .collect()
        };
        let mean = |figure: Figure| {
            let of: Vec<f64> = self
                .comparison
                .cells
                .iter()
                .filter_map(|result| result.policies.get(&kind))
                .map(figure)
                .collect();
            of.iter().sum::<f64>() / of.len().max(1) as f64
        };
        let all = |_: &Cell| true;
        PolicySummary {
            policy: kind,
            overall: over_seeds(&self.logs(kind, self.base, self.figure, all)),
            fleets: by(|cell| &cell.fleet),
            workloads: by(|cell| &cell.workload),
            loads: loads.iter().map(|&load| (load, self.factor(kind, |cell| cell.load == load))).collect(),
            best_cell: self
                .places()
                .into_iter()
                .map(|place| self.at(kind, &place))
                .filter(|cell| cell.factor.is_finite())
                .min_by(|a, b| a.factor.total_cmp(&b.factor)),
            ratios: FIGURES
                .map(|(name, figure)| (name, geometric(&self.logs(kind, self.base, figure, all))))
                .into(),
            goodput: mean(|m| m.goodput),
            whole: mean(|m| m.whole),
            hit_rate: mean(|m| m.hit_rate),
            regret: oracle.then(|| geometric(&self.logs(kind, Kind::Oracle, |m| m.e2e_s.mean, all)) - 1.0),
        }
    }

    /// Cells without their seeds.
    fn places(&self) -> Vec<Cell> {
        let first = |result: &&CellResult| result.cell.seed == 0;
        self.comparison.cells.iter().filter(first).map(|result| result.cell.clone()).collect()
    }

    fn at(&self, kind: Kind, place: &Cell) -> Loss {
        Loss {
            policy: kind,
            fleet: place.fleet.clone(),
            workload: place.workload.clone(),
            load: place.load,
            factor: self.factor(kind, |cell| same(cell, place)),
        }
    }

    fn losses(&self, kind: Kind) -> Vec<Loss> {
        let always = |place: &Cell| {
            let logs = self.logs(kind, self.base, self.figure, |cell| same(cell, place));
            !logs.is_empty() && logs.iter().all(|(_, log)| *log < LOSS.ln())
        };
        self.places().iter().filter(|place| always(place)).map(|place| self.at(kind, place)).collect()
    }
}

fn same(a: &Cell, b: &Cell) -> bool {
    (&a.fleet, &a.workload, a.load) == (&b.fleet, &b.workload, b.load)
}

/// NaN of nothing, as where a policy was not run.
fn geometric(logs: &[(u64, f64)]) -> f64 {
    (logs.iter().map(|(_, log)| log).sum::<f64>() / logs.len() as f64).exp()
}

/// Two-sided 95 % points of Student's t at 1, 2, … degrees of freedom; beyond, the normal distribution's.
const T95: [f64; 9] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

fn over_seeds(logs: &[(u64, f64)]) -> Factor {
    let mut seeds: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    for (seed, log) in logs {
        let (sum, count) = seeds.entry(*seed).or_default();
        (*sum, *count) = (*sum + log, *count + 1.0);
    }
    let means: Vec<f64> = seeds.values().map(|(sum, count)| sum / count).collect();
    let count = means.len() as f64;
    let mean = means.iter().sum::<f64>() / count.max(1.0);
    let half = match means.len() {
        0 | 1 => f64::INFINITY,
        n => {
            let variance = means.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
            T95.get(n - 2).copied().unwrap_or(1.96) * (variance / count).sqrt()
        }
    };
    Factor { mean: mean.exp(), low: (mean - half).exp(), high: (mean + half).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::{Measure, Spread};

    fn comparison(times: &[(f64, u64, f64, f64)]) -> Comparison {
        let measure = |mean| Measure { e2e_s: Spread { mean, p50: mean, p99: mean }, ..Measure::default() };
        let cell = |&(load, seed, gearshift, random): &(f64, u64, f64, f64)| CellResult {
            cell: Cell { fleet: "f".into(), workload: "w".into(), load, seed },
            rate: 1.0,
            accuracy: BTreeMap::new(),
            policies: [(Kind::Gearshift, measure(gearshift)), (Kind::Random, measure(random))].into(),
        };
        Comparison {
            objective: Objective::Latency,
            requests: None,
            capacities: Vec::new(),
            cells: times.iter().map(cell).collect(),
        }
    }

    #[test]
    fn factors_are_geometric_and_paired() {
        let standing = standing(&comparison(&[
            (0.5, 0, 1.0, 2.0),
            (1.0, 0, 1.0, 8.0),
            (0.5, 1, 10.0, 20.0),
            (1.0, 1, 1.0, 8.0),
        ]));
        let random = standing.policies.iter().find(|row| row.policy == Kind::Random).unwrap();
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        near(random.overall.mean, 4.0);
        near(random.overall.low, 4.0);
        near(random.loads[0].1, 2.0);
        near(random.loads[1].1, 8.0);
        near(random.fleets["f"], 4.0);
        assert!(standing.losses.is_empty());
    }

    #[test]
    fn a_loss_is_one_in_every_seed() {
        let once = comparison(&[(0.5, 0, 1.0, 0.5), (0.5, 1, 1.0, 1.5)]);
        assert!(standing(&once).losses.is_empty());
        let losses = standing(&comparison(&[(0.5, 0, 1.0, 0.5), (0.5, 1, 1.0, 0.9)])).losses;
        assert_eq!((losses.len(), losses[0].policy), (1, Kind::Random));
        assert!((losses[0].factor - 0.45f64.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn one_seed_says_nothing_of_the_spread() {
        let factor = over_seeds(&[(0, 0.0), (0, 1.0)]);
        assert!(
            (factor.mean - 0.5f64.exp()).abs() < 1e-9 && factor.low == 0.0 && factor.high == f64::INFINITY
        );
        let three = over_seeds(&[(0, -0.1), (1, 0.0), (2, 0.1)]);
        let half = 4.303 * 0.1 / 3f64.sqrt();
        assert!((three.high.ln() - half).abs() < 1e-9);
    }
}
