//! What must hold of any run.

use std::collections::HashSet;

use gearshift_config::{Objective, Slo};
use gearshift_loadtests::study::{
    CacheAware, End, Gearshift, LeastOutstanding, Oracle, PeakEwma, Policy, PowerOfTwo, Random, RoundRobin,
    Settings, Weighted,
};

use super::{fleet, mean, rows, trips};

fn policies() -> Vec<Box<dyn Policy>> {
    vec![
        Box::new(RoundRobin::default()),
        Box::new(Random::new(1)),
        Box::new(LeastOutstanding::new(1)),
        Box::new(PowerOfTwo::new(1)),
        Box::new(PeakEwma::new(1)),
        Box::new(CacheAware::new(1)),
        Box::new(Weighted::new(1)),
        Box::new(Gearshift::new(Objective::Latency, Slo::default(), 1)),
        Box::new(Oracle::new(1)),
    ]
}

#[test]
fn every_request_ends_once_and_whole_under_every_policy() {
    let fleet = fleet(&["h100_sxm", "a100_sxm_80gb", "l4"]);
    let trips = trips(&fleet, 600, 20.0, 3);
    for mut policy in policies() {
        let name = policy.name();
        let (rows, summary) = rows(&fleet, &trips, policy.as_mut(), &Settings::default());
        let ids: HashSet<u64> = rows.iter().map(|row| row.id).collect();
        assert_eq!((rows.len(), ids.len(), summary.requests), (600, 600, 600), "{name}");
        assert!(rows.iter().all(|row| row.end == End::Whole && row.retries == 0), "{name}");
        for row in &rows {
            let trip = &trips[usize::try_from(row.id).unwrap()];
            assert_eq!((row.prompt_tokens, row.output_tokens), (trip.prompt_tokens, trip.output_tokens));
            assert!(row.ttft_s.is_some_and(|ttft| ttft > 0.0 && ttft <= row.e2e_s), "{name}: {row:?}");
        }
        let sent: u64 = summary.backends.iter().map(|tally| tally.sent).sum();
        let whole: u64 = summary.backends.iter().map(|tally| tally.whole).sum();
        assert_eq!((sent, whole), (600, 600), "{name}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let fleet = fleet(&["h100_sxm", "l40s", "l4"]);
    let trips = trips(&fleet, 300, 10.0, 5);
    for (mut one, mut other) in policies().into_iter().zip(policies()) {
        let first = rows(&fleet, &trips, one.as_mut(), &Settings::default());
        let second = rows(&fleet, &trips, other.as_mut(), &Settings::default());
        let again = rows(&fleet, &trips, one.as_mut(), &Settings::default());
        assert!(first == second, "{}", one.name());
        assert!(first == again, "{}: a run leaves something behind", one.name());
    }
}

/// Little's law: what is in the system on average is the rate of arrival times the time in it.
#[test]
fn requests_in_the_system_are_rate_times_time() {
    let fleet = fleet(&["h100_sxm", "a10g"]);
    let trips = trips(&fleet, 500, 8.0, 9);
    let (rows, summary) = rows(&fleet, &trips, &mut Random::new(2), &Settings::default());
    let seconds = summary.ended.seconds_since(gearshift_loadtests::sim::Moment(0));
    let (in_system, rate) = (summary.request_seconds / seconds, 500.0 / seconds);
    let time = mean(rows.iter().map(|row| row.e2e_s));
    assert!((in_system / (rate * time) - 1.0).abs() < 1e-6, "{in_system} {rate} {time}");
}

#[test]
fn a_round_trip_is_added_once() {
    let mut near = fleet(&["h100_sxm"]);
    let trips = trips(&near, 20, 0.1, 1);
    let (close, _) = rows(&near, &trips, &mut RoundRobin::default(), &Settings::default());
    near.members[0].round_trip += std::time::Duration::from_millis(80);
    let (far, _) = rows(&near, &trips, &mut RoundRobin::default(), &Settings::default());
    for (close, far) in close.iter().zip(&far) {
        assert!((far.e2e_s - close.e2e_s - 0.08).abs() < 1e-6, "{close:?} {far:?}");
    }
}
