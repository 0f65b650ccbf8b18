//! How each candidate stands: its prediction, or its pace where no prediction can be made.

use gearshift_config::Slo;
use smallvec::SmallVec;

use crate::{
    Moment, PREFIX_BLOCK_BYTES,
    calibration::{At, Calibration},
    choose::RoutePolicy,
    decision::{Learned, Prediction, Ranked, Upper},
    eligible::MAX_CANDIDATES,
    features::{RequestFacts, Situation, Typical, Work},
    group::{BackendSpec, Constants, Group, Index},
    load::Load,
    num, objective,
    prior::{Prior, Terms},
    tokens::ModelState,
};

/// The request in numbers, the same for all candidates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) facts: &'a RequestFacts,
    pub(crate) prompt_tokens: f64,
    pub(crate) output_tokens: f64,
    pub(crate) sequences: f64,
    typical: Typical,
    bytes_per_token: f64,
    pub(crate) now: Moment,
}

impl<'a> Request<'a> {
    pub(crate) fn new(
        model: &ModelState,
        policy: &RoutePolicy,
        facts: &'a RequestFacts,
        now: Moment,
    ) -> Self {
        let output_tokens = match facts.work {
            Work::Generate => {
                let cap = facts.max_tokens.map_or(f64::INFINITY, f64::from);
                model.output_tokens(&policy.output_lengths).min(cap).max(1.0)
            }
            Work::Encode | Work::Utility | Work::Audio => 1.0,
        };
        Self {
            facts,
            prompt_tokens: f64::from(model.prompt_tokens(facts)),
            output_tokens,
            sequences: f64::from(facts.counted_sequences()),
            typical: model.typical(),
            bytes_per_token: model.bytes_per_token(),
            now,
        }
    }

    /// Prompt tokens predicted to be in the backend's prefix cache. The last token is always computed: its output
    /// is what the engine samples from. `guess` carries the blocks found from one candidate to the next.
    fn cached_tokens(&self, backend: &BackendSpec, guess: &mut usize) -> f64 {
        if self.facts.work != Work::Generate || !backend.caches_prefixes() {
            return 0.0;
        }
        let blocks = backend.state.index.matched(&self.facts.prefix.0, *guess);
        if blocks == 0 {
            return 0.0;
        }
        *guess = blocks;
        let tokens = (blocks * PREFIX_BLOCK_BYTES) as f64 / self.bytes_per_token;
        tokens.min(self.prompt_tokens - 1.0).max(0.0)
    }
}

/// What decides between candidates, in this order; lower is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Predicted to meet all limits, and the objective's number is known.
    Meets,
    /// As above, but the objective's number is not known: by end-to-end latency.
    Unscored,
    /// Misses a limit or has no room: by how much.
    Misses,
    /// The prompt is longer than its context.
    TooShort,
}

/// One candidate as the choice sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) ranked: Ranked,
    pub(crate) class: Class,
    /// What is compared within the class; positive, finite or infinite, never NaN.
    pub(crate) value: f64,
    /// How far its value may be off because its engine is not known better, natural log.
    pub(crate) doubt: f64,
    /// Prompt tokens it would have to compute.
    pub(crate) uncached_tokens: f64,
    /// The ledger's outstanding tokens and requests.
    pub(crate) outstanding: (u64, u32),
    /// Pace as observed, seconds per output token; `None` before the first answer.
    pub(crate) pace_s: Option<f64>,
    pub(crate) failures: f64,
    /// Whether so little is known of it that it has to be introduced.
    pub(crate) is_new: bool,
    /// What its prediction is made from; `None` where it has none.
    pub(crate) estimate: Option<Estimate>,
}

/// What a prediction is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Estimate {
    pub(crate) situation: Situation,
    pub(crate) terms: Terms,
    /// Where it is on the lines of calibration.
    pub(crate) at: At,
    /// For how long nothing could be learned of the engine, seconds; 0 while it has work of this router.
    pub(crate) silence_s: f64,
    pub(crate) factors: Factors,
}

/// By what a candidate's prior is multiplied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Factors {
    pub(crate) ttft: f64,
    pub(crate) tpot: f64,
    /// On the time until the engine could be done with all it has.
    pub(crate) drain: f64,
    /// From the expected TTFT to the one held against limits.
    pub(crate) ttft_guard: f64,
    /// From the expected TPOT to the one held against limits.
    pub(crate) tpot_guard: f64,
    pub(crate) learned: Option<Learned>,
}

/// Without quantiles, a limit counts as met when the prediction is below 0.9 of it. On measured rows, choosing the cheapest
/// configuration under a per-token limit by a prediction broke the limit in 20 % of cases, and in 14 % with this
/// margin.
pub(crate) const MARGIN: f64 = 1.0 / 0.9;

impl Factors {
    /// Calibration alone.
    pub(crate) fn calibrated((ttft, tpot): (f64, f64)) -> Self {
        Self { ttft, tpot, drain: tpot, ttft_guard: MARGIN, tpot_guard: MARGIN, learned: None }
    }
}

