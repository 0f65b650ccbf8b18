//! Metric families of bundles.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::family::{counters, register};

/// The families.
#[derive(Debug, Clone)]
pub struct BundleMetrics {
    loads: IntCounterVec,
    active: IntGaugeVec,
    created: IntGaugeVec,
    candidates: IntGauge,
    last_ok: IntGauge,
    shadowed: IntCounterVec,
}

impl BundleMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name, help| register(registry, IntGauge::new(name, help)?);
        let info = Opts::new("gearshift_bundle_info", "1 for the bundle that decides, by its name.");
        let created = Opts::new(
            "gearshift_bundle_created_timestamp_seconds",
            "When the bundle that decides was made, by its manifest; seconds since 1970.",
        );
        let families = Self {
            loads: counters(
                registry,
                "gearshift_bundle_loads_total",
                "Bundles that were loaded, by what became of them.",
                &["result"],
            )?,
            active: register(registry, IntGaugeVec::new(info, &["bundle"])?)?,
            created: register(registry, IntGaugeVec::new(created, &["bundle"])?)?,
            candidates: gauge(
                "gearshift_bundle_candidates",
                "Candidates that the active bundle is asked about at most, by its measured time and the budget.",
            )?,
            last_ok: gauge(
                "gearshift_bundle_last_load_successful",
                "1 unless the bundle that was loaded last was refused.",
            )?,
            shadowed: counters(
                registry,
                "gearshift_bundle_shadow_decisions_total",
                "Decisions a bundle in shadow was asked about, by whether it would have chosen the same backend.",
                &["agrees"],
            )?,
        };
        ["activated", "refused", "dropped"]
            .iter()
            .for_each(|result| drop(families.loads.with_label_values(&[result])));
        ["true", "false"].iter().for_each(|agrees| drop(families.shadowed.with_label_values(&[agrees])));
        families.last_ok.set(1);
        Ok(families)
    }

    /// A bundle decides from now on, in the place of the one before.
    /// `created` is its manifest's time, `2026-11-22T10:00:00Z`.
    pub fn activated(&self, bundle: &str, created: &str, candidates: usize, before: Option<&str>) {
        self.loads.with_label_values(&["activated"]).inc();
        if let Some(before) = before.filter(|before| *before != bundle) {
            // Absent is what is wanted.
            let _ = self.active.remove_label_values(&[before]);
            let _ = self.created.remove_label_values(&[before]);
        }
        self.active.with_label_values(&[bundle]).set(1);
        if let Some(seconds) = unix_seconds(created) {
            self.created.with_label_values(&[bundle]).set(seconds);
        }
        self.candidates.set(i64::try_from(candidates).unwrap_or(i64::MAX));
        self.last_ok.set(1);
    }

    /// A bundle was refused.
    pub fn refused(&self) {
        self.loads.with_label_values(&["refused"]).inc();
        self.last_ok.set(0);
    }

    /// The bundle that decided kept failing, and decides no more.
    pub fn dropped(&self, bundle: &str) {
        self.loads.with_label_values(&["dropped"]).inc();
        // Absent is what is wanted.
        let _ = self.active.remove_label_values(&[bundle]);
        let _ = self.created.remove_label_values(&[bundle]);
        self.candidates.set(0);
        self.last_ok.set(0);
    }

    /// A bundle in shadow was asked.
    pub fn shadowed(&self, agrees: bool) {
        self.shadowed.with_label_values(&[if agrees { "true" } else { "false" }]).inc();
    }
}

/// Seconds since 1970 of a time in UTC, written as manifests write it; parts of a second are dropped.
fn unix_seconds(time: &str) -> Option<i64> {
    let part = |range: std::ops::Range<usize>| time.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (part(0..4)?, part(5..7)?, part(8..10)?);
    let (hour, minute, second) = (part(11..13)?, part(14..16)?, part(17..19)?);
    if !(1..=12).contains(&month) {
        return None;
    }
    // Years that begin in March end with the leap day, so that a month's first day has a closed form.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = year * 365 + leap_days + (153 * month + 2) / 5 + day - 719_469;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_manifests_are_read() {
        for (time, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("2026-11-22T10:00:00.25Z", 1_795_341_600),
        ] {
            assert_eq!(unix_seconds(time), Some(seconds), "{time}");
        }
        for time in ["", "yesterday", "2026-13-22T10:00:00Z", "2026-11-22 10:00"] {
            assert_eq!(unix_seconds(time), None, "{time}");
        }
    }
}
