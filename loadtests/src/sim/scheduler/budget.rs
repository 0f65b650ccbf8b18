//! What one step has room for.

use crate::sim::limits::Limits;

/// Tokens one step may still take. A drafter's own slots come out of the model's input, not out of what is scheduled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    tokens: u32,
    input: u32,
    draft_slots: u32,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { tokens: limits.budget, input: limits.budget, draft_slots: limits.draft_slots }
    }

    /// Tokens one more sequence may have.
    pub(super) fn room(&self) -> u32 {
        self.tokens.min(self.input.saturating_sub(self.draft_slots))
    }

    /// Takes `tokens`, for which there is room, for one sequence.
    pub(super) fn spend(&mut self, tokens: u32) {
        self.tokens -= tokens;
        self.input -= tokens + self.draft_slots;
    }

    /// Whether there is room for `count` sequences of `tokens` each.
    pub(super) fn fits(&self, count: u32, tokens: u32) -> bool {
        let each = u64::from(tokens + self.draft_slots);
        u64::from(count) * each <= u64::from(self.tokens.min(self.input))
    }

    /// As [`Self::spend`], for `count` sequences.
    pub(super) fn spend_all(&mut self, count: u32, tokens: u32) {
        self.tokens -= count * tokens;
        self.input -= count * (tokens + self.draft_slots);
    }

    /// Takes back what was spent on a sequence.
    pub(super) fn refund(&mut self, tokens: u32) {
        if tokens > 0 {
            self.tokens += tokens;
            self.input += tokens + self.draft_slots;
        }
    }
}
