//! The report's shape: `eval.json`.

use serde::Serialize;

use super::resample::Ends;

/// All of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// How it was made.
    pub made: Made,
    /// One entry for each split, protocol, source, data set, set of actions and objective.
    pub splits: Vec<SplitReport>,
    /// How well confidence tells good choices from bad, on hardware unlike that trained on.
    pub confidence: Vec<RiskCoverage>,
}

/// What a repetition needs to know.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Made {
    /// Seeds over which stochastic selectors are averaged.
    pub seeds: Vec<u64>,
    /// Whether it is a trial run with fewer trees, members and seeds.
    pub quick: bool,
    /// SHA-256 over the rows, hexadecimal, by data set.
    pub data: std::collections::BTreeMap<String, String>,
    /// The learner's hyperparameters.
    pub recipe: crate::fit::Recipe,
}

/// One table.
#[derive(Debug, Clone, Serialize)]
pub struct SplitReport {
    /// What was held out: `hardware:h200_sxm`, `unseen_gpu` (all such splits together), ….
    pub name: String,
    /// `clean` or `era`.
    pub protocol: String,
    /// `measured`, `simulated`, ….
    pub source: String,
    /// The data set.
    pub dataset: String,
    /// Which actions competed: `all`, or `metainf` for the eight of the paper.
    pub actions: String,
    /// What was made best.
    pub objective: String,
    /// Contexts with a choice; under a limit, questions asked.
    pub contexts: usize,
    /// Groups of model and hardware they lie in.
    pub clusters: usize,
    /// Share of contexts whose worst action is more than 2 % worse than the best.
    pub matters: f64,
    /// The fixed rule that does best here, seen afterwards.
    pub best_rule: Option<String>,
    /// By selector.
    pub selectors: Vec<SelectorReport>,
}

/// One selector in one table. Intervals are of 95 %, by bootstrap.
#[derive(Debug, Clone, Serialize)]
pub struct SelectorReport {
    /// Its name.
    pub name: String,
    /// Share of contexts in which it takes the best action.
    pub accuracy: f64,
    /// Share in which it is within 2 % of it.
    pub within_2pct: f64,
    /// Geometric mean of the objective under the all-off profile over that under the chosen one.
    pub acceleration: Option<f64>,
    /// The same against vLLM's defaults.
    pub vs_defaults: Option<f64>,
    /// The same against the single best action.
    pub vs_single_best: Option<f64>,
    /// Geometric mean of chosen over best; under a limit with the penalty for violations.
    pub regret: f64,
    /// 1 − mean log regret over that of the single best.
    pub gap_closed: Option<f64>,
    /// The same over that of [`SplitReport::best_rule`].
    pub gap_over_best_rule: Option<f64>,
    /// Share of answers that break the limit.
    pub violations: Option<f64>,
    /// Median error of the times it foretells; over several parts the mean of theirs, weighted by samples.
    pub time_error: Option<f64>,
    /// By contexts.
    pub ci95: Intervals,
    /// By groups of model and hardware, which is what a new one would bring.
    pub ci95_clustered: Intervals,
    /// By how much the meta-learner is ahead of it.
    pub metainf_ahead: Option<Paired>,
    /// By how much it is ahead of the rule with ties to the newest software.
    pub ahead_of_rule_plus: Option<Paired>,
}

/// Intervals of the two figures that are compared.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Intervals {
    /// Of `regret`.
    pub regret: Option<Ends>,
    /// Of `gap_closed`.
    pub gap_closed: Option<Ends>,
    /// Of `gap_over_best_rule`.
    pub gap_over_best_rule: Option<Ends>,
    /// Of `vs_defaults`.
    pub vs_defaults: Option<Ends>,
    /// Of `acceleration`.
    pub acceleration: Option<Ends>,
}

/// A difference on the same contexts: in gap closed, or in mean log regret where no gap is defined.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Paired {
    /// The difference; positive where the first is better.
    pub by: f64,
    /// By contexts.
    pub ci95: Option<Ends>,
    /// By groups of model and hardware.
    pub ci95_clustered: Option<Ends>,
}

/// Regret over the contexts of which a selector is surest.
#[derive(Debug, Clone, Serialize)]
pub struct RiskCoverage {
    /// Which part was held out.
    pub name: String,
    /// The data set.
    pub dataset: String,
    /// The selector.
    pub selector: String,
    /// Share of contexts kept, the surest first, and the geometric mean of chosen over best over them.
    pub curve: Vec<(f64, f64)>,
    /// Rank correlation of spread and regret.
    pub rank_correlation: f64,
}
