//! Counts and histograms over an engine's requests.

use super::histogram::Histogram;
use crate::sim::{Moment, Totals};

/// Bounds that vLLM 0.32 gives its histograms.
mod bounds {
    /// Tokens of a request: 1, 2 and 5 times powers of ten, as far as the context goes.
    pub(super) const TOKENS: &[f64] = &[
        1.0,
        2.0,
        5.0,
        10.0,
        20.0,
        50.0,
        100.0,
        200.0,
        500.0,
        1000.0,
        2000.0,
        5000.0,
        10_000.0,
        20_000.0,
        50_000.0,
        100_000.0,
        200_000.0,
        500_000.0,
        1_000_000.0,
    ];
    pub(super) const STEP_TOKENS: &[f64] =
        &[1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16_384.0];
    pub(super) const CHOICES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0];
    pub(super) const PREEMPTIONS: &[f64] = &[1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0];
    pub(super) const FIRST_TOKEN: &[f64] = &[
        0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
        40.0, 80.0, 160.0, 640.0, 2560.0,
    ];
    pub(super) const TOKEN: &[f64] = &[
        0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
        80.0,
    ];
    pub(super) const REQUEST: &[f64] = &[
        0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
        480.0, 960.0, 1920.0, 7680.0,
    ];
    pub(super) const SLEEP: &[f64] = &[0.01, 0.1, 1.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
}

/// When things happened to one sequence.
#[derive(Debug, Clone, Copy)]
pub(in crate::serve) struct Timeline {
    pub(in crate::serve) arrived: Moment,
    pub(in crate::serve) prompt_tokens: u32,
    first: Option<Moment>,
    last: Moment,
    tokens: u32,
}

impl Timeline {
    pub(in crate::serve) fn new(arrived: Moment, prompt_tokens: u32) -> Self {
        Self { arrived, prompt_tokens, first: None, last: arrived, tokens: 0 }
    }
}

/// How a sequence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::serve) enum Ending {
    Stop,
    Length,
    Abort,
}

/// Everything counted since the process started.
#[derive(Debug)]
pub(in crate::serve) struct Meter {
    pub(super) prompt_tokens: Histogram,
    pub(super) generation_tokens: Histogram,
    pub(super) step_tokens: Histogram,
    pub(super) max_generation_tokens: Histogram,
    pub(super) choices: Histogram,
    pub(super) max_tokens: Histogram,
    pub(super) first_token: Histogram,
    pub(super) inter_token: Histogram,
    pub(super) output_token: Histogram,
    pub(super) end_to_end: Histogram,
    pub(super) queue: Histogram,
    pub(super) inference: Histogram,
    pub(super) prefill: Histogram,
    pub(super) decode: Histogram,
    pub(super) preemptions: Histogram,
    pub(super) computed_tokens: Histogram,
    pub(super) sleep: Histogram,
    pub(super) wake: Histogram,
    pub(super) stopped: u64,
    pub(super) lengthy: u64,
    pub(super) aborted: u64,
    pub(super) rejected: u64,
    /// The engine's totals after the step before.
    before: Totals,
}

impl Meter {
    /// Nothing counted yet, for an engine whose sequences have `context` tokens at most.
    pub(in crate::serve) fn new(context: u32) -> Self {
        let within = bounds::TOKENS.partition_point(|&bound| bound <= f64::from(context));
        let tokens = || Histogram::new(&bounds::TOKENS[..within]);
        let request = || Histogram::new(bounds::REQUEST);
        Self {
            prompt_tokens: tokens(),
            generation_tokens: tokens(),
            step_tokens: Histogram::new(bounds::STEP_TOKENS),
            max_generation_tokens: tokens(),
            choices: Histogram::new(bounds::CHOICES),
            max_tokens: tokens(),
            first_token: Histogram::new(bounds::FIRST_TOKEN),
            inter_token: Histogram::new(bounds::TOKEN),
            output_token: Histogram::new(bounds::TOKEN),
            end_to_end: request(),
            queue: request(),
            inference: request(),
            prefill: request(),
            decode: request(),
            preemptions: Histogram::new(bounds::PREEMPTIONS),
            computed_tokens: tokens(),
            sleep: Histogram::new(bounds::SLEEP),
            wake: Histogram::new(bounds::SLEEP),
            stopped: 0,
            lengthy: 0,
            aborted: 0,
            rejected: 0,
            before: Totals::default(),
        }
    }

    /// Tokens of a sequence came.
    pub(in crate::serve) fn tokens(&mut self, of: &mut Timeline, count: u32, at: Moment) {
        if of.first.is_none() {
            of.first = Some(at);
            self.first_token.observe(at.seconds_since(of.arrived));
        } else {
            self.inter_token.observe(at.seconds_since(of.last));
        }
        of.last = at;
        of.tokens += count;
    }

    /// A sequence ended.
    pub(in crate::serve) fn finished(&mut self, of: &Timeline, ending: Ending, cached: u32, preempted: u32) {
        match ending {
            Ending::Stop => self.stopped += 1,
            Ending::Length => self.lengthy += 1,
            Ending::Abort => {
                self.aborted += 1;
                return;
            }
        }
        let Some(first) = of.first else { return };
        let (prefill, decode) = (first.seconds_since(of.arrived), of.last.seconds_since(first));
        self.prompt_tokens.observe(f64::from(of.prompt_tokens));
        self.generation_tokens.observe(f64::from(of.tokens));
        self.max_generation_tokens.observe(f64::from(of.tokens));
        self.end_to_end.observe(prefill + decode);
        // The engine does not say when it took a request off its queue: waiting counts as prefill.
        self.queue.observe(0.0);
        self.prefill.observe(prefill);
        self.decode.observe(decode);
        self.inference.observe(prefill + decode);
        if of.tokens > 1 {
            self.output_token.observe(decode / f64::from(of.tokens - 1));
        }
        self.preemptions.observe(f64::from(preempted));
        self.computed_tokens.observe(f64::from(of.prompt_tokens.saturating_sub(cached)));
    }

    /// A request was taken.
    pub(in crate::serve) fn accepted(&mut self, choices: u32, max_tokens: u32) {
        self.choices.observe(f64::from(choices));
        self.max_tokens.observe(f64::from(max_tokens));
    }

    /// A request was refused because the queue was full.
    pub(in crate::serve) fn rejected(&mut self) {
        self.rejected += 1;
    }

    /// The engine made steps; counts the tokens in each as vLLM does: prompts in the step that ends them.
    pub(in crate::serve) fn stepped(&mut self, now: &Totals) {
        let (before, steps) = (self.before, now.steps.saturating_sub(self.before.steps));
        self.before = *now;
        let prompt = (now.prompt_tokens - before.prompt_tokens)
            .saturating_sub(now.prefix_hits.saturating_sub(before.prefix_hits));
        let tokens = prompt + now.generation_tokens.saturating_sub(before.generation_tokens);
        if tokens > 0 {
            let steps = steps.max(1);
            (0..steps).for_each(|_| self.step_tokens.observe(tokens as f64 / steps as f64));
        }
    }

    /// Falling asleep or waking up took `seconds`.
    pub(in crate::serve) fn slept(&mut self, waking: bool, seconds: f64) {
        if waking { &mut self.wake } else { &mut self.sleep }.observe(seconds);
    }
}
