//! The ledger is exact: whatever happens to requests, in whatever order, on however many cores.

use gearshift_config::Objective;
use gearshift_selector::{Flight, InFlight, RequestFacts, Usage, Work};
use proptest::prelude::*;

use crate::{
    facts::{h100, llama_3b},
    fleet::{Fleet, replicas, request},
};

#[derive(Debug, Clone)]
enum Op {
    Begin { work: Work, tokens: u64, sequences: u32, max_tokens: Option<u32>, stream: bool },
    FirstToken(prop::sample::Index),
    Progress(prop::sample::Index, u32),
    Finish(prop::sample::Index, Option<(u32, u32)>),
    Drop(prop::sample::Index),
}

fn op() -> impl Strategy<Value = Op> {
    let work =
        prop::sample::select(vec![Work::Generate, Work::Generate, Work::Encode, Work::Utility, Work::Audio]);
    let at = any::<prop::sample::Index>;
    prop_oneof![
        3 => (work, 0u64..100_000, 0u32..5, prop::option::of(0u32..100_000), any::<bool>()).prop_map(
            |(work, tokens, sequences, max_tokens, stream)| Op::Begin { work, tokens, sequences, max_tokens, stream }
        ),
        2 => at().prop_map(Op::FirstToken),
        3 => (at(), 0u32..10_000).prop_map(|(at, tokens)| Op::Progress(at, tokens)),
        1 => (at(), any::<Option<(u32, u32)>>()).prop_map(|(at, usage)| Op::Finish(at, usage)),
        1 => at().prop_map(Op::Drop),
    ]
}

fn in_flight(fleet: &Fleet) -> Vec<InFlight> {
    fleet.group.backends().iter().map(|backend| backend.state.in_flight()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nothing_leaks_and_nothing_goes_below_zero(ops in prop::collection::vec(op(), 1..120)) {
        let mut fleet = Fleet::new(replicas(3, &h100(), &llama_3b()), Objective::Latency);
        let mut flights: Vec<Flight> = Vec::new();
        for op in ops {
            fleet.later(0.01);
            match op {
                Op::Begin { work, tokens, sequences, max_tokens, stream } => {
                    let facts = RequestFacts { work, sequences, max_tokens, stream, ..request(tokens) };
                    flights.push(fleet.send(&facts).1);
                }
                _ if flights.is_empty() => {}
                Op::FirstToken(at) => at.get_mut(&mut flights).first_token(fleet.now),
                Op::Progress(at, tokens) => at.get_mut(&mut flights).progress(tokens, fleet.now),
                Op::Finish(at, usage) => {
                    let usage = usage.map(|(prompt, completion)| Usage {
                        prompt_tokens: prompt, completion_tokens: completion, cached_tokens: Some(prompt / 2),
                    });
                    flights.swap_remove(at.index(flights.len())).finish(usage, fleet.now);
                }
                Op::Drop(at) => drop(flights.swap_remove(at.index(flights.len()))),
            }
            let now = in_flight(&fleet);
            prop_assert_eq!(now.iter().map(|x| x.requests as usize).sum::<usize>(), flights.len());
            // Below zero would be near the top of the range.
            prop_assert!(now.iter().all(|x| x.tokens() < 1 << 40 && x.context_tokens < 1 << 40), "{now:?}");
            prop_assert!(now.iter().all(|x| x.decoding <= x.sequences), "{now:?}");
        }
        flights.clear();
        prop_assert_eq!(in_flight(&fleet), vec![InFlight::default(); 3]);
    }
}

#[test]
fn a_stream_moves_from_prefill_to_decode_and_out() {
    let fleet = Fleet::new(replicas(1, &h100(), &llama_3b()), Objective::Latency);
    let facts = RequestFacts { sequences: 2, max_tokens: Some(50), ..request(1000) };
    let mut flight = fleet.send_to(0, &facts);
    let sent = InFlight {
        requests: 1,
        sequences: 2,
        prefill_tokens: 1000,
        decoding: 0,
        decode_tokens: 100,
        context_tokens: 2000,
    };
    assert_eq!(in_flight(&fleet), [sent]);
    flight.first_token(fleet.now);
    assert_eq!(in_flight(&fleet), [InFlight { prefill_tokens: 0, decoding: 2, ..sent }]);
    flight.progress(30, fleet.now);
    let halfway =
        InFlight { prefill_tokens: 0, decoding: 2, decode_tokens: 70, context_tokens: 2030, ..sent };
    assert_eq!(in_flight(&fleet), [halfway]);
    flight.progress(500, fleet.now);
    assert_eq!(in_flight(&fleet), [InFlight { decode_tokens: 0, context_tokens: 2530, ..halfway }]);
    drop(flight);
    assert_eq!(in_flight(&fleet), [InFlight::default()]);
}

#[test]
fn an_answer_that_comes_whole_holds_its_mean() {
    let fleet = Fleet::new(replicas(1, &h100(), &llama_3b()), Objective::Latency);
    let facts = RequestFacts { stream: false, max_tokens: Some(50), ..request(1000) };
    let flight = fleet.send_to(0, &facts);
    let [held] = in_flight(&fleet)[..] else { panic!("one backend") };
    assert!((1..500).contains(&held.prefill_tokens), "its prefill is soon over: {held:?}");
    assert_eq!((held.decoding, held.decode_tokens, held.context_tokens), (1, 25, 1025));
    flight.finish(None, fleet.now);
    assert_eq!(in_flight(&fleet), [InFlight::default()]);
}

#[test]
fn progress_is_what_a_hang_detector_needs() {
    let mut fleet = Fleet::new(replicas(1, &h100(), &llama_3b()), Objective::Latency);
    let state = fleet.group.backends()[0].state.clone();
    fleet.later(100.0);
    let mut flight = fleet.send_to(0, &request(10));
    assert_eq!(state.last_progress(), fleet.now, "work for an idle backend starts the clock");
    let begun = fleet.now;
    fleet.later(5.0);
    let _second = fleet.send_to(0, &request(10));
    assert_eq!(state.last_progress(), begun, "more work for a busy one does not");
    flight.progress(1, fleet.now);
    assert_eq!(state.last_progress(), fleet.now);
}

#[test]
fn many_cores_at_once_leave_the_ledger_empty() {
    let fleet = Fleet::new(replicas(2, &h100(), &llama_3b()), Objective::Latency);
    let (group, policy) = (&fleet.group, &fleet.policy);
    std::thread::scope(|scope| {
        for core in 0..8 {
            scope.spawn(move || {
                let rng = fastrand::Rng::with_seed(core);
                let mut fleet = Fleet { group: group.clone(), policy: policy.clone(), now: fleet.now, rng };
                for i in 0..200 {
                    fleet.later(0.001);
                    let (_, mut flight) = fleet.send(&request(100 + i));
                    flight.progress(7, fleet.now);
                    if i % 3 == 0 {
                        flight.finish(None, fleet.now);
                    }
                }
            });
        }
    });
    assert_eq!(in_flight(&fleet), vec![InFlight::default(); 2]);
}
