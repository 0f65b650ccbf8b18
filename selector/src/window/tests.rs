use proptest::prelude::*;

use super::*;
use crate::num;

const START: Moment = Moment(1_000_000_000);
const HALF_LIFE_S: f64 = 100.0;

fn at(seconds: f64) -> Moment {
    START.after_seconds(seconds)
}

fn tracker() -> WindowTracker {
    WindowTracker::new(HALF_LIFE_S, START)
}

fn arrival(prompt_tokens: f64) -> Arrival {
    Arrival { prompt_tokens, repeated_tokens: 0.0 }
}

fn departure(arrived: f64, prompt_tokens: f64, output_tokens: f64) -> Departure {
    Departure {
        arrived: at(arrived),
        prompt_tokens: Some(prompt_tokens),
        cached_tokens: Some(prompt_tokens / 4.0),
        output_tokens: Some(output_tokens),
    }
}

/// Exponential gaps of this mean, from 0 to `until`.
fn poisson(mean_s: f64, until_s: f64, seed: u64) -> Vec<f64> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut now = 0.0;
    let mut times = Vec::new();
    while now < until_s {
        now -= mean_s * (1.0 - rng.f64()).ln();
        times.push(now);
    }
    times
}

#[test]
fn nothing_seen_is_nothing() {
    let window = tracker().snapshot(at(5.0));
    assert_eq!(window.burstiness, 1.0);
    assert_eq!((window.rate_per_s, window.concurrency, window.requests), (0.0, 0.0, 0.0));
    assert_eq!(window.prompt_tokens, Quantiles::default());
}

#[test]
fn random_arrivals_are_as_bursty_as_chance() {
    let mut tracker = tracker();
    let times = poisson(0.05, 1000.0, 7);
    times.iter().for_each(|&time| tracker.arrived(&arrival(10.0), at(time)));
    let window = tracker.snapshot(at(*times.last().unwrap()));
    assert!((window.rate_per_s - 20.0).abs() < 1.0, "{window:?}");
    assert!((window.burstiness - 1.0).abs() < 0.15, "{window:?}");
}

#[test]
fn bursts_are_told_from_chance() {
    let mut tracker = tracker();
    for burst in 0..100 {
        (0..10).for_each(|turn| {
            tracker.arrived(&arrival(10.0), at(f64::from(burst) * 10.0 + f64::from(turn) * 0.01));
        });
    }
    assert!(tracker.snapshot(at(1000.0)).burstiness > 5.0);
}

#[test]
fn the_first_minute_already_shows_the_rate() {
    let mut tracker = tracker();
    (0..100).for_each(|turn| tracker.arrived(&arrival(10.0), at(f64::from(turn) * 0.1)));
    let window = tracker.snapshot(at(10.0));
    assert!((window.rate_per_s - 10.0).abs() < 0.1, "{window:?}");
}

#[test]
fn traffic_that_ends_fades_by_its_half_life() {
    let mut tracker = tracker();
    (0..2000).for_each(|second| tracker.arrived(&arrival(10.0), at(f64::from(second))));
    let (now, later) = (tracker.snapshot(at(2000.0)), tracker.snapshot(at(2000.0 + HALF_LIFE_S)));
    assert!((later.rate_per_s / now.rate_per_s - 0.5).abs() < 0.01, "{now:?} {later:?}");
}

#[test]
fn a_workload_that_turns_is_seen_to() {
    let mut tracker = tracker();
    let turn = |tracker: &mut WindowTracker, from: i32, output: f64| {
        for second in (from..from + 300).map(f64::from) {
            tracker.arrived(&arrival(100.0), at(second));
            tracker.departed(&departure(second, 100.0, output), at(second + 1.0));
        }
    };
    turn(&mut tracker, 0, 10.0);
    assert!((tracker.snapshot(at(300.0)).output_tokens.p50 - 10.0).abs() < 1.0);
    turn(&mut tracker, 300, 1000.0);
    let window = tracker.snapshot(at(600.0));
    // An eighth of the weight is from before.
    assert!((900.0..1100.0).contains(&window.output_tokens.p50), "{window:?}");
    assert!((window.output_tokens.mean - 890.0).abs() < 15.0, "{window:?}");
}

