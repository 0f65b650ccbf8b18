//! What each candidate of a logged decision would have cost: the direct part of the estimate.
//!
//! Boosted trees learn how much longer requests took than was predicted when they were sent, by engine and load. They are neither
//! of the policies that are compared, and no decision is judged by trees that have seen it: those that are judged are cut into parts by
//! time, and each part is looked at by trees grown on the others and on what came before.

use std::collections::BTreeMap;

use super::Decided;
use crate::{
    baselines::{
        matrix::Matrix,
        trees::{Boost, Boosted, Growth},
    },
    live::Journey,
};

/// Parts of the cross-fit.
const PARTS: usize = 5;
/// Logarithms beyond this are no engine's pace.
const BOUND: f64 = 3.0;

const BOOST: Boost = Boost {
    rounds: 60,
    rate: 0.15,
    rows: 0.7,
    columns: 0.7,
    growth: Growth { leaves: Some(12), rows: 20, columns: 1.0, ridge: 5.0 },
};

/// The losses that are expected of the candidates of each decision from position `from` on. All are learned from; they are in the
/// order of time.
pub fn expected(decisions: &[(&Journey, Decided)], from: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut engines = BTreeMap::new();
    for (journey, _) in decisions {
        for name in &journey.live().candidates.backends {
            let next = engines.len();
            engines.entry(name.as_str()).or_insert(next);
        }
    }
    let judged = decisions.len().saturating_sub(from);
    let part_of = |at: usize| (at >= from).then(|| (at - from) * PARTS / judged.max(1));
    let mut losses = Vec::with_capacity(judged);
    for part in 0..PARTS {
        let others: Vec<_> = decisions
            .iter()
            .enumerate()
            .filter(|(at, _)| part_of(*at) != Some(part))
            .map(|(_, one)| one)
            .collect();
        let rows =
            others.iter().map(|(journey, decided)| features(journey, decided, decided.chosen, &engines));
        let matrix = Matrix::of(rows);
        let targets: Vec<f64> =
            others.iter().map(|(_, decided)| decided.ln_ratio.clamp(-BOUND, BOUND)).collect();
        let weights = vec![1.0; targets.len()];
        let trees = Boosted::least_squares(&matrix, &targets, &weights, &BOOST, seed);
        // The mean of a factor is not the exponential of the mean logarithm (Duan's smearing).
        let smear: f64 =
            targets.iter().zip(matrix.iter()).map(|(y, row)| (y - trees.predict(row)).exp()).sum();
        let smear = if targets.is_empty() { 1.0 } else { smear / targets.len() as f64 };
        let own = decisions.iter().enumerate().filter(|(at, _)| part_of(*at) == Some(part));
        losses.extend(own.map(|(_, (journey, decided))| {
            let one = |at: usize| {
                let ln = trees.predict(&features(journey, decided, at, &engines)).clamp(-BOUND, BOUND);
                decided.loss(at, ln.exp() * smear)
            };
            (0..decided.e2e_s.len()).map(one).collect()
        }));
    }
    losses
}

/// What trees are told of a candidate.
fn features(journey: &Journey, decided: &Decided, at: usize, engines: &BTreeMap<&str, usize>) -> Vec<f64> {
    let candidates = &journey.live().candidates;
    let of = |values: &[f64]| values.get(at).copied().filter(|value| value.is_finite()).unwrap_or(0.0);
    let workload = &journey.row.workload;
    let mut row = vec![
        workload.prompt_tokens.max(1.0).ln(),
        workload.output_tokens.max(1.0).ln(),
        of(&candidates.cached_tokens) / workload.prompt_tokens.max(1.0),
        of(&candidates.sequences),
        of(&candidates.decoding),
        of(&candidates.prefill_tokens).max(0.0).ln_1p(),
        of(&candidates.decode_tokens).max(0.0).ln_1p(),
        of(&candidates.context_tokens).max(0.0).ln_1p(),
        of(&candidates.ttft_s).max(1e-6).ln(),
        of(&candidates.tpot_s).max(1e-9).ln(),
        decided.e2e_s[at].ln(),
    ];
    let own = candidates.backends.get(at).and_then(|name| engines.get(name.as_str()));
    row.extend((0..engines.len()).map(|engine| f64::from(u8::from(own == Some(&engine)))));
    row
}
