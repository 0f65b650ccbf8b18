//! Metric families of the profile controller.

use std::time::Duration;

use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use super::{counters, register};
use crate::controller::{Outcome, Step};

/// Upper bounds in seconds: a wake-up takes one, a large model's start many minutes.
const BUCKETS: &[f64] = &[0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 45.0, 90.0, 180.0, 300.0, 600.0, 1200.0];

/// The families.
#[derive(Debug, Clone)]
pub struct ControllerMetrics {
    plans: IntCounter,
    switches: IntCounterVec,
    switch_seconds: HistogramVec,
    step_seconds: HistogramVec,
    starts: IntCounterVec,
    gains: GaugeVec,
    paused: IntGauge,
}

impl ControllerMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let seconds = |name: &str, help: &str, label: &str| {
            let options = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
            register(registry, HistogramVec::new(options, &[label])?)
        };
        let plans = IntCounter::new("gearshift_controller_plans_total", "Plans that were made.")?;
        let paused = IntGauge::new(
            "gearshift_controller_paused",
            "1 while an operator has stopped planned switches.",
        )?;
        let gains = Opts::new(
            "gearshift_controller_advised_gain_ratio",
            "Predicted gain of a profile over the one the backend is in, as a share of the objective, by the last plan.",
        );
        let families = Self {
            plans: register(registry, plans)?,
            switches: counters(
                registry,
                "gearshift_controller_switches_total",
                "Switches of profiles that ended, by how.",
                &["outcome"],
            )?,
            switch_seconds: seconds(
                "gearshift_controller_switch_seconds",
                "From a switch's first step to its end, by how it ended.",
                "outcome",
            )?,
            step_seconds: seconds(
                "gearshift_controller_step_seconds",
                "Time a switch spent in a step.",
                "step",
            )?,
            starts: counters(
                registry,
                "gearshift_controller_engine_starts_total",
                "Engines that were started because none ran.",
                &["backend"],
            )?,
            gains: register(registry, GaugeVec::new(gains, &["backend", "profile"])?)?,
            paused: register(registry, paused)?,
        };
        // There from the start: what begins with its first event has not increased by it.
        for outcome in Outcome::ALL {
            drop(families.switches.with_label_values(&[outcome.as_str()]));
            drop(families.switch_seconds.with_label_values(&[outcome.as_str()]));
        }
        for step in Step::ALL {
            drop(families.step_seconds.with_label_values(&[step.as_str()]));
        }
        Ok(families)
    }

    /// A step of a switch took so long.
    pub fn stepped(&self, step: Step, took: Duration) {
        self.step_seconds.with_label_values(&[step.as_str()]).observe(took.as_secs_f64());
    }

    /// A switch ended.
    pub fn ended(&self, outcome: Outcome, took: Duration) {
        self.switches.with_label_values(&[outcome.as_str()]).inc();
        self.switch_seconds.with_label_values(&[outcome.as_str()]).observe(took.as_secs_f64());
    }

    /// An engine was started outside of switches.
    pub fn started(&self, backend: &str) {
        self.starts.with_label_values(&[backend]).inc();
    }

    /// Nobody starts engines of this backend any more.
    pub fn left(&self, backend: &str) {
        // Absent is what is wanted.
        let _ = self.starts.remove_label_values(&[backend]);
    }

    /// A plan was made; the gains it saw, by backend and profile.
    pub fn planned<'a>(&self, gains: impl Iterator<Item = (&'a str, &'a str, f64)>) {
        self.plans.inc();
        self.gains.reset();
        for (backend, profile, gain) in gains {
            self.gains.with_label_values(&[backend, profile]).set(gain);
        }
    }

    /// An operator stopped planned switches, or allows them again.
    pub fn paused(&self, paused: bool) {
        self.paused.set(i64::from(paused));
    }
}
