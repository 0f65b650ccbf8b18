//! The field of a decision: what could have been chosen, small enough to keep.

use crate::{
    Moment,
    decision::{Learned, Prediction},
    group::{Group, Index},
    load::{Load, ScrapedLoad},
    num,
    rank::{Candidate, Class},
    state::BackendState,
};

/// Candidates kept of one decision at most: the chosen one, and the best of the others.
pub const FIELD: usize = 16;

/// One candidate of a decision. Times in seconds; single precision: more than any prediction has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entrant {
    /// Which backend of the group.
    pub index: Index,
    /// What was compared between candidates that meet all limits: the objective's number, lower is better. Infinite where it is
    /// not known.
    pub score: f32,
    /// Whether it was predicted to meet all limits, and had room.
    pub meets: bool,
    /// Predicted time to first token, calibrated; NaN without a prediction, and so below.
    pub ttft_s: f32,
    /// Predicted time per output token, calibrated.
    pub tpot_s: f32,
    /// Predicted end to end, calibrated.
    pub e2e_s: f32,
    /// By how much the request would have delayed others there, seconds; part of the score where the objective is latency.
    pub imposed_s: f32,
    /// How many of its latest requests failed, fading: the score was multiplied by one more than that.
    pub failures: f32,
    /// Time to first token at the engine as the prior has it, before the learner and calibration and without the network.
    pub prior_ttft_s: f32,
    /// Time per output token as the prior has it.
    pub prior_tpot_s: f32,
    /// What the meta-learner made of the prior; `None` where it was not asked about this candidate.
    pub learned: Option<Learned>,
    /// Predicted cost, US dollars; NaN where no price is known.
    pub cost_usd: f32,
    /// Predicted energy, joules; NaN where it is not known.
    pub energy_j: f32,
    /// Prompt tokens predicted to be in its prefix cache.
    pub cached_tokens: u32,
    /// Its load without this request.
    pub load: Option<Load>,
    /// How old the engine's own word of its load was, seconds; `None` before its first.
    pub load_age_s: Option<f32>,
}

impl Entrant {
    /// In the order of the group.
    pub(crate) fn field(group: &Group, candidates: &[Candidate], chosen: Index, now: Moment) -> Box<[Self]> {
        let of =
            |candidate: &Candidate| Self::of(candidate, &group.backends()[candidate.ranked.index].state, now);
        if candidates.len() <= FIELD {
            return candidates.iter().map(of).collect();
        }
        let mut positions: Vec<usize> = (0..candidates.len()).collect();
        let order = |&at: &usize| {
            let Candidate { ranked, class, value, .. } = &candidates[at];
            (ranked.index != chosen, *class, value.to_bits())
        };
        // Values are positive: their bits are in their order.
        positions.select_nth_unstable_by_key(FIELD, order);
        positions.truncate(FIELD);
        positions.sort_unstable();
        positions.into_iter().map(|at| of(&candidates[at])).collect()
    }

    fn of(candidate: &Candidate, state: &BackendState, now: Moment) -> Self {
        let prediction = candidate.ranked.prediction.as_ref();
        let of = |number: fn(&Prediction) -> Option<f64>| {
            num::to_f32(prediction.and_then(number).unwrap_or(f64::NAN))
        };
        let age = |load: &ScrapedLoad| num::to_f32(now.seconds_since(load.at));
        Self {
            index: candidate.ranked.index,
            score: num::to_f32(candidate.ranked.score),
            meets: matches!(candidate.class, Class::Meets | Class::Unscored),
            ttft_s: of(|it| Some(it.ttft_s)),
            tpot_s: of(|it| Some(it.tpot_s)),
            e2e_s: of(|it| Some(it.e2e_s)),
            imposed_s: num::to_f32(candidate.estimate.map_or(f64::NAN, |estimate| estimate.imposed_s())),
            failures: num::to_f32(candidate.failures),
            prior_ttft_s: of(|it| Some(it.prior_ttft_s)),
            prior_tpot_s: of(|it| Some(it.prior_tpot_s)),
            learned: prediction.and_then(|it| it.learned),
            cost_usd: of(|it| it.cost_usd),
            energy_j: of(|it| it.energy_j),
            cached_tokens: candidate.ranked.cached_tokens,
            load: candidate.estimate.map(|estimate| estimate.situation.load),
            load_age_s: state.scraped().as_ref().map(age),
        }
    }
}
