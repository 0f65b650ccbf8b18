//! Engines, workloads, and a driver that carries one through the other.

use std::{collections::BTreeMap, sync::Arc};

use gearshift_config::{Catalog, Knobs, Speculative};
use proptest::prelude::*;

use crate::sim::{
    Engine, EngineSpec, Gauges, Moment, Output, OutputKind, Pace, Refusal, RequestId, Scheduling, SimRequest,
    SimWork, Times,
};

pub(super) const BLOCK: u32 = 16;

pub(super) fn spec(knobs: Knobs) -> EngineSpec {
    let catalog = Catalog::shipped();
    EngineSpec {
        name: "engine".to_owned(),
        hardware_id: "l4".to_owned(),
        hardware: Arc::clone(catalog.hardware("l4").unwrap()),
        count: 1,
        model_name: "model".to_owned(),
        model: Arc::clone(catalog.model("llama-3.2-3b").unwrap()),
        knobs,
        draft: None,
        factors: None,
        scheduling: Scheduling::Fcfs,
        max_queued: None,
        block_tokens: BLOCK,
        blocks: None,
        times: Times { start_s: 60.0, sleep_s: 2.0, wake_s: 3.0 },
    }
}

/// A request whose first `shared` tokens are those of its `family`.
pub(super) fn request(id: u64, family: u64, shared: u32, prompt: u32, output: u32) -> SimRequest {
    let own = id + 1_000_000;
    let blocks = (0..u64::from((prompt + output) / BLOCK)).map(|block| {
        let of = if (block + 1) * u64::from(BLOCK) <= u64::from(shared) { family } else { own };
        (of * 1000 + block + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    });
    SimRequest {
        id: RequestId(id),
        work: SimWork::Generate,
        prompt_tokens: prompt,
        output_tokens: output,
        blocks: blocks.collect(),
        priority: 0,
        acceptance: 0.7,
    }
}

pub(super) fn seconds(seconds: f64) -> Moment {
    Moment(0).after_seconds(seconds)
}

/// Something that happens to an engine.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Submit(SimRequest),
    Cancel(RequestId),
    Look,
}

/// What one saw of an engine.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Record {
    pub outputs: Vec<Output>,
    pub refusals: Vec<(RequestId, Refusal)>,
    pub gauges: Vec<Gauges>,
    pub progress: Vec<BTreeMap<u64, u32>>,
}

/// Carries `engine` through `events`, and on until it is idle.
pub(super) fn drive(engine: &mut Engine, events: &[(Moment, Event)]) -> Record {
    let mut record = Record::default();
    for (at, event) in events {
        while let Some(next) = engine.next_event().filter(|next| next < at) {
            engine.advance(next, &mut record.outputs);
        }
        happen(engine, *at, event, &mut record);
    }
    while let Some(next) = engine.next_event() {
        engine.advance(next, &mut record.outputs);
    }
    record
}

/// Has `event` happen to `engine`.
pub(super) fn happen(engine: &mut Engine, at: Moment, event: &Event, record: &mut Record) {
    match event {
        Event::Submit(request) => {
            if let Err(refusal) = engine.submit(request.clone(), at) {
                record.refusals.push((request.id, refusal));
            }
        }
        Event::Cancel(id) => engine.cancel(*id, at),
        Event::Look => {
            engine.advance(at, &mut record.outputs);
            record.gauges.push(engine.gauges());
            let mut progress = BTreeMap::new();
            engine.progress(|id, tokens| {
                progress.insert(id.0, tokens);
            });
            record.progress.push(progress);
        }
    }
}

impl Record {
    /// First tokens by request.
    pub(super) fn firsts(&self) -> BTreeMap<u64, Moment> {
        let first = |output: &Output| matches!(output.kind, OutputKind::Tokens { first: true, .. });
        self.outputs.iter().filter(|output| first(output)).map(|output| (output.id.0, output.at)).collect()
    }

