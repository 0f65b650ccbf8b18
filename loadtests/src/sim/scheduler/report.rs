//! What came of steps.

use super::{Blocks, Leaving, Running, Scheduler};
use crate::sim::{Moment, Output, OutputKind, Pace, SimWork, StepWork};

impl<B: Blocks> Scheduler<B> {
    /// Lets the planned step, and `steps` in all like it, pass; together they cost `joules`.
    pub(in crate::sim) fn pass(&mut self, steps: u64, work: &StepWork, joules: f64) {
        self.step += steps;
        self.totals.steps += steps;
        let per_token = joules / work.tokens().max(1) as f64;
        self.meter += per_token;
        if work.prefills > 0 {
            for running in self.running.iter().filter(|running| !running.decodes()) {
                self.slots[running.slot].joules += f64::from(running.tokens) * per_token;
            }
        }
        if self.limits.drafts == 0 {
            self.totals.generation_tokens += u64::from(self.scheduled) * steps;
            return;
        }
        let drafts = u64::from(self.scheduled) * steps;
        let mut tokens = 0;
        for running in self.running.iter().filter(|running| running.decodes()) {
            let sequence = &mut self.slots[running.slot];
            let before = sequence.emitted;
            sequence.draw_until(sequence.steps - running.left(self.step));
            tokens += u64::from(sequence.emitted - before);
        }
        self.totals.generation_tokens += tokens;
        self.totals.drafts += drafts;
        self.totals.draft_tokens += drafts * u64::from(self.limits.drafts);
        self.totals.accepted_tokens += tokens - drafts;
    }

    /// Reports what the steps that passed brought, at the end of the last of them.
    pub(in crate::sim) fn report(&mut self, at: Moment, pace: Pace, outputs: &mut Vec<Output>) {
        let mut running = std::mem::take(&mut self.running);
        running.retain_mut(|running| {
            if pace == Pace::Skip && running.goes_on(self.step) {
                true
            } else if running.decodes() {
                self.report_decode(running, at, pace, outputs)
            } else {
                self.report_prefill(running, at, outputs)
            }
        });
        self.running = running;
    }

    /// Whether the sequence goes on.
    fn report_decode(
        &mut self,
        running: &Running,
        at: Moment,
        pace: Pace,
        outputs: &mut Vec<Output>,
    ) -> bool {
        let ends = running.ends_at(self.step);
        if ends || pace == Pace::Steps {
            let emitted = self.emitted(running);
            self.report_tokens(running.slot, emitted, at, outputs);
        }
        if ends {
            let full = self.stop(running);
            self.finish(running, full, at, outputs);
        }
        !ends
    }

    /// Whether the sequence goes on.
    fn report_prefill(&mut self, running: &mut Running, at: Moment, outputs: &mut Vec<Output>) -> bool {
        let sequence = &mut self.slots[running.slot];
        sequence.computed += running.tokens;
        if sequence.computed < sequence.known() {
            return true;
        }
        let known = sequence.known();
        if sequence.emitted == 0 {
            self.totals.prompt_tokens += u64::from(sequence.prompt);
        }
        if sequence.work == SimWork::Generate {
            sequence.emitted += 1;
            self.totals.generation_tokens += 1;
            let emitted = sequence.emitted;
            self.report_tokens(running.slot, emitted, at, outputs);
        }
        let sequence = &mut self.slots[running.slot];
        let left = sequence.output.saturating_sub(sequence.emitted);
        if left == 0 {
            self.finish(running, known / self.limits.block, at, outputs);
            return false;
        }
        sequence.steps = sequence.drafts.steps_for(left);
        sequence.drawn = 0;
        sequence.joules -= f64::from(self.limits.width()) * self.meter;
        *running = running.decoding(self.limits.width(), self.step, sequence.steps, known, left);
        self.decoding.add(running);
        true
    }

    fn report_tokens(&mut self, slot: u32, emitted: u32, at: Moment, outputs: &mut Vec<Output>) {
        let sequence = &mut self.slots[slot];
        let count = emitted - sequence.reported;
        if count > 0 && !sequence.cancelled {
            let kind = OutputKind::Tokens { count, first: sequence.reported == 0 };
            outputs.push(Output { id: sequence.id, at, kind });
        }
        sequence.reported = emitted;
    }

    fn finish(&mut self, running: &Running, full: u32, at: Moment, outputs: &mut Vec<Output>) {
        let sequence = &self.slots[running.slot];
        if sequence.cancelled {
            self.cancelled -= 1;
        } else {
            self.totals.finished += 1;
            let kind = OutputKind::Finished {
                cached_tokens: sequence.cached.unwrap_or(0),
                preemptions: sequence.preemptions,
                joules: sequence.joules,
            };
            outputs.push(Output { id: sequence.id, at, kind });
        }
        let leaving = Leaving { slot: running.slot, blocks: running.blocks, full };
        if self.limits.overlapped {
            self.leaving.push(leaving);
        } else {
            self.let_go(leaving);
        }
    }
}
