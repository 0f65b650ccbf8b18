//! A recorded decision, made again: by another bundle, with what that one would have learned so far.
//!
//! A row of live traffic says what the router saw of every candidate. Here the same code that decides looks at it again, so
//! that a bundle is judged off-line by the choices it would make where it serves: prior, learner, calibration, gates, limits, ties
//! and lots included. What the candidates' live state has learned belongs to whoever replays: rows are gone through in the order
//! of time, and each outcome is taught by a [`Flight`](crate::Flight) of its own.

use crate::{
    Load, Moment,
    choose::{Decider, Explained, RoutePolicy, best_predicted},
    correct::correct,
    decision::Fallback,
    explore::{Draw, Lottery},
    features::{Situation, Typical},
    group::{Group, Index},
    num,
    rank::{Candidate, Candidates, Estimate, stranger},
};

/// A request that generates, as a row has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    /// Prompt tokens as estimated.
    pub prompt_tokens: f64,
    /// Output tokens of a sequence as expected.
    pub output_tokens: f64,
    /// Sequences asked for.
    pub sequences: f64,
    /// What requests to the model usually looked like.
    pub typical: Typical,
}

/// A candidate, as a row has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Which backend of the group.
    pub index: Index,
    /// Prompt tokens predicted to be in its cache.
    pub cached_tokens: f64,
    /// Its load without this request.
    pub load: Load,
}

/// The decision, made again.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// In the order in which they were given: predictions, and the probability of choosing each by the rule, without exploring.
    pub candidates: Vec<Explained>,
    /// Why the bundle had no say, where so.
    pub fallback: Option<Fallback>,
}

/// Looks at a decision again. `None` where there is no candidate, or one whose hardware or model is not known.
pub fn replay<'a>(
    group: &Group,
    policy: &RoutePolicy,
    asked: &Asked,
    seen: &[Seen],
    now: Moment,
    decider: impl Into<Decider<'a>>,
) -> Option<Replayed> {
    let calibrations =
        seen.iter().filter_map(|one| Some(&group.backends().get(one.index)?.state.calibration));
    let stranger = stranger(calibrations, now);
    let mut candidates: Candidates =
        seen.iter().map(|one| candidate(group, policy, asked, one, stranger, now)).collect::<Option<_>>()?;
    if candidates.is_empty() {
        return None;
    }
    let Decider { head, .. } = decider.into();
    let fallback = correct(group, policy, head, &mut candidates, now).err();
    let lottery = Lottery::rule(Draw::LessLoaded(best_predicted(&candidates, asked.prompt_tokens)));
    let explained = |at: usize| Explained {
        ranked: candidates[at].ranked,
        terms: candidates[at].estimate.map(|estimate| estimate.terms),
        propensity: lottery.propensity(&candidates, at),
    };
    Some(Replayed { candidates: (0..candidates.len()).map(explained).collect(), fallback })
}

fn candidate(
    group: &Group,
    policy: &RoutePolicy,
    asked: &Asked,
    seen: &Seen,
    stranger: (f64, f64),
    now: Moment,
) -> Option<Candidate> {
    let backend = group.backends().get(seen.index)?;
    let prior = group.constants(seen.index).prior.as_ref()?;
    let Seen { cached_tokens, load, .. } = *seen;
    let Asked { prompt_tokens, output_tokens, sequences, typical } = *asked;
    let situation =
        Situation { generates: true, prompt_tokens, cached_tokens, output_tokens, sequences, load, typical };
    let idle = load.sequences < 0.5;
    let estimate = Estimate::new(prior, situation, &backend.state.calibration, stranger, idle, now);
    let mut candidate = Candidate {
        outstanding: (num::to_u64(load.prefill_tokens + load.decode_tokens), num::to_u32(load.sequences)),
        ..Candidate::unscored(group, seen.index, policy, cached_tokens, prompt_tokens, now)
    };
    candidate.predict(group, policy, prior, estimate);
    Some(candidate)
}
