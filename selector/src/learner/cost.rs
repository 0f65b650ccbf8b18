//! What a decision costs with a bundle, measured before it serves; how many candidates the budget allows.

use std::time::{Duration, Instant};

use super::{BundleError, Head, HeadError, Memory};
use crate::{eligible::MAX_CANDIDATES, inputs::QueryInputs};

/// Candidates at which the head is timed.
const SIZES: [usize; 5] = [1, 8, 16, 32, MAX_CANDIDATES];
/// Rounds over all sizes. Others may have the core in one of them: of each size the best round counts.
const ROUNDS: usize = 5;
/// Runs of a size in one round; their median counts.
const RUNS: usize = 21;
/// Time after which no further run of one size is begun in a round: a graph may be slow beyond measure.
const PATIENCE: Duration = Duration::from_millis(50);
/// Runs before these, for caches and the allocator.
const WARM_UP: usize = 3;
/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(20);
/// For so long what seems too slow is timed again: the machine may be busy starting, or with a burst.
const BUSY: Duration = Duration::from_secs(2);
/// Fewer candidates than this are not worth asking about: these many are asked even where they take the whole budget.
const FEWEST: usize = 4;
/// Share of a decision's budget that is the head's. The prior, the inputs and two rankings take the rest.
const HEAD_SHARE: f64 = 0.6;

/// Median time of a head by candidates.
#[derive(Debug, Clone, PartialEq)]
pub struct Cost {
    /// (candidates, time), by candidates.
    pub medians: Vec<(usize, Duration)>,
    /// Candidates that the budget allows to ask about.
    pub candidates: usize,
}

impl Cost {
    /// Times the head on rows, repeated as often as needed. Waits between rounds: not for a request core.
    pub(super) fn measure(
        head: &mut Head,
        memories: &[Memory],
        queries: &[QueryInputs],
        budget: Duration,
    ) -> Result<Self, BundleError> {
        let engines: Vec<_> = memories.iter().cycle().take(MAX_CANDIDATES).collect();
        let queries: Vec<_> = queries.iter().copied().cycle().take(MAX_CANDIDATES).collect();
        let time = |size| {
            median(head, &engines[..size], &queries[..size]).map_err(|error| BundleError::Graph {
                file: super::graph::REGRESSOR,
                problem: error.to_string(),
            })
        };
        let start = now();
        let wait = || {
            #[expect(clippy::disallowed_methods, reason = "who loads a bundle may block")]
            std::thread::sleep(PAUSE);
            now().duration_since(start) < BUSY
        };
        Self::of(budget, time, wait)
    }

    /// `time` says how long so many candidates take, `wait` whether there is time for another round if there must be one.
    fn of(
        budget: Duration,
        mut time: impl FnMut(usize) -> Result<Duration, BundleError>,
        mut wait: impl FnMut() -> bool,
    ) -> Result<Self, BundleError> {
        let mut medians = SIZES.map(|size| (size, Duration::MAX));
        let mut rounds = 0;
        let too_slow = loop {
            let too_slow = round(&mut medians, budget, &mut time)?;
            rounds += 1;
            let enough = rounds >= ROUNDS && too_slow.is_none();
            if enough || !wait() {
                break too_slow;
            }
        };
        if let Some((candidates, took)) = too_slow {
            return Err(BundleError::TooSlow { candidates, took, budget });
        }
        let share = budget.mul_f64(HEAD_SHARE);
        let fits = |candidates: &usize| at(&medians, *candidates) <= share;
        let candidates = (FEWEST..=MAX_CANDIDATES).rev().find(fits).unwrap_or(FEWEST);
        Ok(Self { medians: medians.to_vec(), candidates })
    }
}

