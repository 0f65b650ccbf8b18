//! The doubly robust estimator: pure, for any logged bandit.

use std::collections::BTreeMap;

use gearshift_loadtests::report::{Interval, quantile_sorted};
use serde::Serialize;

/// One logged choice.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// When it was made, seconds since any moment: choices of the same minutes share a load.
    pub at_s: f64,
    /// Position of what was chosen.
    pub chosen: usize,
    /// Probability with which it was chosen, above 0.
    pub propensity: f64,
    /// What it cost.
    pub loss: f64,
    /// What a model that has not seen this choice expects each candidate to cost.
    pub expected: Vec<f64>,
}

/// How it is estimated, and what it needs to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Settings {
    /// Weights above this count as this: less variance, but what exploring says is lost where the bound is below candidates over
    /// `explore`, and the model alone speaks. `None`: all count as they are.
    pub clip: Option<f64>,
    /// Choices of so many seconds are drawn together, for they share a load.
    pub block_s: f64,
    /// Blocks that an interval needs at least.
    pub least_blocks: usize,
    /// Choices that tell two policies apart that a verdict needs at least; see [`Difference::effective`].
    pub least_effective: f64,
    /// Share that lies beyond each end of an interval.
    pub tail: f64,
    /// Resamples of the bootstrap.
    pub resamples: usize,
    /// Of the bootstrap.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clip: None,
            block_s: 120.0,
            least_blocks: 20,
            least_effective: 30.0,
            tail: 0.025,
            resamples: 2000,
            seed: 1,
        }
    }
}

/// What a policy is estimated to cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// Mean loss.
    pub value: f64,
    /// 95 % (or what [`Settings::tail`] leaves), by a bootstrap over blocks.
    pub ci95: Interval,
    /// Choices that the weights are worth: their sum squared over the sum of their squares.
    pub effective: f64,
    /// Mean weight before clipping; 1 where the propensities are right and every choice of the policy may have been logged.
    pub mean_weight: f64,
    /// Share of the weights that were clipped.
    pub clipped: f64,
}

/// By how much one policy costs less than another, on the same choices.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// Mean loss of the other less that of the one.
    pub gain: f64,
    /// 95 % (or what [`Settings::tail`] leaves), paired: both are drawn together.
    pub ci95: Interval,
    /// Choices that tell them apart: those that one of them makes and the other does not, as many as the weights of the one that has fewer
    /// are worth. Where there are few, the gain is the model's word.
    pub effective: f64,
    /// On these, the weights of the one over those of the other: 1 where whatever either chooses may have been logged.
    pub support: f64,
    /// Blocks of time that were drawn from.
    pub blocks: usize,
}

/// How far from 1 [`Difference::support`] may be, either way.
const SUPPORT: f64 = 1.6;

impl Difference {
    /// Why nothing is to be concluded from it; `None` where something is.
    pub fn doubt(&self, settings: &Settings) -> Option<String> {
        let Self { effective, support, .. } = *self;
        if let Some(few) = self.too_short(settings) {
            return Some(few);
        }
        if effective < settings.least_effective {
            return Some(format!(
                "only {effective:.0} decisions tell them apart, {:.0} are needed: the rest is the reward model's word (explore more, or wait for \
                 more rows)",
                settings.least_effective
            ));
        }
        // Whoever asks for no such decisions takes the model's word.
        let asked = settings.least_effective > 0.0;
        (asked && !(1.0 / SUPPORT..=SUPPORT).contains(&support)).then(|| {
            format!("what they choose differently was not logged as the propensities say (weights of {support:.2} where 1 is right)")
        })
    }

    /// Why its interval is none.
    pub fn too_short(&self, settings: &Settings) -> Option<String> {
        (self.blocks < settings.least_blocks).then(|| {
            format!(
                "too few: decisions lie in {} blocks of {:.0} s, {} are needed",
                self.blocks, settings.block_s, settings.least_blocks
            )
        })
    }
}

/// A policy, as far as the estimator knows it: its weights, and sums by block.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    blocks: Vec<Sums>,
    /// Of each choice, clipped.
    weights: Vec<f64>,
    unclipped: f64,
    clipped: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sums {
    count: f64,
    /// Of what the model expects of the policy's choices.
    expected: f64,
    /// Of weighted errors of the model.
    error: f64,
    /// Of the weights.
    weight: f64,
}

impl Sums {
    fn add(&mut self, one: &Self) {
        self.count += one.count;
        self.expected += one.expected;
        self.error += one.error;
        self.weight += one.weight;
    }
}

/// How many blocks choices at these times lie in.
pub fn blocks(times: impl Iterator<Item = f64>, settings: &Settings) -> usize {
    times.map(|at_s| block(at_s, settings)).collect::<std::collections::BTreeSet<_>>().len()
}

#[expect(clippy::cast_possible_truncation, reason = "float casts saturate")]
fn block(at_s: f64, settings: &Settings) -> i64 {
    (at_s / settings.block_s.max(1e-3)).floor() as i64
}

