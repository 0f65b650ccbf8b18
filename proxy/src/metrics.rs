//! Gearshift's own metric families for the request path. The fleet's stand beside the fleet.

mod bundles;

pub use bundles::BundleMetrics;
use gearshift_selector::Fallback;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use crate::error::Reason;

/// Upper bounds in seconds from 1 ms to 600 s, 2–2.5× apart: fine enough for quantiles, few enough to scrape.
const LATENCY_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
    600.0,
];
/// Upper bounds in seconds for the decision alone.
const DECISION_BUCKETS: &[f64] = &[1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 5e-3];

/// How a forwarded request ended; a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The backend's response was relayed whole, with a status below 400.
    Ok,
    /// The backend answered 4xx; relayed whole.
    ClientError,
    /// The backend answered 5xx; relayed whole.
    UpstreamError,
    /// The backend's response broke off.
    Cut,
    /// The client went away.
    Cancelled,
}

impl Outcome {
    const ALL: [Self; 5] = [Self::Ok, Self::ClientError, Self::UpstreamError, Self::Cut, Self::Cancelled];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::UpstreamError => "upstream_error",
            Self::Cut => "cut",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The families.
#[derive(Debug)]
pub struct Metrics {
    rides: Rides,
    decisions: IntCounterVec,
    decision_seconds: Histogram,
    errors: IntCounterVec,
    retries: IntCounterVec,
    reloads: IntCounterVec,
    gauges: Gauges,
    /// Of bundles.
    pub bundles: BundleMetrics,
}

/// Families with children for each route, model and backend.
#[derive(Debug)]
struct Rides {
    requests: IntCounterVec,
    ttft: HistogramVec,
    tpot: HistogramVec,
    duration: HistogramVec,
    tokens: IntCounterVec,
}

/// What is now.
#[derive(Debug)]
struct Gauges {
    reload_ok: IntGauge,
    in_flight: IntGauge,
    buffered: IntGauge,
    connections: IntGauge,
    onnxruntime: IntGauge,
}

/// The children for one route and backend, resolved once.
#[derive(Debug)]
pub struct RideMetrics {
    outcomes: [IntCounter; 5],
    /// Time to first token, seconds.
    pub ttft: Histogram,
    /// Time per output token after the first, seconds.
    pub tpot: Histogram,
    /// Whole request, seconds.
    pub duration: Histogram,
    /// Prompt tokens by the engine's count.
    pub prompt_tokens: IntCounter,
    /// Output tokens by the engine's count, or by counting events.
    pub output_tokens: IntCounter,
}

impl RideMetrics {
    /// Counts an end.
    pub fn count(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].inc();
    }
}

/// The children for one route's decisions, resolved once: modelled, then by fallback.
#[derive(Debug)]
pub struct DecisionMetrics([IntCounter; 1 + Fallback::ALL.len()]);

