//! The load of a measured run, and what a run of it shows.

use super::SiliconRow;

/// Requests per place in flight. Default: serving benchmarks send ten; the first of them all come at once, the others are
/// alike, so that two of those say as much.
const ROUNDS: u32 = 3;
/// Share of the first burst in a mean over ten rounds.
const BURST: f64 = 0.1;
/// Requests at least, so that a median exists where one is in flight.
const AT_LEAST: u32 = 8;
/// Lengths are drawn from this share of the nominal length up to it, as InferenceX's runs do; other sources state none.
const SHORTEST: f64 = 0.8;
const SEED: u64 = 7;

/// What one run shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latencies {
    /// Mean time to first token, seconds.
    pub ttft_s: f64,
    /// Median time per output token, seconds.
    pub tpot_s: f64,
}

/// A request that ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    pub(super) ttft_s: f64,
    pub(super) tpot_s: f64,
    /// Whether it came with the first burst.
    pub(super) burst: bool,
}

/// Prompt and answer of every request of a row's run, in tokens.
pub(super) fn lengths(row: &SiliconRow) -> Vec<(u64, u64)> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut draw = |nominal: u32| {
        let length = f64::from(nominal) * (SHORTEST + (1.0 - SHORTEST) * random.f64());
        whole(length).max(1)
    };
    let total = (row.concurrency * ROUNDS).max(AT_LEAST);
    (0..total).map(|_| (draw(row.isl), draw(row.osl))).collect()
}

impl Latencies {
    /// Of requests that ended, `front_s` before the scheduler included; `None` where the run never got beyond its burst.
    pub(super) fn of(row: &SiliconRow, done: &[Done], front_s: f64) -> Option<Self> {
        let tpot_s = median(done.iter().filter(|done| !done.burst).map(|done| done.tpot_s).collect())?;
        let mean = |burst: bool| {
            let of = || done.iter().filter(|done| done.burst == burst);
            of().map(|done| done.ttft_s).sum::<f64>() / of().count().max(1) as f64
        };
        let burst = if row.begins_at_once() { BURST } else { 0.0 };
        Some(Self { ttft_s: front_s + burst * mean(true) + (1.0 - burst) * mean(false), tpot_s })
    }
}

/// The middle value; `None` of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a length within a u32")]
fn whole(length: f64) -> u64 {
    length.round() as u64
}
