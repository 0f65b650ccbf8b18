//! What the decision says: predictions, the choice, and why it fell back.

use crate::{group::Index, hindsight::Rival, learner::Generation};

/// Times in seconds; cost in US dollars and energy in joules for the whole request.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Prediction {
    /// Time to first token, network round trip included.
    pub ttft_s: f64,
    /// Time per output token after the first; 0 for work that does not generate.
    pub tpot_s: f64,
    /// End to end, for the expected output length.
    pub e2e_s: f64,
    /// Price × this request's share of the engine's time; `None` where no price is known.
    pub cost_usd: Option<f64>,
    /// Modelled: a linear power model, not a measurement.
    pub energy_j: Option<f64>,
    /// Time to first token at the engine as the prior has it, before calibration and without the network.
    pub prior_ttft_s: f64,
    /// Time per output token as the prior has it, before calibration.
    pub prior_tpot_s: f64,
    /// Sequences that are decoded together there while this request is, its own included.
    pub concurrency: f64,
    /// What is held against limits.
    pub upper: Upper,
    /// What the meta-learner made of the prior's estimate; `None` where it was not asked about this candidate.
    pub learned: Option<Learned>,
}

/// Times that most requests stay below, seconds: the learner's 90th percentile as far as it is trusted, and a margin on
/// the mean for the rest.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Upper {
    /// Time to first token.
    pub ttft_s: f64,
    /// Time per output token after the first.
    pub tpot_s: f64,
    /// End to end.
    pub e2e_s: f64,
}

/// What the meta-learner made of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Learned {
    /// The bundle that was asked.
    #[serde(skip)]
    pub generation: Generation,
    /// By what the prior's time to first token was multiplied, before calibration.
    pub ttft_factor: f64,
    /// By what the prior's time per output token was multiplied, before calibration.
    pub tpot_factor: f64,
    /// How far the ensemble agrees, 0–1: the weight of its correction.
    pub confidence: f64,
    /// How far outcomes of this backend have borne out what it says of TTFT, 0–1: by this power of the difference to the
    /// calibrated prior does its calibrated correction count.
    pub ttft_weight: f64,
    /// The same of TPOT.
    pub tpot_weight: f64,
}

/// Why the decision fell back, as metric labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// No meta-learner is loaded: prior × calibration decides.
    NoBundle,
    /// Decisions took longer than their budget, so the core left the learner out: prior × calibration decides.
    OverBudget,
    /// The learner's ensemble disagrees on these candidates: prior × calibration decides.
    LowConfidence,
    /// By the outcomes of these candidates what the learner says adds nothing to calibration: it is asked in one decision of eight, and
    /// prior × calibration decides the others.
    NoSay,
    /// The learner failed, or said what is no number: prior × calibration decides.
    LearnerFailed,
    /// A candidate's hardware or model is unknown: peak-EWMA P2C decides.
    UnknownFacts,
    /// Work the prior does not model.
    Unmodelled,
    /// No ready backend: one that is not ready was tried.
    NoneReady,
}

impl Fallback {
    /// Every reason, for registering metrics.
    pub const ALL: [Self; 8] = [
        Self::NoBundle,
        Self::OverBudget,
        Self::LowConfidence,
        Self::NoSay,
        Self::LearnerFailed,
        Self::UnknownFacts,
        Self::Unmodelled,
        Self::NoneReady,
    ];

    /// The label, as serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoBundle => "no_bundle",
            Self::OverBudget => "over_budget",
            Self::LowConfidence => "low_confidence",
            Self::NoSay => "no_say",
            Self::LearnerFailed => "learner_failed",
            Self::UnknownFacts => "unknown_facts",
            Self::Unmodelled => "unmodelled",
            Self::NoneReady => "none_ready",
        }
    }
}

/// How one candidate stood; kept for `explain`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    /// Which backend of the group.
    pub index: Index,
    /// `None` where facts are missing or the work has no prior.
    pub prediction: Option<Prediction>,
    /// Prompt tokens predicted to be in its prefix cache.
    pub cached_tokens: u32,
    /// Lower is better; the objective's unit, or peak-EWMA cost. Infinite where the objective's number is not known
    /// (no price for `cost`): such candidates come after those where it is.
    pub score: f64,
    /// Whether it is predicted to meet the route's limits; without a prediction only where there are none.
    pub meets_slo: bool,
}

/// The choice.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The backend to take, and how it stood.
    pub chosen: Ranked,
    /// How many eligible candidates were ranked.
    pub considered: u32,
    /// Why less than the whole decision was made; `None` where the meta-learner decided.
    pub fallback: Option<Fallback>,
    /// Estimated prompt tokens.
    pub prompt_tokens: u32,
    /// Expected output tokens of each sequence.
    pub expected_output_tokens: u32,
    /// Probability with which the chosen backend is chosen among the candidates that were ranked, in the state they were in:
    /// by the rule, whose ties are broken by lot, and by exploring or introducing. Above 0, at most 1.
    pub propensity: f64,
    /// Whether it was drawn to explore, or because it is hardly known.
    pub explored: bool,
    /// End-to-end time that an even spread over the candidates is predicted to give, seconds; `None` where not all of
    /// them have a prediction.
    pub even_e2e_s: Option<f64>,
    /// Whom the choice is held against once the answer has come; `None` where time did not decide, or nobody else could be chosen.
    pub rival: Option<Rival>,
}

/// Nobody may take the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoCandidate {
    /// Every eligible backend is among the tried ones.
    #[error("every backend of this model has been tried")]
    AllTried,
    /// The route wants unchanged outputs and no backend gives them.
    #[error("only lossy profiles serve this model and the route does not allow them")]
    OnlyLossy,
    /// The group is empty.
    #[error("no backend of this model is available")]
    NoneAvailable,
}
