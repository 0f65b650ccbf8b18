//! Metric families of bundles.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::{counters, register};

/// The families.
#[derive(Debug, Clone)]
pub struct BundleMetrics {
    loads: IntCounterVec,
    active: IntGaugeVec,
    candidates: IntGauge,
    last_ok: IntGauge,
    shadowed: IntCounterVec,
}

impl BundleMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name, help| register(registry, IntGauge::new(name, help)?);
        let info = Opts::new("gearshift_bundle_info", "1 for the bundle that decides, by its name.");
        let families = Self {
            loads: counters(
                registry,
                "gearshift_bundle_loads_total",
                "Bundles that were loaded, by what became of them.",
                &["result"],
            )?,
            active: register(registry, IntGaugeVec::new(info, &["bundle"])?)?,
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
        ["activated", "refused"].iter().for_each(|result| drop(families.loads.with_label_values(&[result])));
        ["true", "false"].iter().for_each(|agrees| drop(families.shadowed.with_label_values(&[agrees])));
        families.last_ok.set(1);
        Ok(families)
    }

    /// A bundle decides from now on, in the place of the one before.
    pub fn activated(&self, bundle: &str, candidates: usize, before: Option<&str>) {
        self.loads.with_label_values(&["activated"]).inc();
        if let Some(before) = before.filter(|before| *before != bundle) {
            // Absent is what is wanted.
            let _ = self.active.remove_label_values(&[before]);
        }
        self.active.with_label_values(&[bundle]).set(1);
        self.candidates.set(i64::try_from(candidates).unwrap_or(i64::MAX));
        self.last_ok.set(1);
    }

    /// A bundle was refused.
    pub fn refused(&self) {
        self.loads.with_label_values(&["refused"]).inc();
        self.last_ok.set(0);
    }

    /// A bundle in shadow was asked.
    pub fn shadowed(&self, agrees: bool) {
        self.shadowed.with_label_values(&[if agrees { "true" } else { "false" }]).inc();
    }
}
