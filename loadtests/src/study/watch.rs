//! Whether requests may go to a backend: the proxy's watcher, reduced to what can happen in virtual time.

use std::time::Duration;

use gearshift_selector::{Availability, Moment};

/// What is known of one backend's condition.
#[derive(Debug)]
pub(super) struct Watch {
    up: bool,
    hung: Option<Moment>,
    /// Since when it owes a token.
    probation: Option<Moment>,
    /// When output last came, or work came to an idle backend.
    heard: Moment,
    /// When the engine's own counters last moved, and where they stood.
    moved: (Moment, u64),
    availability: Availability,
}

impl Watch {
    /// A backend that has been checked and is well.
    pub(super) fn new() -> Self {
        Self {
            up: true,
            hung: None,
            probation: None,
            heard: Moment(0),
            moved: (Moment(0), 0),
            availability: Availability::Ready,
        }
    }

    /// A backend that is not there yet.
    pub(super) fn absent() -> Self {
        Self { up: false, availability: Availability::Down, ..Self::new() }
    }

    pub(super) fn availability(&self) -> Availability {
        self.availability
    }

    /// Output came, or the first work.
    pub(super) fn heard(&mut self, now: Moment) {
        self.heard = now;
    }

    /// A health check was answered (or not).
    pub(super) fn checked(&mut self, alive: bool, now: Moment) {
        if alive && !self.up {
            (self.probation, self.hung) = (Some(now), None);
            self.heard = now;
        }
        self.up = alive;
    }

    /// The engine's token counters were read.
    pub(super) fn counted(&mut self, tokens: u64, now: Moment) {
        if tokens != self.moved.1 {
            self.moved = (now, tokens);
        }
    }

    /// Draws the conclusion; gives what it was before where it changed.
    pub(super) fn conclude(
        &mut self,
        outstanding: u32,
        hang_after: Duration,
        now: Moment,
    ) -> Option<Availability> {
        let sign_of_life = self.heard.max(self.moved.0);
        self.hung = match self.hung {
            _ if outstanding == 0 => None,
            Some(since) if sign_of_life <= since => Some(since),
            _ => (now.seconds_since(sign_of_life) >= hang_after.as_secs_f64()).then_some(now),
        };
        if self.availability == Availability::Hung && self.hung.is_none() {
            self.probation = Some(now);
        }
        if self.probation.is_some_and(|since| sign_of_life > since) {
            self.probation = None;
        }
        let verdict = match self {
            Self { up: false, .. } => Availability::Down,
            Self { hung: Some(_), .. } => Availability::Hung,
            Self { probation: Some(_), .. } => Availability::Probation,
            Self { .. } => Availability::Ready,
        };
        let before = std::mem::replace(&mut self.availability, verdict);
        (before != verdict).then_some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANG_AFTER: Duration = Duration::from_secs(60);

    fn at(seconds: f64) -> Moment {
        Moment::default().after_seconds(seconds)
    }

    fn verdict(watch: &mut Watch, outstanding: u32, seconds: f64) -> Availability {
        watch.conclude(outstanding, HANG_AFTER, at(seconds));
        watch.availability()
    }

    #[test]
    fn an_outage_ends_in_probation_and_tokens_end_that() {
        let mut watch = Watch::new();
        watch.checked(false, at(10.0));
        assert_eq!(watch.conclude(3, HANG_AFTER, at(10.0)), Some(Availability::Ready));
        assert_eq!(watch.availability(), Availability::Down);
        watch.checked(true, at(20.0));
        assert_eq!(verdict(&mut watch, 0, 20.0), Availability::Probation);
        watch.heard(at(21.0));
        assert_eq!(verdict(&mut watch, 1, 21.0), Availability::Ready);
    }

    #[test]
    fn work_without_tokens_is_a_hang() {
        let mut watch = Watch::new();
        watch.heard(at(100.0));
        assert_eq!(verdict(&mut watch, 1, 159.0), Availability::Ready);
        watch.counted(5, at(159.0));
        assert_eq!(verdict(&mut watch, 1, 218.0), Availability::Ready, "the engine works for others");
        assert_eq!(verdict(&mut watch, 1, 219.0), Availability::Hung);
        assert_eq!(verdict(&mut watch, 0, 230.0), Availability::Probation);
    }
}
