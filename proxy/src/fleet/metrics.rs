//! The fleet's metrics.
//!
//! They are read off the members when somebody scrapes: ages are exact, and a backend that left is gone from them.

use gearshift_selector::{Availability, ScrapedLoad};
use prometheus::{
    GaugeVec, IntCounterVec, IntGaugeVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::{
    Roster,
    member::{Counters, Member, availability_name},
};
use crate::clock::{self, between};

const AVAILABILITIES: [Availability; 7] = [
    Availability::Unknown,
    Availability::Ready,
    Availability::Probation,
    Availability::Asleep,
    Availability::Down,
    Availability::Hung,
    Availability::Draining,
];

/// A gauge with one number for each backend, or none where it is not known.
struct Gauge {
    name: &'static str,
    help: &'static str,
    read: fn(&Member) -> Option<f64>,
}

const GAUGES: [Gauge; 8] = [
    Gauge {
        name: "gearshift_backend_scrape_age_seconds",
        help: "Age of the last good reading of the engine's load.",
        read: |member| load(member, |load| between(load.at, clock::now()).as_secs_f64()),
    },
    Gauge {
        name: "gearshift_backend_running_requests",
        help: "Requests in the engine's batch, as scraped.",
        read: |member| load(member, |load| load.running.into()),
    },
    Gauge {
        name: "gearshift_backend_waiting_requests",
        help: "Requests in the engine's queue, as scraped.",
        read: |member| load(member, |load| load.waiting.into()),
    },
    Gauge {
        name: "gearshift_backend_kv_cache_usage_ratio",
        help: "Use of the engine's KV cache, as scraped.",
        read: |member| load(member, |load| load.kv_usage),
    },
    Gauge {
        name: "gearshift_backend_kv_cache_tokens",
        help: "Capacity of the engine's KV cache, tokens.",
        read: |member| member.detected()?.kv_tokens.map(to_f64),
    },
    Gauge {
        name: "gearshift_backend_in_flight_requests",
        help: "Requests this router has in flight there.",
        read: |member| Some(member.state().in_flight().requests.into()),
    },
    Gauge {
        name: "gearshift_backend_mismatches",
        help: "Differences between what the configuration declares and what the engine says.",
        read: |member| u32::try_from(member.mismatches().len()).ok().map(f64::from),
    },
    Gauge {
        name: "gearshift_backend_calibration_samples",
        help: "Outcomes the calibration has learned from.",
        read: |member| Some(to_f64(member.state().calibration().2)),
    },
];

fn load(member: &Member, read: impl Fn(ScrapedLoad) -> f64) -> Option<f64> {
    member.state().scraped().map(read)
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2⁵³")]
fn to_f64(count: u64) -> f64 {
    count as f64
}

/// All families, empty.
struct Families {
    gauges: Vec<GaugeVec>,
    availability: IntGaugeVec,
    calibration: GaugeVec,
    health_checks: IntCounterVec,
    scrapes: IntCounterVec,
    detections: IntCounterVec,
}

impl Families {
    fn new() -> prometheus::Result<Self> {
        let gauges =
            GAUGES.iter().map(|gauge| GaugeVec::new(Opts::new(gauge.name, gauge.help), &["backend"]));
        let counter = |what: &str, help: &str| {
            IntCounterVec::new(
                Opts::new(format!("gearshift_backend_{what}_total"), format!("{help}, by how they went.")),
                &["backend", "result"],
            )
        };
        Ok(Self {
            gauges: gauges.collect::<Result<_, _>>()?,
            availability: IntGaugeVec::new(
                Opts::new(
                    "gearshift_backend_available",
                    "1 for the state the backend is in, 0 for the others.",
                ),
                &["backend", "state"],
            )?,
            calibration: GaugeVec::new(
                Opts::new("gearshift_backend_calibration_ratio", "Measured over predicted."),
                &["backend", "target"],
            )?,
            health_checks: counter("health_checks", "Health checks")?,
            scrapes: counter("scrapes", "Scrapes of the engine's metrics")?,
            detections: counter("detections", "Questions to the engine about what it serves")?,
        })
    }

    fn all(&self) -> impl Iterator<Item = &dyn Collector> {
        let others: [&dyn Collector; 5] =
            [&self.availability, &self.calibration, &self.health_checks, &self.scrapes, &self.detections];
        self.gauges.iter().map(|gauge| gauge as &dyn Collector).chain(others)
    }

    fn fill(&self, member: &Member) {
        let (id, state) = (member.id().as_str(), member.state());
        for (gauge, family) in GAUGES.iter().zip(&self.gauges) {
            if let Some(value) = (gauge.read)(member) {
                family.with_label_values(&[id]).set(value);
            }
        }
        let now = state.availability();
        for availability in AVAILABILITIES {
            let is = i64::from(availability == now);
            self.availability.with_label_values(&[id, availability_name(availability)]).set(is);
        }
        let (ttft, tpot, _) = state.calibration();
        self.calibration.with_label_values(&[id, "ttft"]).set(ttft);
        self.calibration.with_label_values(&[id, "tpot"]).set(tpot);
        for (check, name) in Counters::CHECKS {
            self.health_checks.with_label_values(&[id, name]).inc_by(member.counters.checks(check));
        }
        for (result, name) in Counters::SCRAPES {
            self.scrapes.with_label_values(&[id, name]).inc_by(member.counters.scrapes(result));
        }
        for (ok, name) in Counters::DETECTIONS {
            self.detections.with_label_values(&[id, name]).inc_by(member.counters.detections(ok));
        }
    }
}

/// Reads the families off the members.
pub(super) struct FleetCollector {
    roster: Roster,
    /// Only describes; each collection fills its own.
    families: Families,
}

impl FleetCollector {
    pub(super) fn new(roster: Roster) -> prometheus::Result<Self> {
        Ok(Self { roster, families: Families::new()? })
    }
}

impl Collector for FleetCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.families.all().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // The same names were accepted in `new`.
        let Ok(families) = Families::new() else { return Vec::new() };
        for member in self.roster.members().iter() {
            families.fill(member);
        }
        families.all().flat_map(Collector::collect).collect()
    }
}
