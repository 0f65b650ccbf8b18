//! What is asked of a model.

use std::time::Duration;

use gearshift_config::ModelId;

use crate::{Moment, window::WorkloadWindow};

/// What is asked of a model now: a mixture of classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// The model.
    pub model: ModelId,
    /// Requests a second.
    pub rate_per_s: f64,
    /// Squared coefficient of variation of the gaps between requests: 1 for independent arrivals, more for bursts.
    pub burstiness: f64,
    /// Requests it rests on, older ones counting less.
    pub requests: f64,
    /// What they are like; shares add up to 1.
    pub classes: Vec<RequestClass>,
}

/// Requests that are alike.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct RequestClass {
    /// Share of all requests.
    pub share: f64,
    /// Prompt tokens.
    pub prompt_tokens: f64,
    /// Leading prompt tokens that earlier requests began with too: what a prefix cache can save.
    pub shared_tokens: f64,
    /// Output tokens.
    pub output_tokens: f64,
}

/// Prompt tokens that are about as much work for an engine as one output token.
const OUTPUT_WORK: f64 = 8.0;

impl RequestClass {
    /// What a request asks of an engine, roughly, in prompt tokens.
    pub(super) fn work(&self) -> f64 {
        self.prompt_tokens - self.shared_tokens + OUTPUT_WORK * self.output_tokens
    }
}

impl Traffic {
    /// From a model's window and the classes of its requests. Without classes it is a rougher mixture of what the window's
    /// means and medians say: short and long prompts with short and long answers.
    pub fn new(model: ModelId, window: &WorkloadWindow, classes: Vec<RequestClass>) -> Self {
        let classes = if classes.is_empty() { from_quantiles(window) } else { classes };
        let WorkloadWindow { rate_per_s, burstiness, requests, .. } = *window;
        Self { model, rate_per_s, burstiness, requests, classes }
    }
}

/// Share of requests that are short, where nothing but median and mean are known.
const SHORT: f64 = 0.7;

fn from_quantiles(window: &WorkloadWindow) -> Vec<RequestClass> {
    let split = |p50: f64, mean: f64| {
        let short = p50.min(mean).max(1.0);
        [(SHORT, short), (1.0 - SHORT, ((mean - SHORT * short) / (1.0 - SHORT)).max(short))]
    };
    let prompts = split(window.prompt_tokens.p50, window.prompt_tokens.mean);
    let outputs = split(window.output_tokens.p50, window.output_tokens.mean);
    let class = |(a, prompt_tokens): (f64, f64), (b, output_tokens): (f64, f64)| RequestClass {
        share: a * b,
        prompt_tokens,
        shared_tokens: window.prefix_share * prompt_tokens,
        output_tokens,
    };
    prompts.into_iter().flat_map(|prompt| outputs.map(|output| class(prompt, output))).collect()
}

/// Classes of a [`Traffic`] at most.
const CLASSES: usize = 8;
/// Upper ends of the cells' ranges of tokens to compute, of output tokens, and of the share of a prompt that is shared.
const PROMPT_ENDS: [f64; 5] = [128.0, 512.0, 2048.0, 8192.0, 32_768.0];
const OUTPUT_ENDS: [f64; 4] = [32.0, 128.0, 512.0, 2048.0];
const SHARED_ENDS: [f64; 2] = [0.25, 0.75];
pub(super) const CELLS: usize = (PROMPT_ENDS.len() + 1) * (OUTPUT_ENDS.len() + 1) * (SHARED_ENDS.len() + 1);
/// Weights grow with time instead of all sums shrinking; beyond this they are made small again.
const LARGEST_WEIGHT: f64 = 1e12;

