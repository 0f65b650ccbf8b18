//! Attempts at a backend that gave no response the client saw.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use prometheus::{IntCounter, Registry};

use super::{children::Children, family, text};

/// What became of an attempt that gave nothing to relay; a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// No connection.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// The connection broke before the response head.
    Broken,
    /// It answered 503 while another backend was left to try.
    Refused,
    /// The response head did not come in time. Never followed by another attempt: answers may be long.
    ResponseTimeout,
}

impl Failed {
    /// Each of them.
    pub const ALL: [Self; 5] =
        [Self::Connect, Self::ConnectTimeout, Self::Broken, Self::Refused, Self::ResponseTimeout];

    /// The first so many may be followed by another attempt.
    const RETRIED: usize = 4;

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Broken => "broken",
            Self::Refused => "refused",
            Self::ResponseTimeout => "response_timeout",
        }
    }
}

/// The family by route, model and backend, and that of further attempts.
#[derive(Debug)]
pub(super) struct Attempts {
    /// They write themselves onto the page, as the [histograms](super::histograms) do, and for the same reason.
    children: Children<FailedAttempts>,
    retries: [IntCounter; Failed::RETRIED],
}

/// Counters of one route, model and backend, in the order of [`Failed::ALL`].
#[derive(Debug, Default)]
pub(super) struct FailedAttempts([AtomicU64; Failed::ALL.len()]);

impl FailedAttempts {
    pub(super) fn count(&self, what: Failed) {
        self.0[what as usize].fetch_add(1, Relaxed);
    }
}

impl Attempts {
    const NAME: &str = "gearshift_attempts_failed_total";
    const HELP: &str = "Attempts at a backend that gave no response for the client, by what became of them; not among gearshift_requests_total.";

    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let retries = family::counters(
            registry,
            "gearshift_retries_total",
            "Attempts after the first, by what became of the one before.",
            &["reason"],
        )?;
        Ok(Self {
            children: Children::new(&["route", "model", "backend"]),
            retries: std::array::from_fn(|at| retries.with_label_values(&[Failed::ALL[at].as_str()])),
        })
    }

    /// Counts an attempt that follows one of which this became.
    pub(super) fn retry(&self, after: Failed) {
        self.retries.get(after as usize).into_iter().for_each(IntCounter::inc);
    }

    /// The counters of these, made where there are none.
    pub(super) fn child(&self, route: &str, model: &str, backend: &str) -> Arc<FailedAttempts> {
        self.children.child(&[route, model, backend], FailedAttempts::default)
    }

    /// Removes the counters of one route, model and backend; absent ones are what is wanted.
    pub(super) fn forget(&self, route: &str, model: &str, backend: &str) {
        self.children.remove(&[route, model, backend]);
    }

    /// Writes the family onto a page; nothing where it has no child.
    pub(super) fn write(&self, page: &mut String) {
        let children = self.children.all();
        text::family(page, Self::NAME, Self::HELP, "counter", |page| {
            for (labels, child) in &children {
                for (reason, count) in Failed::ALL.into_iter().zip(&child.0) {
                    page.extend([Self::NAME, "{", labels, ",reason=\"", reason.as_str(), "\"} "]);
                    text::count(page, count.load(Relaxed));
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_written_as_prometheus_reads_them_and_are_gone_when_forgotten() {
        let attempts = Attempts::new(&Registry::new()).unwrap();
        attempts.child("r", "a \"model\"", "b").count(Failed::Broken);
        attempts.child("r", "a \"model\"", "b").count(Failed::Broken);
        let mut page = String::new();
        attempts.write(&mut page);
        assert_eq!(page.lines().count(), 2 + Failed::ALL.len(), "{page}");
        let series = r#"gearshift_attempts_failed_total{route="r",model="a \"model\"",backend="b",reason="#;
        for (reason, count) in [("broken", 2), ("connect", 0)] {
            assert!(page.contains(&format!("{series}\"{reason}\"}} {count}\n")), "{page}");
        }
        attempts.forget("r", "a \"model\"", "b");
        page.clear();
        attempts.write(&mut page);
        assert_eq!(page, "");
    }
}
