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

/// The shares that four equals get, and the mean time end to end.
fn among_equals(policy: &mut dyn Policy, per_s: f64) -> (Vec<f64>, f64) {
    let fleet = fleet(&["h100_sxm"; 4]);
    let (rows, summary) = rows(&fleet, &trips(&fleet, 2000, per_s, 11), policy, &Settings::default());
    let shares = summary.backends.iter().map(|tally| tally.sent as f64 / 2000.0).collect();
    (shares, mean(rows.iter().map(|row| row.e2e_s)))
}

#[test]
fn equals_get_equal_shares_where_there_is_work_for_all() {
    assert_eq!(among_equals(&mut RoundRobin::default(), 20.0).0, [0.25; 4]);
    for per_s in [20.0, 80.0] {
        let (shares, _) = among_equals(&mut gearshift(Objective::Latency), per_s);
        assert!(shares.iter().all(|share| (0.17..0.33).contains(share)), "{per_s} a second: {shares:?}");
    }
}

/// Where all are idle the warmest is as good as any: shares need not be equal, but nobody may be left alone and nobody
/// may wait for it.
#[test]
fn equals_that_idle_are_all_used_and_nobody_waits() {
    let (shares, ours) = among_equals(&mut gearshift(Objective::Latency), 2.0);
    let (_, even) = among_equals(&mut LeastOutstanding::new(1), 2.0);
    assert!(shares.iter().all(|share| *share > 0.08), "{shares:?}");
    assert!(ours < even * 1.02, "{ours} {even}");
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

/// Two CPUs that claim to be accelerators: alone they are off by one factor, in company by another.
#[test]
fn equals_that_are_off_by_load_share_evenly() {
    let mut fleet = fleet(&["xeon_8480"; 2]);
    let claimed = super::fleet(&["l4"; 1]);
    for member in &mut fleet.members {
        member.claim.hardware = Arc::clone(&claimed.members[0].claim.hardware);
    }
    let trips = trips(&fleet, 600, 0.5, 8);
    let (rows, _) = rows(&fleet, &trips, &mut gearshift(Objective::Latency), &Settings::default());
    for quarter in rows.chunks(150).skip(1) {
        let first = quarter.iter().filter(|row| row.backend == Some(0)).count();
        assert!((50..=100).contains(&first), "{first} of 150");
    }
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
