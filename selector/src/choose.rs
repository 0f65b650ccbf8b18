//! The choice: the best objective; among near-ties the warmest cache, then the less loaded of two.

use std::sync::Arc;

use gearshift_config::{Objective, Slo};
use smallvec::SmallVec;

use crate::{
    Moment,
    correct::correct,
    decision::{Decision, Fallback, NoCandidate, Ranked},
    eligible::{Eligible, eligible},
    features::{RequestFacts, Work},
    group::{Group, Index},
    learner::Head,
    num,
    outputs::OutputLengths,
    prior::Terms,
    rank::{Candidate, Candidates, Request, survey},
};

/// What a route asks of the decision. `output_lengths` is the per-route learned state.
#[derive(Debug, Clone)]
pub struct RoutePolicy {
    /// What is made best.
    pub objective: Objective,
    /// Limits that come before the objective.
    pub slo: Slo,
    /// Whether profiles that change outputs are eligible.
    pub allow_lossy: bool,
    /// Output lengths learned on this route.
    pub output_lengths: Arc<OutputLengths>,
}

/// Candidates this close to the best count as equal: less than what the prediction can tell apart (its median error
/// is 28 %), enough that replicas do not herd on rounding.
const NEAR: f64 = 1.05;
/// Candidates also count as equal while the difference is within what is not known of their engines (see
/// [`Calibration::doubt`](crate::calibration::Calibration::doubt)), up to this factor. So a replica that once looked
/// slow is tried again when its equal is busier, instead of being left alone for ever.
const MAX_DOUBT: f64 = 1.5;
/// Among these, a cache counts as equally warm when it leaves this share of the prompt more to compute.
const EQUALLY_WARM: f64 = 0.05;
/// What a wholly cached prompt is worth under peak-EWMA, as a share of an answer's time. Nothing is known that would
/// say better; at one half a warm backend may have twice the load of a cold one.
const WARM_WORTH: f64 = 0.5;
/// Pace assumed where no candidate has answered yet, seconds per output token. Any number: all share it.
const START_PACE_S: f64 = 1.0;

/// What a core brings to its decisions.
#[derive(Debug)]
pub struct Decider<'a> {
    /// Chance, seeded.
    pub rng: &'a mut fastrand::Rng,
    /// The core's head of the bundle that the group was built with. Where the group has a bundle and the core brings no
    /// head, because its decisions took too long, the decision counts as [`Fallback::OverBudget`].
    pub head: Option<&'a mut Head>,
}

impl<'a> From<&'a mut fastrand::Rng> for Decider<'a> {
    /// Without a meta-learner.
    fn from(rng: &'a mut fastrand::Rng) -> Self {
        Self { rng, head: None }
    }
}

/// Chooses a backend. `tried` are excluded (retries). The same group state, arguments and seed give the same choice.
///
/// `decider` is a [`Decider`], or a random number generator alone where there is no bundle.
///
/// # Errors
/// [`NoCandidate`] where no backend of the group may take the request.
pub fn choose<'a>(
    group: &Group,
    policy: &RoutePolicy,
    facts: &RequestFacts,
    tried: &SmallVec<[Index; 4]>,
    now: Moment,
    decider: impl Into<Decider<'a>>,
) -> Result<Decision, NoCandidate> {
    decide(group, policy, facts, tried, now, decider.into(), &mut Candidates::new())
}

/// One candidate of an [`Explanation`].
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// How it stood.
    pub ranked: Ranked,
    /// What its prediction adds up from, before calibration; `None` where it has none.
    pub terms: Option<Terms>,
}

/// A decision with all the candidates it was made among, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// What [`choose`] would have said with the same arguments.
    pub decision: Decision,
    /// Every candidate that was ranked.
    pub candidates: Vec<Explained>,
}

/// As [`choose`], and shows how every candidate stood.
///
/// # Errors
/// As [`choose`].
pub fn explain<'a>(
    group: &Group,
    policy: &RoutePolicy,
    facts: &RequestFacts,
    tried: &SmallVec<[Index; 4]>,
    now: Moment,
    decider: impl Into<Decider<'a>>,
) -> Result<Explanation, NoCandidate> {
    let mut candidates = Candidates::new();
    let decision = decide(group, policy, facts, tried, now, decider.into(), &mut candidates)?;
    candidates.sort_by(|a, b| a.class.cmp(&b.class).then(a.value.total_cmp(&b.value)));
    let explained = |c: Candidate| Explained { ranked: c.ranked, terms: c.estimate.map(|e| e.terms) };
    let candidates = candidates.into_iter().map(explained).collect();
    Ok(Explanation { decision, candidates })
}

fn decide(
    group: &Group,
    policy: &RoutePolicy,
    facts: &RequestFacts,
    tried: &[Index],
    now: Moment,
    Decider { rng, head }: Decider<'_>,
    candidates: &mut Candidates,
) -> Result<Decision, NoCandidate> {
    let Eligible { indices, none_ready } = eligible(group, policy.allow_lossy, tried, &facts.prefix.0, rng)?;
    let model = group.backends().first().ok_or(NoCandidate::NoneAvailable)?.model_state.as_ref();
    let request = Request::new(model, policy, facts, now);
    survey(group, &indices, policy, &request, candidates);
    let (rule, unmodelled) = rule(facts.work, candidates);
    let fallback = unmodelled.or_else(|| correct(group, policy, head, candidates).err());
    let chosen = match rule {
        Rule::Predicted => best_predicted(candidates, &request, rng),
        Rule::LeastLoaded => least_loaded(candidates, rng),
        Rule::Pace => fastest_pace(candidates, &request, rng),
    };
    let chosen = candidates.get(chosen).ok_or(NoCandidate::NoneAvailable)?.ranked;
    Ok(Decision {
        chosen,
        considered: num::to_u32(candidates.len() as f64),
        fallback: if none_ready { Some(Fallback::NoneReady) } else { fallback },
        prompt_tokens: num::to_u32(request.prompt_tokens),
        expected_output_tokens: num::to_u32(request.output_tokens),
    })
}

