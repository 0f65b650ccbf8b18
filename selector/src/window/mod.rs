//! Workload windows: what the requests to a model, or of a route, look like now.
//!
//! ```
//! use gearshift_selector::{Moment, window::{Arrival, Departure, WindowTracker}};
//!
//! let start = Moment(0);
//! let mut tracker = WindowTracker::new(300.0, start); // half-life, seconds
//! for second in 0..600 {
//!     let arrived = start.after_seconds(f64::from(second));
//!     tracker.arrived(&Arrival { prompt_tokens: 1000.0, repeated_tokens: 600.0 }, arrived);
//!     let departure =
//!         Departure { arrived, prompt_tokens: Some(1000.0), cached_tokens: None, output_tokens: Some(200.0) };
//!     tracker.departed(&departure, arrived.after_seconds(4.0));
//! }
//! let window = tracker.snapshot(start.after_seconds(600.0));
//! assert!((window.rate_per_s - 1.0).abs() < 0.01 && window.burstiness < 0.01);
//! assert!((window.concurrency - 4.0).abs() < 0.1 && (window.prefix_share - 0.6).abs() < 0.01);
//! ```
//!
//! Everything forgets exponentially by the one half-life. Time is an argument. What is told may come late and out of order
//! (a request ends on one core before another's arrival is taken in): all but the gaps between arrivals are sums in which
//! the order does not matter.

mod decay;
mod histogram;
mod seen;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::seen::SeenPrefixes;
use self::{decay::Decay, histogram::Histogram};
use crate::Moment;

/// Lengths, tokens; from a histogram whose buckets are 9 % wide, but for the mean, which is exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// Nine of ten are at most this.
    pub p90: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
    /// Arithmetic mean.
    pub mean: f64,
}

/// A workload as it is now. All zero, but for `burstiness`, where nothing has come yet.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WorkloadWindow {
    /// Requests that arrive a second.
    pub rate_per_s: f64,
    /// Squared coefficient of variation of the times between arrivals: 0 like clockwork, 1 at random (Poisson), more in
    /// bursts. 1 until two gaps were seen.
    pub burstiness: f64,
    /// Requests in the house on average: rate × mean time in it (Little's law).
    pub concurrency: f64,
    /// From arrival to end, seconds (mean), however they ended.
    pub seconds: f64,
    /// Prompts.
    pub prompt_tokens: Quantiles,
    /// Answers, over all sequences of a request; of whole answers alone.
    pub output_tokens: Quantiles,
    /// Share of prompt tokens at the start of a prompt that an earlier prompt had too: what a prefix cache without bounds
    /// would save. What the requests are, whatever the engines make of it.
    pub prefix_share: f64,
    /// Share of prompt tokens that engines took from their caches, among answers whose engine tells; 0 where none does.
    pub cached_share: f64,
    /// How many arrivals this rests on, older ones counting less.
    pub requests: f64,
}

/// A request has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    /// Prompt tokens, as far as known on arrival.
    pub prompt_tokens: f64,
    /// Of these, at the start, what an earlier prompt had too; see [`SeenPrefixes`].
    pub repeated_tokens: f64,
}

/// A request has ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Departure {
    /// When it had come.
    pub arrived: Moment,
    /// Prompt tokens, by the engine's count or an estimate; `None` where there is neither.
    pub prompt_tokens: Option<f64>,
    /// Of these, what the engine took from its cache; `None` where it does not tell.
    pub cached_tokens: Option<f64>,
    /// Output tokens; `None` where the answer did not come whole.
    pub output_tokens: Option<f64>,
}

/// Follows one workload. Not for many threads at once: one consumer feeds it.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowTracker {
    decay: Decay,
    started: Moment,
    last_arrival: Option<Moment>,
    sums: Sums,
    prompts: Histogram,
    outputs: Histogram,
}

/// Weighted sums.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sums {
    arrivals: f64,
    /// Times between arrivals: weights, seconds, squares.
    gaps: [f64; 3],
    /// Prompt tokens on arrival, and those repeated.
    asked: [f64; 2],
    /// Departures, and their seconds.
    departed: [f64; 2],
    /// Prompt tokens of answers that tell what was cached, and those cached.
    told: [f64; 2],
}

