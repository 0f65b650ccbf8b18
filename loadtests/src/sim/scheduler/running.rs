//! The running batch.

use crate::sim::ticks::Context;

/// The step that ends a sequence still in prefill.
const NEVER: u64 = u64::MAX;

/// One running sequence: what every step looks at.
#[derive(Debug, Clone, Copy)]
pub(in crate::sim) struct Running {
    pub slot: u32,
    /// KV blocks it holds.
    pub blocks: u32,
    /// Tokens of it in the step under way; 0 where the budget does not reach it.
    pub tokens: u32,
    /// While decoding: the number of the step after which its answer is whole.
    ends: u64,
    /// While decoding, its context as a line over step numbers: at step 0, and what each step adds.
    origin: Context,
    growth: Context,
}

impl Running {
    /// A sequence whose prefill begins.
    pub(in crate::sim) fn prefilling(slot: u32, blocks: u32, tokens: u32) -> Self {
        Self { slot, blocks, tokens, ends: NEVER, origin: Context::default(), growth: Context::default() }
    }

    /// The sequence once it decodes, `width` tokens at a time: from step number `step` on, for `steps` steps that add
    /// `tokens` tokens to its `context`.
    pub(in crate::sim) fn decoding(
        self,
        width: u32,
        step: u64,
        steps: u64,
        context: u32,
        tokens: u32,
    ) -> Self {
        let growth = Context::spread(tokens, steps);
        let origin = Context::tokens(context) - growth.times(step);
        Self { tokens: width, ends: step + steps, origin, growth, ..self }
    }

    pub(in crate::sim) fn decodes(&self) -> bool {
        self.ends != NEVER
    }

    /// Whether its answer is whole after `step` steps.
    pub(in crate::sim) fn ends_at(&self, step: u64) -> bool {
        self.ends == step
    }

    /// Whether it decodes and its answer is not whole after `step` steps.
    pub(in crate::sim) fn goes_on(&self, step: u64) -> bool {
        self.decodes() && self.ends != step
    }

    /// Steps of decoding left, after `step` steps.
    pub(in crate::sim) fn left(&self, step: u64) -> u64 {
        self.ends - step
    }

    /// Computed tokens before step number `step`, while decoding.
    pub(in crate::sim) fn context(&self, step: u64) -> Context {
        self.origin + self.growth.times(step)
    }

    /// As [`Self::context`], whole tokens.
    pub(in crate::sim) fn computed(&self, step: u64) -> u32 {
        u32::try_from(self.context(step).whole()).unwrap_or(u32::MAX)
    }

    /// A step passes without it.
    fn stall(&mut self) {
        self.ends += 1;
        self.origin = self.origin - self.growth;
    }
}

/// The decoding sequences of the batch, summed up.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::sim) struct Decoding {
    pub count: u32,
    origin: Context,
    pub growth: Context,
}

impl Decoding {
    pub(in crate::sim) fn add(&mut self, running: &Running) {
        self.count += 1;
        self.origin += running.origin;
        self.growth += running.growth;
    }

    pub(in crate::sim) fn remove(&mut self, running: &Running) {
        self.count -= 1;
        self.origin = self.origin - running.origin;
        self.growth = self.growth - running.growth;
    }

    /// One of them is passed over in a step.
    pub(in crate::sim) fn stall(&mut self, running: &mut Running) {
        running.stall();
        self.origin = self.origin - running.growth;
    }

    /// Their context before step number `step`.
    pub(in crate::sim) fn context(&self, step: u64) -> Context {
        self.origin + self.growth.times(step)
    }
}
