//! Whether a bundle that decides keeps failing. It was tried before it served, but a graph may be right for the rows it was
//! tried on and say NaN of what a fleet brings.

use std::sync::OnceLock;

use gearshift_selector::Fallback;
use tokio::sync::Notify;

use super::shadow::DECISIONS_PER_FAILURE;

/// Decisions that failures are counted over.
const WINDOW: u32 = 1000;

/// Whether the bundle failed in a decision; `None` where none was asked.
pub(super) fn learner_failed(fallback: Option<Fallback>) -> Option<bool> {
    match fallback {
        None | Some(Fallback::LowConfidence) => Some(false),
        Some(Fallback::LearnerFailed) => Some(true),
        Some(
            Fallback::NoBundle
            | Fallback::OverBudget
            | Fallback::NoSay
            | Fallback::UnknownFacts
            | Fallback::Unmodelled
            | Fallback::NoneReady,
        ) => None,
    }
}

/// One core's count of decisions that the active bundle was asked about; `Id` tells bundles apart.
#[derive(Debug)]
pub struct Faults<Id> {
    of: Option<Id>,
    asked: u32,
    failed: u32,
}

impl<Id> Default for Faults<Id> {
    fn default() -> Self {
        Self { of: None, asked: 0, failed: 0 }
    }
}

impl<Id: PartialEq> Faults<Id> {
    /// Takes in a decision. Why the bundle must go, where it has failed in more than one of a hundred decisions, of
    /// a thousand or as many as there were since the last full window.
    pub fn decided(&mut self, bundle: Id, fallback: Option<Fallback>) -> Option<String> {
        let failed = learner_failed(fallback)?;
        let of = Some(bundle);
        if self.of != of || self.asked == WINDOW {
            *self = Self { of, ..Self::default() };
        }
        self.asked += 1;
        self.failed += u32::from(failed);
        let Self { asked, failed, .. } = self;
        (*failed > WINDOW / DECISIONS_PER_FAILURE)
            .then(|| format!("while it decided, it failed in {failed} of {asked} decisions"))
    }
}

/// Where cores say that a bundle must go, and the keeper hears of it.
#[derive(Debug, Default)]
pub struct Failing {
    reason: OnceLock<String>,
    told: Notify,
}

impl Failing {
    /// It must go. The first reason stays.
    pub fn tell(&self, reason: String) {
        if self.reason.set(reason).is_ok() {
            self.told.notify_one();
        }
    }

    /// Waits until it must go, and says why.
    pub async fn reason(&self) -> &str {
        loop {
            if let Some(reason) = self.reason.get() {
                return reason;
            }
            self.told.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: Option<Fallback> = Some(Fallback::LearnerFailed);

    #[test]
    fn one_failure_in_a_hundred_decisions_is_borne() {
        let mut faults = Faults::default();
        for at in 0..10 * WINDOW {
            let fallback = if at % DECISIONS_PER_FAILURE == 0 { FAILED } else { None };
            assert_eq!(faults.decided(1, fallback), None, "{at}");
        }
    }

    #[test]
    fn more_are_not_and_the_reason_has_the_counts() {
        let mut faults = Faults::default();
        assert_eq!(faults.decided(1, Some(Fallback::LowConfidence)), None);
        assert!((0..10).all(|_| faults.decided(1, FAILED).is_none()), "a few may be an accident");
        assert_eq!(faults.decided(1, Some(Fallback::UnknownFacts)), None, "it was not asked");
        let reason = faults.decided(1, FAILED).unwrap();
        assert_eq!(reason, "while it decided, it failed in 11 of 12 decisions");
    }

    #[test]
    fn another_bundle_begins_anew() {
        let mut faults = Faults::default();
        (0..10).for_each(|_| drop(faults.decided(1, FAILED)));
        assert_eq!(faults.decided(2, FAILED), None);
    }

    #[tokio::test]
    async fn the_first_reason_is_heard_also_late() {
        let failing = Failing::default();
        failing.tell("one".into());
        failing.tell("two".into());
        assert_eq!(failing.reason().await, "one");
        assert_eq!(failing.reason().await, "one");
    }
}
