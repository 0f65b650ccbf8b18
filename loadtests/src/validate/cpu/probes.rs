//! The workload that step times are fitted on: prompts alone, sequences that decode together, and prompts that join
//! them. No prefix is shared and nothing queues, so that the work of every step timed is known.

use crate::{
    sim::{StepModel, StepWork},
    workload::{Content, Segment},
};

/// One thing timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", tag = "probe")]
pub enum Probe {
    /// Time to the first token of a prompt alone.
    Prompt {
        /// Its tokens.
        tokens: u32,
    },
    /// A step of sequences that decode together.
    Decode {
        /// How many.
        count: u32,
        /// Tokens of each one's prompt.
        tokens: u32,
    },
    /// The step in which a prompt is prefilled while others decode.
    Join {
        /// How many decode, after short prompts.
        count: u32,
        /// Tokens of the prompt that joins them.
        tokens: u32,
    },
}

/// What a probe measured.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Sample {
    /// What was timed.
    #[serde(flatten)]
    pub probe: Probe,
    /// The engine's token budget.
    pub budget: u32,
    /// Context tokens of all decoding sequences in the step timed.
    pub context: u32,
    /// How long it took, seconds.
    pub seconds: f64,
}

/// Tokens of the prompts of sequences that another prompt joins.
pub const SHORT: u32 = 32;

impl Probe {
    /// Those for the profile with the large budget, in the order of measurement.
    pub fn whole() -> impl Iterator<Item = Self> {
        let prompts = [16, 48, 96, 192, 384, 16, 48, 96, 192, 384, 768, 1_200, 1_900];
        let short = [1, 2, 4, 8, 16, 32].map(|count| (count, SHORT));
        let long = [(1, 1_500), (4, 600), (8, 400), (16, 200), (32, 100)];
        let joins = [(8, 64), (8, 256), (8, 1_024), (24, 256)];
        let prompts = prompts.into_iter().map(|tokens| Self::Prompt { tokens });
        let decodes = short.into_iter().chain(long).map(|(count, tokens)| Self::Decode { count, tokens });
        prompts.chain(decodes).chain(joins.map(|(count, tokens)| Self::Join { count, tokens }))
    }

    /// Those for the profile with the small budget: prompts in chunks.
    pub fn chunked() -> impl Iterator<Item = Self> {
        [600, 1_200, 1_900].into_iter().map(|tokens| Self::Prompt { tokens })
    }
}

impl Sample {
    /// What the model says it takes, in the engine alone.
    pub fn predicted(&self, model: &StepModel) -> f64 {
        match self.probe {
            Probe::Prompt { tokens } => chunks(tokens, self.budget)
                .map(|(done, next, last)| model.step(&prefill(done, next, last)).seconds)
                .sum(),
            Probe::Decode { count, .. } => model.step(&self.decode(count)).seconds,
            Probe::Join { count, tokens } => {
                let prompt = prefill(0, tokens, true);
                let decode = self.decode(count);
                let work = StepWork {
                    sampled: decode.sampled + 1,
                    decodes: count,
                    decode_context: decode.decode_context,
                    ..prompt
                };
                model.step(&work).seconds
            }
        }
    }

    fn decode(&self, count: u32) -> StepWork {
        StepWork {
            decodes: count,
            decode_width: 1,
            decode_context: u64::from(self.context),
            sampled: count,
            ..StepWork::default()
        }
    }
}

/// A prompt cut by a budget: tokens done before, tokens in this chunk, whether it is the last.
fn chunks(tokens: u32, budget: u32) -> impl Iterator<Item = (u32, u32, bool)> {
    let budget = budget.max(1);
    (0..tokens.div_ceil(budget)).map(move |index| {
        let done = index * budget;
        let next = budget.min(tokens - done);
        (done, next, done + next == tokens)
    })
}

fn prefill(done: u32, next: u32, last: bool) -> StepWork {
    let (before, tokens) = (f64::from(done), f64::from(next));
    StepWork {
        decode_width: 1,
        prefills: 1,
        prefill_tokens: u64::from(next),
        prefill_pairs: tokens.mul_add(before, tokens * tokens / 2.0),
        prefill_context: u64::from(done),
        sampled: u32::from(last),
        ..StepWork::default()
    }
}

/// Prompts that share nothing with each other.
#[derive(Debug)]
pub struct Fresh {
    next_seed: u64,
}

impl Fresh {
    /// None of its prompts is one of another seed's.
    pub fn new(seed: u64) -> Self {
        Self { next_seed: seed << 32 }
    }

    /// A prompt and an answer that nothing else has.
    pub fn content(&mut self, prompt: u32, answer: u32) -> Content {
        let [prompt, answer] = [prompt, answer].map(|tokens| {
            self.next_seed += 1;
            Segment { seed: self.next_seed, tokens }
        });
        Content { prompt: [prompt].into(), answer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn chunks_cover_the_prompt(tokens in 1_u32..5_000, budget in 1_u32..3_000) {
            let cut: Vec<_> = chunks(tokens, budget).collect();
            prop_assert_eq!(cut.iter().map(|(_, next, _)| next).sum::<u32>(), tokens);
            prop_assert!(cut.iter().all(|(_, next, _)| (1..=budget).contains(next)));
            prop_assert_eq!(cut.iter().filter(|(.., last)| *last).count(), 1);
            let pairs: f64 = cut.iter().map(|&(done, next, last)| prefill(done, next, last).prefill_pairs).sum();
            prop_assert!((pairs - f64::from(tokens).powi(2) / 2.0).abs() < 1e-3 * pairs.max(1.0));
        }
    }

    #[test]
    fn probes_fit_into_the_engine() {
        use crate::validate::cpu::plan::{BLOCK_TOKENS, BLOCKS, MODEL_LEN, Profile};
        /// More than any probe decodes.
        const ANSWER: u32 = 40;
        for probe in Probe::whole().chain(Probe::chunked()) {
            let (count, tokens, joining) = match probe {
                Probe::Prompt { tokens } => (1, tokens, 0),
                Probe::Decode { count, tokens } => (count, tokens, 0),
                Probe::Join { count, tokens } => (count, SHORT, tokens),
            };
            let blocks = |tokens: u32| if tokens > 0 { (tokens + ANSWER).div_ceil(BLOCK_TOKENS) } else { 0 };
            assert!(count < Profile::FITTED.seqs || joining == 0, "{probe:?}");
            assert!(count <= Profile::FITTED.seqs && tokens.max(joining) + ANSWER <= MODEL_LEN, "{probe:?}");
            assert!(count * blocks(tokens) + blocks(joining) <= BLOCKS, "{probe:?}");
        }
    }
}