/// Candidates in the order of the group. Some 40 kB on the stack: filled in place, never moved.
pub(crate) type Candidates = SmallVec<[Candidate; MAX_CANDIDATES]>;

/// Works out how each candidate stands.
pub(crate) fn survey(
    group: &Group,
    indices: &[Index],
    policy: &RoutePolicy,
    request: &Request<'_>,
    into: &mut Candidates,
) {
    let mut guess = 0;
    let calibrations = indices.iter().map(|&index| &group.backends()[index].state.calibration);
    let stranger = stranger(calibrations, request.now);
    into.extend(indices.iter().map(|&index| candidate(group, index, policy, request, stranger, &mut guess)));
}

/// Silence up to which nothing fades, seconds: the pauses of a backend in use.
const SILENT_S: f64 = 1.0;

/// Levels of calibration assumed of a backend that has not answered yet, or long ago: the medians of the others', for how far the prior is
/// off is mostly the same for all; but no worse than the prior, for it may be they who are not what they claim. Left at 0,
/// an engine that was not tried would look slower than its equals for ever wherever the prior is too slow.
pub(crate) fn stranger<'a>(all: impl Iterator<Item = &'a Calibration> + Clone, now: Moment) -> (f64, f64) {
    let heard = |calibration: &Calibration| {
        let whole = calibration.known_levels();
        whole.0.and(whole.1).is_some() && now.seconds_since(Moment(calibration.learned_at())) <= SILENT_S
    };
    if all.clone().all(heard) {
        return (0.0, 0.0);
    }
    let mut ttft: Levels = all.clone().filter_map(|calibration| calibration.known_levels().0).collect();
    let mut tpot: Levels = all.filter_map(|calibration| calibration.known_levels().1).collect();
    (median(&mut ttft).min(0.0), median(&mut tpot).min(0.0))
}

type Levels = SmallVec<[f64; MAX_CANDIDATES]>;

/// 0 of none.
fn median(levels: &mut [f64]) -> f64 {
    let middle = levels.len() / 2;
    if levels.is_empty() { 0.0 } else { *levels.select_nth_unstable_by(middle, f64::total_cmp).1 }
}

/// What calibration says at an engine; of a stranger, and of the part of an engine's times that has not been seen yet, what is assumed.
pub(crate) fn calibrated(
    calibration: Option<&Calibration>,
    at: &At,
    silence_s: f64,
    stranger: (f64, f64),
) -> (f64, f64) {
    let assumed = (stranger.0.exp(), stranger.1.exp());
    let Some(calibration) = calibration.filter(|calibration| calibration.knows()) else { return assumed };
    let (ttft, tpot) = if silence_s > SILENT_S {
        calibration.factors_after(at, silence_s, stranger)
    } else {
        calibration.factors(at)
    };
    let known = calibration.known_levels();
    (known.0.map_or(assumed.0, |_| ttft), known.1.map_or(assumed.1, |_| tpot))
}

fn candidate(
    group: &Group,
    index: Index,
    policy: &RoutePolicy,
    request: &Request<'_>,
    stranger: (f64, f64),
    guess: &mut usize,
) -> Candidate {
    let (backend, constants) = (&group.backends()[index], group.constants(index));
    let cached_tokens = request.cached_tokens(backend, guess);
    let ledger = backend.state.in_flight();
    let mut candidate = Candidate {
        outstanding: (ledger.tokens(), ledger.requests),
        pace_s: backend.state.pace.value(request.now),
        failures: backend.state.recent_failures(request.now),
        is_new: backend.state.is_new(ledger.requests),
        ..Candidate::unscored(group, index, policy, cached_tokens, request.prompt_tokens, request.now)
    };
    if let Some(prior) = constants.prior.as_ref().filter(|_| request.facts.work.has_prior()) {
        let (situation, idle) = (situation(backend, request, cached_tokens), ledger.requests == 0);
        let calibration = &backend.state.calibration;
        let estimate = Estimate::new(prior, situation, calibration, stranger, idle, request.now);
        candidate.predict(group, policy, prior, estimate);
    }
    candidate
}

/// The request at one backend of the group as [`choose`](crate::choose) would take it now: what a row of the
/// performance database records of it.
pub fn situation_at(
    group: &Group,
    index: Index,
    policy: &RoutePolicy,
    facts: &RequestFacts,
    now: Moment,
) -> Option<Situation> {
    let backend = group.backends().get(index)?;
    let request = Request::new(&backend.model_state, policy, facts, now);
    let cached_tokens = request.cached_tokens(backend, &mut 0);
    Some(situation(backend, &request, cached_tokens))
}

fn situation(backend: &BackendSpec, request: &Request<'_>, cached_tokens: f64) -> Situation {
    Situation {
        generates: request.facts.work == Work::Generate,
        prompt_tokens: request.prompt_tokens,
        cached_tokens,
        output_tokens: request.output_tokens,
        sequences: request.sequences,
        load: Load::of(&backend.state, &request.typical, request.now),
        typical: request.typical,
    }
}

