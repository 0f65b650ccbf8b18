//! What the proxy lets in at once: requests, and bytes of request bodies. Shared by all cores.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use crate::error::{ProxyError, Reason};

/// The two counters and their limits; limits change with the configuration.
#[derive(Debug)]
pub struct Admission {
    in_flight: AtomicUsize,
    buffered: AtomicUsize,
    max_in_flight: AtomicUsize,
    max_buffered: AtomicUsize,
    budget: RetryBudget,
}

impl Admission {
    /// No limits until [`Admission::limit`].
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            in_flight: AtomicUsize::new(0),
            buffered: AtomicUsize::new(0),
            max_in_flight: AtomicUsize::new(usize::MAX),
            max_buffered: AtomicUsize::new(usize::MAX),
            budget: RetryBudget::default(),
        })
    }

    /// Takes the limits of a configuration.
    pub fn limit(&self, limits: &gearshift_config::Limits) {
        self.max_in_flight.store(limits.max_in_flight, Relaxed);
        self.max_buffered.store(limits.max_buffered_bytes, Relaxed);
    }

    /// Lets a request in, or refuses it.
    pub fn enter(self: &Arc<Self>) -> Result<Permit, ProxyError> {
        let permit = Permit(self.clone());
        if self.in_flight.fetch_add(1, Relaxed) >= self.max_in_flight.load(Relaxed) {
            return Err(ProxyError::new(
                Reason::Overloaded,
                "too many requests in flight; try again shortly",
            ));
        }
        Ok(permit)
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// An empty share of the body memory.
    pub fn buffer(self: &Arc<Self>) -> BufferGuard {
        BufferGuard { admission: self.clone(), bytes: 0 }
    }

    /// Bytes of request bodies held.
    pub fn buffered(&self) -> usize {
        self.buffered.load(Relaxed)
    }

    /// The budget that retries are paid from.
    pub fn retries(&self) -> &RetryBudget {
        &self.budget
    }
}

/// One request's place; given back when dropped.
#[derive(Debug)]
pub struct Permit(Arc<Admission>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// One body's share of the memory; given back when dropped.
#[derive(Debug)]
pub struct BufferGuard {
    admission: Arc<Admission>,
    bytes: usize,
}

impl BufferGuard {
    /// Takes what a body of this length needs beyond what it has.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), ProxyError> {
        let more = bytes.saturating_sub(self.bytes);
        let before = self.admission.buffered.fetch_add(more, Relaxed);
        self.bytes += more;
        if before + more > self.admission.max_buffered.load(Relaxed) {
            return Err(ProxyError::new(
                Reason::Overloaded,
                "too much request data in memory; try again shortly",
            ));
        }
        Ok(())
    }
}

impl Drop for BufferGuard {
    fn drop(&mut self) {
        self.admission.buffered.fetch_sub(self.bytes, Relaxed);
    }
}

/// Retries as a share of requests, so that an outage is not multiplied: every request pays in, every retry
/// takes one out.
#[derive(Debug)]
pub struct RetryBudget(AtomicU64);

/// Thousandths of a retry.
const ONE: u64 = 1_000;
/// Retries that may be saved up.
const CAP: u64 = 100 * ONE;
/// Retries in hand at the start.
const START: u64 = 10 * ONE;

impl Default for RetryBudget {
    fn default() -> Self {
        Self(AtomicU64::new(START))
    }
}

impl RetryBudget {
    /// A request pays in `share` of a retry.
    pub fn deposit(&self, share: f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0–1,000")]
        let paid = (share.clamp(0.0, 1.0) * ONE as f64) as u64;
        // Not one atomic step: a deposit lost to a race costs a thousandth of a retry.
        let now = self.0.load(Relaxed);
        if now < CAP {
            self.0.fetch_add(paid.min(CAP - now), Relaxed);
        }
    }

    /// Takes one retry out, if there is one.
    pub fn withdraw(&self) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |saved| saved.checked_sub(ONE)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back() {
        let admission = Admission::new();
        admission.max_in_flight.store(1, Relaxed);
        let first = admission.enter().unwrap();
        assert_eq!(admission.enter().unwrap_err().reason, Reason::Overloaded);
        drop(first);
        assert!(admission.enter().is_ok());
        assert_eq!(admission.in_flight(), 0);
    }

    #[test]
    fn memory_is_given_back_even_when_refused() {
        let admission = Admission::new();
        admission.max_buffered.store(10, Relaxed);
        let mut body = admission.buffer();
        body.grow_to(8).unwrap();
        body.grow_to(8).unwrap();
        let mut other = admission.buffer();
        assert!(other.grow_to(5).is_err());
        drop(other);
        assert_eq!(admission.buffered(), 8);
        drop(body);
        assert_eq!(admission.buffered(), 0);
    }

    #[test]
    fn retries_stop_when_the_budget_is_spent_and_come_back_with_requests() {
        let budget = RetryBudget::default();
        let spent = (0..1_000).filter(|_| budget.withdraw()).count();
        assert_eq!(spent, 10);
        for _ in 0..5 {
            budget.deposit(0.2);
        }
        assert!(budget.withdraw());
        assert!(!budget.withdraw());
    }
}
