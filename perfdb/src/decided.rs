//! What a decision of the selector is in a row.

use gearshift_selector::{Decision, Entrant, Index};

use crate::{Candidates, Load, Prediction};

impl Prediction {
    /// What was expected of the chosen one; `None` where nothing could be.
    pub fn of(decision: &Decision) -> Option<Self> {
        let prediction = decision.chosen.prediction?;
        let decode_tokens = f64::from(decision.expected_output_tokens.max(1)) - 1.0;
        Some(Self {
            ttft_s: prediction.ttft_s,
            tpot_s: prediction.tpot_s,
            e2e_s: prediction.e2e_s,
            prior_ttft_s: prediction.prior_ttft_s,
            prior_tpot_s: prediction.prior_tpot_s,
            prior_e2e_s: decode_tokens.mul_add(prediction.prior_tpot_s, prediction.prior_ttft_s),
            learned_ttft_factor: prediction.learned.map(|learned| learned.ttft_factor),
            learned_tpot_factor: prediction.learned.map(|learned| learned.tpot_factor),
            learned_confidence: prediction.learned.map(|learned| learned.confidence),
        })
    }
}

impl Candidates {
    /// The candidates of a decision, named by their position in the group.
    pub fn of(field: &[Entrant], name: impl Fn(Index) -> String) -> Self {
        let each = |of: fn(&Entrant) -> f64| field.iter().map(of).collect::<Vec<_>>();
        Self {
            backends: field.iter().map(|one| name(one.index)).collect(),
            scores: each(|one| one.score.into()),
            meets: each(|one| f64::from(u8::from(one.meets))),
            ttft_s: each(|one| one.ttft_s.into()),
            tpot_s: each(|one| one.tpot_s.into()),
            e2e_s: each(|one| one.e2e_s.into()),
            cached_tokens: each(|one| one.cached_tokens.into()),
            sequences: each(|one| one.load.map_or(f64::NAN, |load| load.sequences)),
            decoding: each(|one| one.load.map_or(f64::NAN, |load| load.decoding)),
            prefill_tokens: each(|one| one.load.map_or(f64::NAN, |load| load.prefill_tokens)),
            decode_tokens: each(|one| one.load.map_or(f64::NAN, |load| load.decode_tokens)),
            context_tokens: each(|one| one.load.map_or(f64::NAN, |load| load.context_tokens)),
            full_at: each(|one| one.load.and_then(|load| load.full_at).unwrap_or(f64::NAN)),
        }
    }
}

impl From<gearshift_selector::Load> for Load {
    /// Of unknown age.
    fn from(load: gearshift_selector::Load) -> Self {
        Self {
            sequences: load.sequences,
            decoding: load.decoding,
            prefill_tokens: load.prefill_tokens,
            decode_tokens: load.decode_tokens,
            context_tokens: load.context_tokens,
            full_at: load.full_at,
            age_s: None,
        }
    }
}
