//! Planning a step.

use super::{Blocks, Running, Scheduler, budget::Budget};
use crate::sim::{StepWork, kv::Hit, ticks::Context};

/// What the next step does.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::sim) struct Plan {
    /// The work of it.
    pub work: StepWork,
    /// Context of the sequences that decode, and what each step adds to it.
    pub context: Context,
    pub growth: Context,
    /// Whether sequences were preempted for it.
    pub preempted: bool,
    /// Whether the steps after it do the same for as long as nobody comes or ends.
    pub repeats: bool,
}

impl Plan {
    /// Nothing is to do, or nothing can be done.
    pub(in crate::sim) fn is_empty(&self) -> bool {
        self.work.tokens() == 0
    }
}

impl<B: Blocks> Scheduler<B> {
    /// Plans the next step and takes the blocks it needs.
    pub(in crate::sim) fn schedule(&mut self) -> Plan {
        let mut budget = Budget::new(&self.limits);
        let decodes = self.schedule_decodes(&mut budget);
        let preempted = !decodes && self.schedule_running(&mut budget);
        // What ended unnoticed, and who was preempted, may let somebody in next time.
        let settled = self.queue.is_empty() || (self.leaving.is_empty() && !preempted);
        let decoding = self.running.len();
        if !preempted {
            self.schedule_waiting(&mut budget);
        }
        let only_decodes = decodes && self.running.len() == decoding;
        let (work, context) = if only_decodes { self.decode_work() } else { self.work() };
        debug_assert!(work.tokens() <= u64::from(self.limits.budget), "a step keeps within its budget");
        debug_assert!(self.running.len() + self.leaving.len() <= self.limits.sequences as usize);
        Plan {
            work,
            context,
            growth: self.decoding.growth,
            preempted,
            repeats: work.prefills == 0 && !self.stalled && settled && self.mail.is_empty(),
        }
    }

    /// Schedules a batch in which all decode, for which there is budget and blocks: as most are. Whether it is one.
    fn schedule_decodes(&mut self, budget: &mut Budget) -> bool {
        let count = self.decoding.count;
        let fits = count as usize == self.running.len()
            && !self.stalled
            && budget.fits(count, self.limits.width())
            && u64::from(count) * u64::from(self.limits.lacking_at_most()) <= u64::from(self.blocks.free());
        if fits {
            budget.spend_all(count, self.limits.width());
            self.settle(0);
        }
        fits
    }

    /// Schedules running sequences one after the other, in the order they were taken in; whether any was preempted.
    fn schedule_running(&mut self, budget: &mut Budget) -> bool {
        self.running.iter_mut().for_each(|running| running.tokens = 0);
        let mut preempted = false;
        let mut at = 0;
        while let Some(&running) = self.running.get(at) {
            let room = budget.room();
            if room == 0 {
                break;
            }
            let (wanted, computed) = self.wanted(&running);
            let tokens = if running.decodes() && wanted > room { 0 } else { wanted.min(room) };
            if tokens > 0 {
                let (now_at, any) = self.make_room(at, computed, tokens, budget);
                preempted |= any;
                let Some(now_at) = now_at else { break };
                at = now_at;
                self.running[at].tokens = tokens;
                budget.spend(tokens);
                if !running.decodes() {
                    self.blocks.publish(running.slot, (computed + tokens) / self.limits.block);
                }
            }
            at += 1;
        }
        preempted
    }

    /// Tokens a running sequence wants, and those it has computed.
    fn wanted(&self, running: &Running) -> (u32, u32) {
        if running.decodes() {
            return (self.limits.width(), running.computed(self.step));
        }
        let sequence = &self.slots[running.slot];
        (sequence.known() - sequence.computed, sequence.computed)
    }

    /// Takes waiting sequences in while there is room.
    fn schedule_waiting(&mut self, budget: &mut Budget) {
        while budget.room() > 0 && self.running.len() + self.leaving.len() < self.limits.sequences as usize {
            let Some(slot) = self.queue.peek() else { return };
            let Some((hit, tokens)) = self.admissible(slot, budget.room()) else { return };
            self.queue.pop();
            self.admit(slot, hit, tokens);
            budget.spend(tokens);
        }
    }

    /// What is cached of a waiting sequence, and how many of its tokens go into the step; `None` where it must wait
    /// for budget or blocks.
    fn admissible(&self, slot: u32, room: u32) -> Option<(Hit, u32)> {
        let limits = &self.limits;
        let known = self.slots[slot].known();
        // At least one token is computed, or there would be nothing to sample from.
        let hit = self.blocks.look_up(slot, (known - 1) / limits.block);
        let computed = hit.blocks * limits.block;
        let missing = known - computed;
        if missing > room && !limits.chunked {
            return None;
        }
        let tokens = missing.min(room);
        // The whole prompt must fit, though only a chunk of it is computed: or prompts would push each other out.
        let needed = limits.blocks_for_step(computed, tokens).max(limits.blocks_for(known));
        (needed - hit.blocks + hit.idle <= self.blocks.free()).then_some((hit, tokens))
    }

    fn admit(&mut self, slot: u32, hit: Hit, tokens: u32) {
        let computed = hit.blocks * self.limits.block;
        let held = self.limits.blocks_for_step(computed, tokens).max(hit.blocks);
        self.blocks.adopt(slot, hit);
        self.blocks.take(held - hit.blocks);
        self.blocks.publish(slot, (computed + tokens) / self.limits.block);
        self.running.push(Running::prefilling(slot, held, tokens));
        let sequence = &mut self.slots[slot];
        sequence.computed = computed;
        if sequence.cached.is_none() {
            sequence.cached = Some(computed);
            if self.limits.caching {
                self.totals.prefix_queries += u64::from(sequence.prompt);
                self.totals.prefix_hits += u64::from(computed);
            }
        }
    }

    /// Sums up a step in which all decode.
    fn decode_work(&mut self) -> (StepWork, Context) {
        let context = self.decoding.context(self.step);
        let (decodes, decode_width) = (self.decoding.count, self.limits.width());
        self.scheduled = decodes;
        let work = StepWork {
            decodes,
            decode_width,
            decode_context: context.whole(),
            sampled: decodes * decode_width,
            ..StepWork::default()
        };
        (work, context)
    }

    /// Sums the step up; decoding sequences that it passes over are put off by a step.
    fn work(&mut self) -> (StepWork, Context) {
        let width = self.limits.width();
        let mut work = StepWork { decode_width: width, ..StepWork::default() };
        let mut context = self.decoding.context(self.step);
        self.stalled = false;
        if self.running.iter().all(|running| running.tokens == 0) {
            self.stalled = true;
            return (work, context);
        }
        for running in &mut self.running {
            if running.decodes() {
                if running.tokens == 0 {
                    context = context - running.context(self.step);
                    self.decoding.stall(running);
                    self.stalled = true;
                } else {
                    work.decodes += 1;
                }
            } else if running.tokens > 0 {
                let sequence = &self.slots[running.slot];
                let (tokens, computed) = (f64::from(running.tokens), f64::from(sequence.computed));
                work.prefills += 1;
                work.prefill_tokens += u64::from(running.tokens);
                work.prefill_pairs += tokens * computed + 0.5 * tokens * tokens;
                work.prefill_context += u64::from(sequence.computed);
                work.sampled += u32::from(sequence.computed + running.tokens == sequence.known());
            }
        }
        self.scheduled = work.decodes;
        work.decode_context = context.whole();
        work.sampled += work.decodes * width;
        (work, context)
    }
}