/// By what the candidates are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// The objective, from the prior, the learner and calibration.
    Predicted,
    /// Peak-EWMA pace × outstanding requests, power of two choices.
    Pace,
    /// Fewest requests in flight.
    LeastLoaded,
}

/// And why the learner has no say, where so.
fn rule(work: Work, candidates: &[Candidate]) -> (Rule, Option<Fallback>) {
    let known = || candidates.iter().all(|candidate| candidate.ranked.prediction.is_some());
    match work {
        Work::Utility => (Rule::LeastLoaded, Some(Fallback::Unmodelled)),
        Work::Audio => (Rule::Pace, Some(Fallback::Unmodelled)),
        Work::Generate | Work::Encode if !known() => (Rule::Pace, Some(Fallback::UnknownFacts)),
        Work::Encode => (Rule::Predicted, Some(Fallback::Unmodelled)),
        Work::Generate => (Rule::Predicted, None),
    }
}

/// Positions of candidates among the surveyed ones.
type Positions = SmallVec<[usize; 64]>;

fn best_predicted(candidates: &[Candidate], request: &Request<'_>, rng: &mut fastrand::Rng) -> usize {
    let Some(best) = candidates.iter().min_by(|a, b| a.class.cmp(&b.class).then(a.value.total_cmp(&b.value)))
    else {
        return 0;
    };
    let tie = |c: &Candidate| c.doubt.hypot(best.doubt).exp().clamp(NEAR, MAX_DOUBT);
    let near = |c: &Candidate| c.class == best.class && c.value <= best.value * tie(c);
    let least =
        candidates.iter().filter(|c| near(c)).map(|c| c.uncached_tokens).fold(f64::INFINITY, f64::min);
    // A warm cache saves the fleet work that latency alone, dominated by decoding, would call a tie.
    let warm = least + EQUALLY_WARM * request.prompt_tokens;
    let tied: Positions = (0..candidates.len())
        .filter(|&at| near(&candidates[at]) && candidates[at].uncached_tokens <= warm)
        .collect();
    less_loaded_of_two(candidates, &tied, rng)
}

fn least_loaded(candidates: &mut [Candidate], rng: &mut fastrand::Rng) -> usize {
    for candidate in candidates.iter_mut() {
        candidate.value = (1.0 + f64::from(candidate.outstanding.1)) * (1.0 + candidate.failures);
        candidate.ranked.score = candidate.value;
    }
    let least = candidates.iter().map(|c| c.value).fold(f64::INFINITY, f64::min);
    let tied: Positions = (0..candidates.len()).filter(|&at| candidates[at].value <= least).collect();
    less_loaded_of_two(candidates, &tied, rng)
}

/// Peak-EWMA power of two choices, the warmest cache being one of the two where there is one.
///
/// A backend that has not answered yet counts as fast as the fastest: it is tried, and its outstanding requests keep
/// it from being flooded meanwhile.
fn fastest_pace(candidates: &mut [Candidate], request: &Request<'_>, rng: &mut fastrand::Rng) -> usize {
    let fastest = candidates.iter().filter_map(|c| c.pace_s).fold(f64::INFINITY, f64::min);
    let start = if fastest.is_finite() { fastest } else { START_PACE_S };
    for candidate in candidates.iter_mut() {
        let cached_share = 1.0 - candidate.uncached_tokens / request.prompt_tokens;
        let outstanding = 1.0 + f64::from(candidate.outstanding.1);
        let answer = candidate.pace_s.unwrap_or(start) * (1.0 - WARM_WORTH * cached_share);
        candidate.value = answer * outstanding * (1.0 + candidate.failures);
        candidate.ranked.score = candidate.value;
    }
    let (first, second) = two_of(candidates.len(), rng);
    let warmest = (0..candidates.len())
        .filter(|&at| candidates[at].ranked.cached_tokens > 0)
        .min_by(|&a, &b| candidates[a].uncached_tokens.total_cmp(&candidates[b].uncached_tokens));
    let contenders = [warmest.unwrap_or(first), first, second];
    contenders
        .into_iter()
        .min_by(|&a, &b| candidates[a].value.total_cmp(&candidates[b].value))
        .unwrap_or(first)
}

fn less_loaded_of_two(candidates: &[Candidate], tied: &[usize], rng: &mut fastrand::Rng) -> usize {
    let (first, second) = two_of(tied.len(), rng);
    let (first, second) = (tied[first], tied[second]);
    if candidates[second].outstanding < candidates[first].outstanding { second } else { first }
}

/// Two distinct random positions; the same one twice where there is only one. `len` is at least 1.
fn two_of(len: usize, rng: &mut fastrand::Rng) -> (usize, usize) {
    let first = rng.usize(..len);
    if len == 1 {
        return (first, first);
    }
    (first, (first + rng.usize(1..len)) % len)
}