/// Requests of one model by length and shared prefix, each counting half as much after every half-life: what they are like as a
/// mixture, which no quantile tells. 3 kB, whatever comes; one consumer feeds it, as a window's tracker.
///
/// ```
/// use std::time::Duration;
/// use gearshift_selector::{Moment, controller::ClassCounts};
///
/// let mut counts = ClassCounts::new(Duration::from_secs(300));
/// for second in 0..600 {
///     let now = Moment(0).after_seconds(f64::from(second));
///     counts.record(6000.0, 0.0, 250.0, now);
///     counts.record(900.0, 800.0, 120.0, now);
/// }
/// let classes = counts.classes();
/// assert_eq!(classes.len(), 2);
/// assert!((classes[0].share - 0.5).abs() < 1e-9 && (classes[0].prompt_tokens - 6000.0).abs() < 1e-6);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ClassCounts {
    half_life_s: f64,
    cells: Vec<Cell>,
    /// When a request weighs 1.
    epoch: Moment,
}

/// Weighted sums over the requests of one cell.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Cell {
    count: f64,
    prompt: f64,
    shared: f64,
    output: f64,
}

impl Cell {
    fn add(&mut self, other: &Self, weight: f64) {
        self.count += weight * other.count;
        self.prompt += weight * other.prompt;
        self.shared += weight * other.shared;
        self.output += weight * other.output;
    }

    /// Where it lies, in units in which classes may be told apart: factors of e, and halves of a prompt.
    fn place(&self) -> [f64; 3] {
        let ln_mean = |sum: f64| (sum / self.count).max(1.0).ln();
        [ln_mean(self.prompt - self.shared), ln_mean(self.output), 2.0 * self.shared / self.prompt]
    }

    /// What it asks of engines, roughly.
    fn work(&self) -> f64 {
        self.prompt - self.shared + OUTPUT_WORK * self.output
    }
}

impl ClassCounts {
    /// No requests yet.
    pub fn new(half_life: Duration) -> Self {
        let half_life_s = half_life.as_secs_f64().max(1e-3);
        Self { half_life_s, cells: vec![Cell::default(); CELLS], epoch: Moment(0) }
    }

    /// A request has ended. `shared_tokens` of its prompt had begun an earlier request too. In any order of time; one that
    /// came before all that was seen lately counts little.
    pub fn record(&mut self, prompt_tokens: f64, shared_tokens: f64, output_tokens: f64, now: Moment) {
        if !(prompt_tokens.is_finite() && output_tokens.is_finite()) {
            return;
        }
        let [prompt, output] = [prompt_tokens, output_tokens].map(|tokens| tokens.clamp(1.0, 1e7));
        let shared = shared_tokens.min(prompt - 1.0).max(0.0);
        let weight = self.weight(now);
        let at = cell(prompt - shared, output, shared / prompt);
        if let Some(cell) = self.cells.get_mut(at) {
            cell.add(&Cell { count: 1.0, prompt, shared, output }, weight);
        }
    }

    /// What a request at `now` weighs.
    fn weight(&mut self, now: Moment) -> f64 {
        let weight = (now.seconds_since(self.epoch) / self.half_life_s).exp2();
        if weight <= LARGEST_WEIGHT {
            return weight;
        }
        for cell in &mut self.cells {
            let before = std::mem::take(cell);
            cell.add(&before, 1.0 / weight);
        }
        self.epoch = now;
        1.0
    }

    /// What requests are like now, those that are most of the work first.
    pub fn classes(&self) -> Vec<RequestClass> {
        let all: f64 = self.cells.iter().map(|cell| cell.count).sum();
        let mut cells: Vec<Cell> =
            self.cells.iter().copied().filter(|cell| cell.count > 1e-4 * all).collect();
        cells.sort_by(|a, b| b.work().total_cmp(&a.work()));
        let small = cells.split_off(cells.len().min(CLASSES));
        small.iter().for_each(|cell| merge(cell, &mut cells));
        let counted: f64 = cells.iter().map(|cell| cell.count).sum();
        let class = |cell: Cell| RequestClass {
            share: cell.count / counted,
            prompt_tokens: cell.prompt / cell.count,
            shared_tokens: cell.shared / cell.count,
            output_tokens: cell.output / cell.count,
        };
        cells.into_iter().map(class).collect()
    }
}