/// Times each size once more. How many candidates still take too long for the `budget`, and how long.
fn round(
    medians: &mut [(usize, Duration)],
    budget: Duration,
    time: &mut impl FnMut(usize) -> Result<Duration, BundleError>,
) -> Result<Option<(usize, Duration)>, BundleError> {
    for (size, best) in &mut *medians {
        *best = time(*size)?.min(*best);
        if *best > budget && *size <= FEWEST {
            // What is too slow already could take minutes for more.
            return Ok(Some((*size, *best)));
        }
    }
    let took = at(medians, FEWEST);
    Ok((took > budget).then_some((FEWEST, took)))
}

#[expect(clippy::disallowed_methods, reason = "what is measured is this machine's real speed")]
fn now() -> Instant {
    Instant::now()
}

fn median(head: &mut Head, engines: &[&Memory], queries: &[QueryInputs]) -> Result<Duration, HeadError> {
    let mut into = Vec::new();
    let mut times = Vec::with_capacity(RUNS);
    let start = now();
    for run in 0..WARM_UP + RUNS {
        let began = now();
        if !times.is_empty() && began.duration_since(start) > PATIENCE {
            break;
        }
        head.correct(engines, queries, &mut into)?;
        let took = now().duration_since(began);
        if run >= WARM_UP || took > PATIENCE {
            times.push(took);
        }
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// Between measured sizes, on a line.
fn at(medians: &[(usize, Duration)], candidates: usize) -> Duration {
    let after = medians.partition_point(|&(size, _)| size < candidates).min(medians.len().saturating_sub(1));
    let before = after.saturating_sub(1);
    let Some((&(low, low_time), &(high, high_time))) = medians.get(before).zip(medians.get(after)) else {
        return Duration::MAX;
    };
    if high == low {
        return high_time;
    }
    let share = candidates.saturating_sub(low) as f64 / (high - low) as f64;
    // A larger size that was timed quicker is noise.
    low_time + high_time.saturating_sub(low_time).mul_f64(share.min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_sizes_time_is_on_a_line() {
        let us = Duration::from_micros;
        let medians = [(1, us(10)), (8, us(24)), (16, us(40))];
        assert_eq!([1, 4, 8, 12, 16].map(|n| at(&medians, n)), [10, 16, 24, 32, 40].map(us));
        assert_eq!(at(&[], 4), Duration::MAX);
    }

    /// On a machine that is `busy` in its first rounds, when everything takes ten times as long; a head needs 10 µs and 2 µs more for each
    /// candidate. Rounds timed, and what came of it.
    fn measured(busy: usize, budget: Duration) -> (usize, Result<Cost, BundleError>) {
        let mut rounds = 0;
        let time = |size: usize| {
            rounds += usize::from(size == 1);
            let took = Duration::from_micros(10 + 2 * size as u64);
            Ok(if rounds <= busy { took * 10 } else { took })
        };
        let mut waits = 0;
        let wait = || {
            waits += 1;
            waits < 40
        };
        let cost = Cost::of(budget, time, wait);
        (rounds, cost)
    }

    #[test]
    fn a_machine_that_is_busy_for_a_moment_makes_no_bundle_slow() {
        let budget = Duration::from_micros(100);
        let quiet = measured(0, budget);
        assert_eq!((quiet.0, quiet.1.as_ref().unwrap().candidates), (ROUNDS, 25));
        for busy in [1, ROUNDS - 1, ROUNDS, 30] {
            let (rounds, cost) = measured(busy, budget);
            assert_eq!(cost.unwrap(), *quiet.1.as_ref().unwrap());
            assert_eq!(rounds, ROUNDS.max(busy + 1));
        }
    }

    #[test]
    fn what_is_always_too_slow_is_refused() {
        let (rounds, cost) = measured(40, Duration::from_micros(100));
        assert!(matches!(cost, Err(BundleError::TooSlow { candidates: 1, .. })), "{cost:?}");
        assert_eq!(rounds, 40);
        let (_, cost) = measured(0, Duration::from_micros(13));
        assert!(matches!(cost, Err(BundleError::TooSlow { candidates: FEWEST, .. })), "{cost:?}");
        let (_, cost) = measured(0, Duration::from_micros(20));
        assert_eq!(cost.unwrap().candidates, FEWEST, "they may take it whole");
    }
}
