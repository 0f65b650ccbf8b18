//! One backend as the fleet knows it.

mod view;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use gearshift_config::{Backend, BackendId, Fleet as Settings};
use gearshift_selector::{Availability, BackendState, Moment};
use tokio::sync::{Notify, watch};

pub use self::view::{CalibrationView, ErrorView, InFlightView, LoadView, MemberView};
use super::{
    condition::Check,
    detect::Detected,
    mismatch::{Declaration, Mismatch},
    probe::Target,
};
use crate::{clock::between, upstream::connect::Connector};

/// One backend: its settings, its live state, and what its watcher found out.
#[derive(Debug)]
pub struct Member {
    id: BackendId,
    assignment: ArcSwap<Assignment>,
    state: Arc<BackendState>,
    detected: ArcSwapOption<Detected>,
    report: watch::Sender<Report>,
    pub(super) counters: Counters,
    check_now: Notify,
    /// The profile controller has it.
    held: AtomicBool,
    /// Its state may be another's by now.
    left: AtomicBool,
}

/// What the configuration says of a backend, as a watcher needs it.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) backend: Arc<Backend>,
    /// The name the engine should serve, where the file says it.
    pub(super) served_name: Option<String>,
    pub(super) target: Target,
    pub(super) settings: Settings,
}

impl Assignment {
    pub(super) fn declaration(&self) -> Declaration<'_> {
        Declaration::new(self.served_name.as_deref(), &self.backend.profile)
    }
}

/// What the watcher last found.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) availability: Availability,
    pub(super) since: Moment,
    pub(super) failures: u32,
    pub(super) last_error: Option<Failure>,
    pub(super) mismatches: Vec<Mismatch>,
    pub(super) prefix: Option<PrefixCache>,
}

/// A failure of the watcher's, for people.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) at: Moment,
    pub(super) what: String,
}

/// Use of the engine's prefix cache since it started, tokens.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct PrefixCache {
    /// Tokens looked up.
    pub queries: f64,
    /// Tokens found.
    pub hits: f64,
}

/// How one scrape went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScrapeResult {
    /// The load was read.
    Ok,
    /// The engine publishes no vLLM metrics.
    Absent,
    /// Part of the load is missing or is no number; the last good reading stays.
    Incomplete,
    /// No answer in time.
    Timeout,
    /// No connection.
    Unreachable,
    /// An error status, a broken connection, or too large a page.
    Failed,
}

/// What the watcher did, by result; indexed by the enums' discriminants.
#[derive(Debug, Default)]
pub(super) struct Counters {
    checks: [AtomicU64; 5],
    scrapes: [AtomicU64; 6],
    detections: [AtomicU64; 2],
}

