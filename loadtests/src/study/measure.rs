//! What one run comes to.

use gearshift_config::Slo;

use super::{End, Outcome, Summary, grid};
use crate::report;

/// Mean and percentiles of a time, seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Spread {
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// The figures of one run. Times, goodput and hit rate leave the warm-up out; cost and energy are of the whole run.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Measure {
    /// Requests that are counted.
    pub requests: usize,
    /// Of these, the share that was answered wholly.
    pub whole: f64,
    /// End to end; a request without a whole answer counts as [`grid::LOST_S`].
    pub e2e_s: Spread,
    /// Time to first token.
    pub ttft_s: Spread,
    /// Time per output token after the first.
    pub tpot_s: Spread,
    /// Share of the requests that was answered wholly and within the limits.
    pub goodput: f64,
    /// US dollars for 1,000 output tokens: price of each engine × the seconds in which it ran a step, over all tokens.
    pub usd_per_1k: f64,
    /// Joules for 1,000 output tokens: energy of the steps, idle power left out; modelled.
    pub joules_per_1k: f64,
    /// Prompt tokens that came from a prefix cache, share of all.
    pub hit_rate: f64,
    /// Requests sent to each backend, share of all.
    pub shares: Vec<f64>,
}

/// Takes in the rows of a run.
#[derive(Debug)]
pub struct Meter {
    slo: Slo,
    warm_up: u64,
    requests: usize,
    whole: usize,
    e2e_s: Vec<f64>,
    ttft_s: Vec<f64>,
    tpot_s: Vec<f64>,
    good: usize,
    prompt_tokens: u64,
    cached_tokens: u64,
    output_tokens: u64,
    joules: f64,
}

impl Meter {
    /// For a run of `requests`, with goodput under these limits.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
    pub fn new(slo: Slo, requests: u64) -> Self {
        Self {
            slo,
            warm_up: (requests as f64 * grid::WARM_UP) as u64,
            requests: 0,
            whole: 0,
            e2e_s: Vec::new(),
            ttft_s: Vec::new(),
            tpot_s: Vec::new(),
            good: 0,
            prompt_tokens: 0,
            cached_tokens: 0,
            output_tokens: 0,
            joules: 0.0,
        }
    }

    /// Takes in one row.
    pub fn take(&mut self, row: &Outcome) {
        self.output_tokens += u64::from(row.output_tokens);
        self.joules += row.joules;
        if row.id < self.warm_up {
            return;
        }
        self.requests += 1;
        self.prompt_tokens += u64::from(row.prompt_tokens);
        self.cached_tokens += u64::from(row.cached_tokens);
        self.e2e_s.push(if row.end == End::Whole { row.e2e_s } else { row.e2e_s.max(grid::LOST_S) });
        if row.end == End::Whole {
            self.whole += 1;
            self.ttft_s.extend(row.ttft_s);
            self.tpot_s.extend(row.tpot_s);
            self.good += usize::from(within(&self.slo, row));
        }
    }

    /// The figures, once the run is over.
    pub fn measure(self, summary: &Summary) -> Measure {
        let share = |part: f64, of: f64| if of > 0.0 { part / of } else { 0.0 };
        let usd: f64 = summary.backends.iter().map(|tally| tally.cost_usd).sum();
        let sent: u64 = summary.backends.iter().map(|tally| tally.sent).sum();
        let thousands = self.output_tokens as f64 * 1e-3;
        Measure {
            requests: self.requests,
            whole: share(self.whole as f64, self.requests as f64),
            e2e_s: Spread::of(&self.e2e_s),
            ttft_s: Spread::of(&self.ttft_s),
            tpot_s: Spread::of(&self.tpot_s),
            goodput: share(self.good as f64, self.requests as f64),
            usd_per_1k: share(usd, thousands),
            joules_per_1k: share(self.joules, thousands),
            hit_rate: share(self.cached_tokens as f64, self.prompt_tokens as f64),
            shares: summary.backends.iter().map(|tally| share(tally.sent as f64, sent as f64)).collect(),
        }
    }
}

fn within(slo: &Slo, row: &Outcome) -> bool {
    let meets = |limit: Option<std::time::Duration>, seconds: Option<f64>| {
        limit.is_none_or(|limit| seconds.is_none_or(|seconds| seconds <= limit.as_secs_f64()))
    };
    meets(slo.ttft, row.ttft_s) && meets(slo.tpot, row.tpot_s) && meets(slo.e2e, Some(row.e2e_s))
}

impl Spread {
    /// Of these values; zeros where there are none.
    pub fn of(values: &[f64]) -> Self {
        let of = |all: report::Summary| Self { mean: all.mean, p50: all.p50, p99: all.p99 };
        report::Summary::of(values).map(of).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusing_quickly_is_not_quick() {
        let row = |id, end, e2e_s| Outcome {
            id,
            class: crate::workload::Class::Chat,
            backend: Some(0),
            retries: 0,
            end,
            at: crate::sim::Moment(0),
            ttft_s: (end == End::Whole).then_some(0.5),
            tpot_s: (end == End::Whole).then_some(0.01),
            e2e_s,
            prompt_tokens: 10,
            cached_tokens: 5,
            output_tokens: 100,
            preemptions: 0,
            joules: 2.0,
        };
        let mut meter = Meter::new(grid::limits("homogeneous"), 4);
        meter.take(&row(0, End::Error, 0.1));
        meter.take(&row(1, End::Whole, 4.0));
        meter.take(&row(2, End::Error, 0.1));
        let measure = meter.measure(&Summary::default());
        assert_eq!((measure.requests, measure.whole, measure.goodput), (2, 0.5, 0.5), "the first is warm-up");
        assert_eq!(measure.e2e_s.mean, (4.0 + grid::LOST_S) / 2.0);
        assert_eq!((measure.ttft_s.mean, measure.hit_rate), (0.5, 0.5));
        assert!((measure.joules_per_1k - 20.0).abs() < 1e-9);
    }
}
