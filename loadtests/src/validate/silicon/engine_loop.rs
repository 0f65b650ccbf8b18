//! A row's closed loop over the simulated engine itself.

use std::collections::HashMap;

use super::{
    SiliconRow,
    load::{Done, Latencies, lengths},
};
use crate::sim::{Engine, EngineSpec, Moment, OutputKind, Pace, RequestId, SimRequest, SimWork, StepModel};

const SEED: u64 = 7;

/// Runs a row's load on its engine; `None` where the model does not fit.
pub(super) fn run(row: &SiliconRow, spec: &EngineSpec) -> Option<Latencies> {
    let mut engine = Engine::new(spec, Pace::Skip, SEED).ok()?;
    let start = Moment::default();
    let mut requests = lengths(row).into_iter().zip(0_u64..);
    let (mut sent, mut done, mut outputs) = (HashMap::new(), Vec::new(), Vec::new());
    for ((prompt, answer), id) in requests.by_ref().take(row.concurrency as usize) {
        engine.submit(request(id, prompt, answer), start).ok()?;
        sent.insert(RequestId(id), Sent { at: start, first: None, answer });
    }
    while let Some(now) = engine.next_event() {
        engine.advance(now, &mut outputs);
        for output in outputs.drain(..) {
            match output.kind {
                OutputKind::Tokens { first: true, .. } => {
                    sent.entry(output.id).and_modify(|sent| sent.first = Some(output.at));
                }
                OutputKind::Finished { .. } => {
                    done.extend(sent.remove(&output.id).and_then(|sent| sent.done(output.at, start)));
                    if let Some(((prompt, answer), id)) = requests.next() {
                        engine.submit(request(id, prompt, answer), now).ok()?;
                        sent.insert(RequestId(id), Sent { at: now, first: None, answer });
                    }
                }
                OutputKind::Tokens { .. } | OutputKind::Aborted => {}
            }
        }
    }
    Latencies::of(row, &done, StepModel::new(spec).front_s())
}

/// A request under way.
struct Sent {
    at: Moment,
    first: Option<Moment>,
    answer: u64,
}

impl Sent {
    fn done(&self, ended: Moment, start: Moment) -> Option<Done> {
        let first = self.first?;
        let steps = self.answer.saturating_sub(1).max(1) as f64;
        Some(Done {
            ttft_s: first.seconds_since(self.at),
            tpot_s: ended.seconds_since(first) / steps,
            burst: self.at == start,
        })
    }
}

fn request(id: u64, prompt: u64, answer: u64) -> SimRequest {
    let tokens = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    SimRequest {
        id: RequestId(id),
        work: SimWork::Generate,
        prompt_tokens: tokens(prompt),
        output_tokens: tokens(answer),
        blocks: [].into(),
        priority: 0,
        acceptance: 0.0,
    }
}