impl Counters {
    pub(super) const CHECKS: [(Check, &'static str); 5] = [
        (Check::Alive, "alive"),
        (Check::Dead, "dead"),
        (Check::Refused, "refused"),
        (Check::Timeout, "timeout"),
        (Check::Failed, "failed"),
    ];
    pub(super) const SCRAPES: [(ScrapeResult, &'static str); 6] = [
        (ScrapeResult::Ok, "ok"),
        (ScrapeResult::Absent, "absent"),
        (ScrapeResult::Incomplete, "incomplete"),
        (ScrapeResult::Timeout, "timeout"),
        (ScrapeResult::Unreachable, "unreachable"),
        (ScrapeResult::Failed, "failed"),
    ];
    pub(super) const DETECTIONS: [(bool, &'static str); 2] = [(false, "failed"), (true, "ok")];

    pub(super) fn checked(&self, check: Check) {
        self.checks[check as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn scraped(&self, result: ScrapeResult) {
        self.scrapes[result as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn detected(&self, ok: bool) {
        self.detections[usize::from(ok)].fetch_add(1, Relaxed);
    }

    pub(super) fn checks(&self, check: Check) -> u64 {
        self.checks[check as usize].load(Relaxed)
    }

    pub(super) fn scrapes(&self, result: ScrapeResult) -> u64 {
        self.scrapes[result as usize].load(Relaxed)
    }

    pub(super) fn detections(&self, ok: bool) -> u64 {
        self.detections[usize::from(ok)].load(Relaxed)
    }
}

impl Member {
    pub(super) fn new(assignment: Assignment, state: Arc<BackendState>, now: Moment) -> Self {
        let report = Report {
            availability: state.availability(),
            since: now,
            failures: 0,
            last_error: None,
            mismatches: Vec::new(),
            prefix: None,
        };
        Self {
            id: assignment.backend.id.clone(),
            assignment: ArcSwap::from_pointee(assignment),
            state,
            detected: ArcSwapOption::empty(),
            report: watch::Sender::new(report),
            counters: Counters::default(),
            check_now: Notify::new(),
            held: AtomicBool::new(false),
            left: AtomicBool::new(false),
        }
    }

    /// The backend's name.
    pub fn id(&self) -> &BackendId {
        &self.id
    }

    /// The backend's settings, as last applied.
    pub fn backend(&self) -> Arc<Backend> {
        self.assignment.load().backend.clone()
    }

    /// The backend's live state; it stays the same for as long as the backend does.
    pub fn state(&self) -> &Arc<BackendState> {
        &self.state
    }

    /// Opens connections to it.
    pub fn connector(&self) -> Connector {
        self.assignment().target.connector().clone()
    }

    /// What the engine last said of itself; `None` until it did.
    pub fn detected(&self) -> Option<Arc<Detected>> {
        self.detected.load_full()
    }

    /// Where the engine's word differs from the configuration's.
    pub fn mismatches(&self) -> Vec<Mismatch> {
        self.report.borrow().mismatches.clone()
    }

    /// Whether requests might go there by what its watcher found, whoever holds it.
    pub fn found(&self) -> Availability {
        self.report.borrow().availability
    }

    /// Since when the watcher has found so.
    pub fn found_since(&self) -> Moment {
        self.report.borrow().since
    }

    /// What the watcher asks it by.
    pub(crate) fn target(&self) -> Target {
        self.assignment().target.clone()
    }

    /// Takes it out of routing, or gives it back.
    pub(super) fn hold(&self, held: bool) {
        if self.held.swap(held, Relaxed) != held {
            self.found_to_be(self.found());
        }
    }

    /// Tells the selector what the watcher found, unless the profile controller has the backend.
    pub(super) fn found_to_be(&self, availability: Availability) {
        let held = self.held.load(Relaxed);
        self.state.set_availability(if held { Availability::Shifting } else { availability });
    }

    /// How long the backend has been in the state it is in, at `now`.
    pub(super) fn in_state_for(&self, now: Moment) -> Duration {
        between(self.report.borrow().since, now)
    }

    /// Use of the engine's prefix cache, where it tells.
    pub(super) fn prefix_cache(&self) -> Option<PrefixCache> {
        self.report.borrow().prefix
    }

    /// Has the backend's health checked at once, as after a connection that failed.
    pub fn check_now(&self) {
        self.check_now.notify_one();
    }

    /// Waits for `delay`, or until somebody wants to know at once.
    pub(super) async fn until_next_check(&self, delay: Duration) {
        /// Between two checks at least, however often somebody asks.
        const GAP: Duration = Duration::from_millis(100);
        tokio::time::sleep(delay.min(GAP)).await;
        tokio::select! {
            () = tokio::time::sleep(delay.saturating_sub(GAP)) => {}
            () = self.check_now.notified() => {}
        }
    }

    pub(super) fn assignment(&self) -> Arc<Assignment> {
        self.assignment.load_full()
    }

    pub(super) fn assign(&self, assignment: Assignment) {
        self.assignment.store(Arc::new(assignment));
    }

    pub(super) fn set_detected(&self, detected: Detected) {
        self.detected.store(Some(Arc::new(detected)));
    }

    #[cfg(test)]
    pub(super) fn report(&self) -> watch::Receiver<Report> {
        self.report.subscribe()
    }

    pub(super) fn publish(&self, report: Report) {
        self.report.send_replace(report);
    }

    /// The backend left, or the proxy shuts down: it finishes what it has. Once: its state may come back in another member.
    pub(super) fn drain(&self, now: Moment) {
        if self.left.swap(true, Relaxed) {
            return;
        }
        // One that is shifted stays so to those who still ask its state: it comes back.
        let held = self.held.load(Relaxed);
        self.state.set_availability(if held { Availability::Shifting } else { Availability::Draining });
        self.report.send_modify(|report| (report.availability, report.since) = (Availability::Draining, now));
    }
}

/// An availability as labels and JSON name it.
pub(super) fn availability_name(availability: Availability) -> &'static str {
    match availability {
        Availability::Unknown => "unknown",
        Availability::Ready => "ready",
        Availability::Probation => "probation",
        Availability::Asleep => "asleep",
        Availability::Down => "down",
        Availability::Hung => "hung",
        Availability::Draining => "draining",
        Availability::Shifting => "shifting",
    }
}
