//! The fleet's metrics.
//!
//! They are read off the members when somebody scrapes: ages are exact, and a backend that left is gone from them.
//! What is read goes straight onto the page: at 1,000 backends, trees of the crate's own strings that are filled and read
//! again took most of a scrape's time (`benches/scrape.rs`).

use std::sync::Arc;

use super::member::{Counters, Member, PrefixCache, availability_name};
use crate::{
    clock::{self, between},
    metrics::text,
};
use gearshift_selector::{Availability, Claim, ScrapedLoad};

const AVAILABILITIES: [Availability; 8] = [
    Availability::Unknown,
    Availability::Ready,
    Availability::Probation,
    Availability::Asleep,
    Availability::Down,
    Availability::Hung,
    Availability::Draining,
    Availability::Shifting,
];

/// A gauge with one number for each backend, or none where it is not known.
struct Gauge {
    name: &'static str,
    help: &'static str,
    read: fn(&Member) -> Option<f64>,
}

const GAUGES: [Gauge; 14] = [
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
        name: "gearshift_backend_in_flight_prefill_tokens",
        help: "Prompt tokens this router has sent there whose first output has not come back.",
        read: |member| Some(to_f64(member.state().in_flight().prefill_tokens)),
    },
    Gauge {
        name: "gearshift_backend_round_trip_seconds",
        help: "Network round trip to the backend, smoothed; 1 ms until one is measured.",
        read: |member| Some(member.state().round_trip_s()),
    },
    Gauge {
        name: "gearshift_backend_recent_failures",
        help: "Failures to connect and refusals, halving every ten seconds.",
        read: |member| Some(member.state().recent_failures(clock::now())),
    },
    Gauge {
        name: "gearshift_backend_state_seconds",
        help: "How long the backend has been in the state it is in.",
        read: |member| Some(member.in_state_for(clock::now()).as_secs_f64()),
    },
    Gauge {
        name: "gearshift_backend_price_usd_per_hour",
        help: "Price of the whole engine, where it is known.",
        read: |member| member.backend().price_usd_per_hour,
    },
    Gauge {
        name: "gearshift_backend_mismatches",
        help: "Differences between what the configuration declares and what the engine says.",
        read: |member| u32::try_from(member.mismatches().len()).ok().map(f64::from),
    },
    Gauge {
        name: "gearshift_backend_names_left_out",
        help: "Names that the engine lists and that are not taken in: more than 1,000 of them, or longer than 256 bytes.",
        read: |member| u32::try_from(member.detected()?.left_out).ok().map(f64::from),
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

/// Takes a family's values of one backend: the other labels' values, and the number.
type Put<'a> = dyn FnMut(&[&str], f64) + 'a;

/// A family with labels beside the backend's.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    labels: &'static [&'static str],
    read: fn(&Member, &mut Put<'_>),
}

const FAMILIES: [Family; 9] = [
    Family {
        name: "gearshift_backend_info",
        help: "1, with what the backend runs on and how it is set up, as configured; join with it by backend.",
        kind: "gauge",
        labels: &["hardware", "accelerators", "profile"],
        read: describe,
    },
    Family {
        name: "gearshift_backend_available",
        help: "1 for the state the backend is in, 0 for the others.",
        kind: "gauge",
        labels: &["state"],
        read: |member, put| {
            let now = member.state().availability();
            for state in AVAILABILITIES {
                put(&[availability_name(state)], f64::from(u8::from(state == now)));
            }
        },
    },
    Family {
        name: "gearshift_backend_calibration_ratio",
        help: "Measured over predicted.",
        kind: "gauge",
        labels: &["target"],
        read: |member, put| {
            let (ttft, tpot, _) = member.state().calibration();
            put(&["ttft"], ttft);
            put(&["tpot"], tpot);
        },
    },
    Family {
        name: "gearshift_backend_drift_ratio",
        help: "Measured now over measured in the last ten minutes.",
        kind: "gauge",
        labels: &["target"],
        read: |member, put| {
            let (ttft, tpot) = member.state().drift();
            put(&["ttft"], ttft);
            put(&["tpot"], tpot);
        },
    },
    Family {
        name: "gearshift_backend_claim_contradicted",
        help: "1 where measurements contradict what is claimed: hardware and cache by the time to first token (prefill), \
               bandwidth by the time per token (decode), nearness by the round trip (network).",
        kind: "gauge",
        labels: &["claim"],
        read: |member, put| {
            for claim in Claim::ALL {
                put(&[claim.as_str()], f64::from(u8::from(member.state().contradicts(claim))));
            }
        },
    },
    Family {
        name: "gearshift_backend_health_checks_total",
        help: "Health checks, by how they went.",
        kind: "counter",
        labels: &["result"],
        read: |member, put| {
            for (check, name) in Counters::CHECKS {
                put(&[name], to_f64(member.counters.checks(check)));
            }
        },
    },
    Family {
        name: "gearshift_backend_scrapes_total",
        help: "Scrapes of the engine's metrics, by how they went.",
        kind: "counter",
        labels: &["result"],
        read: |member, put| {
            for (result, name) in Counters::SCRAPES {
                put(&[name], to_f64(member.counters.scrapes(result)));
            }
        },
    },
    Family {
        name: "gearshift_backend_detections_total",
        help: "Questions to the engine about what it serves, by how they went.",
        kind: "counter",
        labels: &["result"],
        read: |member, put| {
            for (ok, name) in Counters::DETECTIONS {
                put(&[name], to_f64(member.counters.detections(ok)));
            }
        },
    },
    Family {
        name: "gearshift_backend_prefix_cache_tokens_total",
        help: "Prompt tokens the engine has looked up in its prefix cache, as scraped, by whether they were there.",
        kind: "counter",
        labels: &["result"],
        read: |member, put| {
            if let Some(PrefixCache { queries, hits }) = member.prefix_cache() {
                put(&["hit"], hits.max(0.0));
                put(&["miss"], (queries - hits).max(0.0));
            }
        },
    },
];

fn describe(member: &Member, put: &mut Put<'_>) {
    let backend = member.backend();
    let hardware = backend.hardware.as_ref();
    let accelerators = hardware.map_or_else(String::new, |hardware| hardware.count.to_string());
    let hardware = hardware.map_or("unknown", |hardware| hardware.id.as_str());
    put(&[hardware, &accelerators, backend.profile_name()], 1.0);
}

/// Who is read, with its label as it is written.
struct Read<'m> {
    member: &'m Member,
    label: String,
}

