//! vLLM V1's scheduler: which tokens of which sequence go into the next step.
//!
//! There is no prefill phase and no decode phase. Running sequences come first, in the order they were taken in; each
//! wants the tokens it has not computed yet, or its next token and drafts to verify. What is left of the token budget
//! goes to waiting ones. Where KV blocks run short, running sequences are preempted: they lose their blocks and wait
//! again. [`Scheduler::schedule`] plans one step, [`Scheduler::pass`] lets steps pass, [`Scheduler::report`] says what
//! came of them.
//!
//! A sequence that decodes is a line over step numbers, so that steps pass without touching it.

mod budget;
mod plan;
mod queue;
mod report;
mod room;
mod running;

use std::collections::VecDeque;

use super::{
    Gauges, Scheduling, Totals,
    kv::Blocks,
    limits::Limits,
    sequence::{Sequence, Slots},
    ticks::Ticks,
};
use queue::Queue;
use running::{Decoding, Running};

/// Which sequences run, which wait, and the blocks they hold.
#[derive(Debug, Clone)]
pub(super) struct Scheduler<B> {
    pub limits: Limits,
    pub blocks: B,
    pub totals: Totals,
    slots: Slots,
    /// Steps that have passed.
    step: u64,
    running: Vec<Running>,
    /// The decoding ones of them.
    decoding: Decoding,
    /// Decoding ones in the step under way: all of them, unless the budget is too small for that.
    scheduled: u32,
    stalled: bool,
    queue: Queue,
    /// Arrived, and not seen by the scheduler yet.
    mail: VecDeque<u32>,
    /// Ended with the last step, and not noticed yet by a scheduler that runs ahead of it.
    leaving: Vec<Leaving>,
    /// Running sequences that are cancelled.
    cancelled: u32,
    /// Energy of one token in each step, summed over the steps, joules.
    meter: f64,
}

/// What a sequence that ended still holds.
#[derive(Debug, Clone, Copy)]
struct Leaving {
    slot: u32,
    blocks: u32,
    full: u32,
}

impl<B: Blocks> Scheduler<B> {
    pub(super) fn new(limits: Limits, blocks: B) -> Self {
        Self {
            limits,
            blocks,
            totals: Totals::default(),
            slots: Slots::default(),
            step: 0,
            running: Vec::new(),
            decoding: Decoding::default(),
            scheduled: 0,
            stalled: false,
            queue: Queue::new(limits.order),
            mail: VecDeque::new(),
            leaving: Vec::new(),
            cancelled: 0,
            meter: 0.0,
        }
    }

    /// The same batch and queue over other blocks.
    pub(super) fn fork<F>(&self, blocks: F) -> Scheduler<F> {
        Scheduler {
            limits: self.limits,
            blocks,
            totals: self.totals,
            slots: self.slots.clone(),
            step: self.step,
            running: self.running.clone(),
            decoding: self.decoding,
            scheduled: self.scheduled,
            stalled: self.stalled,
            queue: self.queue.clone(),
            mail: self.mail.clone(),
            leaving: self.leaving.clone(),
            cancelled: self.cancelled,
            meter: self.meter,
        }
    }

    /// Blocks that all sequences inside need together at the end of their answers.
    pub(super) fn final_blocks(&self) -> u64 {
        let waiting = self.queue.iter().chain(self.mail.iter().copied());
        let inside = self.running.iter().map(|running| running.slot).chain(waiting);
        let blocks = inside.map(|slot| {
            let sequence = &self.slots[slot];
            let tokens = sequence.prompt.saturating_add(sequence.output);
            u64::from(self.limits.blocks_for_step(tokens, self.limits.width()))
        });
        blocks.sum::<u64>() + self.leaving.iter().map(|leaving| u64::from(leaving.blocks)).sum::<u64>()
    }

    /// Nobody waits for a place in the batch.
    pub(super) fn nobody_waits(&self) -> bool {
        self.queue.is_empty() && self.mail.is_empty()
    }

    /// Whether whoever comes now may be taken in before somebody leaves.
    pub(super) fn is_open(&self) -> bool {
        self.queue.is_empty() || self.limits.order == Scheduling::Priority
    }

