//! How eager the planner is.

use std::{collections::BTreeMap, time::Duration};

use gearshift_config::{ModelId, Objective};

/// What a model's requests ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wants {
    /// What is made best over them.
    pub objective: Objective,
    /// Whether profiles that change the model's outputs may be shifted into.
    pub allow_lossy: bool,
}

/// How eager the planner is. The defaults suit engines that take a minute or two to restart.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How often a plan is made; the caller keeps to it.
    pub every: Duration,
    /// What is made best over a model's requests, where `models` does not say.
    pub objective: Objective,
    /// Whether profiles that change the model's outputs may be shifted into, where `models` does not say.
    pub allow_lossy: bool,
    /// What the requests for single models ask for.
    pub models: BTreeMap<ModelId, Wants>,
    /// Least gain of one shift, as a share of an engine's part of its model's objective: the whole over the engines.
    pub min_gain: f64,
    /// By how much a way of speculation whose gain depends on the text is thought better than it looks while nobody has seen
    /// it, natural log of the steps it takes; 0 for profiles to be tried only where they are known.
    pub curiosity: f64,
    /// How long a wish must last before it is carried out.
    pub settle: Duration,
    /// How long an engine stays in a profile at least. Doubled (four times at most) each time that the profile it left is better
    /// again before the switch can have paid: what changes so soon is not worth following. Halved again by a shift that lasts.
    pub min_dwell: Duration,
    /// Within which time the gain must have paid for the switch.
    pub payback: Duration,
    /// Engines of one model that may be away at once, whatever they are away for.
    pub max_unavailable: u32,
    /// Share of their capacity that the others may be loaded to while an engine is away, 0–1.
    pub max_load: f64,
    /// Shifts of one engine in any 24 hours at most.
    pub max_shifts_per_day: u32,
    /// How long a profile is left alone on an engine where shifting into it failed; doubled with each failure in a row.
    pub backoff: Duration,
    /// Longest such time.
    pub max_backoff: Duration,
    /// Requests that have to have been seen before anything is planned, in decayed count.
    pub min_requests: f64,
}

impl Settings {
    /// As they are for one model.
    pub(super) fn of(&self, model: &ModelId) -> Self {
        let Some(&Wants { objective, allow_lossy }) = self.models.get(model) else { return self.clone() };
        Self { objective, allow_lossy, ..self.clone() }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(60),
            objective: Objective::Latency,
            allow_lossy: false,
            models: BTreeMap::new(),
            min_gain: 0.03,
            curiosity: 0.15,
            settle: Duration::from_secs(120),
            min_dwell: Duration::from_secs(15 * 60),
            payback: Duration::from_secs(60 * 60),
            max_unavailable: 1,
            max_load: 0.85,
            max_shifts_per_day: 24,
            backoff: Duration::from_secs(10 * 60),
            max_backoff: Duration::from_secs(6 * 3600),
            min_requests: 50.0,
        }
    }
}
