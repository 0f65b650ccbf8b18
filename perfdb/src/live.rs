//! What a row says of a request that Gearshift served, beyond what every row does.

use gearshift_config::Objective;
use gearshift_selector::Typical;

/// How a forwarded request ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ended {
    /// The answer came whole, with a status below 400.
    #[default]
    Ok,
    /// The backend answered 4xx.
    ClientError,
    /// The backend answered 5xx, or not at all: it could not be reached, broke off or stayed silent before its response head.
    UpstreamError,
    /// The answer broke off.
    Cut,
    /// The client went away. That is no failure of the backend's: the answer would have come later than it went.
    Cancelled,
}

impl Ended {
    /// Whether the backend failed.
    pub fn failed(self) -> bool {
        match self {
            Self::UpstreamError | Self::Cut => true,
            Self::Ok | Self::ClientError | Self::Cancelled => false,
        }
    }
}

/// One request: what was decided, among what, by which prediction, and how it ended. No text of any prompt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Live {
    /// The backend it went to, by its name in the configuration.
    pub backend: String,
    /// The route that took it.
    pub route: String,
    /// Whether the answer was to be streamed.
    pub stream: bool,
    /// Which attempt this was, from 1: earlier ones failed before they answered.
    pub attempt: u32,
    /// What the route makes best.
    pub objective: Objective,
    /// The route's limit of the time to first token, seconds.
    pub limit_ttft_s: Option<f64>,
    /// Of the time per output token, seconds.
    pub limit_tpot_s: Option<f64>,
    /// End to end, seconds.
    pub limit_e2e_s: Option<f64>,
    /// The bundle that was active.
    pub bundle: Option<String>,
    /// Why less than the whole decision was made; `None` where the bundle decided.
    pub fallback: Option<String>,
    /// Candidates that were ranked.
    pub considered: u32,
    /// Sequences asked for; `None` in rows of Gearshift 0.1 and before, and so below.
    pub sequences: Option<u32>,
    /// The network's round trip to the backend as measured then, seconds: the share of the time to first token that is not the
    /// engine's.
    pub round_trip_s: Option<f64>,
    /// What requests to the model usually looked like then: stands in for those of others in the prior.
    pub typical: Option<Typical>,
    /// Probability with which this backend was chosen among them; see `gearshift_selector::Decision::propensity`.
    pub propensity: f64,
    /// Whether it was drawn to explore.
    pub explored: bool,
    /// What was expected of it; `None` where nothing could be.
    pub prediction: Option<Prediction>,
    /// Whom it was chosen among.
    pub candidates: Candidates,
    /// How it ended.
    pub ended: Ended,
    /// When it ended, whatever way, in seconds from the decision. How long an answer takes is [`Outcome::e2e_s`](crate::Outcome::e2e_s)
    /// alone: what failed at once was not fast. `None` in rows of earlier versions.
    pub ended_after_s: Option<f64>,
    /// The HTTP status of the backend's answer; `None` where none came.
    pub status: Option<u32>,
    /// Prompt tokens by the engine's count.
    pub prompt_tokens: Option<f64>,
    /// Output tokens, by the engine's count or by counting events.
    pub output_tokens: Option<f64>,
}

/// What was expected of the chosen backend, seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Prediction {
    /// Time to first token, calibrated, with the network's round trip.
    pub ttft_s: f64,
    /// Time per output token, calibrated.
    pub tpot_s: f64,
    /// End to end for the expected output length, calibrated.
    pub e2e_s: f64,
    /// Time to first token at the engine by the prior, before learner and calibration.
    pub prior_ttft_s: f64,
    /// Time per output token by the prior.
    pub prior_tpot_s: f64,
    /// End to end by the prior.
    pub prior_e2e_s: f64,
    /// By what the bundle multiplied the prior's TTFT; `None` where it was not asked.
    pub learned_ttft_factor: Option<f64>,
    /// By what it multiplied the prior's TPOT.
    pub learned_tpot_factor: Option<f64>,
    /// How far its ensemble agreed, 0–1.
    pub learned_confidence: Option<f64>,
}

/// The candidates of a decision: lists of equal length, in one order. Of many, the chosen one and the best. What is not known
/// of a candidate is NaN.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Candidates {
    /// Names in the configuration.
    pub backends: Vec<String>,
    /// The objective's number as predicted, lower is better; infinite where it is not known.
    pub scores: Vec<f64>,
    /// 1 where it was predicted to meet all limits and had room, else 0.
    pub meets: Vec<f64>,
    /// Predicted time to first token, seconds.
    pub ttft_s: Vec<f64>,
    /// Predicted time per output token, seconds.
    pub tpot_s: Vec<f64>,
    /// Predicted end to end, seconds.
    pub e2e_s: Vec<f64>,
    /// Prompt tokens predicted to be in its prefix cache.
    pub cached_tokens: Vec<f64>,
    /// Sequences there.
    pub sequences: Vec<f64>,
    /// Of these, past their prefill.
    pub decoding: Vec<f64>,
    /// Prompt tokens not yet prefilled.
    pub prefill_tokens: Vec<f64>,
    /// Output tokens still to come.
    pub decode_tokens: Vec<f64>,
    /// Tokens of context of all sequences.
    pub context_tokens: Vec<f64>,
    /// Sequences at which it is out of cache.
    pub full_at: Vec<f64>,
}
