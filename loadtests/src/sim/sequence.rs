//! Requests inside an engine, in numbers only, so that a forecast can copy them all.

use super::{RequestId, SimRequest, SimWork, speculation::Drafts, ticks::Ticks};

/// One request inside the engine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sequence {
    pub id: RequestId,
    pub work: SimWork,
    /// Tokens of the prompt.
    pub prompt: u32,
    /// Tokens the answer will have.
    pub output: u32,
    /// Tokens of the answer that are out; while decoding without speculation, as of the start of decoding.
    pub emitted: u32,
    /// Of those, how many were reported.
    pub reported: u32,
    /// While prefilling: tokens computed.
    pub computed: u32,
    /// Steps of decoding there are, and how many of their drafts are drawn.
    pub steps: u64,
    pub drawn: u64,
    pub drafts: Drafts,
    pub priority: i32,
    /// Its number by arrival.
    pub arrival: u64,
    pub arrived: Ticks,
    /// Prompt tokens found in the prefix cache when it was first scheduled.
    pub cached: Option<u32>,
    pub preemptions: u32,
    /// Energy of its share of the steps; while decoding less what the meter said at the start of it.
    pub joules: f64,
    /// Its client left: it leaves with the step under way.
    pub cancelled: bool,
}

impl Sequence {
    pub(super) fn new(request: &SimRequest, drafts: Drafts, arrival: u64, arrived: Ticks) -> Self {
        Self {
            id: request.id,
            work: request.work,
            prompt: request.prompt_tokens.max(1),
            output: match request.work {
                SimWork::Generate => request.output_tokens.max(1),
                SimWork::Encode => 0,
            },
            emitted: 0,
            reported: 0,
            computed: 0,
            steps: 0,
            drawn: 0,
            drafts,
            priority: request.priority,
            arrival,
            arrived,
            cached: None,
            preemptions: 0,
            joules: 0.0,
            cancelled: false,
        }
    }

    /// Tokens to prefill: the prompt, and after a preemption what was already answered.
    pub(super) fn known(&self) -> u32 {
        self.prompt + self.emitted
    }

    /// Draws drafts until `steps` steps of this decoding are drawn.
    pub(super) fn draw_until(&mut self, steps: u64) {
        while self.drawn < steps {
            self.emitted = (self.emitted + self.drafts.next()).min(self.output);
            self.drawn += 1;
        }
    }
}

/// Sequences by slot.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots {
    sequences: Vec<Sequence>,
    vacant: Vec<u32>,
}

impl Slots {
    pub(super) fn insert(&mut self, sequence: Sequence) -> u32 {
        if let Some(slot) = self.vacant.pop() {
            self.sequences[slot as usize] = sequence;
            slot
        } else {
            self.sequences.push(sequence);
            u32::try_from(self.sequences.len() - 1).unwrap_or(u32::MAX)
        }
    }

    pub(super) fn remove(&mut self, slot: u32) {
        self.vacant.push(slot);
    }

    /// Sequences there are.
    pub(super) fn len(&self) -> usize {
        self.sequences.len() - self.vacant.len()
    }
}

impl std::ops::Index<u32> for Slots {
    type Output = Sequence;

    fn index(&self, slot: u32) -> &Sequence {
        &self.sequences[slot as usize]
    }
}

impl std::ops::IndexMut<u32> for Slots {
    fn index_mut(&mut self, slot: u32) -> &mut Sequence {
        &mut self.sequences[slot as usize]
    }
}
