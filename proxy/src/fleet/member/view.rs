//! A backend as operators see it.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use gearshift_config::{BackendId, Declared};
use gearshift_selector::{Availability, Claim, InFlight, Moment};

use super::{Member, PrefixCache, availability_name};
use crate::{
    clock::between,
    fleet::{detect::Detected, mismatch::Mismatch},
};

impl Member {
    /// All that is known at `now`, for the admin API.
    pub fn view(&self, now: Moment) -> MemberView {
        let (report, assignment) = (self.report.borrow().clone(), self.assignment());
        let connector = assignment.target.connector();
        let (ttft_factor, tpot_factor, samples) = self.state.calibration();
        let (ttft_drift, tpot_drift) = self.state.drift();
        MemberView {
            id: self.id.clone(),
            model: match &assignment.backend.model {
                Declared::Is(model) => model.as_str().to_owned(),
                Declared::Detect => "detect".to_owned(),
            },
            hardware: assignment.backend.hardware.as_ref().map(|hardware| match hardware.count {
                1 => hardware.id.as_str().to_owned(),
                count => format!("{count} × {}", hardware.id),
            }),
            profile: assignment.backend.profile_name().to_owned(),
            url: format!("{}://{}{}", connector.scheme(), connector.authority(), assignment.backend.url.path),
            availability: availability_name(if self.held.load(Relaxed) {
                Availability::Shifting
            } else {
                report.availability
            }),
            since_seconds: between(report.since, now).as_secs_f64(),
            failed_checks: report.failures,
            last_error: report.last_error.map(|failure| ErrorView {
                age_seconds: between(failure.at, now).as_secs_f64(),
                what: failure.what,
            }),
            load: self.state.scraped().map(|load| LoadView {
                age_seconds: between(load.at, now).as_secs_f64(),
                running: load.running,
                waiting: load.waiting,
                kv_usage: load.kv_usage,
            }),
            prefix_cache: report.prefix,
            detected: self.detected(),
            mismatches: report.mismatches,
            in_flight: InFlightView::new(self.state.in_flight()),
            calibration: CalibrationView { ttft_factor, tpot_factor, ttft_drift, tpot_drift, samples },
            contradicted: Claim::ALL.into_iter().filter(|&claim| self.state.contradicts(claim)).collect(),
        }
    }
}

/// A backend, for the admin API.
#[derive(Debug, serde::Serialize)]
pub struct MemberView {
    /// Its name.
    pub id: BackendId,
    /// The model, as configured; `detect` where the engine is asked.
    pub model: String,
    /// What it runs on, as configured.
    pub hardware: Option<String>,
    /// The profile it is in; `detected` where the engine is asked.
    pub profile: String,
    /// Where it listens.
    pub url: String,
    /// Whether requests may go there: `unknown`, `ready`, `probation`, `asleep`, `down`, `hung`,
    /// `draining` or `shifting`.
    pub availability: &'static str,
    /// For how long that has been so.
    pub since_seconds: f64,
    /// Health checks failed in a row.
    pub failed_checks: u32,
    /// The last failure of a health check, a scrape or a detection.
    pub last_error: Option<ErrorView>,
    /// The engine's load, by its own metrics.
    pub load: Option<LoadView>,
    /// Use of the engine's prefix cache.
    pub prefix_cache: Option<PrefixCache>,
    /// What the engine says of itself.
    pub detected: Option<Arc<Detected>>,
    /// Where that differs from the configuration.
    pub mismatches: Vec<Mismatch>,
    /// What this router has in flight there.
    pub in_flight: InFlightView,
    /// How far the engine is from the prior.
    pub calibration: CalibrationView,
    /// What of its claims the measurements contradict: `prefill`, `decode`, `network`.
    pub contradicted: Vec<Claim>,
}

/// A failure, for the admin API.
#[derive(Debug, serde::Serialize)]
pub struct ErrorView {
    /// How long ago.
    pub age_seconds: f64,
    /// What failed, and how.
    pub what: String,
}

/// A scrape, for the admin API.
#[derive(Debug, serde::Serialize)]
pub struct LoadView {
    /// How old the reading is.
    pub age_seconds: f64,
    /// Requests in the running batch.
    pub running: u32,
    /// Requests queued.
    pub waiting: u32,
    /// KV-cache use, 0–1.
    pub kv_usage: f64,
}

/// The router's own account, for the admin API.
#[derive(Debug, serde::Serialize)]
pub struct InFlightView {
    /// Requests.
    pub requests: u32,
    /// Prompt tokens whose first output token has not come back.
    pub prefill_tokens: u64,
    /// Sequences past their first token.
    pub decoding: u32,
}

impl InFlightView {
    fn new(in_flight: InFlight) -> Self {
        let InFlight { requests, prefill_tokens, decoding, .. } = in_flight;
        Self { requests, prefill_tokens, decoding }
    }
}

/// Calibration, for the admin API: measured over predicted.
#[derive(Debug, serde::Serialize)]
pub struct CalibrationView {
    /// Of the time to first token.
    pub ttft_factor: f64,
    /// Of the time per output token.
    pub tpot_factor: f64,
    /// The first over what it usually was in the last ten minutes.
    pub ttft_drift: f64,
    /// The second over what it usually was.
    pub tpot_drift: f64,
    /// Outcomes learned from.
    pub samples: u64,
}
