//! The meta-learner in the decision: the best candidates' predictions, corrected.
//!
//! It is asked about the best few by prior × calibration together. What it says of them is two things. The *level*: by how
//! much the prior is off in this situation, for limits. And the *order*: how they differ, from an output that was trained
//! for nothing else. The end-to-end time of a candidate is the prior's, times the mean level, times its place in the order;
//! its TTFT and TPOT are scaled to add up to that. What is corrected is the prior with the bundle's own factors; how far that is from the
//! prior that all bundles share is part of what the bundle says. Every correction counts as far as the ensemble agrees on it, and as far as
//! outcomes of the backend have borne the learner out so far (see [`Gate`](crate::gate::Gate)): at a backend that nobody knows, and where it
//! adds noise, it has no say, and the calibrated prior decides. Where it has none at any candidate it is asked in few decisions, for evidence of whether that is still
//! so: asking is most of what a decision costs.

use gearshift_config::Objective;
use smallvec::SmallVec;

use crate::{
    Moment,
    calibration::Calibration,
    choose::RoutePolicy,
    decision::{Fallback, Learned},
    eligible::MAX_CANDIDATES,
    group::{Constants, Group, Learner},
    inputs::{self, QueryInputs},
    learner::{Correction, Head, Memory},
    objective,
    prior::{Prior, Terms},
    rank::{Candidate, Estimate, Factors, MARGIN, calibrated, stranger},
    relearned::Learnt,
};

/// Below this mean weight of the corrections, the prior is as good: its own calibration decides.
const LEAST_CONFIDENCE: f64 = 0.2;
/// A say of less than this, natural log, is none: between two candidates it makes less than what counts as equal.
const LEAST_SAY: f64 = 0.02;
/// Quantiles further than this from the mean are no estimate, natural log.
const MAX_QUANTILE: f64 = 2.0;

/// One for each candidate at most.
type PerCandidate<T> = SmallVec<[T; MAX_CANDIDATES]>;

/// What a correction is over: the prior with the bundle's own factors, at one candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Base {
    ttft_ms: f64,
    /// Of all tokens after the first.
    decode_ms: f64,
    /// Natural logs of its TTFT, TPOT and draining time over the shared prior's.
    over: (f64, f64, f64),
}

impl Base {
    /// And the query for the learner.
    fn new(constants: &Constants, prior: &Prior, estimate: &Estimate) -> (Self, QueryInputs) {
        let Estimate { situation, terms, .. } = estimate;
        let base = |terms: &Terms, over| Self {
            ttft_ms: terms.ttft_ms(),
            decode_ms: situation.decode_tokens() * terms.tpot_ms(),
            over,
        };
        let Some(own) = &constants.bundle_prior else {
            return (base(terms, (0.0, 0.0, 0.0)), inputs::query(prior, terms, situation));
        };
        let own_terms = own.terms(situation);
        let over = (
            (own_terms.ttft_ms() / terms.ttft_ms()).ln(),
            (own_terms.tpot_ms() / terms.tpot_ms()).ln(),
            (own.drain_ms(situation) / prior.drain_ms(situation)).ln(),
        );
        (base(&own_terms, over), inputs::query(own, &own_terms, situation))
    }
}

/// A correction at its candidate, shrunk; natural logs over the shared prior.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shrunk {
    ttft: f64,
    tpot: f64,
    saturation: f64,
    ttft_guard: f64,
    tpot_guard: f64,
    confidence: f64,
}

/// Corrects the candidates' predictions and ranks them anew; all of them have one.
///
/// # Errors
/// Why the learner has nothing to say. The candidates are as they were then.
pub(crate) fn correct(
    group: &Group,
    policy: &RoutePolicy,
    head: Option<&mut Head>,
    candidates: &mut [Candidate],
    now: Moment,
) -> Result<(), Fallback> {
    let learner = group.learner().ok_or(Fallback::NoBundle)?;
    let head = head.ok_or(Fallback::OverBudget)?;
    if head.generation() != learner.generation {
        return Err(Fallback::LearnerFailed);
    }
    let asked = best(candidates, learner.candidates);
    if no_say(group, policy, learner, candidates, &asked) && !head.asked_nevertheless() {
        return Err(Fallback::NoSay);
    }
    let shrunk = ask(group, learner, head, candidates, &asked)?;
    let before = mean_ln_e2e(candidates, &asked);
    apply(group, policy, learner, candidates, &asked, &shrunk, now);
    let shift = (mean_ln_e2e(candidates, &asked) - before).exp();
    for at in (0..candidates.len()).filter(|at| !asked.contains(at)) {
        shift_unasked(group, policy, &mut candidates[at], shift);
    }
    Ok(())
}

