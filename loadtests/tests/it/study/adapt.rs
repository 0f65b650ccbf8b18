//! What nobody told the selector, and how soon it finds out. Shorter than the report's cases; one seed.

use gearshift_loadtests::study::adapt::{Newcomer, impostors, newcomer, throttled};
use gearshift_selector::Claim;

/// Requests a second: a debug build has to keep up.
const RATE: f64 = 12.0;

#[test]
fn impostors_are_found_out_within_a_hundred_of_their_requests_and_lose_their_share() {
    // At lower rates a T4 is avoided from its first answers on, long before there are enough of them for a flag.
    let (impostors, false_flags) = impostors(40.0, 1).unwrap();
    let [old_card, bad_line] = &impostors[..] else { panic!("two: {impostors:?}") };
    assert_eq!(false_flags, 0, "honest backends are left in peace");
    let found = old_card.found.expect("a T4 is no H100");
    assert!(matches!(found.claim, Claim::Prefill | Claim::Decode) && found.own_requests <= 100, "{found:?}");
    let found = bad_line.found.expect("180 ms is no machine room");
    assert!(found.claim == Claim::Network && found.own_requests <= 100, "{found:?}");
    assert!(old_card.at_last < 0.15, "{old_card:?}");
    assert!(bad_line.at_last < 0.8, "{bad_line:?}");
}

#[test]
fn a_throttled_backend_loses_its_share_within_half_a_minute_and_gets_it_back() {
    let throttled = throttled(RATE, 2).unwrap();
    assert!(throttled.before > 0.5, "{throttled:?}");
    assert!(throttled.during < 0.3 * throttled.before, "{throttled:?}");
    assert!(throttled.back_after_s.is_some_and(|seconds| seconds <= 150.0), "{throttled:?}");
    assert!(throttled.at_last > 0.5 * throttled.before, "{throttled:?}");
}

#[test]
fn a_card_that_nobody_knows_has_about_its_share_at_once() {
    // One run's share swings: it is a few requests in a hundred.
    let newcomers = [1, 2, 3].map(|seed| newcomer(2.0 * RATE, seed).unwrap());
    let mean = |of: fn(&Newcomer) -> f64| newcomers.iter().map(of).sum::<f64>() / 3.0;
    assert!((0.5..1.5).contains(&mean(|run| run.at_once)), "{newcomers:?}");
    assert!((0.6..1.4).contains(&mean(|run| run.after_hundred)), "{newcomers:?}");
}
