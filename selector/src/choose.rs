//! The choice: the best objective; among near-ties the warmest cache, then the less loaded of two.

use std::sync::Arc;

use gearshift_config::{Objective, Slo};
use smallvec::SmallVec;

use crate::{
    Moment,
    correct::correct,
    decision::{Decision, Fallback, NoCandidate, Ranked},
    eligible::{Eligible, eligible},
    even,
    explore::{Draw, Lottery, Positions},
    features::{RequestFacts, Work},
    field::Entrant,
    group::{Group, Index},
    hindsight::Rival,
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
pub(crate) const MAX_DOUBT: f64 = 1.5;
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
        .map(|(decision, _)| decision)
}

/// As [`choose`], and gives the candidates as well: for the record of what else could have been chosen.
///
/// # Errors
/// As [`choose`].
pub fn choose_on_record<'a>(
    group: &Group,
    policy: &RoutePolicy,
    facts: &RequestFacts,
    tried: &SmallVec<[Index; 4]>,
    now: Moment,
    decider: impl Into<Decider<'a>>,
) -> Result<(Decision, Box<[Entrant]>), NoCandidate> {
    let mut candidates = Candidates::new();
    let (decision, _) = decide(group, policy, facts, tried, now, decider.into(), &mut candidates)?;
    let field = Entrant::field(group, &candidates, decision.chosen.index, now);
    Ok((decision, field))
}

/// One candidate of an [`Explanation`].
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// How it stood.
    pub ranked: Ranked,
    /// What its prediction adds up from, before calibration; `None` where it has none.
    pub terms: Option<Terms>,
    /// Probability with which it would be chosen among these candidates; see [`Decision::propensity`].
    pub propensity: f64,
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
    let (decision, lottery) = decide(group, policy, facts, tried, now, decider.into(), &mut candidates)?;
    let mut order: Positions = (0..candidates.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (&candidates[a], &candidates[b]);
        a.class.cmp(&b.class).then(a.value.total_cmp(&b.value))
    });
    let explained = |at: usize| Explained {
        ranked: candidates[at].ranked,
        terms: candidates[at].estimate.map(|estimate| estimate.terms),
        propensity: lottery.propensity(&candidates, at),
    };
    let candidates = order.into_iter().map(explained).collect();
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
) -> Result<(Decision, Lottery), NoCandidate> {
    let Eligible { indices, none_ready } = eligible(group, policy.allow_lossy, tried, &facts.prefix.0, rng)?;
    let model = group.backends().first().ok_or(NoCandidate::NoneAvailable)?.model_state.as_ref();
    let request = Request::new(model, policy, facts, now);
    survey(group, &indices, policy, &request, candidates);
    let (rule, unmodelled) = rule(facts.work, candidates);
    let fallback = unmodelled.or_else(|| correct(group, policy, head, candidates, now).err());
    let draw = match rule {
        Rule::Predicted => Draw::LessLoaded(best_predicted(candidates, request.prompt_tokens)),
        Rule::LeastLoaded => Draw::LessLoaded(least_loaded(candidates)),
        Rule::Pace => Draw::Fastest(warmest_by_pace(candidates, &request)),
    };
    // A retry has lost time enough.
    let explores = rule == Rule::Predicted && tried.is_empty() && !none_ready;
    let lottery = match group.exploration() {
        Some(exploration) if explores => Lottery::exploring(draw, candidates, exploration),
        _ => Lottery::rule(draw),
    };
    let lot = lottery.draw(candidates, rng);
    let chosen = candidates.get(lot.chosen).ok_or(NoCandidate::NoneAvailable)?.ranked;
    let decision = Decision {
        chosen,
        considered: num::to_u32(candidates.len() as f64),
        fallback: if none_ready { Some(Fallback::NoneReady) } else { fallback },
        prompt_tokens: num::to_u32(request.prompt_tokens),
        expected_output_tokens: num::to_u32(request.output_tokens),
        propensity: lot.propensity,
        explored: lot.explored,
        even_e2e_s: even::mean_e2e_s(candidates),
        rival: Rival::of(policy.objective, candidates, lot.chosen),
    };
    Ok((decision, lottery))
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

/// The best, and who comes near.
pub(crate) fn best_predicted(candidates: &[Candidate], prompt_tokens: f64) -> Positions {
    let Some(best) = candidates.iter().min_by(|a, b| a.class.cmp(&b.class).then(a.value.total_cmp(&b.value)))
    else {
        return Positions::new();
    };
    let tie = |c: &Candidate| c.doubt.hypot(best.doubt).exp().clamp(NEAR, MAX_DOUBT);
    let near = |c: &Candidate| c.class == best.class && c.value <= best.value * tie(c);
    let least =
        candidates.iter().filter(|c| near(c)).map(|c| c.uncached_tokens).fold(f64::INFINITY, f64::min);
    // A warm cache saves the fleet work that latency alone, dominated by decoding, would call a tie.
    let warm = least + EQUALLY_WARM * prompt_tokens;
    let tied = |at: &usize| near(&candidates[*at]) && candidates[*at].uncached_tokens <= warm;
    (0..candidates.len()).filter(tied).collect()
}

fn least_loaded(candidates: &mut [Candidate]) -> Positions {
    for candidate in candidates.iter_mut() {
        candidate.value = (1.0 + f64::from(candidate.outstanding.1)) * (1.0 + candidate.failures);
        candidate.ranked.score = candidate.value;
    }
    let least = candidates.iter().map(|c| c.value).fold(f64::INFINITY, f64::min);
    (0..candidates.len()).filter(|&at| candidates[at].value <= least).collect()
}

/// Peak-EWMA power of two choices: values the candidates, and gives the warmest cache, which contends where there is one.
///
/// A backend that has not answered yet counts as fast as the fastest: it is tried, and its outstanding requests keep
/// it from being flooded meanwhile.
fn warmest_by_pace(candidates: &mut [Candidate], request: &Request<'_>) -> Option<usize> {
    let fastest = candidates.iter().filter_map(|c| c.pace_s).fold(f64::INFINITY, f64::min);
    let start = if fastest.is_finite() { fastest } else { START_PACE_S };
    for candidate in candidates.iter_mut() {
        let cached_share = 1.0 - candidate.uncached_tokens / request.prompt_tokens;
        let outstanding = 1.0 + f64::from(candidate.outstanding.1);
        let answer = candidate.pace_s.unwrap_or(start) * (1.0 - WARM_WORTH * cached_share);
        candidate.value = answer * outstanding * (1.0 + candidate.failures);
        candidate.ranked.score = candidate.value;
    }
    (0..candidates.len())
        .filter(|&at| candidates[at].ranked.cached_tokens > 0)
        .min_by(|&a, &b| candidates[a].uncached_tokens.total_cmp(&candidates[b].uncached_tokens))
}
