//! Whether requests may go to a backend: health, sleep and hangs put together. Pure: time is an argument.
//!
//! ```text
//!  Unknown ──────────── a check passes ────────────▶ Ready
//!  any ──────────────── refused, 503, or too many failures in a row ──▶ Down
//!  Down ─────────────── a check passes ────────────▶ Probation
//!  Ready, Probation ─── work, and nothing moves ───▶ Hung
//!  Hung ─────────────── tokens flow ───────────────▶ Ready
//!  Hung ─────────────── drained ───────────────────▶ Probation
//!  Probation ────────── tokens flow ───────────────▶ Ready
//!  any but Down ─────── sleeps ────────────────────▶ Asleep ── wakes ──▶ what it was
//! ```

use gearshift_config::Fleet as Settings;
use gearshift_selector::{Availability, Moment};

use super::hang::{EngineWork, HangWatch, Own};
use crate::clock::between;

/// How one health check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Check {
    /// The server answered (any status but a server error: an engine without `/health` is alive too).
    Alive,
    /// It answered 503: vLLM's word for a dead engine.
    Dead,
    /// Nobody listens.
    Refused,
    /// No answer in time: dead, hung, or under load.
    Timeout,
    /// Any other failure: another server error, a broken connection, TLS.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Unchecked,
    Up,
    Down,
}

/// A change of availability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) from: Availability,
    pub(super) to: Availability,
}

/// What is known of one backend's condition.
#[derive(Debug)]
pub(super) struct Condition {
    standing: Standing,
    /// Health checks failed in a row.
    failures: u32,
    asleep: bool,
    hung_since: Option<Moment>,
    hang: HangWatch,
    /// Since when it owes a token.
    probation: Option<Moment>,
    availability: Availability,
    since: Moment,
}

impl Condition {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            standing: Standing::Unchecked,
            failures: 0,
            asleep: false,
            hung_since: None,
            hang: HangWatch::new(now),
            probation: None,
            availability: Availability::Unknown,
            since: now,
        }
    }

    /// The verdict, and since when.
    pub(super) fn availability(&self) -> (Availability, Moment) {
        (self.availability, self.since)
    }

    /// Health checks failed in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Takes the result of a health check.
    pub(super) fn checked(&mut self, now: Moment, check: Check, own: Own, settings: &Settings) {
        let alive = match check {
            Check::Alive => true,
            // `/health` can take 30–40 s on an engine that is merely busy: tokens that flow outweigh it.
            Check::Timeout => {
                let window = settings.health_timeout + settings.scrape_interval;
                between(self.last_token(own), now) <= window
            }
            Check::Dead | Check::Refused | Check::Failed => false,
        };
        if alive {
            if self.standing == Standing::Down {
                self.probation = Some(now);
                (self.asleep, self.hung_since) = (false, None);
                self.hang.reset(now);
            }
            (self.standing, self.failures) = (Standing::Up, 0);
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let certain = matches!(check, Check::Dead | Check::Refused);
        if certain || self.failures >= settings.unhealthy_after {
            self.standing = Standing::Down;
        }
    }

    /// Takes what the engine says of its work.
    pub(super) fn working(&mut self, now: Moment, work: EngineWork) {
        self.hang.scraped(now, work);
    }

    /// Takes whether the engine says it sleeps.
    pub(super) fn sleeping(&mut self, now: Moment, asleep: bool) {
        if self.asleep && !asleep {
            self.hang.reset(now);
        }
        self.asleep = asleep;
    }

    /// Draws the conclusion from all that was taken. Call it after every reading, and now and then without one.
    pub(super) fn conclude(&mut self, now: Moment, own: Own, settings: &Settings) -> Option<Change> {
        // Requests to a sleeping engine wait, as they should.
        let hung_since = if self.asleep {
            None
        } else {
            let stale_after = settings.scrape_interval * 2 + settings.health_timeout;
            self.hang.observe(now, own, settings.hang_after, stale_after)
        };
        if hung_since.is_none() {
            self.probation = self.hung_since.or(self.probation);
        }
        self.hung_since = hung_since;
        if self.probation.is_some_and(|since| self.last_token(own) > since) {
            self.probation = None;
        }
        let (from, to) = (self.availability, self.verdict());
        (from != to).then(|| {
            (self.availability, self.since) = (to, now);
            Change { from, to }
        })
    }

    fn verdict(&self) -> Availability {
        match self.standing {
            Standing::Down => Availability::Down,
            _ if self.asleep => Availability::Asleep,
            _ if self.hung_since.is_some() => Availability::Hung,
            _ if self.probation.is_some() => Availability::Probation,
            Standing::Up => Availability::Ready,
            Standing::Unchecked => Availability::Unknown,
        }
    }

    /// When tokens last flowed, by our own responses or by the engine's counters; zero for never.
    fn last_token(&self, own: Own) -> Moment {
        own.last_output.max(self.hang.engine_moved().unwrap_or_default())
    }
}

#[cfg(test)]
#[path = "condition_tests.rs"]
mod tests;