#[test]
fn months_do_not_wear_it_out() {
    let mut tracker = tracker();
    for second in (0..1000).map(|step| f64::from(step) * 20_000.0) {
        tracker.arrived(&arrival(100.0), at(second));
        tracker.departed(&departure(second, 100.0, 50.0), at(second + 1.0));
    }
    let window = tracker.snapshot(at(999.0 * 20_000.0));
    assert!((window.requests - 1.0).abs() < 1e-9 && (window.seconds - 1.0).abs() < 1e-6, "{window:?}");
    assert!((window.prompt_tokens.mean - 100.0).abs() < 1e-6);
}

/// By the histogram's promise.
fn about(estimate: f64, exact: f64) -> bool {
    (0.9..1.1).contains(&(estimate / exact))
}

proptest! {
    #[test]
    fn the_order_in_which_ends_are_told_does_not_matter(
        ends in prop::collection::vec((0.0..2000.0f64, 0.0..50.0f64, 1.0..9000.0f64, 0.0..9000.0f64), 1..60),
        seed: u64,
    ) {
        let told = |ends: &[(f64, f64, f64, f64)]| {
            let mut tracker = tracker();
            for &(arrived, took, prompt, output) in ends {
                tracker.departed(&departure(arrived, prompt, output), at(arrived + took));
            }
            tracker.snapshot(at(2100.0))
        };
        let mut shuffled = ends.clone();
        fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
        let (one, other) = (told(&ends), told(&shuffled));
        for (a, b) in [
            (one.seconds, other.seconds), (one.cached_share, other.cached_share),
            (one.prompt_tokens.mean, other.prompt_tokens.mean), (one.output_tokens.p90, other.output_tokens.p90),
        ] {
            prop_assert!((a - b).abs() <= 1e-6 * a.abs().max(1e-9), "{} {}", a, b);
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_seen(mut lengths in prop::collection::vec(1.0..1e6f64, 1..300)) {
        let mut tracker = tracker();
        lengths.iter().for_each(|&length| tracker.departed(&departure(0.0, length, length), at(1.0)));
        let window = tracker.snapshot(at(1.0));
        lengths.sort_unstable_by(f64::total_cmp);
        let Quantiles { p50, p90, p99, mean } = window.output_tokens;
        prop_assert!(p50 <= p90 && p90 <= p99);
        for (estimate, share) in [(p50, 0.5), (p90, 0.9), (p99, 0.99)] {
            let rank = num::to_u32((share * lengths.len() as f64).ceil()) as usize;
            prop_assert!(about(estimate, lengths[rank - 1]), "{} {}", estimate, lengths[rank - 1]);
        }
        let exact = lengths.iter().sum::<f64>() / lengths.len() as f64;
        prop_assert!((mean / exact - 1.0).abs() < 1e-9);
    }

    #[test]
    fn littles_law_holds(gap in 0.05..5.0f64, took in 0.0..20.0f64) {
        let mut tracker = tracker();
        let mut now = 0.0;
        while now < 1500.0 {
            tracker.arrived(&arrival(10.0), at(now));
            tracker.departed(&departure(now, 10.0, 1.0), at(now + took));
            now += gap;
        }
        let window = tracker.snapshot(at(now));
        prop_assert!((window.rate_per_s * gap - 1.0).abs() < 0.05, "{:?}", window);
        prop_assert!((window.concurrency - took / gap).abs() <= 0.05 * took / gap + 1e-9, "{:?}", window);
        prop_assert!(window.burstiness < 1e-6);
    }

    #[test]
    fn nothing_makes_it_no_number(
        events in prop::collection::vec(
            (any::<u64>(), any::<u64>(), any::<f64>(), any::<f64>(), any::<f64>()), 0..20,
        ),
        asked: u64,
    ) {
        let mut tracker = WindowTracker::new(HALF_LIFE_S, START);
        for (arrived, now, one, two, three) in events {
            tracker.arrived(&Arrival { prompt_tokens: one, repeated_tokens: two }, Moment(arrived));
            let departure = Departure {
                arrived: Moment(arrived),
                prompt_tokens: Some(one),
                cached_tokens: Some(two),
                output_tokens: Some(three),
            };
            tracker.departed(&departure, Moment(now));
        }
        let window = tracker.snapshot(Moment(asked));
        for number in [window.burstiness, window.prefix_share, window.cached_share, window.output_tokens.p50] {
            prop_assert!(!number.is_nan(), "{:?}", window);
        }
        prop_assert!((0.0..=1.0 + 1e-9).contains(&window.prefix_share));
    }
}
