//! Requests that Gearshift answered itself with an error.

use prometheus::{IntCounter, IntCounterVec, Registry};

use super::family;
use crate::error::Reason;

/// The family.
#[derive(Debug)]
pub(super) struct Errors {
    family: IntCounterVec,
    /// Of requests whose route and model are not known: names that clients make up are no labels.
    unread: ErrorMetrics,
}

/// The children for one route and model, resolved once.
#[derive(Debug)]
pub struct ErrorMetrics(Box<[(Reason, IntCounter)]>);

impl ErrorMetrics {
    fn new(family: &IntCounterVec, reasons: impl Iterator<Item = Reason>, [route, model]: [&str; 2]) -> Self {
        let counter = |reason: Reason| {
            let labels = [reason.as_str(), reason.source().as_str(), route, model];
            (reason, family.with_label_values(&labels))
        };
        Self(reasons.map(counter).collect())
    }

    fn of(&self, reason: Reason) -> Option<&IntCounter> {
        self.0.iter().find(|(known, _)| *known == reason).map(|(_, counter)| counter)
    }
}

/// What can happen to a request whose route and model are known.
fn understood() -> impl Iterator<Item = Reason> {
    Reason::ALL.into_iter().filter(|reason| reason.understood())
}

impl Errors {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let family = family::counters(
            registry,
            "gearshift_errors_total",
            "Requests that Gearshift answered itself with an error, by reason, by whose fault it is, and by route and model where these were known.",
            &["reason", "source", "route", "model"],
        )?;
        // A counter that first appears when it first counts cannot be alerted on.
        let unread = ErrorMetrics::new(&family, Reason::ALL.into_iter(), [""; 2]);
        Ok(Self { family, unread })
    }

    /// Counts one; `known` has the children of the request's route and model.
    pub(super) fn count(&self, reason: Reason, known: Option<&ErrorMetrics>) {
        let counter = known.and_then(|known| known.of(reason)).or_else(|| self.unread.of(reason));
        counter.into_iter().for_each(IntCounter::inc);
    }

    /// The counter of [`Reason::Internal`] where nothing else is known.
    pub(super) fn bugs(&self) -> IntCounter {
        let reason = Reason::Internal;
        self.family.with_label_values(&[reason.as_str(), reason.source().as_str(), "", ""])
    }

    pub(super) fn children(&self, route: &str, model: &str) -> ErrorMetrics {
        ErrorMetrics::new(&self.family, understood(), [route, model])
    }

    /// Removes the children of one route and model; absent ones are what is wanted.
    pub(super) fn forget(&self, route: &str, model: &str) {
        for reason in understood() {
            let labels = [reason.as_str(), reason.source().as_str(), route, model];
            let _ = self.family.remove_label_values(&labels);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_child_of_its_route_is_counted_without_one() {
        let errors = Errors::new(&Registry::new()).unwrap();
        let known = errors.children("chat", "llama");
        for reason in Reason::ALL {
            errors.count(reason, Some(&known));
            let own = known.of(reason).map_or(0, IntCounter::get);
            let other = errors.unread.of(reason).unwrap().get();
            assert_eq!((own, other), if reason.understood() { (1, 0) } else { (0, 1) }, "{reason:?}");
        }
        errors.forget("chat", "llama");
        assert_eq!(errors.children("chat", "llama").of(Reason::NoBackend).unwrap().get(), 0);
    }
}
