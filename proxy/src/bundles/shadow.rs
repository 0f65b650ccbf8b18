//! A new bundle beside the active one: asked about the same requests, deciding nothing.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use gearshift_selector::Decision;
use serde::Serialize;
use tokio::sync::Notify;

use super::{Learner, faults::learner_failed};
use crate::metrics::BundleMetrics;

/// A bundle that fails more often than once in this many decisions is not activated, and does not stay active.
pub(super) const DECISIONS_PER_FAILURE: u32 = 100;

/// A bundle on trial.
#[derive(Debug)]
pub struct Shadow {
    /// The bundle.
    pub learner: Arc<Learner>,
    wanted: u32,
    compared: AtomicU32,
    agreed: AtomicU32,
    failed: AtomicU32,
    done: Notify,
    metrics: BundleMetrics,
}

/// How a trial stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Decisions to be compared.
    pub wanted: u32,
    /// Decisions compared.
    pub compared: u32,
    /// Of them, those in which it would have chosen the same backend.
    pub agreed: u32,
    /// Of them, those in which it had no answer.
    pub failed: u32,
}

impl Counts {
    /// Whether it may decide.
    ///
    /// # Errors
    /// Why not.
    pub fn verdict(self) -> Result<(), String> {
        let Self { compared, failed, .. } = self;
        if failed.saturating_mul(DECISIONS_PER_FAILURE) <= compared {
            return Ok(());
        }
        Err(format!("in shadow it failed in {failed} of {compared} decisions"))
    }
}

impl Shadow {
    /// On trial for so many requests.
    pub fn new(learner: Arc<Learner>, wanted: u32, metrics: BundleMetrics) -> Self {
        let [compared, agreed, failed] = [0; 3].map(AtomicU32::new);
        Self { learner, wanted, compared, agreed, failed, done: Notify::new(), metrics }
    }

    /// Whether more requests are to be compared.
    pub fn wants_more(&self) -> bool {
        self.compared.load(Relaxed) < self.wanted
    }

    /// Takes in what it would have decided. Requests about which no bundle is asked say nothing of it.
    pub fn note(&self, active: &Decision, own: &Decision) {
        let Some(failed) = learner_failed(own.fallback) else { return };
        let agrees = own.chosen.index == active.chosen.index;
        self.agreed.fetch_add(u32::from(agrees), Relaxed);
        self.failed.fetch_add(u32::from(failed), Relaxed);
        self.metrics.shadowed(agrees);
        if self.compared.fetch_add(1, Relaxed) + 1 >= self.wanted {
            self.done.notify_one();
        }
    }

    /// Waits until enough were compared.
    pub async fn compared(&self) {
        while self.wants_more() {
            self.done.notified().await;
        }
    }

    /// How it stands.
    pub fn counts(&self) -> Counts {
        Counts {
            wanted: self.wanted,
            compared: self.compared.load(Relaxed),
            agreed: self.agreed.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_in_a_hundred_decisions_is_borne() {
        let counts = |compared, failed| Counts { wanted: 200, compared, agreed: 0, failed };
        assert_eq!(counts(200, 2).verdict(), Ok(()));
        assert!(counts(200, 3).verdict().unwrap_err().contains("3 of 200"));
        assert_eq!(counts(0, 0).verdict(), Ok(()));
    }
}