    /// Ends by request: when, cached tokens, preemptions.
    pub(super) fn ends(&self) -> BTreeMap<u64, (Moment, u32, u32)> {
        let end = |output: &Output| match output.kind {
            OutputKind::Finished { cached_tokens, preemptions, .. } => {
                Some((output.id.0, (output.at, cached_tokens, preemptions)))
            }
            OutputKind::Tokens { .. } | OutputKind::Aborted => None,
        };
        self.outputs.iter().filter_map(end).collect()
    }

    /// Tokens reported by request.
    pub(super) fn tokens(&self) -> BTreeMap<u64, u32> {
        let mut tokens = BTreeMap::new();
        for output in &self.outputs {
            if let OutputKind::Tokens { count, .. } = output.kind {
                *tokens.entry(output.id.0).or_default() += count;
            }
        }
        tokens
    }
}

/// An engine and what happens to it.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub spec: EngineSpec,
    pub seed: u64,
    pub events: Vec<(Moment, Event)>,
}

impl Case {
    pub(super) fn engine(&self, pace: Pace) -> Engine {
        Engine::new(&self.spec, pace, self.seed).unwrap()
    }
}

fn knobs() -> impl Strategy<Value = (Knobs, Scheduling, u64)> {
    let method = prop_oneof![3 => Just(None), 1 => Just(Some("ngram")), 1 => Just(Some("draft_model"))];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (flags, 32u32..600, 1u32..24, method, 1u32..5, 40u64..400).prop_map(
        |((caching, chunked, priority), budget, sequences, method, drafts, blocks)| {
            let context = 600.min(u32::try_from(blocks).unwrap() * BLOCK - BLOCK);
            let knobs = Knobs {
                prefix_caching: Some(caching),
                chunked_prefill: Some(chunked),
                max_num_batched_tokens: Some(if chunked { budget } else { budget + context }.max(sequences)),
                max_num_seqs: Some(sequences),
                max_model_len: Some(context),
                speculative: method.map(|method| Speculative {
                    method: method.to_owned(),
                    num_speculative_tokens: drafts,
                    model: None,
                }),
                ..Knobs::default()
            };
            (knobs, if priority { Scheduling::Priority } else { Scheduling::Fcfs }, blocks)
        },
    )
}

fn arrivals() -> impl Strategy<Value = Vec<(u64, u64, Event)>> {
    let prompt = (0u64..4, 0u32..300, 1u32..400, 1u32..150, -1i32..2, 0.0..1.0f64);
    let event = (0u64..300_000_000, 0u8..12, prompt);
    prop::collection::vec(event, 1..40).prop_map(|events| {
        let (mut at, mut made) = (0, Vec::new());
        for (id, (gap, kind, (family, shared, prompt, output, priority, acceptance))) in (0u64..).zip(events)
        {
            at += gap;
            made.push((
                at,
                id,
                match kind {
                    0 => Event::Cancel(RequestId(id.saturating_sub(u64::from(shared % 5)))),
                    1 | 2 => Event::Look,
                    _ => Event::Submit(SimRequest {
                        priority,
                        acceptance,
                        work: if kind == 3 { SimWork::Encode } else { SimWork::Generate },
                        ..request(id, family, shared.min(prompt), prompt, output)
                    }),
                },
            ));
        }
        made
    })
}

/// Engines with few blocks, small budgets and few places, and a workload that presses on all of them.
pub(super) fn cases() -> impl Strategy<Value = Case> {
    (knobs(), arrivals(), any::<u64>(), prop::option::of(1u32..20)).prop_map(
        |((knobs, scheduling, blocks), events, seed, max_queued)| Case {
            spec: EngineSpec { blocks: Some(blocks), scheduling, max_queued, ..spec(knobs) },
            seed,
            events: events.into_iter().map(|(at, _, event)| (Moment(at), event)).collect(),
        },
    )
}
