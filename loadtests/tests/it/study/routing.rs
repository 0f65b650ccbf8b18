//! Who gets what.

use std::sync::Arc;

use gearshift_config::{Objective, Slo};
use gearshift_loadtests::study::{
    CacheAware, Gearshift, LeastOutstanding, Policy, Random, RoundRobin, Settings,
};

use super::{fleet, mean, rows, trips};

fn gearshift(objective: Objective) -> Gearshift {
    Gearshift::new(objective, Slo::default(), 1)
}

/// The largest share of the requests that one backend got, over the even share.
fn unevenness(policy: &mut dyn Policy, per_s: f64) -> f64 {
    let fleet = fleet(&["h100_sxm"; 4]);
    let (_, summary) = rows(&fleet, &trips(&fleet, 2000, per_s, 11), policy, &Settings::default());
    let most = summary.backends.iter().map(|tally| tally.sent).max().unwrap();
    most as f64 * 4.0 / 2000.0
}

#[test]
fn equals_get_equal_shares() {
    assert_eq!(unevenness(&mut RoundRobin::default(), 20.0), 1.0);
    assert!(unevenness(&mut LeastOutstanding::new(1), 20.0) < 1.15);
    for per_s in [20.0, 80.0] {
        let uneven = unevenness(&mut gearshift(Objective::Latency), per_s);
        assert!(uneven < 1.35, "{per_s} a second: {uneven}");
    }
}

#[test]
fn shares_among_equals_may_differ_where_it_costs_nothing() {
    let fleet = fleet(&["h100_sxm"; 4]);
    let trips = trips(&fleet, 2000, 2.0, 11);
    let e2e_s = |policy: &mut dyn Policy| {
        let (rows, _) = rows(&fleet, &trips, policy, &Settings::default());
        mean(rows.iter().map(|row| row.e2e_s))
    };
    let (even, ours) = (e2e_s(&mut RoundRobin::default()), e2e_s(&mut gearshift(Objective::Latency)));
    assert!(ours < 1.01 * even, "{ours} against {even} in turn");
}

#[test]
fn prefixes_stay_together_where_that_pays() {
    let fleet = fleet(&["a100_sxm_80gb"; 4]);
    let trips = trips(&fleet, 800, 10.0, 4);
    let cached = |policy: &mut dyn Policy| {
        let (rows, _) = rows(&fleet, &trips, policy, &Settings::default());
        mean(rows.iter().filter(|row| row.id % 4 == 0).map(|row| f64::from(row.cached_tokens)))
    };
    let blind = cached(&mut Random::new(1));
    assert!(cached(&mut CacheAware::new(1)) >= blind);
    assert!(cached(&mut gearshift(Objective::Latency)) >= blind);
}

#[test]
fn the_selector_learns_what_an_engine_really_is() {
    let mut fleet = fleet(&["h100_sxm"; 3]);
    fleet.members[2].slow = 4.0;
    let trips = trips(&fleet, 1500, 10.0, 8);
    let (_, summary) = rows(&fleet, &trips, &mut gearshift(Objective::Latency), &Settings::default());
    let sent: Vec<u64> = summary.backends.iter().map(|tally| tally.sent).collect();
    assert!(sent[2] * 3 < sent[0] && sent[2] * 3 < sent[1], "{sent:?}");
}

#[test]
fn cost_goes_where_it_is_cheap() {
    let mut fleet = fleet(&["h100_sxm", "h100_sxm"]);
    fleet.members[1].price_usd_per_hour /= 4.0;
    let trips = trips(&fleet, 400, 1.0, 8);
    let (_, summary) = rows(&fleet, &trips, &mut gearshift(Objective::Cost), &Settings::default());
    let [dear, cheap] = &summary.backends[..] else { panic!("two backends") };
    assert!(dear.sent * 10 < cheap.sent, "{} {}", dear.sent, cheap.sent);
}

#[test]
fn a_far_engine_is_left_alone_while_a_near_one_is_idle() {
    let mut fleet = fleet(&["h100_sxm", "h100_sxm"]);
    fleet.members[0].round_trip = std::time::Duration::from_secs(2);
    let trips: Vec<Arc<_>> = trips(&fleet, 200, 0.2, 8);
    let (_, summary) = rows(&fleet, &trips, &mut gearshift(Objective::Latency), &Settings::default());
    let [far, near] = &summary.backends[..] else { panic!("two backends") };
    assert!(far.sent * 5 < near.sent, "{} {}", far.sent, near.sent);
}
