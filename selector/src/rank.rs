//! How each candidate stands: its prediction, or its pace where no prediction can be made.

use gearshift_config::Slo;
use smallvec::SmallVec;

use crate::{
    Moment, PREFIX_BLOCK_BYTES,
    calibration::Calibration,
    choose::RoutePolicy,
    decision::{Prediction, Ranked},
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
    now: Moment,
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
    pub(crate) terms: Option<Terms>,
}

/// Candidates in the order of the group. Some 20 kB on the stack: filled in place, never moved.
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
    let stranger = stranger(group, indices);
    into.extend(indices.iter().map(|&index| candidate(group, index, policy, request, stranger, &mut guess)));
}

/// Calibration assumed of a backend that has not answered yet: that of the others (geometric mean), for how far the prior is
/// off is mostly the same for all; but no worse than the prior, for it may be they who are not what they claim. Left at 1,
/// an engine that was not tried would look slower than its equals for ever wherever the prior is too slow.
fn stranger(group: &Group, indices: &[Index]) -> (f64, f64) {
    let all = || indices.iter().map(|&index| &group.backends()[index].state.calibration);
    if all().all(Calibration::knows) {
        return (1.0, 1.0);
    }
    let known = all().filter(|calibration| calibration.knows());
    let (ttft, tpot, count) = known
        .map(Calibration::factors)
        .fold((0.0, 0.0, 0.0), |(a, b, n), (ttft, tpot)| (a + ttft.ln(), b + tpot.ln(), n + 1.0));
    let mean = |sum: f64| (sum / f64::max(count, 1.0)).exp().min(1.0);
    (mean(ttft), mean(tpot))
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
    let ranked = Ranked {
        index,
        prediction: None,
        cached_tokens: num::to_u32(cached_tokens),
        score: f64::INFINITY,
        meets_slo: !objective::has_limits(&policy.slo),
    };
    let mut candidate = Candidate {
        ranked,
        class: Class::Unscored,
        value: f64::INFINITY,
        doubt: backend.state.calibration.doubt(request.now),
        uncached_tokens: request.prompt_tokens - cached_tokens,
        outstanding: (ledger.tokens(), ledger.requests),
        pace_s: backend.state.pace.value(request.now),
        failures: backend.state.recent_failures(request.now),
        terms: None,
    };
    if let Some(prior) = constants.prior.as_ref().filter(|_| request.facts.work.has_prior()) {
        let situation = situation(backend, request, cached_tokens);
        let calibration = &backend.state.calibration;
        let factors = if calibration.knows() { calibration.factors() } else { stranger };
        candidate.predict(prior, backend, constants, &situation, policy, factors);
        if request.prompt_tokens > constants.max_tokens {
            candidate.class = Class::TooShort;
        }
    }
    candidate
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

impl Candidate {
    fn predict(
        &mut self,
        prior: &Prior,
        backend: &BackendSpec,
        constants: &Constants,
        s: &Situation,
        policy: &RoutePolicy,
        factors: (f64, f64),
    ) {
        let terms = prior.terms(s);
        let prediction = prediction(&terms, s, factors, backend.state.round_trip_s(), constants);
        // At the pace of decoding: the other factor has waiting in it.
        let seconds = |ms: f64| ms * factors.1 * 1e-3;
        let score = objective::score(
            policy.objective,
            &prediction,
            seconds(terms.imposed),
            seconds(prior.drain_ms(s)),
        );
        self.terms = Some(terms);
        self.stand(&prediction, score, objective::saturation(policy.objective, &terms, s), &policy.slo);
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

fn prediction(
    terms: &Terms,
    s: &Situation,
    (ttft_factor, tpot_factor): (f64, f64),
    round_trip_s: f64,
    constants: &Constants,
) -> Prediction {
    let (prior_ttft_s, prior_tpot_s) =
        (terms.ttft_ms() * 1e-3, if s.generates { terms.tpot_ms() * 1e-3 } else { 0.0 });
    let ttft_s = round_trip_s + prior_ttft_s * ttft_factor;
    let tpot_s = prior_tpot_s * tpot_factor;
    let time = objective::EngineTime::new(terms, s, (ttft_factor, tpot_factor));
    Prediction {
        ttft_s,
        tpot_s,
        e2e_s: ttft_s + (s.output_tokens - 1.0) * tpot_s,
        cost_usd: constants.price_usd_per_s.map(|price| time.cost_usd(price)),
        energy_j: constants.power.map(|power| time.energy_j(&power)),
        prior_ttft_s,
        prior_tpot_s,
    }
}
