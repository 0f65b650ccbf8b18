//! A closed loop over step times alone, for the fit: vLLM's order of work without its cache, in a fiftieth of the engine's time.

use std::collections::VecDeque;

use super::{
    SiliconRow,
    load::{Done, Latencies, lengths},
};
use crate::sim::{StepModel, StepWork};

/// Prefill tokens of a step.
const BUDGET: u64 = 8192;

#[derive(Debug, Clone, Copy)]
struct Request {
    prompt: u64,
    answer: u64,
    sent_s: f64,
    computed: u64,
    generated: u64,
    first_s: f64,
    /// Whether it came with the first burst.
    burst: bool,
    /// Whether it came while the next step was planned already: vLLM plans a step while the one before it runs.
    late: bool,
}

/// Runs a row's load over `step`; `None` where the model does not fit.
pub fn run(row: &SiliconRow, step: &StepModel) -> Option<Latencies> {
    let capacity = step.kv_tokens();
    let longest = u64::from(row.isl) + u64::from(row.osl);
    if capacity < longest {
        return None;
    }
    let mut requests = lengths(row).into_iter();
    let mut queue = Loop { clock_s: 0.0, waiting: VecDeque::new(), running: Vec::new(), done: Vec::new() };
    for (prompt, answer) in requests.by_ref().take(row.concurrency as usize) {
        queue.send(prompt, answer);
    }
    while queue.advance(step, capacity) {
        while queue.waiting.len() + queue.running.len() < row.concurrency as usize {
            let Some((prompt, answer)) = requests.next() else { break };
            queue.send(prompt, answer);
        }
    }
    Latencies::of(row, &queue.done, step.front_s())
}

struct Loop {
    clock_s: f64,
    waiting: VecDeque<Request>,
    running: Vec<Request>,
    done: Vec<Done>,
}

impl Loop {
    fn send(&mut self, prompt: u64, answer: u64) {
        let sent_s = self.clock_s;
        self.waiting.push_back(Request {
            prompt,
            answer,
            sent_s,
            computed: 0,
            generated: 0,
            first_s: 0.0,
            burst: sent_s == 0.0,
            late: sent_s > 0.0,
        });
    }

    /// One step, or all steps until the next change of the batch; false when nothing is left.
    fn advance(&mut self, step: &StepModel, capacity: u64) -> bool {
        if self.running.is_empty() {
            self.waiting.iter_mut().for_each(|request| request.late = false);
        }
        self.admit(capacity);
        if self.running.is_empty() {
            return false;
        }
        if self.running.iter().all(|request| request.computed >= request.prompt) {
            self.decode(step);
        } else {
            self.mixed(step);
        }
        self.waiting.iter_mut().for_each(|request| request.late = false);
        self.retire();
        true
    }

    fn admit(&mut self, capacity: u64) {
        // Whole sequences are reserved: the measured runs do not preempt, as far as their notes say.
        let mut held: u64 = self.running.iter().map(|request| request.prompt + request.answer).sum();
        while let Some(next) = self.waiting.front().filter(|next| !next.late) {
            held += next.prompt + next.answer;
            if held > capacity && !self.running.is_empty() {
                return;
            }
            self.running.extend(self.waiting.pop_front());
        }
    }

    fn decode(&mut self, step: &StepModel) {
        let batch = self.running.len();
        let left =
            self.running.iter().map(|request| request.answer - request.generated).min().unwrap_or(1).max(1);
        let steps = if self.waiting.iter().any(|request| request.late) { 1 } else { left };
        let context: u64 = self.running.iter().map(|request| request.prompt + request.generated).sum();
        let line = step.decode_line(u32::try_from(batch).unwrap_or(u32::MAX), 1);
        // Every step adds a token to each context: the sum of a line.
        let mean = context as f64 + (steps - 1) as f64 / 2.0 * batch as f64;
        self.clock_s += steps as f64 * line.per_context_s.mul_add(mean, line.base_s);
        self.running.iter_mut().for_each(|request| request.generated += steps);
    }

    fn mixed(&mut self, step: &StepModel) {
        let mut work = StepWork { decode_width: 1, ..StepWork::default() };
        for request in self.running.iter().filter(|request| request.computed >= request.prompt) {
            work.decodes += 1;
            work.sampled += 1;
            work.decode_context += request.prompt + request.generated;
        }
        let mut budget = BUDGET.saturating_sub(u64::from(work.decodes)).max(1);
        let mut finished = Vec::new();
        for (index, request) in self.running.iter_mut().enumerate() {
            if request.computed >= request.prompt {
                request.generated += 1;
                continue;
            }
            let chunk = budget.min(request.prompt - request.computed);
            if chunk == 0 {
                continue;
            }
            budget -= chunk;
            work.prefills += 1;
            work.prefill_tokens += chunk;
            work.prefill_context += request.computed;
            work.prefill_pairs += chunk as f64 * (request.computed as f64 + chunk as f64 / 2.0);
            request.computed += chunk;
            if request.computed == request.prompt {
                work.sampled += 1;
                finished.push(index);
            }
        }
        self.clock_s += step.step(&work).seconds;
        for index in finished {
            if let Some(request) = self.running.get_mut(index) {
                request.generated = 1;
                request.first_s = self.clock_s;
            }
        }
    }

    fn retire(&mut self) {
        let (clock_s, done) = (self.clock_s, &mut self.done);
        self.running.retain(|request| {
            let ends = request.computed >= request.prompt && request.generated >= request.answer;
            if ends {
                let each = (clock_s - request.first_s) / (request.answer - 1).max(1) as f64;
                let ttft_s = request.first_s - request.sent_s;
                done.push(Done { ttft_s, tpot_s: each, burst: request.burst });
            }
            !ends
        });
    }
}
