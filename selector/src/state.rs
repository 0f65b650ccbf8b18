//! The live state of one backend. It outlives snapshots: a reload of the configuration keeps it.

use std::{
    sync::atomic::{
        AtomicU8, AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::Duration,
};

use crate::{
    Moment,
    calibration::Calibration,
    claim::{Claim, Contradicted, LEAST_OUTCOMES},
    ewma::{LogMean, PeakEwma, Recent},
    index::PrefixIndex,
    ledger::{InFlight, Ledger},
    load::ScrapedLoad,
    num,
    relearned::Relearned,
    share::{self, Share},
};

/// Whether requests may go to a backend now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Availability {
    /// Not yet checked: eligible, after the ready ones.
    Unknown,
    /// Checked and well.
    Ready,
    /// Back after a hang or an outage: one request at a time until tokens flow.
    Probation,
    /// Asleep (vLLM sleep mode).
    Asleep,
    /// Health checks or connections fail.
    Down,
    /// Work in flight and no token progress.
    Hung,
    /// Leaving: finishes what it has.
    Draining,
    /// The profile controller has it: it finishes what it has, and takes nothing until it is back, whatever happens to
    /// the others. It may be ended at any moment.
    Shifting,
}

impl Availability {
    const ALL: [Self; 8] = [
        Self::Unknown,
        Self::Ready,
        Self::Probation,
        Self::Asleep,
        Self::Down,
        Self::Hung,
        Self::Draining,
        Self::Shifting,
    ];
}

/// Live state of one backend: ledger, scraped gauges, availability, calibration, peak-EWMA, prefix index.
/// Shared by all cores and across snapshots; atomics only.
#[derive(Debug)]
pub struct BackendState {
    pub(crate) ledger: Ledger,
    pub(crate) index: PrefixIndex,
    pub(crate) calibration: Calibration,
    /// As `calibration`, of what a bundle makes of the prior.
    pub(crate) relearned: Relearned,
    pub(crate) contradicted: Contradicted,
    /// Seconds per output token, whole answers (prefill and waiting included).
    pub(crate) pace: PeakEwma,
    failures: Recent,
    /// Zero where unknown.
    kv_tokens: AtomicU64,
    availability: AtomicU8,
    /// Requests that were sent here, counted as far as [`MOST_INTRODUCED`].
    sent: AtomicU32,
    pub(crate) share: Share,
    scrape: ScrapeCell,
    round_trip: LogMean,
    last_progress: AtomicU64,
    last_output: AtomicU64,
}

/// Failures to connect are held against a backend with this half-life, seconds; health checks take over meanwhile.
const FAILURE_HALF_LIFE_S: f64 = 10.0;
/// Requests after which a backend is not new, whatever was learned of them: not every answer teaches.
const MOST_INTRODUCED: u32 = 4 * LEAST_OUTCOMES;
/// Round trip assumed until one is measured, seconds: one machine room.
const START_ROUND_TRIP_S: f64 = 0.001;

impl BackendState {
    /// `kv_tokens`: KV-cache capacity where known (sizes the prefix index).
    pub fn new(kv_tokens: Option<u64>) -> Self {
        Self {
            ledger: Ledger::default(),
            index: PrefixIndex::new(kv_tokens),
            calibration: Calibration::new(),
            relearned: Relearned::new(),
            contradicted: Contradicted::default(),
            pace: PeakEwma::new(),
            failures: Recent::new(FAILURE_HALF_LIFE_S),
            kv_tokens: AtomicU64::new(kv_tokens.unwrap_or(0)),
            availability: AtomicU8::new(Availability::Unknown as u8),
            sent: AtomicU32::new(0),
            share: Share::default(),
            scrape: ScrapeCell::default(),
            round_trip: LogMean::new(START_ROUND_TRIP_S, 0.2, 3.0),
            last_progress: AtomicU64::new(0),
            last_output: AtomicU64::new(0),
        }
    }

    /// Sets whether requests may go here; the fleet's watchers do.
    pub fn set_availability(&self, availability: Availability) {
        self.availability.store(availability as u8, Release);
    }

    /// Whether requests may go here.
    pub fn availability(&self) -> Availability {
        Availability::ALL[usize::from(self.availability.load(Acquire))]
    }

