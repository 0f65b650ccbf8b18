//! What the routing study compares: fixed here before its first result, and changed only with a reason.

use std::time::Duration;

use gearshift_config::Slo;

/// Fleets by the scenario's name, each with the limits that goodput is counted under.
pub const FLEETS: [(&str, Slo); 5] = [
    ("homogeneous", slo(1_000, 30)),
    ("hardware", slo(2_000, 100)),
    ("profiles", slo(1_000, 30)),
    ("liar", slo(1_000, 30)),
    ("decentralized", slo(2_000, 60)),
];

/// Limits of fleets that are studied on demand only.
pub const OTHER_FLEETS: [(&str, Slo); 6] = [
    ("day", slo(2_000, 100)),
    ("demo", slo(2_000, 100)),
    ("cost", slo(2_000, 60)),
    ("moe", slo(2_000, 60)),
    ("impostor", slo(1_000, 30)),
    ("newcomer", slo(2_000, 60)),
];

/// Workloads by name; traces where they can be found.
pub const WORKLOADS: [&str; 4] = ["steady", "drift", "azure-conv", "mooncake"];

/// Rates of arrival, as shares of the fleet's capacity for the mix.
pub const LOADS: [f64; 6] = [0.2, 0.4, 0.6, 0.8, 0.95, 1.1];

/// Repetitions, each with other requests at other times; the same ones for all policies.
pub const SEEDS: u64 = 3;

/// Seconds of virtual time in which the requests of one run come. Time, not a count: first written as 2,000 requests, which
/// are over in 15 s on the fastest fleet at full load, before slow engines have answered at all.
pub const SECONDS: f64 = 120.0;

/// Requests of one run at least, where they come slowly.
pub const LEAST_REQUESTS: u64 = 600;

/// The first requests, left out of all figures as a share: engines fill and routers learn.
pub const WARM_UP: f64 = 0.25;

/// What a request without a whole answer counts as, seconds end to end: its client gives up and comes back. Without it,
/// an engine that refuses quickly would look quick.
pub const LOST_S: f64 = 60.0;

const fn slo(ttft_ms: u64, tpot_ms: u64) -> Slo {
    Slo { ttft: Some(Duration::from_millis(ttft_ms)), tpot: Some(Duration::from_millis(tpot_ms)), e2e: None }
}

/// The limits that goodput of a fleet is counted under; those of the fleet `demo` for one that is not listed.
pub fn limits(fleet: &str) -> Slo {
    let listed = FLEETS.iter().chain(&OTHER_FLEETS).find(|(name, _)| *name == fleet);
    listed.map_or(slo(2_000, 100), |(_, slo)| *slo)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn every_shipped_scenario_has_limits_and_every_fleet_is_shipped() {
        let listed: Vec<&str> = FLEETS.iter().chain(&OTHER_FLEETS).map(|(name, _)| *name).collect();
        for name in Scenario::shipped_names() {
            assert!(listed.contains(&name), "{name}");
        }
        assert_eq!(listed.len(), Scenario::shipped_names().count());
    }
}
