use proptest::prelude::*;

use super::*;
use crate::decision::Ranked;

fn candidate(index: usize, value: f64, outstanding: u64, meets: bool) -> Candidate {
    let class = if meets { Class::Meets } else { Class::Misses };
    Candidate {
        ranked: Ranked { index, prediction: None, cached_tokens: 0, score: value, meets_slo: meets },
        class,
        value,
        doubt: 0.0,
        uncached_tokens: 100.0,
        outstanding: (outstanding, 0),
        pace_s: None,
        failures: 0.0,
        is_new: false,
        estimate: None,
    }
}

/// Few distinct numbers, so that there are ties.
fn some_candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (1u8..4, 0u64..3, prop::bool::weighted(0.8), prop::bool::weighted(0.2));
    prop::collection::vec(one, 1..7).prop_map(|all| {
        let of = |(index, (value, outstanding, meets, is_new)): (usize, (u8, u64, bool, bool))| Candidate {
            is_new,
            ..candidate(index, f64::from(value), outstanding, meets)
        };
        all.into_iter().enumerate().map(of).collect()
    })
}

fn a_draw(candidates: &[Candidate], pick: usize, fastest: bool) -> Draw {
    let len = candidates.len();
    match (fastest, pick % (len + 1)) {
        (true, warmest) => Draw::Fastest((warmest < len).then_some(warmest)),
        (false, from) => Draw::LessLoaded((from.min(len - 1)..len).collect()),
    }
}

/// The rule, introductions every other time, and a share that explores.
fn lottery(draw: Draw, candidates: &[Candidate], share: f64) -> Lottery {
    Lottery::exploring(draw, candidates, Exploration { share, max_loss: 0.6, introduce: 0.5 })
}

proptest! {
    #[test]
    fn propensities_are_a_distribution(
        candidates in some_candidates(), pick: usize, fastest: bool, share in 0.0..1.0f64,
    ) {
        let lottery = lottery(a_draw(&candidates, pick, fastest), &candidates, share);
        let all: Vec<f64> = (0..candidates.len()).map(|at| lottery.propensity(&candidates, at)).collect();
        prop_assert!(all.iter().all(|one| (0.0..=1.0 + 1e-12).contains(one)), "{:?}", all);
        prop_assert!((all.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{:?}", all);
    }

    #[test]
    fn who_may_lose_too_much_or_miss_a_limit_is_not_explored(candidates in some_candidates(), seed: u64) {
        let lottery = lottery(Draw::LessLoaded([0].into_iter().collect()), &candidates, 1.0);
        let lot = lottery.draw(&candidates, &mut fastrand::Rng::with_seed(seed));
        if lot.explored {
            let best =
                candidates.iter().filter(|c| c.class == Class::Meets).map(|c| c.value).fold(f64::INFINITY, f64::min);
            let chosen = &candidates[lot.chosen];
            prop_assert!(chosen.class == Class::Meets && chosen.value <= 1.6 * best);
        } else {
            prop_assert_eq!(lot.chosen, 0);
        }
        prop_assert!(lot.propensity > 0.0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn propensities_are_the_frequencies(
        candidates in some_candidates(), pick: usize, fastest: bool, share in 0.0..0.5f64, seed: u64,
    ) {
        const DRAWS: u32 = 8000;
        let lottery = lottery(a_draw(&candidates, pick, fastest), &candidates, share);
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut counts = vec![0u32; candidates.len()];
        for _ in 0..DRAWS {
            let lot = lottery.draw(&candidates, &mut rng);
            counts[lot.chosen] += 1;
            prop_assert!((lot.propensity - lottery.propensity(&candidates, lot.chosen)).abs() < 1e-12);
        }
        for (at, count) in counts.into_iter().enumerate() {
            let expected = lottery.propensity(&candidates, at);
            let seen = f64::from(count) / f64::from(DRAWS);
            // Five standard deviations.
            let noise = 5.0 * (expected * (1.0 - expected) / f64::from(DRAWS)).sqrt();
            prop_assert!((seen - expected).abs() <= noise + 1e-9, "{}: {} for {}", at, seen, expected);
        }
    }
}

proptest! {
    #[test]
    fn who_is_hardly_known_is_drawn_every_other_time_where_that_is_safe(candidates in some_candidates()) {
        let rule = || Draw::LessLoaded([0].into_iter().collect());
        let introducing = lottery(rule(), &candidates, 0.0);
        let best = candidates.iter().filter(|c| c.class == Class::Meets).map(|c| c.value).fold(f64::INFINITY, f64::min);
        let is_stranger = |c: &Candidate| c.is_new && c.class == Class::Meets && c.value <= 1.5 * best;
        let strangers = candidates.iter().filter(|c| is_stranger(c)).count();
        for (at, candidate) in candidates.iter().enumerate() {
            let by_rule = Lottery::rule(rule()).propensity(&candidates, at);
            let expected = match (strangers, is_stranger(candidate)) {
                _ if candidates.len() < 2 => by_rule,
                (0, _) => by_rule,
                (_, true) => 0.5 * by_rule + 0.5 / strangers as f64,
                (_, false) => 0.5 * by_rule,
            };
            prop_assert!((introducing.propensity(&candidates, at) - expected).abs() < 1e-12);
        }
    }
}

#[test]
fn without_a_share_the_lots_are_those_of_before() {
    let candidates: Vec<_> = (0..4).map(|index| candidate(index, 1.0, 0, true)).collect();
    let draw = || Draw::LessLoaded((0..4).collect());
    let (mut one, mut other) = (fastrand::Rng::with_seed(3), fastrand::Rng::with_seed(3));
    for _ in 0..100 {
        let silent = lottery(draw(), &candidates, 0.0).draw(&candidates, &mut one);
        assert_eq!(silent, Lottery::rule(draw()).draw(&candidates, &mut other));
    }
}
