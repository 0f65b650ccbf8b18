//! What the planner remembers of an engine.

use std::collections::{BTreeMap, VecDeque};

use gearshift_config::ProfileId;

use super::{Settings, Verdict};
use crate::Moment;

/// Weight of the last switch in what switches of an engine are expected to take.
const COST_GAIN: f64 = 0.3;
/// Doublings of the dwell at most.
const MOST_PATIENCE: u32 = 4;
const DAY_S: f64 = 86_400.0;

/// How patient the planner has become with an engine: what nobody can tell from how its shifts ended, and has to outlive the planner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Patience {
    /// Doublings of its dwell.
    pub doublings: u32,
    /// The last shift did not last: the profile left would have been better again before the switch had paid.
    pub regretted: bool,
}

/// What is remembered of an engine.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    /// Since when it has been in its profile, where it was ever shifted.
    since: Option<Moment>,
    /// The profile it left last.
    left: Option<ProfileId>,
    pub(super) patience: Patience,
    /// Seconds a switch takes, as measured.
    switch_s: Option<f64>,
    /// Ends of the shifts of the last day.
    shifts: VecDeque<Moment>,
    failures: BTreeMap<ProfileId, Failures>,
    /// What is wished for, and since when.
    wish: Option<(ProfileId, Moment)>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    in_a_row: u32,
    until: Moment,
}

impl Record {
    /// It is in its profile since then, and no plan put it there: what one left before is no matter of regret any more.
    pub(super) fn remember(&mut self, since: Moment) {
        (self.since, self.left) = (Some(since), None);
    }

    /// Seconds a switch is expected to take.
    pub(super) fn switch_s(&self, estimate: f64) -> f64 {
        self.switch_s.unwrap_or(estimate).max(0.0)
    }

    /// What keeps the engine from being shifted into a profile, whatever it would gain.
    pub(super) fn hold(&self, to: &ProfileId, settings: &Settings, now: Moment) -> Option<Verdict> {
        let left = |until: Moment| until.seconds_since(now);
        if let Some(until) = self.failures.get(to).map(|failures| failures.until).filter(|until| *until > now)
        {
            return Some(Verdict::BackingOff { left_s: left(until) });
        }
        let dwelt = self.since.map(|since| since.after_seconds(self.dwell_s(settings)));
        if let Some(until) = dwelt.filter(|until| *until > now) {
            return Some(Verdict::Dwelling { left_s: left(until) });
        }
        let today = self.shifts.iter().filter(|shift| now.seconds_since(**shift) < DAY_S).count();
        (today >= settings.max_shifts_per_day as usize).then_some(Verdict::TooOften)
    }

    fn dwell_s(&self, settings: &Settings) -> f64 {
        settings.min_dwell.as_secs_f64() * f64::from(1_u32 << self.patience.doublings.min(MOST_PATIENCE))
    }

    /// The profile it left, while a shift that was worth it would still be better.
    pub(super) fn left_lately(&self, settings: &Settings, now: Moment) -> Option<&ProfileId> {
        let since = self.since.filter(|since| now.seconds_since(*since) < settings.payback.as_secs_f64())?;
        self.left.as_ref().filter(|_| !self.patience.regretted && since <= now)
    }

    /// The profile it left is better again already: from now on it is more patient.
    pub(super) fn regret(&mut self) {
        let doublings = self.patience.doublings.saturating_add(1).min(MOST_PATIENCE);
        self.patience = Patience { doublings, regretted: true };
    }

    /// Takes note of a wish; seconds until it has lasted.
    pub(super) fn wish(&mut self, to: &ProfileId, settings: &Settings, now: Moment) -> f64 {
        let since = match &self.wish {
            Some((wished, since)) if wished == to => *since,
            _ => now,
        };
        self.wish = Some((to.clone(), since));
        since.after(settings.settle).seconds_since(now)
    }

    pub(super) fn wish_nothing(&mut self) {
        self.wish = None;
    }

    /// A shift has ended.
    pub(super) fn finished(
        &mut self,
        (from, to): (&ProfileId, &ProfileId),
        took_s: f64,
        ok: bool,
        settings: &Settings,
        now: Moment,
    ) {
        self.shifts.push_back(now);
        while self.shifts.front().is_some_and(|first| now.seconds_since(*first) >= DAY_S) {
            self.shifts.pop_front();
        }
        self.wish = None;
        if ok {
            self.shifted(from, now);
            let before = self.switch_s.unwrap_or(took_s);
            self.switch_s = Some(before + COST_GAIN * (took_s - before));
            self.failures.remove(to);
        } else {
            let failures = self.failures.entry(to.clone()).or_insert(Failures { in_a_row: 0, until: now });
            let doubled = 2_f64.powi(i32::try_from(failures.in_a_row.min(30)).unwrap_or(30));
            let backoff_s = settings.backoff.as_secs_f64() * doubled;
            failures.until = now.after_seconds(backoff_s.min(settings.max_backoff.as_secs_f64()));
            failures.in_a_row = failures.in_a_row.saturating_add(1);
            self.remember(now);
        }
    }

    /// It is in another profile from `now` on. A shift that lasted makes it a bit less patient again.
    fn shifted(&mut self, from: &ProfileId, now: Moment) {
        if self.left.is_some() && !self.patience.regretted {
            self.patience.doublings = self.patience.doublings.saturating_sub(1);
        }
        self.patience.regretted = false;
        self.left = Some(from.clone());
        self.since = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three kinds of ends; what the last good shift left is to be regretted after the first alone.
    #[test]
    fn only_the_shift_that_put_it_there_is_regretted() {
        let (a, b, c) = (ProfileId::new("a"), ProfileId::new("b"), ProfileId::new("c"));
        let (settings, at) = (Settings::default(), |seconds| Moment(0).after_seconds(seconds));
        let shifted = || {
            let mut record = Record::default();
            record.finished((&a, &b), 60.0, true, &settings, at(100.0));
            record
        };
        assert_eq!(shifted().left_lately(&settings, at(200.0)), Some(&a));
        let mut by_hand = shifted();
        by_hand.remember(at(150.0));
        assert_eq!(by_hand.left_lately(&settings, at(200.0)), None, "an operator put it there");
        let mut failed = shifted();
        failed.finished((&b, &c), 60.0, false, &settings, at(5_000.0));
        assert_eq!(failed.left_lately(&settings, at(5_100.0)), None, "it came back by a failure, long after");
    }
}
