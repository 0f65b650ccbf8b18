//! How a run is set up, beside fleet, workload and policy.

use std::time::Duration;

use gearshift_config::{Fleet as Watching, Retries};

use crate::sim::{Fault, Moment};

/// What holds for all requests of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How engines are watched; the scrape interval is the policy's.
    pub watching: Watching,
    /// Retries before the first byte.
    pub retries: Retries,
    /// Silence after which a response is given up.
    pub response_idle: Duration,
    /// How old the in-flight ledger's token counts may get.
    pub progress_every: Duration,
    /// Whether engines report cached tokens in `usage` (`--enable-prompt-tokens-details`, off in vLLM by default).
    pub reports_cached: bool,
    /// How often the engines' busy seconds are noted; never where absent.
    pub sample_every: Option<Duration>,
    /// What goes wrong, and when.
    pub faults: Vec<TimedFault>,
    /// Engines, by position in the fleet, that are not there until some moment.
    pub joins: Vec<(usize, Moment)>,
}

/// A fault of one engine.
#[derive(Debug, Clone, Copy)]
pub struct TimedFault {
    /// Position in the fleet.
    pub engine: usize,
    /// What.
    pub fault: Fault,
    /// From when.
    pub from: Moment,
    /// When it is lifted.
    pub until: Moment,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            watching: Watching::default(),
            retries: Retries::default(),
            response_idle: gearshift_config::Timeouts::default().response_idle,
            progress_every: Duration::from_millis(100),
            reports_cached: false,
            sample_every: None,
            faults: Vec::new(),
            joins: Vec::new(),
        }
    }
}
