//! What the planner says.

use gearshift_config::{BackendId, ModelId, ProfileId};

/// What to do, and what is thought of all that could be done.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Plan {
    /// To be carried out now, at once; those that must wait for others come with a later plan.
    pub shifts: Vec<Shift>,
    /// Every engine × profile, by the order of the engines and of their profiles.
    pub advice: Vec<Advice>,
}

/// One engine is to run another profile.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Shift {
    /// Which engine.
    pub backend: BackendId,
    /// The profile it runs.
    pub from: ProfileId,
    /// The profile it is to run.
    pub to: ProfileId,
    /// Predicted gain, as a share of the objective of all of the model's requests.
    pub gain: f64,
    /// Seconds the engine is expected to be away.
    pub switch_cost_s: f64,
    /// After how many seconds the gain has paid for the switch.
    pub payback_s: f64,
    /// In words, for logs and the admin API.
    pub reason: String,
}

/// What is thought of one profile on one engine, the others staying as they are.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Advice {
    /// The model.
    pub model: ModelId,
    /// The engine.
    pub backend: BackendId,
    /// The profile.
    pub profile: ProfileId,
    /// The predicted objective per request of the model, over all its engines (those of this engine's part where there are many):
    /// seconds, US dollars, joules, or for throughput the
    /// mean share of capacity in use. `None` where nothing can be predicted.
    pub objective: Option<f64>,
    /// Gain over the present profile, as a share; negative for a loss.
    pub gain: Option<f64>,
    /// What follows.
    pub verdict: Verdict,
}

/// Why something is done or left.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// The engine runs it.
    Running,
    /// The engine is to be shifted into it now.
    Shift,
    /// The engine is on its way into a profile.
    Switching,
    /// The engine takes no requests: it is left alone.
    Unavailable,
    /// Another profile is predicted to be as good or better.
    NotBetter,
    /// Better, but by less than the least gain.
    GainTooSmall,
    /// Better, but the gain would not pay for the switch in time.
    DoesNotPay {
        /// After how many seconds it would.
        payback_s: f64,
    },
    /// Better; carried out when the wish has lasted.
    Settling {
        /// Seconds until then.
        left_s: f64,
    },
    /// Better, but the engine has not been in its profile for long enough.
    Dwelling {
        /// Seconds until it has.
        left_s: f64,
    },
    /// Shifting into it failed lately.
    BackingOff {
        /// Seconds until it may be tried again.
        left_s: f64,
    },
    /// Better, but the engine has been shifted too often today.
    TooOften,
    /// Better, but too many engines of the model are away, or the others could not carry the load.
    Capacity,
    /// It changes the model's outputs, which is not allowed.
    Lossy,
    /// The model does not fit, or a typical request does not.
    DoesNotFit,
    /// Hardware or model of an engine of the group are unknown: nothing is predicted.
    UnknownFacts,
    /// Not enough requests were seen to say anything.
    TooFewRequests,
}

impl Verdict {
    /// A label for metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Shift => "shift",
            Self::Switching => "switching",
            Self::Unavailable => "unavailable",
            Self::NotBetter => "not_better",
            Self::GainTooSmall => "gain_too_small",
            Self::DoesNotPay { .. } => "does_not_pay",
            Self::Settling { .. } => "settling",
            Self::Dwelling { .. } => "dwelling",
            Self::BackingOff { .. } => "backing_off",
            Self::TooOften => "too_often",
            Self::Capacity => "capacity",
            Self::Lossy => "lossy",
            Self::DoesNotFit => "does_not_fit",
            Self::UnknownFacts => "unknown_facts",
            Self::TooFewRequests => "too_few_requests",
        }
    }
}
