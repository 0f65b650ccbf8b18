//! Room for running sequences: the blocks they need, and who has to go for them.

use super::{Blocks, Scheduler, budget::Budget};
use crate::sim::Scheduling;

impl<B: Blocks> Scheduler<B> {
    /// Gives the sequence at `at` the blocks it needs for `tokens` more after `computed`, if need be by preempting others.
    /// Where it is now, unless it was itself the one to go; and whether any was preempted.
    pub(super) fn make_room(
        &mut self,
        mut at: usize,
        computed: u32,
        tokens: u32,
        budget: &mut Budget,
    ) -> (Option<usize>, bool) {
        let mut preempted = false;
        loop {
            let more = self.limits.lacking(self.running[at].blocks, computed, tokens);
            if more <= self.blocks.free() {
                self.blocks.take(more);
                self.running[at].blocks += more;
                return (Some(at), preempted);
            }
            let victim = self.victim();
            self.preempt(victim, budget);
            preempted = true;
            if victim == at {
                return (None, preempted);
            }
            at -= usize::from(victim < at);
        }
    }

    /// Who is preempted next: the last one taken in, or the one that matters least.
    fn victim(&self) -> usize {
        let last = self.running.len() - 1;
        match self.limits.order {
            Scheduling::Fcfs => last,
            Scheduling::Priority => {
                let rank = |at: &usize| {
                    let sequence = &self.slots[self.running[*at].slot];
                    (sequence.priority, sequence.arrival)
                };
                (0..=last).max_by_key(rank).unwrap_or(last)
            }
        }
    }

    fn preempt(&mut self, at: usize, budget: &mut Budget) {
        let running = self.running.remove(at);
        budget.refund(running.tokens);
        let full = self.stop(&running);
        self.blocks.release(running.slot, running.blocks, full);
        self.totals.preemptions += 1;
        let sequence = &mut self.slots[running.slot];
        sequence.computed = 0;
        sequence.preemptions += 1;
        self.queue.push_front(running.slot, sequence);
    }

    /// How many steps like the one just planned follow each other, that one included, until a sequence ends or
    /// blocks run short.
    pub(in crate::sim) fn repeats(&self) -> u64 {
        let ends = self.running.iter().map(|running| running.left(self.step)).min().unwrap_or(1);
        if self.fits(ends) {
            return ends;
        }
        // The first step's blocks are taken already.
        let (mut fits, mut too_many) = (1, ends);
        while too_many - fits > 1 {
            let middle = fits + (too_many - fits) / 2;
            if self.fits(middle) {
                fits = middle;
            } else {
                too_many = middle;
            }
        }
        fits
    }

    /// Whether blocks suffice for `steps` steps of the decoding sequences.
    fn fits(&self, steps: u64) -> bool {
        let growth = self.decoding.growth.times(steps).whole() / u64::from(self.limits.block);
        let at_most = growth + 2 * u64::from(self.decoding.count);
        at_most <= u64::from(self.blocks.free()) || self.demand(self.step + steps - 1) <= self.blocks.free()
    }

    /// Blocks that decoding sequences lack for step number `step`.
    pub(super) fn demand(&self, step: u64) -> u32 {
        let (limits, width) = (&self.limits, self.limits.width());
        let decoding = self.running.iter().filter(|running| running.decodes());
        decoding.map(|running| limits.lacking(running.blocks, running.computed(step), width)).sum()
    }

    /// Gives decoding sequences the blocks they need `steps` steps after the one planned.
    pub(in crate::sim) fn settle(&mut self, steps: u64) {
        if self.blocks.is_plenty() {
            return;
        }
        let (limits, width, step) = (&self.limits, self.limits.width(), self.step + steps);
        let mut taken = 0;
        for running in self.running.iter_mut().filter(|running| running.decodes()) {
            let more = limits.lacking(running.blocks, running.computed(step), width);
            running.blocks += more;
            taken += more;
        }
        self.blocks.take(taken);
    }
}
