//! Gearshift's own metric families for the request path. The fleet's stand beside the fleet.

mod attempts;
mod bundles;
mod children;
mod controller;
mod decisions;
mod errors;
mod family;
mod histograms;
mod live;
pub mod log;
mod operators;
mod page;
mod rides;
mod telemetry;
pub(crate) mod text;

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use gearshift_config::Slo;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

pub use self::{
    attempts::Failed,
    bundles::BundleMetrics,
    controller::ControllerMetrics,
    decisions::DecisionMetrics,
    errors::ErrorMetrics,
    live::{LiveMetrics, Lost},
    operators::OperatorMetrics,
    rides::{Answered, Outcome, RideMetrics},
    telemetry::{TelemetryMetrics, Told},
};
use self::{
    decisions::Decisions,
    errors::Errors,
    family::{counters, register},
    rides::Rides,
};
use crate::{admission::Admission, error::Reason, fleet::Roster, snapshot::Snapshot};

/// The families.
#[derive(Debug)]
pub struct Metrics {
    rides: Rides,
    decisions: Decisions,
    errors: Errors,
    reloads: IntCounterVec,
    gauges: Gauges,
    /// How long the last page was.
    page_bytes: AtomicUsize,
    /// Of bundles.
    pub bundles: BundleMetrics,
    /// Of the profile controller.
    pub controller: ControllerMetrics,
    /// Of what is learned from requests.
    pub live: LiveMetrics,
    /// Of what is told of single requests.
    pub telemetry: TelemetryMetrics,
    /// Of the operators' listener.
    pub operators: OperatorMetrics,
}

/// What is now.
#[derive(Debug)]
struct Gauges {
    reload_ok: IntGauge,
    in_flight: IntGauge,
    in_flight_limit: IntGauge,
    buffered: IntGauge,
    connections: IntGauge,
    onnxruntime: IntGauge,
    serves: IntGaugeVec,
}

impl Metrics {
    /// Registers the families.
    ///
    /// # Errors
    /// When the registry already has one of them.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name, help, labels| counters(registry, name, help, labels);
        let metrics = Self {
            rides: Rides::new(registry)?,
            decisions: Decisions::new(registry)?,
            errors: Errors::new(registry)?,
            reloads: counters(
                "gearshift_config_reloads_total",
                "Configuration reloads by result.",
                &["result"],
            )?,
            gauges: Gauges::new(registry)?,
            page_bytes: AtomicUsize::new(0),
            bundles: BundleMetrics::new(registry)?,
            controller: ControllerMetrics::new(registry)?,
            live: LiveMetrics::new(registry)?,
            telemetry: TelemetryMetrics::new(registry)?,
            operators: OperatorMetrics::new(registry)?,
        };
        metrics.start_at_zero();
        Ok(metrics)
    }

    /// A counter that first appears when it first counts cannot be alerted on.
    fn start_at_zero(&self) {
        for result in ["applied", "rejected"] {
            self.reloads.with_label_values(&[result]);
        }
        self.gauges.reload_ok.set(1);
    }

    /// The children for one route and backend; `slo` has the route's limits.
    pub fn ride(&self, route: &str, model: &str, backend: &str, slo: &Slo) -> RideMetrics {
        self.rides.children(route, model, backend, slo)
    }

    /// The children for one route's decisions.
    pub fn decisions(&self, route: &str) -> DecisionMetrics {
        self.decisions.children(route)
    }

    /// Notes how long a decision took.
    pub fn decided(&self, took: Duration) {
        self.decisions.took(took);
    }

    /// The children for errors of one route and model.
    pub fn errors(&self, route: &str, model: &str) -> ErrorMetrics {
        self.errors.children(route, model)
    }

    /// Counts an error that Gearshift answers itself; `known` has the children of its route and model, where it has these.
    pub fn error(&self, reason: Reason, known: Option<&ErrorMetrics>) {
        self.errors.count(reason, known);
    }

    /// The counter of requests that ended in a bug here.
    pub fn bugs(&self) -> IntCounter {
        self.errors.bugs()
    }

    /// Counts a further attempt, after one of which this became.
    pub fn retry(&self, after: Failed) {
        self.rides.retry(after);
    }

    /// Counts a reload.
    pub fn reload(&self, applied: bool) {
        self.reloads.with_label_values(&[if applied { "applied" } else { "rejected" }]).inc();
        self.gauges.reload_ok.set(i64::from(applied));
    }

    /// Open client connections.
    pub fn connections(&self) -> &IntGauge {
        &self.gauges.connections
    }

    /// Whether ONNX Runtime is loaded.
    pub fn onnxruntime(&self, available: bool) {
        self.gauges.onnxruntime.set(i64::from(available));
    }

    /// The page that Prometheus reads: the registry's families, those of requests by backend, and the fleet's.
    pub fn page(&self, registry: &Registry, fleet: &Roster) -> String {
        // Megabytes on a large fleet: asked for once, what the last one was freed from is taken again; grown into, it is copied
        // and touched anew, which takes longer than writing it.
        let before = self.page_bytes.load(Relaxed);
        let text = String::with_capacity(before + before / 16 + (64 << 10));
        let mut page = page::page(&registry.gather(), text);
        self.rides.write(&mut page);
        fleet.write_metrics(&mut page);
        self.page_bytes.store(page.len(), Relaxed);
        page
    }

    /// Takes gauges that are read, not counted, before a scrape is answered.
    pub fn read(&self, admission: &Admission, snapshot: &Snapshot) {
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        self.gauges.in_flight.set(gauge(admission.in_flight()));
        self.gauges.buffered.set(gauge(admission.buffered()));
        self.gauges.in_flight_limit.set(gauge(snapshot.config.limits.max_in_flight));
        // Scrapes are answered one at a time, so that none sees it half filled.
        self.gauges.serves.reset();
        for (model, backend) in snapshot.offers() {
            self.gauges.serves.with_label_values(&[model, backend]).set(1);
        }
    }

    /// Removes the children of a route's decisions.
    pub fn forget_decisions(&self, route: &str) {
        self.decisions.forget(route);
        self.rides.forget_route(route);
    }

    /// Removes the children of errors of one route and model.
    pub fn forget_errors(&self, route: &str, model: &str) {
        self.errors.forget(route, model);
    }

    /// Removes the children for one route and backend.
    pub fn forget(&self, route: &str, model: &str, backend: &str) {
        self.rides.forget(route, model, backend);
    }

    /// Removes the children of a model on a backend that no longer serves it.
    pub fn forget_offer(&self, model: &str, backend: &str) {
        self.rides.forget_accuracy(model, backend);
    }
}