impl Tried {
    /// A policy that chooses with these probabilities, one for each candidate of each choice.
    pub fn new(choices: &[Choice], probabilities: &[Vec<f64>], settings: &Settings) -> Self {
        let (mut unclipped, mut clipped) = (0.0, 0);
        let most = settings.clip.unwrap_or(f64::INFINITY);
        let sums = choices.iter().zip(probabilities).map(|(choice, chances)| {
            let weight = chances.get(choice.chosen).copied().unwrap_or(0.0) / choice.propensity.max(1e-9);
            let kept = weight.min(most);
            unclipped += weight;
            clipped += usize::from(weight > most);
            let expected = chances.iter().zip(&choice.expected).map(|(chance, loss)| chance * loss).sum();
            let error = choice.loss - choice.expected.get(choice.chosen).copied().unwrap_or(choice.loss);
            Sums { count: 1.0, expected, error: kept * error, weight: kept }
        });
        let sums: Vec<Sums> = sums.collect();
        Self { unclipped, clipped, ..Self::of(choices, &sums, settings) }
    }

    /// What was chosen: its losses are known.
    pub fn logged(choices: &[Choice], settings: &Settings) -> Self {
        let one = |choice: &Choice| Sums { count: 1.0, expected: choice.loss, error: 0.0, weight: 1.0 };
        let sums: Vec<Sums> = choices.iter().map(one).collect();
        Self { unclipped: choices.len() as f64, ..Self::of(choices, &sums, settings) }
    }

    fn of(choices: &[Choice], sums: &[Sums], settings: &Settings) -> Self {
        let mut blocks: BTreeMap<i64, Sums> = BTreeMap::new();
        for (choice, one) in choices.iter().zip(sums) {
            blocks.entry(block(choice.at_s, settings)).or_default().add(one);
        }
        let weights = sums.iter().map(|one| one.weight).collect();
        Self { blocks: blocks.into_values().collect(), weights, unclipped: 0.0, clipped: 0 }
    }

    /// Mean loss over these blocks; the model's error is averaged with weights that add up to 1 (self-normalised).
    fn value(&self, blocks: impl Iterator<Item = usize>) -> f64 {
        let mut sums = Sums::default();
        blocks.for_each(|block| sums.add(&self.blocks[block]));
        let error = if sums.weight > 0.0 { sums.error / sums.weight } else { 0.0 };
        sums.expected / sums.count.max(1.0) + error
    }
}

/// What a policy costs.
pub fn estimate(tried: &Tried, settings: &Settings) -> Estimate {
    let choices = tried.weights.len().max(1) as f64;
    Estimate {
        value: tried.value(0..tried.blocks.len()),
        ci95: resampled(tried.blocks.len(), settings, |drawn| tried.value(drawn.iter().copied())),
        effective: worth(tried.weights.iter().copied()),
        mean_weight: tried.unclipped / choices,
        clipped: tried.clipped as f64 / choices,
    }
}

/// By how much `one` costs less than `other`.
pub fn differ(one: &Tried, other: &Tried, settings: &Settings) -> Difference {
    let gain = |drawn: &[usize]| other.value(drawn.iter().copied()) - one.value(drawn.iter().copied());
    let all: Vec<usize> = (0..one.blocks.len()).collect();
    let pairs = one.weights.iter().zip(&other.weights).map(|(&a, &b)| (a, b));
    // That one of them explores a little and the other does not is no difference.
    let apart: Vec<(f64, f64)> = pairs.filter(|(a, b)| (a - b).abs() > 0.5 * a.max(*b)).collect();
    let sums = apart.iter().fold((0.0, 0.0), |sums, (a, b)| (sums.0 + a, sums.1 + b));
    Difference {
        gain: gain(&all),
        ci95: resampled(all.len(), settings, gain),
        effective: worth(apart.iter().map(|(a, _)| *a)).min(worth(apart.iter().map(|(_, b)| *b))),
        support: if sums.1 > 0.0 { sums.0 / sums.1 } else { 0.0 },
        blocks: all.len(),
    }
}

/// How many choices weights are worth.
fn worth(weights: impl Iterator<Item = f64>) -> f64 {
    let (sum, squares) =
        weights.fold((0.0, 0.0), |(sum, squares), weight| (sum + weight, squares + weight * weight));
    if squares > 0.0 { sum * sum / squares } else { 0.0 }
}

fn resampled(blocks: usize, settings: &Settings, statistic: impl Fn(&[usize]) -> f64) -> Interval {
    let mut random = fastrand::Rng::with_seed(settings.seed);
    let mut values: Vec<f64> = (0..settings.resamples)
        .map(|_| statistic(&(0..blocks).map(|_| random.usize(..blocks)).collect::<Vec<_>>()))
        .collect();
    values.sort_by(f64::total_cmp);
    let at = |share: f64| quantile_sorted(&values, share);
    Interval { low: at(settings.tail), high: at(1.0 - settings.tail) }
}

#[cfg(test)]
#[path = "estimate_tests.rs"]
mod tests;
