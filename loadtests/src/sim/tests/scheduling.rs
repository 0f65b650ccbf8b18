//! What vLLM's scheduler does, case by case.

use gearshift_config::{Catalog, Knobs, Speculative};

use std::sync::Arc;

use super::fixture::{BLOCK, Event, Record, drive, request, seconds, spec};
use crate::sim::{Engine, EngineSpec, Moment, Pace, Refusal, RequestId, Scheduling, SimRequest, SimWork};

/// Answers all `requests`, which come at once, while nothing else is there; the engine afterwards.
fn answer(spec: &EngineSpec, requests: &[SimRequest]) -> (Engine, Record) {
    let mut engine = Engine::new(spec, Pace::Steps, 1).unwrap();
    let events: Vec<_> =
        requests.iter().map(|request| (seconds(0.0), Event::Submit(request.clone()))).collect();
    let record = drive(&mut engine, &events);
    (engine, record)
}

fn steps(spec: &EngineSpec, requests: &[SimRequest]) -> u64 {
    answer(spec, requests).0.totals().steps
}

fn end(record: &Record, id: u64) -> Moment {
    record.ends()[&id].0
}

#[test]
fn a_long_prompt_is_prefilled_in_chunks() {
    let spec = spec(Knobs { max_num_batched_tokens: Some(256), ..Knobs::default() });
    assert_eq!(steps(&spec, &[request(1, 1, 0, 256, 1)]), 1);
    assert_eq!(steps(&spec, &[request(1, 1, 0, 257, 1)]), 2);
    assert_eq!(steps(&spec, &[request(1, 1, 0, 1000, 10)]), 4 + 9);
}

#[test]
fn decoding_sequences_come_first_and_prefill_fills_the_rest() {
    let spec = spec(Knobs { max_num_batched_tokens: Some(256), max_num_seqs: Some(4), ..Knobs::default() });
    // Once the first decodes, 255 tokens a step are left: 1,020 of them take four steps.
    let mut engine = Engine::new(&spec, Pace::Steps, 1).unwrap();
    let events = [
        (seconds(0.0), Event::Submit(request(1, 1, 0, 16, 100))),
        (seconds(0.001), Event::Submit(request(2, 2, 0, 1020, 1))),
    ];
    let record = drive(&mut engine, &events);
    let between = |output: &&crate::sim::Output| output.id == RequestId(1) && output.at <= end(&record, 2);
    // Its first token, the step that was planned already, and the four.
    assert_eq!(record.outputs.iter().filter(between).count(), 1 + 1 + 4);
}

#[test]
fn without_chunks_a_prompt_waits_until_it_fits_whole() {
    let knobs = Knobs {
        chunked_prefill: Some(false),
        max_num_batched_tokens: Some(1000),
        max_model_len: Some(1000),
        ..Knobs::default()
    };
    let (engine, record) = answer(&spec(knobs), &[request(1, 1, 0, 600, 1), request(2, 2, 0, 600, 1)]);
    assert_eq!(engine.totals().steps, 2);
    assert!(end(&record, 1) < end(&record, 2));
}

#[test]
fn a_prompt_that_begins_alike_is_computed_from_where_it_differs() {
    let mut engine = Engine::new(&spec(Knobs::default()), Pace::Skip, 1).unwrap();
    let events = [
        (seconds(0.0), Event::Submit(request(1, 7, 500, 500, 20))),
        (seconds(100.0), Event::Submit(request(2, 7, 320, 400, 20))),
        (seconds(200.0), Event::Submit(SimRequest { id: RequestId(3), ..request(1, 7, 500, 480, 20) })),
    ];
    let record = drive(&mut engine, &events);
    let cached = |id| record.ends()[&id].1;
    // A prompt that is all there is computed from its last block on, for there must be something to sample from.
    assert_eq!((cached(1), cached(2), cached(3)), (0, 320, 480 - BLOCK));
    let totals = engine.totals();
    assert_eq!((totals.prefix_queries, totals.prefix_hits), (1380, 320 + 464));
    assert_eq!((totals.prompt_tokens, totals.generation_tokens, totals.finished), (1380, 60, 3));
}

#[test]
fn the_next_turn_finds_the_last_answer() {
    let mut engine = Engine::new(&spec(Knobs::default()), Pace::Skip, 1).unwrap();
    let first = request(1, 1, 0, 100, 61);
    let mut second = request(2, 1, 0, 200, 10);
    second.blocks = first.blocks.iter().chain(&second.blocks[10..]).copied().collect();
    let events = [(seconds(0.0), Event::Submit(first)), (seconds(100.0), Event::Submit(second))];
    // The last token of an answer is never computed.
    assert_eq!(drive(&mut engine, &events).ends()[&2].1, 160);
}