/// Positions of the best `count`, in the order of the group.
fn best(candidates: &[Candidate], count: usize) -> PerCandidate<usize> {
    let mut positions: PerCandidate<usize> = (0..candidates.len()).collect();
    if count < positions.len() {
        positions.select_nth_unstable_by(count, |&a, &b| {
            let (a, b) = (&candidates[a], &candidates[b]);
            a.class.cmp(&b.class).then(a.value.total_cmp(&b.value))
        });
        positions.truncate(count);
        positions.sort_unstable();
    }
    positions
}

/// Whether outcomes have shown that what the learner says moves none of these candidates by as much as matters.
///
/// They show how far TTFT and TPOT are moved. Of the tails that limits are held against, and of the time in which an engine is
/// done with all it has, they show nothing: where these decide, the learner may have no weight at all.
fn no_say(
    group: &Group,
    policy: &RoutePolicy,
    learner: Learner,
    candidates: &[Candidate],
    asked: &[usize],
) -> bool {
    let shown = !objective::has_limits(&policy.slo) && policy.objective != Objective::Throughput;
    let mut compared = false;
    let silent = asked.iter().all(|&at| {
        let state = &group.backends()[candidates[at].ranked.index].state;
        state.relearned.of(learner.generation).is_some_and(|learnt| {
            compared |= learnt.compared();
            if shown { learnt.say() < LEAST_SAY } else { !learnt.weighs() }
        })
    });
    silent && compared
}

/// Asks the head about these candidates, and shrinks what it says.
fn ask(
    group: &Group,
    learner: Learner,
    head: &mut Head,
    candidates: &[Candidate],
    asked: &[usize],
) -> Result<PerCandidate<Shrunk>, Fallback> {
    let (mut queries, mut corrections) =
        (std::mem::take(&mut head.queries), std::mem::take(&mut head.corrections));
    queries.clear();
    let mut engines: PerCandidate<&Memory> = SmallVec::new();
    let mut bases: PerCandidate<Base> = SmallVec::new();
    for candidate in asked.iter().map(|&at| &candidates[at]) {
        let constants = group.constants(candidate.ranked.index);
        if let (Some(prior), Some(memory), Some(estimate)) =
            (&constants.prior, &constants.memory, &candidate.estimate)
        {
            let (base, query) = Base::new(constants, prior, estimate);
            queries.push(query);
            engines.push(memory);
            bases.push(base);
        }
    }
    let complete = engines.len() == asked.len();
    inputs::centre(&mut queries);
    let said = head.correct(&engines, &queries, &mut corrections);
    let shrunk = shrink(&corrections, &bases, learner.spread_scale);
    (head.queries, head.corrections) = (queries, corrections);
    if said.is_err() || !complete {
        return Err(Fallback::LearnerFailed);
    }
    let confidence = shrunk.iter().map(|shrunk| shrunk.confidence).sum::<f64>() / shrunk.len() as f64;
    if confidence < LEAST_CONFIDENCE { Err(Fallback::LowConfidence) } else { Ok(shrunk) }
}

/// Level and order of candidates that were asked about together; see the module.
fn shrink(corrections: &[Correction], bases: &[Base], spread_scale: f64) -> PerCandidate<Shrunk> {
    let count = corrections.len() as f64;
    let weight = |c: &Correction| 1.0 / (1.0 + (f64::from(c.spread) / spread_scale).powi(2));
    let level = |(c, base): (&Correction, &Base)| {
        let Base { ttft_ms, decode_ms, .. } = base;
        let (ttft, tpot) = (weight(c) * f64::from(c.ttft), weight(c) * f64::from(c.tpot));
        ((ttft_ms * ttft.exp() + decode_ms * tpot.exp()) / (ttft_ms + decode_ms)).ln()
    };
    let levels: PerCandidate<f64> = corrections.iter().zip(bases).map(level).collect();
    let mean_level = levels.iter().sum::<f64>() / count;
    let mean_relative = corrections.iter().map(|c| f64::from(c.relative)).sum::<f64>() / count;
    let shrunk = |((c, base), own_level): ((&Correction, &Base), f64)| {
        let weight = weight(c);
        let scale = mean_level + weight * (f64::from(c.relative) - mean_relative) - own_level;
        let guard = |mean: f32, p90: f32| {
            let quantile = f64::from(p90 - mean).clamp(0.0, MAX_QUANTILE);
            weight * quantile + (1.0 - weight) * MARGIN.ln()
        };
        Shrunk {
            ttft: base.over.0 + weight * f64::from(c.ttft) + scale,
            tpot: base.over.1 + weight * f64::from(c.tpot) + scale,
            saturation: weight * f64::from(c.saturation) - base.over.2,
            ttft_guard: guard(c.ttft, c.ttft_p90),
            tpot_guard: guard(c.tpot, c.tpot_p90),
            confidence: weight,
        }
    };
    corrections.iter().zip(bases).zip(levels).map(shrunk).collect()
}

