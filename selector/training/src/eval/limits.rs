//! The cheapest configuration and concurrency under a limit on the time per token.
//!
//! All samples of a model, hardware, precision and lengths compete, whatever their concurrency. A choice that does not
//! meet the limit pays what the dearest one that does would have cost, and twice the cheapest at least.

use std::collections::BTreeMap;

use crate::dataset::{Dataset, Sample};

/// Limits on end-to-end time per output token, milliseconds.
pub const LIMITS_MS: [f64; 5] = [8.0, 12.0, 18.0, 27.0, 40.0];

/// A violation costs twice the cheapest at least.
const LEAST_PENALTY: f64 = std::f64::consts::LN_2;

/// One question.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The samples that compete.
    pub group: usize,
    /// ln of the limit.
    pub ln_limit: f64,
}

/// Samples by what they compete for, and the questions on them.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Samples of each group.
    pub groups: Vec<Vec<usize>>,
    /// Questions that some of a group can meet and others not.
    pub cases: Vec<Case>,
}

/// How a choice turned out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Penalised cost over the cheapest that meets the limit, natural log.
    pub regret: f64,
    /// Whether the limit was violated.
    pub violated: bool,
}

impl Limits {
    /// Of a dataset.
    pub fn new(dataset: &Dataset) -> Self {
        let mut by_key: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, sample) in dataset.samples.iter().enumerate() {
            by_key.entry(key(sample)).or_default().push(at);
        }
        let groups: Vec<Vec<usize>> = by_key.into_values().collect();
        let mut cases = Vec::new();
        for (group, samples) in groups.iter().enumerate() {
            for limit in LIMITS_MS {
                let ln_limit = limit.ln();
                let meets =
                    samples.iter().filter(|&&at| ln_per_token(&dataset.samples[at]) <= ln_limit).count();
                if meets > 0 && meets < samples.len() {
                    cases.push(Case { group, ln_limit });
                }
            }
        }
        Self { groups, cases }
    }

    /// The sample a selector takes, given the times it foretells, where it keeps the limit with a factor of `margin` (≤ 1).
    pub fn choose(&self, case: &Case, dataset: &Dataset, ln_e2e: &[f64], margin: f64) -> usize {
        let samples = &self.groups[case.group];
        let foretold = |at: usize| ln_e2e[at] - dataset.samples[at].situation.output_tokens.ln();
        let meets = |at: &usize| foretold(*at) <= case.ln_limit + margin.ln();
        let cost = |at: usize| ln_cost(&dataset.samples[at], ln_e2e[at]);
        let cheapest = first_least(samples.iter().copied().filter(meets), cost);
        cheapest.or_else(|| first_least(samples.iter().copied(), foretold)).unwrap_or_default()
    }

    /// What became of a choice.
    pub fn judge(&self, case: &Case, dataset: &Dataset, chosen: usize) -> Verdict {
        let meets = |at: usize| ln_per_token(&dataset.samples[at]) <= case.ln_limit;
        let cost = |at: usize| ln_cost(&dataset.samples[at], dataset.samples[at].e2e_ms.ln());
        let costs = self.groups[case.group].iter().copied().filter(|&at| meets(at)).map(cost);
        let (least, greatest) =
            costs.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), cost| (a.min(cost), b.max(cost)));
        let violated = !meets(chosen);
        let regret = if violated { (greatest - least).max(LEAST_PENALTY) } else { cost(chosen) - least };
        Verdict { regret, violated }
    }
}

/// The first of the least.
pub fn first_least(among: impl Iterator<Item = usize>, value: impl Fn(usize) -> f64) -> Option<usize> {
    among
        .map(|at| (at, value(at)))
        .fold(None, |best: Option<(usize, f64)>, next| match best {
            Some(best) if next.1.total_cmp(&best.1).is_ge() => Some(best),
            Some(_) | None => Some(next),
        })
        .map(|(at, _)| at)
}

fn key(sample: &Sample) -> String {
    let (row, d) = (&sample.row, &sample.deployment);
    let (workload, knobs) = (&row.workload, &d.knobs);
    format!(
        "{}|{}|{}|{}|{:?}|{}|{}",
        row.facts.model,
        row.facts.hardware,
        workload.prompt_tokens,
        workload.output_tokens,
        knobs.quantization,
        d.model.weight_bytes,
        workload.name,
    )
}

fn ln_per_token(sample: &Sample) -> f64 {
    (sample.e2e_ms / sample.situation.output_tokens).ln()
}

/// Accelerator time per token, natural log.
fn ln_cost(sample: &Sample, ln_e2e: f64) -> f64 {
    let in_flight = sample.situation.load.sequences + sample.situation.sequences;
    ln_e2e + (sample.accelerators / (in_flight * sample.situation.output_tokens)).ln()
}