    /// Sets how many of a thousand requests may come here while others are ready: less than all during a slow start.
    pub fn set_share(&self, permille: u32) {
        self.share.set(permille);
    }

    /// Takes in a scrape, together with what this router has in flight now. One scraper a backend.
    pub fn record_scrape(&self, load: ScrapedLoad) {
        self.scrape.store(&load, self.in_flight().sequences);
    }

    /// The last scrape.
    pub fn scraped(&self) -> Option<ScrapedLoad> {
        self.scrape.load().map(|(load, _)| load)
    }

    /// The last scrape, and the sequences this router had in flight then.
    pub(crate) fn scrape_and_own(&self) -> Option<(ScrapedLoad, u32)> {
        self.scrape.load()
    }

    /// Takes in a measured network round trip.
    pub fn record_round_trip(&self, rtt: Duration) {
        let seconds = rtt.as_secs_f64();
        // The first one says more than what was assumed.
        if self.round_trip.samples() == 0 && seconds > 0.0 {
            self.round_trip.restart(seconds, 1);
        } else {
            self.round_trip.observe(seconds, 1.0);
        }
        self.contradicted.judge_round_trip(self.round_trip_s());
    }

    /// The network round trip, seconds; 1 ms until one is measured.
    pub fn round_trip_s(&self) -> f64 {
        self.round_trip.value()
    }

    /// What this router has in flight here.
    pub fn in_flight(&self) -> InFlight {
        self.ledger.read()
    }

    /// A request is sent here.
    pub(crate) fn record_sent(&self) {
        // Past the bound nothing is written: what all cores read stays in all their caches.
        if self.sent.load(Relaxed) < MOST_INTRODUCED {
            self.sent.fetch_add(1, Relaxed);
        }
    }

    /// Whether so little is known of it that it has to be introduced: what is under way counts as an outcome.
    pub(crate) fn is_new(&self, in_flight: u32) -> bool {
        let outcomes = self.calibration.outcomes().0.saturating_add(in_flight);
        outcomes < LEAST_OUTCOMES && self.sent.load(Relaxed) < MOST_INTRODUCED
    }

    /// When a response byte last came from here, or work last went to an idle backend.
    pub fn last_progress(&self) -> Moment {
        Moment(self.last_progress.load(Relaxed))
    }

    pub(crate) fn record_progress(&self, now: Moment) {
        self.last_progress.fetch_max(now.0, Relaxed);
    }

    /// When a response byte last came from here; zero for never. Unlike [`Self::last_progress`], sending work is
    /// no sign of life.
    pub fn last_output(&self) -> Moment {
        Moment(self.last_output.load(Relaxed))
    }

    /// Output came from here: to a client, or to whoever asked beside the ledger to see whether tokens flow.
    pub fn record_output(&self, now: Moment) {
        self.last_output.fetch_max(now.0, Relaxed);
        self.record_progress(now);
    }

    /// A connection could not be made, or broke before the response head; or the engine had no room (503).
    pub fn record_failure(&self, now: Moment) {
        self.failures.add(now);
    }

    /// Recent failures, halving every ten seconds.
    pub fn recent_failures(&self, now: Moment) -> f64 {
        self.failures.value(now)
    }

    /// The engine was away, in another profile, and is back: what was learned of its speed stays; what it was like at the time
    /// does not.
    pub fn returns(&self) {
        self.forget_prefixes();
        self.set_availability(Availability::Unknown);
        self.set_share(share::ALL);
        self.scrape.clear();
    }

    /// The engine restarted: its prefix cache is empty. What was learned of its speed stays.
    pub fn forget_prefixes(&self) {
        self.index.clear();
    }

    /// KV-cache capacity in tokens, where the engine told.
    pub fn kv_tokens(&self) -> Option<u64> {
        Some(self.kv_tokens.load(Relaxed)).filter(|&tokens| tokens > 0)
    }

    /// Takes the engine's word on its KV-cache capacity, often known only after the first requests. The prior of a
    /// [`crate::Group`] built from now on uses it; the prefix index takes its size from the first such word.
    pub fn set_kv_tokens(&self, tokens: Option<u64>) {
        self.index.resize(tokens.unwrap_or(0));
        self.kv_tokens.store(tokens.unwrap_or(0), Relaxed);
    }