/// Predicts anew from the corrections, as far as outcomes have borne this bundle out at each backend.
fn apply(
    group: &Group,
    policy: &RoutePolicy,
    learner: Learner,
    candidates: &mut [Candidate],
    asked: &[usize],
    shrunk: &[Shrunk],
    now: Moment,
) {
    let learnt: PerCandidate<Option<&Learnt>> = asked
        .iter()
        .zip(shrunk)
        .map(|(&at, shrunk)| {
            let state = &group.backends()[candidates[at].ranked.index].state;
            let factors = (shrunk.ttft.exp(), shrunk.tpot.exp());
            state.relearned.seeded(learner.generation, &state.calibration, factors)
        })
        .collect();
    let unknown = Calibration::new();
    let calibrations = learnt.iter().map(|known| known.map_or(&unknown, |learnt| &learnt.calibration));
    let stranger = stranger(calibrations, now);
    for ((&at, shrunk), learnt) in asked.iter().zip(shrunk).zip(&learnt) {
        let Some(Estimate { at: place, silence_s, factors: prior, .. }) = candidates[at].estimate else {
            continue;
        };
        let calibration = learnt.map(|learnt| &learnt.calibration);
        let calibration = calibrated(calibration, &place, silence_s, stranger);
        let weights = learnt.map_or((0.0, 0.0), Learnt::weights);
        let factors = factors(shrunk, calibration, weights, &prior, learner);
        again(group, policy, &mut candidates[at], factors);
    }
}

/// Between the calibrated prior's and the calibrated learner's, by the weights of TTFT and TPOT.
fn factors(
    shrunk: &Shrunk,
    calibration: (f64, f64),
    (ttft_weight, tpot_weight): (f64, f64),
    prior: &Factors,
    learner: Learner,
) -> Factors {
    let between = |prior: f64, learned: f64, weight: f64| prior * (learned / prior).powf(weight);
    let (ttft_factor, tpot_factor) = (shrunk.ttft.exp(), shrunk.tpot.exp());
    let guard = |ln: f64, weight: f64| between(MARGIN, ln.exp(), weight);
    Factors {
        ttft: between(prior.ttft, ttft_factor * calibration.0, ttft_weight),
        tpot: between(prior.tpot, tpot_factor * calibration.1, tpot_weight),
        drain: between(prior.drain, (-shrunk.saturation).exp() * calibration.1, tpot_weight),
        ttft_guard: guard(shrunk.ttft_guard, ttft_weight),
        tpot_guard: guard(shrunk.tpot_guard, tpot_weight),
        learned: Some(Learned {
            generation: learner.generation,
            ttft_factor,
            tpot_factor,
            confidence: shrunk.confidence,
            ttft_weight,
            tpot_weight,
        }),
    }
}

/// The learner was not asked about the others: they keep their distance from those it was asked about, or a learner that
/// says that all are slower would make them look fast.
fn shift_unasked(group: &Group, policy: &RoutePolicy, candidate: &mut Candidate, shift: f64) {
    let Some(Estimate { factors, .. }) = candidate.estimate else { return };
    let factors = Factors {
        ttft: factors.ttft * shift,
        tpot: factors.tpot * shift,
        drain: factors.drain * shift,
        ..factors
    };
    again(group, policy, candidate, factors);
}

fn again(group: &Group, policy: &RoutePolicy, candidate: &mut Candidate, factors: Factors) {
    let prior = group.constants(candidate.ranked.index).prior.as_ref();
    if let Some((prior, estimate)) = prior.zip(candidate.estimate) {
        candidate.predict(group, policy, prior, Estimate { factors, ..estimate });
    }
}

/// Mean over candidates of the logarithm of their predicted time.
fn mean_ln_e2e(candidates: &[Candidate], positions: &[usize]) -> f64 {
    let predictions = positions.iter().filter_map(|&at| candidates[at].ranked.prediction);
    predictions.map(|prediction| prediction.e2e_s.ln()).sum::<f64>() / positions.len() as f64
}

#[cfg(test)]
#[path = "correct_tests.rs"]
mod tests;
