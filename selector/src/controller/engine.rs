//! An engine as the planner sees it.

use gearshift_config::{BackendId, ModelId, ProfileId};

use crate::deployment::Deployment;

/// One backend of a model. Those that cannot be shifted are given too, with the profile they run as their only one: they
/// carry a part of the traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct Engine {
    /// Its name.
    pub id: BackendId,
    /// What it serves; engines of one model are planned together.
    pub model: ModelId,
    /// The profile it runs; the one it is being shifted into while it is [`Condition::Switching`]. Must be among `profiles`.
    pub current: ProfileId,
    /// The profiles it may run, the present one included.
    pub profiles: Vec<ProfileOption>,
    /// Whether it takes requests.
    pub condition: Condition,
    /// US dollars per hour of the whole engine; the hardware's list price where absent.
    pub price_usd_per_hour: Option<f64>,
    /// Network round trip, seconds.
    pub round_trip_s: f64,
    /// Seconds a switch takes, from the beginning of the drain to the first new request, as far as nobody measured it: the
    /// planner prefers what it has seen.
    pub switch_s: f64,
}

/// Whether an engine takes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It does.
    Available,
    /// On its way into [`Engine::current`]; takes none now.
    Switching,
    /// Takes none for another reason: down, hung, draining for its operator.
    Unavailable,
}

/// A profile an engine may run.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileOption {
    /// Its name.
    pub id: ProfileId,
    /// The engine in this profile, in numbers; `None` where hardware or model is unknown: then the model is not planned for.
    pub deployment: Option<Deployment>,
    /// Whether it leaves the model's outputs as they are.
    pub lossless: bool,
    /// Actual over the prior's TTFT and TPOT, as learned while the engine ran this profile; `None` before that. A profile that
    /// was never run is taken to be as far from its prior as the engine's others are.
    pub calibration: Option<(f64, f64)>,
}