#[test]
fn the_least_recently_used_goes_first_and_of_one_sequence_its_tail() {
    let spec =
        EngineSpec { blocks: Some(21), ..spec(Knobs { max_model_len: Some(300), ..Knobs::default() }) };
    let mut engine = Engine::new(&spec, Pace::Skip, 1).unwrap();
    let ask = |engine: &mut Engine, at: f64, family, prompt| {
        let id = RequestId(at.to_bits());
        let request = SimRequest { id, ..request(1, family, prompt, prompt, 1) };
        drive(engine, &[(seconds(at), Event::Submit(request))]).ends()[&id.0].1
    };
    // Twenty blocks: two families of ten, then six more of a third push out what was used longest ago.
    assert_eq!(ask(&mut engine, 1.0, 1, 160), 0);
    assert_eq!(ask(&mut engine, 2.0, 2, 160), 0);
    assert_eq!(ask(&mut engine, 3.0, 1, 160), 160 - BLOCK);
    assert_eq!(ask(&mut engine, 4.0, 3, 96), 0);
    // Six blocks of the second family are gone, from its end, and it takes six of the first in turn.
    assert_eq!(ask(&mut engine, 5.0, 2, 160), 64);
    assert_eq!(ask(&mut engine, 6.0, 1, 160), 64);
}

#[test]
fn where_blocks_run_short_the_last_one_taken_in_is_preempted() {
    let spec =
        EngineSpec { blocks: Some(31), ..spec(Knobs { max_model_len: Some(400), ..Knobs::default() }) };
    let both = [request(1, 1, 0, 160, 200), request(2, 2, 0, 160, 200)];
    let (engine, record) = answer(&spec, &both);
    let preemptions = |id| record.ends()[&id].2;
    assert_eq!((preemptions(1), preemptions(2), engine.totals().preemptions), (0, 1, 1));
    assert_eq!(record.tokens().values().copied().collect::<Vec<_>>(), [200, 200]);
    assert_eq!(engine.totals().prompt_tokens, 320, "a prompt counts once");

    let spec = EngineSpec { scheduling: Scheduling::Priority, ..spec };
    let [first, second] = both;
    let (_, record) = answer(&spec, &[SimRequest { priority: 1, ..first }, second]);
    assert_eq!((record.ends()[&1].2, record.ends()[&2].2), (1, 0), "the one that matters least");
}

#[test]
fn who_matters_more_overtakes_in_the_queue() {
    let knobs = Knobs { max_num_seqs: Some(1), ..Knobs::default() };
    let order = |scheduling| {
        let spec = EngineSpec { scheduling, ..spec(knobs.clone()) };
        let requests = [(0, 0), (1, -1), (2, -2), (3, 0)];
        let requests = requests.map(|(id, priority)| SimRequest { priority, ..request(id, 1, 0, 50, 5) });
        let (_, record) = answer(&spec, &requests);
        let mut ends: Vec<_> = record.ends().into_iter().map(|(id, (at, ..))| (at, id)).collect();
        ends.sort_unstable();
        ends.into_iter().map(|(_, id)| id).collect::<Vec<_>>()
    };
    assert_eq!(order(Scheduling::Fcfs), [0, 1, 2, 3]);
    assert_eq!(order(Scheduling::Priority), [0, 2, 1, 3]);
}

#[test]
fn gauges_show_who_runs_and_who_waits() {
    let spec = spec(Knobs { max_num_seqs: Some(2), ..Knobs::default() });
    let mut engine = Engine::new(&EngineSpec { blocks: Some(101), ..spec }, Pace::Skip, 1).unwrap();
    for id in 0..5 {
        engine.submit(request(id, id, 0, 160, 50), seconds(0.0)).unwrap();
    }
    engine.advance(seconds(0.5), &mut Vec::new());
    let gauges = engine.gauges();
    assert_eq!((gauges.running, gauges.waiting), (2, 3));
    assert!(gauges.kv_usage > 0.2 && gauges.kv_usage < 0.3);
    let mut progress = Vec::new();
    engine.progress(|id, tokens| progress.push((id.0, tokens)));
    assert!(
        progress.len() == 2 && progress.iter().all(|(id, tokens)| *id < 2 && *tokens > 5 && *tokens < 50)
    );
}