    /// For admin state and metrics: (ttft factor, tpot factor, samples); the factors at the loads that are usually seen.
    pub fn calibration(&self) -> (f64, f64, u64) {
        self.calibration.read()
    }

    /// By how many times (TTFT, TPOT) are slower now than they usually were in the last ten minutes.
    pub fn drift(&self) -> (f64, f64) {
        self.calibration.drift()
    }

    /// Whether what was measured contradicts this part of what is claimed of the backend.
    pub fn contradicts(&self, claim: Claim) -> bool {
        self.contradicted.has(claim)
    }
}

/// The last scrape in three words. One writer; a reader that straddles a write may pair one scrape's gauges with
/// the next one's time, a scrape interval apart: nothing a lock would be worth.
#[derive(Debug)]
struct ScrapeCell {
    /// Nanoseconds; [`u64::MAX`] before the first scrape.
    at: AtomicU64,
    running_waiting: AtomicU64,
    usage_own: AtomicU64,
}

impl Default for ScrapeCell {
    fn default() -> Self {
        Self {
            at: AtomicU64::new(u64::MAX),
            running_waiting: AtomicU64::new(0),
            usage_own: AtomicU64::new(0),
        }
    }
}

impl ScrapeCell {
    fn clear(&self) {
        self.at.store(u64::MAX, Release);
    }

    fn store(&self, load: &ScrapedLoad, own: u32) {
        self.running_waiting.store(num::pack(load.running, load.waiting), Relaxed);
        self.usage_own.store(num::pack(num::to_f32(load.kv_usage).to_bits(), own), Relaxed);
        self.at.store(load.at.0, Release);
    }

    fn load(&self) -> Option<(ScrapedLoad, u32)> {
        let at = self.at.load(Acquire);
        if at == u64::MAX {
            return None;
        }
        let counts = self.running_waiting.load(Relaxed);
        let usage_own = self.usage_own.load(Relaxed);
        let load = ScrapedLoad {
            at: Moment(at),
            running: num::high(counts),
            waiting: num::low(counts),
            kv_usage: f64::from(f32::from_bits(num::high(usage_own))),
        };
        Some((load, num::low(usage_own)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn availability_survives_the_round_trip() {
        let state = BackendState::new(None);
        assert_eq!(state.availability(), Availability::Unknown);
        for availability in Availability::ALL {
            state.set_availability(availability);
            assert_eq!(state.availability(), availability);
        }
    }

    #[test]
    fn a_scrape_comes_back_as_it_went_in() {
        let state = BackendState::new(Some(1000));
        assert_eq!(state.scraped(), None);
        let load = ScrapedLoad { at: Moment(0), running: 3, waiting: u32::MAX, kv_usage: 0.5 };
        state.record_scrape(load);
        assert_eq!(state.scraped(), Some(load));
    }

    #[test]
    fn progress_never_goes_back() {
        let state = BackendState::new(None);
        state.record_progress(Moment(9));
        state.record_progress(Moment(4));
        assert_eq!(state.last_progress(), Moment(9));
    }

    #[test]
    fn output_is_progress_but_progress_is_not_output() {
        let state = BackendState::new(None);
        state.record_progress(Moment(9));
        assert_eq!(state.last_output(), Moment(0));
        state.record_output(Moment(10));
        assert_eq!((state.last_output(), state.last_progress()), (Moment(10), Moment(10)));
    }

    #[test]
    fn capacity_may_be_learned_late() {
        let state = BackendState::new(None);
        assert_eq!(state.kv_tokens(), None);
        state.set_kv_tokens(Some(1000));
        assert_eq!(state.kv_tokens(), Some(1000));
        assert_eq!(BackendState::new(Some(5)).kv_tokens(), Some(5));
    }

    #[test]
    fn round_trips_are_learned() {
        let state = BackendState::new(None);
        state.record_round_trip(Duration::from_millis(40));
        assert!((state.round_trip_s() - 0.04).abs() < 1e-6, "the first goes before what was assumed");
        (0..30).for_each(|_| state.record_round_trip(Duration::from_millis(80)));
        assert!((state.round_trip_s() - 0.08).abs() < 0.002, "{}", state.round_trip_s());
    }
}
