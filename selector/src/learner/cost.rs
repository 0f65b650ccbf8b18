//! What a decision costs with a bundle, measured before it serves; how many candidates the budget allows.

use std::time::{Duration, Instant};

use super::{BundleError, Head, HeadError, Memory};
use crate::{eligible::MAX_CANDIDATES, inputs::QueryInputs};

/// Candidates at which the head is timed.
const SIZES: [usize; 5] = [1, 8, 16, 32, MAX_CANDIDATES];
/// Runs timed of each; the median counts.
const RUNS: usize = 101;
/// Time after which no further run of one size is begun: a graph may be slow beyond measure.
const PATIENCE: Duration = Duration::from_millis(250);
/// Runs before these, for caches and the allocator.
const WARM_UP: usize = 10;
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
    /// Times the head on rows, repeated as often as needed.
    pub(super) fn measure(
        head: &mut Head,
        memories: &[Memory],
        queries: &[QueryInputs],
        budget: Duration,
    ) -> Result<Self, BundleError> {
        let engines: Vec<_> = memories.iter().cycle().take(MAX_CANDIDATES).collect();
        let queries: Vec<_> = queries.iter().copied().cycle().take(MAX_CANDIDATES).collect();
        let mut medians = Vec::with_capacity(SIZES.len());
        for size in SIZES {
            let took = median(head, &engines[..size], &queries[..size]).map_err(|error| {
                BundleError::Graph { file: super::graph::REGRESSOR, problem: error.to_string() }
            })?;
            if took > budget && size <= FEWEST {
                // What is too slow already could take minutes for more.
                return Err(BundleError::TooSlow { candidates: size, took, budget });
            }
            medians.push((size, took));
        }
        let took = at(&medians, FEWEST);
        if took > budget {
            return Err(BundleError::TooSlow { candidates: FEWEST, took, budget });
        }
        let share = budget.mul_f64(HEAD_SHARE);
        let fits = |candidates: &usize| at(&medians, *candidates) <= share;
        let candidates = (FEWEST..=MAX_CANDIDATES).rev().find(fits).unwrap_or(FEWEST);
        Ok(Self { medians, candidates })
    }
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
        if run > WARM_UP && began.duration_since(start) > PATIENCE {
            break;
        }
        head.correct(engines, queries, &mut into)?;
        let took = now().duration_since(began);
        if run >= WARM_UP {
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
}