impl Estimate {
    /// By the prior and what is known of the engine, or else of `stranger`s. An `idle` one has taught nothing since its last
    /// outcome.
    pub(crate) fn new(
        prior: &Prior,
        situation: Situation,
        calibration: &Calibration,
        stranger: (f64, f64),
        idle: bool,
        now: Moment,
    ) -> Self {
        let terms = prior.terms(&situation);
        let at = At::new(terms.ttft_ms() * 1e-3, terms.concurrency);
        let silence_s = if idle { now.seconds_since(Moment(calibration.learned_at())) } else { 0.0 };
        let factors = Factors::calibrated(calibrated(Some(calibration), &at, silence_s, stranger));
        Self { situation, terms, at, silence_s, factors }
    }

    /// By how much the request delays others there, seconds: at the pace of decoding, for the other factor has waiting in it.
    pub(crate) fn imposed_s(&self) -> f64 {
        self.terms.imposed * self.factors.tpot * 1e-3
    }
}

impl Candidate {
    /// Nothing is predicted of it yet, and nothing counts against it.
    pub(crate) fn unscored(
        group: &Group,
        index: Index,
        policy: &RoutePolicy,
        cached_tokens: f64,
        prompt_tokens: f64,
        now: Moment,
    ) -> Self {
        let ranked = Ranked {
            index,
            prediction: None,
            cached_tokens: num::to_u32(cached_tokens),
            score: f64::INFINITY,
            meets_slo: !objective::has_limits(&policy.slo),
        };
        Self {
            ranked,
            class: Class::Unscored,
            value: f64::INFINITY,
            doubt: group.backends()[index].state.calibration.doubt(now),
            uncached_tokens: prompt_tokens - cached_tokens,
            outstanding: (0, 0),
            pace_s: None,
            failures: 0.0,
            is_new: false,
            estimate: None,
        }
    }

    /// Predicts, and ranks it by that.
    pub(crate) fn predict(&mut self, group: &Group, policy: &RoutePolicy, prior: &Prior, estimate: Estimate) {
        let Estimate { situation: s, terms, factors, .. } = &estimate;
        let (backend, constants) = (&group.backends()[self.ranked.index], group.constants(self.ranked.index));
        let prediction = prediction(&estimate, backend.state.round_trip_s(), constants);
        let imposed_s = estimate.imposed_s();
        let drain_s = || prior.drain_ms(s) * factors.drain * 1e-3;
        let score = objective::score(policy.objective, &prediction, imposed_s, drain_s);
        self.stand(&prediction, score, objective::saturation(policy.objective, terms, s), &policy.slo);
        if s.prompt_tokens > constants.max_tokens {
            self.class = Class::TooShort;
        }
        self.estimate = Some(estimate);
    }

    /// A backend that just failed is put back by its recent failures: a retry costs about what the request does.
    fn stand(&mut self, prediction: &Prediction, score: Option<f64>, saturation: f64, slo: &Slo) {
        let violation = objective::violation(slo, prediction);
        let penalty = 1.0 + self.failures;
        self.ranked.prediction = Some(*prediction);
        self.ranked.meets_slo = violation == 0.0;
        self.ranked.score = score.map_or(f64::INFINITY, |score| score * penalty);
        let (class, value) = match score {
            _ if violation + saturation > 0.0 => (Class::Misses, 1.0 + violation + saturation),
            Some(score) => (Class::Meets, score),
            None => (Class::Unscored, prediction.e2e_s),
        };
        (self.class, self.value) = (class, value * penalty);
    }
}

fn prediction(estimate: &Estimate, round_trip_s: f64, constants: &Constants) -> Prediction {
    let Estimate { situation: s, terms, factors, .. } = estimate;
    let (prior_ttft_s, prior_tpot_s) =
        (terms.ttft_ms() * 1e-3, if s.generates { terms.tpot_ms() * 1e-3 } else { 0.0 });
    let ttft_s = round_trip_s + prior_ttft_s * factors.ttft;
    let tpot_s = prior_tpot_s * factors.tpot;
    let e2e_s = |ttft_s: f64, tpot_s: f64| ttft_s + (s.output_tokens - 1.0) * tpot_s;
    let (upper_ttft_s, upper_tpot_s) = (ttft_s * factors.ttft_guard, tpot_s * factors.tpot_guard);
    let time = objective::EngineTime::new(terms, s, (factors.ttft, factors.tpot));
    Prediction {
        ttft_s,
        tpot_s,
        e2e_s: e2e_s(ttft_s, tpot_s),
        cost_usd: constants.price_usd_per_s.map(|price| time.cost_usd(price)),
        energy_j: constants.power.map(|power| time.energy_j(&power)),
        prior_ttft_s,
        prior_tpot_s,
        concurrency: terms.concurrency,
        upper: Upper { ttft_s: upper_ttft_s, tpot_s: upper_tpot_s, e2e_s: e2e_s(upper_ttft_s, upper_tpot_s) },
        learned: factors.learned,
    }
}
