//! Whether a core's decisions keep to their time. A bundle is timed before it serves, on an idle machine; what decisions
//! take where they are made is seen only then.

use std::{collections::VecDeque, time::Duration};

use gearshift_selector::Moment;

/// Decisions looked at.
const WINDOW: usize = 256;
/// The budget is the learner's share, and the median of its time on an idle core: a decision that takes this many times
/// as long is far over it.
const FAR_OVER: u32 = 4;
/// How long a core leaves the learner out.
const PAUSE: Duration = Duration::from_secs(30);

/// One core's last decisions with the learner.
#[derive(Debug, Default)]
pub struct Pace {
    /// Whether each was far over the budget.
    last: VecDeque<bool>,
    slow: usize,
    resume: Option<Moment>,
}

impl Pace {
    /// Whether the learner may be asked.
    pub fn allows(&mut self, now: Moment) -> bool {
        if self.resume.is_some_and(|resume| now >= resume) {
            self.resume = None;
        }
        self.resume.is_none()
    }

    /// Takes in how long a decision with the learner `took`. True where the median of the last few hundred is far over the
    /// budget: the learner is left out for a while from now on.
    pub fn decided(&mut self, took: Duration, budget: Duration, now: Moment) -> bool {
        let slow = took > budget * FAR_OVER;
        self.slow += usize::from(slow);
        self.last.push_back(slow);
        if self.last.len() <= WINDOW {
            return false;
        }
        let oldest = self.last.pop_front().is_some_and(|slow| slow);
        self.slow -= usize::from(oldest);
        let too_slow = self.slow > WINDOW / 2;
        if too_slow {
            let pause = u64::try_from(PAUSE.as_nanos()).unwrap_or(u64::MAX);
            *self = Self { resume: Some(Moment(now.0.saturating_add(pause))), ..Self::default() };
        }
        too_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_micros(100);
    const SLOW: Duration = Duration::from_micros(401);
    const START: Moment = Moment(1_000_000_000);

    fn after(seconds: u64) -> Moment {
        Moment(START.0 + seconds * 1_000_000_000)
    }

    #[test]
    fn a_slow_median_pauses_the_learner_for_a_while() {
        let mut pace = Pace::default();
        assert!((0..WINDOW).all(|_| !pace.decided(SLOW, BUDGET, START)), "too few say nothing");
        assert!(pace.decided(SLOW, BUDGET, START));
        assert!(!pace.allows(START) && !pace.allows(after(29)));
        assert!(pace.allows(after(30)) && pace.allows(after(31)));
        assert!((0..WINDOW).all(|_| !pace.decided(SLOW, BUDGET, after(31))), "it begins anew");
        assert!(pace.decided(SLOW, BUDGET, after(31)));
    }

    #[test]
    fn less_than_half_of_them_slow_is_borne_and_forgotten() {
        let mut pace = Pace::default();
        let mut decide = |took| assert!(!pace.decided(took, BUDGET, START));
        for _ in 0..3 {
            (0..WINDOW / 2).for_each(|_| decide(SLOW));
            (0..WINDOW / 2).for_each(|_| decide(BUDGET * FAR_OVER));
        }
        assert!(pace.allows(START));
    }
}