pub(super) fn cell(uncached: f64, output: f64, shared: f64) -> usize {
    let prompt = PROMPT_ENDS.partition_point(|&end| end < uncached);
    let output = OUTPUT_ENDS.partition_point(|&end| end < output);
    let shared = SHARED_ENDS.partition_point(|&end| end < shared);
    (prompt * (OUTPUT_ENDS.len() + 1) + output) * (SHARED_ENDS.len() + 1) + shared
}

/// Adds a small cell to the nearest of the large ones.
fn merge(small: &Cell, large: &mut [Cell]) {
    let place = small.place();
    let distance =
        |other: &Cell| -> f64 { other.place().iter().zip(place).map(|(a, b)| (a - b).powi(2)).sum() };
    if let Some(nearest) = large.iter_mut().min_by(|a, b| distance(a).total_cmp(&distance(b))) {
        nearest.add(small, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::window::{Arrival, WindowTracker};

    fn at(seconds: f64) -> Moment {
        Moment(0).after_seconds(seconds)
    }

    #[test]
    fn what_came_before_fades() {
        let mut counts = ClassCounts::new(Duration::from_secs(60));
        counts.record(100.0, 0.0, 10.0, at(0.0));
        counts.record(10_000.0, 0.0, 10.0, at(120.0));
        let classes = counts.classes();
        assert!((classes[0].share - 0.8).abs() < 1e-9 && (classes[1].share - 0.2).abs() < 1e-9);
        // Long enough for weights to be made small again.
        counts.record(10_000.0, 0.0, 10.0, at(1e6));
        assert_eq!(counts.classes().len(), 1);
    }

    #[test]
    fn a_window_without_classes_keeps_its_means() {
        let mut tracker = WindowTracker::new(60.0, at(0.0));
        for second in 0..100 {
            let now = at(f64::from(second));
            let prompt_tokens = if second % 4 == 0 { 4000.0 } else { 400.0 };
            tracker.arrived(&Arrival { prompt_tokens, repeated_tokens: prompt_tokens / 2.0 }, now);
            let (prompt_tokens, output_tokens) = (Some(prompt_tokens), Some(100.0));
            tracker.departed(
                &crate::window::Departure { arrived: now, prompt_tokens, cached_tokens: None, output_tokens },
                now,
            );
        }
        let window = tracker.snapshot(at(100.0));
        let traffic = Traffic::new(ModelId::new("m"), &window, Vec::new());
        let mean: f64 = traffic.classes.iter().map(|class| class.share * class.prompt_tokens).sum();
        assert!((mean / window.prompt_tokens.mean - 1.0).abs() < 1e-6, "{mean}");
        let shares: f64 = traffic.classes.iter().map(|class| class.share).sum();
        assert!((shares - 1.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn classes_keep_the_means_of_what_came(
            requests in prop::collection::vec((1.0..50_000.0_f64, 0.0..1.0_f64, 1.0..5000.0_f64), 1..200)
        ) {
            let mut counts = ClassCounts::new(Duration::from_secs(300));
            for (prompt, shared, output) in &requests {
                counts.record(*prompt, shared * prompt, *output, at(1.0));
            }
            let classes = counts.classes();
            prop_assert!(classes.len() <= CLASSES);
            let total = |value: fn(&RequestClass) -> f64| -> f64 {
                classes.iter().map(|class| class.share * value(class)).sum()
            };
            let mean = requests.iter().map(|(prompt, ..)| prompt).sum::<f64>() / requests.len() as f64;
            prop_assert!((total(|_| 1.0) - 1.0).abs() < 1e-9);
            prop_assert!((total(|class| class.prompt_tokens) / mean - 1.0).abs() < 1e-6);
            prop_assert!(classes.iter().all(|class| class.shared_tokens < class.prompt_tokens));
        }
    }
}