impl Gauges {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name, help| register(registry, IntGauge::new(name, help)?);
        let info = |name, help, labels: &[&str]| {
            register(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
        };
        let build = info("gearshift_build_info", "1, with the version that runs.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            reload_ok: gauge(
                "gearshift_config_last_reload_successful",
                "1 when the file on disk is the configuration that serves.",
            )?,
            in_flight: gauge("gearshift_in_flight_requests", "Requests being served.")?,
            in_flight_limit: gauge(
                "gearshift_in_flight_requests_limit",
                "Requests served at once at most (`limits.max_in_flight`).",
            )?,
            buffered: gauge("gearshift_buffered_body_bytes", "Request bodies held in memory.")?,
            connections: gauge("gearshift_client_connections", "Open client connections.")?,
            onnxruntime: gauge(
                "gearshift_onnxruntime_available",
                "1 when ONNX Runtime is loaded, so that a bundle could be run.",
            )?,
            serves: info(
                "gearshift_backend_serves",
                "1 for each model that a backend serves; join with it to choose backends by model.",
                &["model", "backend"],
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKENDS: usize = 1_000;

    fn lines(registry: &Registry, metrics: &Metrics) -> usize {
        let page = metrics.page(registry, &Roster::default());
        page.lines().filter(|line| !line.starts_with('#')).count()
    }

    #[test]
    fn a_thousand_backends_are_so_many_lines_each_and_none_once_they_left() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        let slo = Slo { ttft: Some(Duration::from_secs(1)), ..Slo::default() };
        let before = lines(&registry, &metrics);
        let backends: Vec<_> = (0..BACKENDS).map(|number| format!("backend-{number}")).collect();
        for backend in &backends {
            metrics.ride("default", "model", backend, &slo).count(Outcome::Ok);
        }
        let each = (lines(&registry, &metrics) - before) / BACKENDS;
        assert!(each <= 130, "{each} lines a backend and route");

        for backend in &backends {
            metrics.forget("default", "model", backend);
            metrics.forget_offer("model", backend);
        }
        metrics.forget_decisions("default");
        assert_eq!(lines(&registry, &metrics), before);
    }

    #[test]
    fn decisions_of_a_route_that_left_are_gone() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        let before = lines(&registry, &metrics);
        drop(metrics.decisions("chat"));
        assert!(lines(&registry, &metrics) > before);
        metrics.forget_decisions("chat");
        assert_eq!(lines(&registry, &metrics), before);
    }
}
