//! Metric families of what is told of single requests: spans, access-log lines.

use prometheus::{IntCounter, Registry};

use super::counters;

/// The families.
#[derive(Debug, Clone)]
pub struct TelemetryMetrics {
    /// Of spans.
    pub spans: Told,
    /// Of lines.
    pub lines: Told,
}

/// What became of what was to be told.
#[derive(Debug, Clone)]
pub struct Told {
    told: IntCounter,
    overflowed: IntCounter,
    failed: IntCounter,
}

impl TelemetryMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let family = |name, help| {
            let family = counters(registry, name, help, &["result"])?;
            let [told, overflowed, failed] =
                ["told", "queue_full", "failed"].map(|result| family.with_label_values(&[result]));
            prometheus::Result::Ok(Told { told, overflowed, failed })
        };
        Ok(Self {
            spans: family(
                "gearshift_trace_spans_total",
                "Spans by what became of them: `told` to the collector, dropped where a queue was full (requests, on a core's queue), or `failed` at the collector.",
            )?,
            lines: family(
                "gearshift_access_log_lines_total",
                "Access-log lines by what became of them: `told`, dropped where a queue was full, or `failed` in writing.",
            )?,
        })
    }
}

impl Told {
    /// How many were told, found no room, and failed.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> [u64; 3] {
        [&self.told, &self.overflowed, &self.failed].map(IntCounter::get)
    }

    /// So many were told.
    pub fn told(&self, count: usize) {
        self.told.inc_by(count as u64);
    }

    /// So many found no room.
    pub fn overflowed(&self, count: usize) {
        self.overflowed.inc_by(count as u64);
    }

    /// So many were not taken.
    pub fn failed(&self, count: usize) {
        self.failed.inc_by(count as u64);
    }
}