#[test]
fn too_long_and_too_many_are_refused() {
    let knobs = Knobs { max_model_len: Some(1000), max_num_seqs: Some(1), ..Knobs::default() };
    let spec = EngineSpec { max_queued: Some(2), ..spec(knobs) };
    let mut engine = Engine::new(&spec, Pace::Skip, 1).unwrap();
    assert_eq!(engine.submit(request(1, 1, 0, 900, 101), seconds(0.0)), Err(Refusal::TooLong));
    for (id, answer) in [(2, Ok(())), (3, Ok(())), (4, Err(Refusal::QueueFull))] {
        assert_eq!(engine.submit(request(id, 1, 0, 900, 100), seconds(0.0)), answer);
    }
    assert_eq!(engine.totals().refused, 1);
    engine.cancel(RequestId(3), seconds(0.1));
    assert_eq!(engine.submit(request(5, 1, 0, 900, 100), seconds(0.1)), Ok(()));
}

#[test]
fn a_scheduler_that_runs_ahead_sees_an_arrival_one_step_later() {
    let steps_until_first = |architecture: &str| {
        let mut spec =
            spec(Knobs { max_num_batched_tokens: Some(256), max_num_seqs: Some(64), ..Knobs::default() });
        let mut hardware = (**Catalog::shipped().hardware("l4").unwrap()).clone();
        architecture.clone_into(&mut hardware.architecture);
        spec.hardware = Arc::new(hardware);
        let mut engine = Engine::new(&spec, Pace::Steps, 1).unwrap();
        engine.submit(request(1, 1, 0, 16, 50), seconds(0.0)).unwrap();
        let mut outputs = Vec::new();
        while outputs.len() < 5 {
            engine.advance(engine.next_event().unwrap(), &mut outputs);
        }
        outputs.clear();
        let now = outputs
            .last()
            .map_or_else(|| engine.next_event().unwrap(), |output: &crate::sim::Output| output.at);
        engine.submit(request(2, 2, 0, 16, 1), Moment(now.0 - 1)).unwrap();
        let mut steps = 0;
        while !outputs.iter().any(|output| output.id == RequestId(2)) {
            engine.advance(engine.next_event().unwrap(), &mut outputs);
            steps += 1;
        }
        steps
    };
    assert_eq!(steps_until_first("cpu"), 2, "the step under way, and its own");
    assert_eq!(steps_until_first("ada"), 3, "and the one that was planned already");
}

#[test]
fn accepted_drafts_save_steps() {
    let speculative = |tokens| Knobs {
        speculative: Some(Speculative {
            method: "ngram".to_owned(),
            num_speculative_tokens: tokens,
            model: None,
        }),
        ..Knobs::default()
    };
    let always = SimRequest { acceptance: 1.0, ..request(1, 1, 0, 100, 101) };
    let never = SimRequest { acceptance: 0.0, ..always.clone() };
    assert_eq!(steps(&spec(speculative(3)), std::slice::from_ref(&always)), 1 + 25);
    assert_eq!(steps(&spec(speculative(3)), &[never]), 1 + 100);
    let (engine, _) = answer(&spec(speculative(3)), &[always]);
    let totals = engine.totals();
    assert_eq!((totals.drafts, totals.draft_tokens, totals.accepted_tokens), (25, 75, 75));
}

#[test]
fn what_only_encodes_ends_with_its_prefill() {
    let encode = SimRequest { work: SimWork::Encode, ..request(1, 1, 0, 300, 7) };
    let (engine, record) = answer(&spec(Knobs::default()), &[encode]);
    assert_eq!((engine.totals().steps, engine.totals().generation_tokens), (1, 0));
    assert_eq!(record.outputs.len(), 1);
}

#[test]
fn the_requests_share_the_energy_of_the_steps() {
    let requests: Vec<_> = (0..20).map(|id| request(id, id % 3, 64, 300, 40)).collect();
    let (engine, record) = answer(&spec(Knobs::default()), &requests);
    let joules = record.outputs.iter().filter_map(|output| match output.kind {
        crate::sim::OutputKind::Finished { joules, .. } => Some(joules),
        crate::sim::OutputKind::Tokens { .. } | crate::sim::OutputKind::Aborted => None,
    });
    let (shares, all) = (joules.sum::<f64>(), engine.totals().joules);
    assert!((shares - all).abs() < 1e-6 * all, "{shares} J of {all} J");
}