    /// Takes a sequence in; its slot.
    pub(super) fn arrive(&mut self, sequence: Sequence) -> u32 {
        let slot = self.slots.insert(sequence);
        self.mail.push_back(slot);
        slot
    }

    /// When the first sequence arrived that the scheduler has not seen.
    pub(super) fn first_mail(&self) -> Option<Ticks> {
        self.mail.front().map(|&slot| self.slots[slot].arrived)
    }

    /// Lets the scheduler see what arrived before `before`, or all.
    pub(super) fn deliver(&mut self, before: Option<Ticks>) {
        while let Some(&slot) = self.mail.front() {
            let sequence = &self.slots[slot];
            if before.is_some_and(|before| sequence.arrived >= before) {
                break;
            }
            self.queue.push(slot, sequence);
            self.mail.pop_front();
        }
    }

    /// Takes a sequence out: now if it waits, with the step under way if it runs.
    pub(super) fn cancel(&mut self, slot: u32) {
        if self.running.iter().any(|running| running.slot == slot) {
            self.slots[slot].cancelled = true;
            self.cancelled += 1;
            return;
        }
        if !self.queue.remove(slot, &self.slots[slot]) {
            self.mail.retain(|&waiting| waiting != slot);
        }
        self.blocks.release(slot, 0, 0);
        self.slots.remove(slot);
    }

    /// Lets go of running sequences that were cancelled.
    pub(super) fn sweep(&mut self) {
        if self.cancelled == 0 {
            return;
        }
        self.cancelled = 0;
        let mut running = std::mem::take(&mut self.running);
        running.retain(|running| {
            if !self.slots[running.slot].cancelled {
                return true;
            }
            let full = self.stop(running);
            self.let_go(Leaving { slot: running.slot, blocks: running.blocks, full });
            false
        });
        self.running = running;
    }

    /// Lets go of what the sequences hold that ended with the last step.
    pub(super) fn release_leaving(&mut self) {
        while let Some(leaving) = self.leaving.pop() {
            self.let_go(leaving);
        }
    }

    fn let_go(&mut self, Leaving { slot, blocks, full }: Leaving) {
        self.blocks.release(slot, blocks, full);
        self.slots.remove(slot);
    }

    /// Ends a sequence's part in the batch, wherever it is; how many whole blocks of it are computed.
    fn stop(&mut self, running: &Running) -> u32 {
        let emitted = self.emitted(running);
        let sequence = &mut self.slots[running.slot];
        let computed = if running.decodes() {
            sequence.emitted = emitted;
            sequence.joules += f64::from(self.limits.width()) * self.meter;
            self.decoding.remove(running);
            sequence.known() - 1
        } else {
            sequence.computed
        };
        computed / self.limits.block
    }

    /// Tokens of a running sequence's answer so far.
    fn emitted(&self, running: &Running) -> u32 {
        let sequence = &self.slots[running.slot];
        if !running.decodes() || self.limits.drafts > 0 {
            return sequence.emitted;
        }
        sequence.output.saturating_sub(u32::try_from(running.left(self.step)).unwrap_or(u32::MAX))
    }

    /// Visits every running sequence with the tokens of its answer so far.
    pub(super) fn progress(&self, mut visit: impl FnMut(&Sequence, u32)) {
        for running in &self.running {
            let sequence = &self.slots[running.slot];
            if !sequence.cancelled {
                visit(sequence, self.emitted(running));
            }
        }
    }

    /// Requests waiting or running.
    pub(super) fn in_flight(&self) -> usize {
        self.slots.len() - self.leaving.len() - self.cancelled as usize
    }

    /// What a scrape shows, of `total` blocks.
    pub(super) fn gauges(&self, total: u32) -> Gauges {
        let free = self.blocks.free().saturating_sub(self.demand(self.step));
        Gauges {
            running: count(self.running.len()),
            waiting: count(self.queue.len() + self.mail.len()),
            kv_usage: 1.0 - f64::from(free) / f64::from(total.max(1)),
        }
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