impl DecisionMetrics {
    /// Counts a decision.
    pub fn count(&self, fallback: Option<Fallback>) {
        let index = fallback.and_then(|reason| Fallback::ALL.iter().position(|known| *known == reason));
        self.0[index.map_or(0, |index| index + 1)].inc();
    }
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
            decisions: counters(
                "gearshift_decisions_total",
                "Decisions, by what they fell back to; `none` when the meta-learner decided.",
                &["route", "fallback"],
            )?,
            decision_seconds: register(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new("gearshift_decision_seconds", "Time a decision takes.")
                        .buckets(DECISION_BUCKETS.to_vec()),
                )?,
            )?,
            errors: counters(
                "gearshift_errors_total",
                "Requests that Gearshift answered itself with an error.",
                &["reason"],
            )?,
            retries: counters(
                "gearshift_retries_total",
                "Attempts after the first, by what became of the one before.",
                &["reason"],
            )?,
            reloads: counters(
                "gearshift_config_reloads_total",
                "Configuration reloads by result.",
                &["result"],
            )?,
            gauges: Gauges::new(registry)?,
            bundles: BundleMetrics::new(registry)?,
        };
        metrics.start_at_zero();
        Ok(metrics)
    }

    /// A counter that first appears when it first counts cannot be alerted on.
    fn start_at_zero(&self) {
        for reason in Reason::ALL {
            self.errors.with_label_values(&[reason.as_str()]);
        }
        for result in ["applied", "rejected"] {
            self.reloads.with_label_values(&[result]);
        }
        self.gauges.reload_ok.set(1);
    }

    /// The children for one route and backend.
    pub fn ride(&self, route: &str, model: &str, backend: &str) -> RideMetrics {
        let labels = [route, model, backend];
        let outcome = |outcome: Outcome| {
            self.rides.requests.with_label_values(&[route, model, backend, outcome.as_str()])
        };
        let tokens = |kind| self.rides.tokens.with_label_values(&[route, model, backend, kind]);
        RideMetrics {
            outcomes: Outcome::ALL.map(outcome),
            ttft: self.rides.ttft.with_label_values(&labels),
            tpot: self.rides.tpot.with_label_values(&labels),
            duration: self.rides.duration.with_label_values(&labels),
            prompt_tokens: tokens("prompt"),
            output_tokens: tokens("output"),
        }
    }

    /// The children for one route's decisions.
    pub fn decisions(&self, route: &str) -> DecisionMetrics {
        let count = |fallback| self.decisions.with_label_values(&[route, fallback]);
        let [a, b, c, d, e, f, g] = Fallback::ALL.map(|fallback| count(fallback.as_str()));
        DecisionMetrics([count("none"), a, b, c, d, e, f, g])
    }

    /// Notes how long a decision took.
    pub fn decided(&self, seconds: f64) {
        self.decision_seconds.observe(seconds);
    }

    /// Counts an error that Gearshift answers itself.
    pub fn error(&self, reason: Reason) {
        self.errors.with_label_values(&[reason.as_str()]).inc();
    }

    /// Counts a further attempt.
    pub fn retry(&self, reason: &'static str) {
        self.retries.with_label_values(&[reason]).inc();
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

    /// Takes gauges that are read, not counted, before a scrape is answered.
    pub fn read(&self, admission: &crate::admission::Admission) {
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        self.gauges.in_flight.set(gauge(admission.in_flight()));
        self.gauges.buffered.set(gauge(admission.buffered()));
    }

    /// Removes the children of a route's decisions.
    pub fn forget_decisions(&self, route: &str) {
        for label in Fallback::ALL.map(Fallback::as_str).into_iter().chain(["none"]) {
            let _ = self.decisions.remove_label_values(&[route, label]);
        }
    }

    /// Removes the children for one route and backend.
    pub fn forget(&self, route: &str, model: &str, backend: &str) {
        for outcome in Outcome::ALL {
            // Absent children are what is wanted.
            let _ = self.rides.requests.remove_label_values(&[route, model, backend, outcome.as_str()]);
        }
        for kind in ["prompt", "output"] {
            let _ = self.rides.tokens.remove_label_values(&[route, model, backend, kind]);
        }
        for family in [&self.rides.ttft, &self.rides.tpot, &self.rides.duration] {
            let _ = family.remove_label_values(&[route, model, backend]);
        }
    }
}

impl Rides {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        let labels = ["route", "model", "backend"];
        let histograms = |name, help| histograms(registry, name, help, &labels);
        let counters =
            |name, help, more| counters(registry, name, help, &[labels.as_slice(), &[more]].concat());
        Ok(Self {
            requests: counters(
                "gearshift_requests_total",
                "Forwarded requests by how they ended.",
                "outcome",
            )?,
            ttft: histograms(
                "gearshift_time_to_first_token_seconds",
                "From the request's arrival to the first output of a streamed response.",
            )?,
            tpot: histograms(
                "gearshift_time_per_output_token_seconds",
                "Mean time per output token after the first, of a streamed response.",
            )?,
            duration: histograms(
                "gearshift_request_duration_seconds",
                "From the request's arrival to the end of a whole response.",
            )?,
            tokens: counters(
                "gearshift_tokens_total",
                "Tokens of whole responses, by the engine's count or, for output, by counting events.",
                "kind",
            )?,
        })
    }
}

impl Gauges {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name, help| register(registry, IntGauge::new(name, help)?);
        Ok(Self {
            reload_ok: gauge(
                "gearshift_config_last_reload_successful",
                "1 when the file on disk is the configuration that serves.",
            )?,
            in_flight: gauge("gearshift_in_flight_requests", "Requests being served.")?,
            buffered: gauge("gearshift_buffered_body_bytes", "Request bodies held in memory.")?,
            connections: gauge("gearshift_client_connections", "Open client connections.")?,
            onnxruntime: gauge(
                "gearshift_onnxruntime_available",
                "1 when ONNX Runtime is loaded, so that a bundle could be run.",
            )?,
        })
    }
}

fn register<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    family: C,
) -> prometheus::Result<C> {
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<HistogramVec> {
    let options = HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS.to_vec());
    register(registry, HistogramVec::new(options, labels)?)
}