impl Sums {
    fn scale(&mut self, factor: f64) {
        let Self { arrivals, gaps, asked, departed, told } = self;
        *arrivals *= factor;
        for sum in gaps.iter_mut().chain(asked).chain(departed).chain(told) {
            *sum *= factor;
        }
    }
}

/// A rate is not worked out over less than this, seconds.
const SHORTEST_S: f64 = 1.0;

impl WindowTracker {
    /// Begins at `now`, with nothing seen. What is one half-life old counts half.
    pub fn new(half_life_s: f64, now: Moment) -> Self {
        Self {
            decay: Decay::new(half_life_s, now),
            started: now,
            last_arrival: None,
            sums: Sums::default(),
            prompts: Histogram::new(),
            outputs: Histogram::new(),
        }
    }

    /// A request came at `now`.
    pub fn arrived(&mut self, arrival: &Arrival, now: Moment) {
        self.keep_in_range(now);
        let weight = self.decay.weight(now);
        self.sums.arrivals += weight;
        if let Some(last) = self.last_arrival {
            let gap = now.seconds_since(last);
            add(&mut self.sums.gaps, [1.0, gap, gap * gap], weight);
        }
        self.last_arrival = self.last_arrival.max(Some(now));
        let Arrival { prompt_tokens, repeated_tokens } = *arrival;
        if prompt_tokens > 0.0 && prompt_tokens.is_finite() {
            let repeated = repeated_tokens.max(0.0).min(prompt_tokens);
            add(&mut self.sums.asked, [prompt_tokens, repeated], weight);
        }
    }

    /// A request ended at `now`, in whatever way.
    pub fn departed(&mut self, departure: &Departure, now: Moment) {
        self.keep_in_range(now);
        let weight = self.decay.weight(now);
        let Departure { arrived, prompt_tokens, cached_tokens, output_tokens } = *departure;
        add(&mut self.sums.departed, [1.0, now.seconds_since(arrived)], weight);
        prompt_tokens.into_iter().for_each(|tokens| self.prompts.add(tokens, weight));
        output_tokens.into_iter().for_each(|tokens| self.outputs.add(tokens, weight));
        if let Some((prompt, cached)) = prompt_tokens.zip(cached_tokens).filter(|(prompt, _)| *prompt > 0.0) {
            add(&mut self.sums.told, [prompt, cached.max(0.0).min(prompt)], weight);
        }
    }

    /// The workload at `now`.
    pub fn snapshot(&self, now: Moment) -> WorkloadWindow {
        let Sums { arrivals, gaps, asked, departed, told } = &self.sums;
        let requests = arrivals / self.decay.weight(now);
        let elapsed_s = now.seconds_since(self.started).max(SHORTEST_S);
        let rate_per_s = requests / self.decay.window_s(elapsed_s);
        let seconds = share(departed);
        WorkloadWindow {
            rate_per_s,
            burstiness: burstiness(gaps),
            concurrency: rate_per_s * seconds,
            seconds,
            prompt_tokens: self.prompts.quantiles(),
            output_tokens: self.outputs.quantiles(),
            prefix_share: share(asked),
            cached_share: share(told),
            requests,
        }
    }

    fn keep_in_range(&mut self, now: Moment) {
        if let Some(factor) = self.decay.moved(now) {
            self.sums.scale(factor);
            self.prompts.scale(factor);
            self.outputs.scale(factor);
        }
    }
}

fn add<const N: usize>(sums: &mut [f64; N], values: [f64; N], weight: f64) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
}

/// The second sum over the first; 0 where there is nothing.
fn share([of, part]: &[f64; 2]) -> f64 {
    if *of > 0.0 { part / of } else { 0.0 }
}

/// Squared coefficient of variation.
fn burstiness([weight, sum, squares]: &[f64; 3]) -> f64 {
    let (mean, square) = (sum / weight, squares / weight);
    let variation = square / (mean * mean) - 1.0;
    if variation.is_finite() { variation.max(0.0) } else { 1.0 }
}
