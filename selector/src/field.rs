//! The field of a decision: what could have been chosen, small enough to keep.

use crate::{
    group::Index,
    load::Load,
    num,
    rank::{Candidate, Class},
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
    /// Prompt tokens predicted to be in its prefix cache.
    pub cached_tokens: u32,
    /// Its load without this request.
    pub load: Option<Load>,
}

impl Entrant {
    /// In the order of the group.
    pub(crate) fn field(candidates: &[Candidate], chosen: Index) -> Box<[Self]> {
        if candidates.len() <= FIELD {
            return candidates.iter().map(Self::of).collect();
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
        positions.into_iter().map(|at| Self::of(&candidates[at])).collect()
    }

    fn of(candidate: &Candidate) -> Self {
        let time =
            |time: fn(&crate::Prediction) -> f64| candidate.ranked.prediction.as_ref().map_or(f64::NAN, time);
        Self {
            index: candidate.ranked.index,
            score: num::to_f32(candidate.ranked.score),
            meets: matches!(candidate.class, Class::Meets | Class::Unscored),
            ttft_s: num::to_f32(time(|prediction| prediction.ttft_s)),
            tpot_s: num::to_f32(time(|prediction| prediction.tpot_s)),
            e2e_s: num::to_f32(time(|prediction| prediction.e2e_s)),
            cached_tokens: candidate.ranked.cached_tokens,
            load: candidate.estimate.map(|estimate| estimate.situation.load),
        }
    }
}