impl Gauge {
    fn write(&self, members: &[Read<'_>], page: &mut String) {
        let samples = |page: &mut String| {
            for Read { member, label } in members {
                if let Some(value) = (self.read)(member) {
                    page.extend([self.name, "{", label, "} "]);
                    text::number(page, value);
                }
            }
        };
        text::family(page, self.name, self.help, "gauge", samples);
    }
}

impl Family {
    fn write(&self, members: &[Read<'_>], page: &mut String) {
        text::family(page, self.name, self.help, self.kind, |page| {
            for Read { member, label } in members {
                (self.read)(member, &mut |values, value| {
                    page.extend([self.name, "{", label]);
                    for (name, value) in self.labels.iter().zip(values) {
                        // After the backend's, which is there already.
                        page.extend([",", name, "=\""]);
                        text::escaped(page, value, true);
                        page.push('"');
                    }
                    page.push_str("} ");
                    text::number(page, value);
                });
            }
        });
    }
}

/// Reads the families off the members, onto the page.
pub(super) fn write(members: &[Arc<Member>], page: &mut String) {
    if members.is_empty() {
        return;
    }
    let read = |member| {
        let member: &Member = member;
        let mut label = String::new();
        text::label(&mut label, "backend", member.id().as_str());
        Read { member, label }
    };
    let members: Vec<_> = members.iter().map(|member| read(member)).collect();
    GAUGES.iter().for_each(|gauge| gauge.write(&members, page));
    FAMILIES.iter().for_each(|family| family.write(&members, page));
}
