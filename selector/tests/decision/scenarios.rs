//! Who gets the request, and why.

use std::{sync::Arc, time::Duration};

use gearshift_config::{Knobs, Objective, Slo};
use gearshift_selector::{
    Availability, BackendSpec, Fallback, Flight, Group, InFlight, ModelState, Moment, NoCandidate,
    Prediction, RequestFacts, ScrapedLoad, Work, choose, explain,
};
use proptest::prelude::*;
use smallvec::{SmallVec, smallvec};

use crate::{
    facts::{h100, llama_3b, t4},
    fleet::{Fleet, backend, policy, replicas, request, request_with_text},
};

const T4: usize = 0;
const H100: usize = 1;

/// A T4 and an H100 that serve the same model.
fn t4_and_h100(objective: Objective) -> Fleet {
    let state = Arc::new(ModelState::new());
    let model = llama_3b();
    Fleet::new(vec![backend("t4", t4(), &model, &state), backend("h100", h100(), &model, &state)], objective)
}

#[test]
fn at_rest_the_fast_one_takes_long_prompts() {
    let mut fleet = t4_and_h100(Objective::Latency);
    let decision = fleet.choose(&request(8000));
    assert_eq!(decision.chosen.index, H100);
    assert_eq!((decision.considered, decision.prompt_tokens), (2, 8000));
    assert_eq!(decision.fallback, Some(Fallback::NoBundle));
    let prediction = decision.chosen.prediction.unwrap();
    assert!(prediction.ttft_s < prediction.e2e_s && prediction.tpot_s > 0.0);
}

#[test]
fn a_loaded_fast_one_spills_to_the_slow_one() {
    let mut fleet = t4_and_h100(Objective::Latency);
    let mut flights: Vec<Flight> = Vec::new();
    let spilled = (0..4000).find(|_| {
        let (index, flight) = fleet.send(&request(2000));
        flights.push(flight);
        index == T4
    });
    let at = spilled.expect("the T4 helps in the end");
    assert!(at > 20, "an H100 carries more than {at} before a T4 helps");
    drop(flights);
    assert_eq!(fleet.choose(&request(2000)).chosen.index, H100, "and not any longer than that");
}

#[test]
fn what_a_request_delays_others_by_counts() {
    // Alone, the next request would be done soonest where the batch already is; the batch would pay for it.
    let mut fleet = t4_and_h100(Objective::Latency);
    let mut flights: Vec<Flight> = Vec::new();
    for _ in 0..100 {
        let mut flight = fleet.send_to(H100, &request(4000));
        flight.first_token(fleet.now);
        flights.push(flight);
    }
    let explanation = fleet.explain(&request(4000));
    let e2e_s = |index: usize| {
        let mut candidates = explanation.candidates.iter();
        candidates.find(|candidate| candidate.ranked.index == index).unwrap().ranked.prediction.unwrap().e2e_s
    };
    assert!(e2e_s(H100) < e2e_s(T4), "{} {}", e2e_s(H100), e2e_s(T4));
    assert_eq!(explanation.decision.chosen.index, T4);
    let imposed = explanation.candidates.iter().map(|candidate| candidate.terms.unwrap().imposed);
    assert!(imposed.clone().any(|ms| ms == 0.0) && imposed.clone().any(|ms| ms > 0.0));
}

#[test]
fn others_load_counts_as_own() {
    let mut fleet = t4_and_h100(Objective::Latency);
    let load = ScrapedLoad { at: Moment(0), running: 1024, waiting: 3000, kv_usage: 0.99 };
    fleet.group.backends()[H100].state.record_scrape(load);
    assert_eq!(fleet.choose(&request(2000)).chosen.index, T4);
    fleet.later(60.0);
    assert_eq!(fleet.choose(&request(2000)).chosen.index, H100, "a reading a minute old blocks nothing");
}

#[test]
fn a_warm_prefix_wins_among_equals_and_follows_the_conversation() {
    let mut fleet = Fleet::new(replicas(8, &h100(), &llama_3b()), Objective::Latency);
    let mut text = vec![b'a'; 16_000];
    let (warm, flight) = fleet.send(&request_with_text(&text));
    drop(flight);
    for turn in 0..20 {
        text.extend(std::iter::repeat_n(b'0' + turn, 600));
        let decision = fleet.choose(&request_with_text(&text));
        assert_eq!(decision.chosen.index, warm, "turn {turn}");
        assert!(decision.chosen.cached_tokens >= 3900, "{decision:?}");
    }
}

#[test]
fn a_warm_but_busy_backend_gives_way() {
    let mut fleet = Fleet::new(replicas(2, &h100(), &llama_3b()), Objective::Latency);
    let shared = request_with_text(&[b'a'; 4000]);
    let (warm, first) = fleet.send(&shared);
    let others: Vec<_> = (0..300).map(|_| fleet.send_to(warm, &request(3000))).collect();
    assert_ne!(fleet.choose(&shared).chosen.index, warm);
    drop((first, others));
    assert_eq!(fleet.choose(&shared).chosen.index, warm);
}

#[test]
fn without_prefix_caching_nothing_is_predicted_cached() {
    let mut backends = replicas(1, &h100(), &llama_3b());
    backends[0].knobs = Knobs { prefix_caching: Some(false), ..Knobs::default() };
    let mut fleet = Fleet::new(backends, Objective::Latency);
    let facts = request_with_text(&[b'a'; 16_000]);
    let (_, _flight) = fleet.send(&facts);
    assert_eq!(fleet.choose(&facts).chosen.cached_tokens, 0);
}

#[test]
fn a_restarted_engine_has_lost_its_cache() {
    let mut fleet = Fleet::new(replicas(1, &h100(), &llama_3b()), Objective::Latency);
    let facts = request_with_text(&[b'a'; 16_000]);
    let (_, _flight) = fleet.send(&facts);
    assert!(fleet.choose(&facts).chosen.cached_tokens > 0);
    fleet.group.backends()[0].state.forget_prefixes();
    assert_eq!(fleet.choose(&facts).chosen.cached_tokens, 0);
}

#[test]
fn cost_takes_the_cheap_one_within_the_limits() {
    let mut fleet = t4_and_h100(Objective::Cost);
    fleet.group = priced(&fleet, [0.05, 10.0]);
    assert_eq!(fleet.choose(&request(1000)).chosen.index, T4);
    fleet.policy.slo = Slo { tpot: Some(Duration::from_millis(15)), ..Slo::default() };
    let decision = fleet.choose(&request(1000));
    assert_eq!(decision.chosen.index, H100);
    assert!(decision.chosen.meets_slo);
}

#[test]
fn where_no_candidate_meets_the_limits_the_least_miss_is_taken() {
    let mut fleet = t4_and_h100(Objective::Cost);
    fleet.group = priced(&fleet, [0.05, 10.0]);
    fleet.policy.slo = Slo { tpot: Some(Duration::from_micros(10)), ..Slo::default() };
    let decision = fleet.choose(&request(1000));
    assert_eq!(decision.chosen.index, H100);
    assert!(!decision.chosen.meets_slo);
}

#[test]
fn cost_does_not_queue_for_ever_on_the_cheapest() {
    let mut fleet = t4_and_h100(Objective::Cost);
    fleet.group = priced(&fleet, [0.05, 10.0]);
    let _flights: Vec<_> = (0..400).map(|_| fleet.send_to(T4, &request(1000))).collect();
    assert_eq!(fleet.choose(&request(1000)).chosen.index, H100);
}

#[test]
fn a_candidate_without_a_price_comes_after_those_with_one() {
    let mut fleet = t4_and_h100(Objective::Cost);
    let mut free = h100();
    free.price_usd_per_hour = 0.0;
    let mut backends = fleet.group.backends().to_vec();
    backends[H100].hardware = Some((Arc::new(free), 1));
    fleet.group = Group::new(backends.clone());
    let decision = fleet.choose(&request(1000));
    assert_eq!(decision.chosen.index, T4);
    assert!(decision.chosen.score.is_finite());
    let tried = smallvec![T4];
    let last =
        choose(&fleet.group, &fleet.policy, &request(1000), &tried, fleet.now, &mut fleet.rng).unwrap();
    assert_eq!((last.chosen.index, last.chosen.prediction.unwrap().cost_usd), (H100, None));
}

#[test]
fn a_decode_step_is_paid_for_by_all_that_share_it() {
    let mut fleet = Fleet::new(replicas(1, &h100(), &llama_3b()), Objective::Cost);
    let cost = |fleet: &mut Fleet| fleet.choose(&request(100)).chosen.prediction.unwrap().cost_usd.unwrap();
    let alone = cost(&mut fleet);
    let prediction = fleet.choose(&request(100)).chosen.prediction.unwrap();
    let whole_engine = prediction.e2e_s * h100().price_usd_per_hour / 3600.0;
    assert!((0.9..1.0).contains(&(alone / whole_engine)), "alone it pays for the engine while it runs");
    let mut others: Vec<_> = (0..9).map(|_| fleet.send_to(0, &request(100))).collect();
    others.iter_mut().for_each(|flight| flight.first_token(fleet.now));
    let tenth = cost(&mut fleet) / alone;
    assert!((0.1..0.15).contains(&tenth), "{tenth}");
}

#[test]
fn energy_and_throughput_are_objectives_of_their_own() {
    let mut fleet = t4_and_h100(Objective::Energy);
    let decision = fleet.choose(&request(1000));
    assert_eq!(Some(decision.chosen.score), decision.chosen.prediction.unwrap().energy_j);

    let mut fleet = t4_and_h100(Objective::Throughput);
    let mut counts = [0u32; 2];
    let flights: Vec<_> = (0..600)
        .map(|_| {
            let (index, flight) = fleet.send(&request(1000));
            counts[index] += 1;
            flight
        })
        .collect();
    drop(flights);
    assert!(counts[T4] >= 5 && counts[H100] > 8 * counts[T4], "by their speed: {counts:?}");
}

#[test]
fn lossy_profiles_only_where_allowed() {
    let mut backends = replicas(2, &h100(), &llama_3b());
    backends[0].lossless = false;
    let mut fleet = Fleet::new(backends.clone(), Objective::Latency);
    assert!((0..50).all(|_| fleet.choose(&request(100)).chosen.index == 1));
    fleet.policy.allow_lossy = true;
    assert!((0..50).any(|_| fleet.choose(&request(100)).chosen.index == 0));
    fleet.policy.allow_lossy = false;
    backends.truncate(1);
    assert_eq!(refusal(&Group::new(backends), &SmallVec::new()), NoCandidate::OnlyLossy);
}

#[test]
fn no_candidate_says_why() {
    let backends = replicas(2, &h100(), &llama_3b());
    assert_eq!(refusal(&Group::new(Vec::new()), &SmallVec::new()), NoCandidate::NoneAvailable);
    assert_eq!(refusal(&Group::new(backends), &smallvec![1, 0]), NoCandidate::AllTried);
}

#[test]
fn availability_comes_before_speed() {
    let mut fleet = Fleet::new(replicas(6, &h100(), &llama_3b()), Objective::Latency);
    use Availability::{Asleep, Down, Draining, Hung, Probation, Ready, Unknown};
    let orders = [
        ([Ready, Unknown, Down, Hung, Draining, Asleep], 0, Fallback::NoBundle),
        ([Asleep, Draining, Unknown, Down, Hung, Down], 2, Fallback::NoBundle),
        ([Asleep, Draining, Draining, Down, Asleep, Draining], 3, Fallback::NoneReady),
        ([Asleep, Asleep, Asleep, Asleep, Draining, Asleep], 4, Fallback::NoneReady),
        ([Unknown, Unknown, Unknown, Unknown, Unknown, Probation], 5, Fallback::NoBundle),
    ];
    for (availabilities, expected, fallback) in orders {
        set(&fleet, &availabilities);
        for _ in 0..20 {
            let decision = fleet.choose(&request(100));
            assert_eq!((decision.chosen.index, decision.fallback), (expected, Some(fallback)));
        }
    }
}

#[test]
fn a_backend_on_probation_gets_one_request_at_a_time() {
    let mut fleet = Fleet::new(replicas(2, &h100(), &llama_3b()), Objective::Latency);
    set(&fleet, &[Availability::Probation, Availability::Ready]);
    let _probe = fleet.send_to(0, &request(100));
    let _busy: Vec<_> = (0..50).map(|_| fleet.send_to(1, &request(5000))).collect();
    assert!((0..50).all(|_| fleet.choose(&request(100)).chosen.index == 1));
}

#[test]
fn unknown_facts_fall_back_to_the_pace_observed() {
    let mut backends = replicas(3, &h100(), &llama_3b());
    backends[1].hardware = None;
    backends[2].model = None;
    let mut fleet = Fleet::new(backends, Objective::Latency);
    // One answers at a tenth of the others' pace.
    for (index, seconds) in [(0, 1.0), (1, 1.0), (2, 10.0)] {
        for _ in 0..10 {
            let mut flight = fleet.send_to(index, &request(100));
            flight.progress(100, fleet.now.after_seconds(seconds));
            flight.finish(None, fleet.now.after_seconds(seconds));
        }
    }
    fleet.later(10.0);
    let mut counts = [0; 3];
    for _ in 0..300 {
        let decision = fleet.choose(&request(100));
        assert_eq!(decision.fallback, Some(Fallback::UnknownFacts));
        counts[decision.chosen.index] += 1;
    }
    assert!(counts[0] > 100 && counts[1] > 100 && counts[2] == 0, "{counts:?}");
    // Two of them busy: the slow one helps out.
    let _busy: Vec<_> = (0..40).map(|i| fleet.send_to(i % 2, &request(100))).collect();
    assert!((0..50).any(|_| fleet.choose(&request(100)).chosen.index == 2));
}

#[test]
fn a_warm_prefix_counts_without_facts_too() {
    let mut backends = replicas(8, &h100(), &llama_3b());
    backends.iter_mut().for_each(|backend| backend.model = None);
    let mut fleet = Fleet::new(backends, Objective::Latency);
    let facts = request_with_text(&[b'a'; 8000]);
    let (warm, flight) = fleet.send(&facts);
    drop(flight);
    assert!((0..50).all(|_| fleet.choose(&facts).chosen.index == warm));
    let _busy: Vec<_> = (0..3).map(|_| fleet.send_to(warm, &request(10))).collect();
    assert!(
        (0..50).all(|_| fleet.choose(&facts).chosen.index != warm),
        "half an answer's worth, and no more"
    );
}

#[test]
fn work_without_a_prior_is_balanced_and_counted() {
    let mut fleet = Fleet::new(replicas(4, &h100(), &llama_3b()), Objective::Latency);
    let _busy = [0, 1, 3].map(|index| fleet.send_to(index, &request(100)));
    let of = |work| RequestFacts { work, ..request(500) };
    let tokenize = fleet.choose(&of(Work::Utility));
    assert_eq!((tokenize.chosen.index, tokenize.fallback), (2, Some(Fallback::Unmodelled)));
    assert_eq!(fleet.choose(&of(Work::Audio)).fallback, Some(Fallback::Unmodelled));
    let embed = fleet.choose(&of(Work::Encode));
    let prediction = embed.chosen.prediction.unwrap();
    assert_eq!((embed.chosen.index, embed.fallback), (2, Some(Fallback::Unmodelled)));
    assert_eq!((prediction.tpot_s, prediction.e2e_s), (0.0, prediction.ttft_s));
}

#[test]
fn a_prompt_goes_to_a_context_it_fits() {
    let mut backends = replicas(2, &h100(), &llama_3b());
    backends[0].hardware = Some((Arc::new(t4()), 1));
    backends[1].knobs.max_model_len = Some(4096);
    let mut fleet = Fleet::new(backends, Objective::Latency);
    assert_eq!(fleet.choose(&request(3000)).chosen.index, 1);
    assert_eq!(fleet.choose(&request(9000)).chosen.index, 0, "slow, but it can");
}

#[test]
fn a_backend_that_just_failed_is_put_back() {
    let mut fleet = Fleet::new(replicas(2, &h100(), &llama_3b()), Objective::Latency);
    fleet.group.backends()[0].state.record_failure(fleet.now);
    assert!((0..50).all(|_| fleet.choose(&request(100)).chosen.index == 1));
    fleet.later(120.0);
    assert!((0..50).any(|_| fleet.choose(&request(100)).chosen.index == 0));
}

#[test]
fn a_far_backend_pays_its_round_trip() {
    let mut fleet = Fleet::new(replicas(2, &h100(), &llama_3b()), Objective::Latency);
    (0..30).for_each(|_| fleet.group.backends()[0].state.record_round_trip(Duration::from_millis(400)));
    assert!((0..50).all(|_| fleet.choose(&request(100)).chosen.index == 1));
}

#[test]
fn caps_bound_the_expected_output() {
    let mut fleet = t4_and_h100(Objective::Latency);
    assert_eq!(fleet.choose(&request(10)).expected_output_tokens, 211);
    let capped = RequestFacts { max_tokens: Some(16), ..request(10) };
    assert_eq!(fleet.choose(&capped).expected_output_tokens, 16);
    let none = RequestFacts { max_tokens: Some(0), sequences: 0, ..request(0) };
    assert_eq!(fleet.choose(&none).expected_output_tokens, 1);
}

#[test]
fn explain_shows_the_same_decision_and_its_terms() {
    let fleet = t4_and_h100(Objective::Latency);
    let facts = request(2000);
    let seeded = || fastrand::Rng::with_seed(3);
    let tried = SmallVec::new();
    let decision = choose(&fleet.group, &fleet.policy, &facts, &tried, fleet.now, &mut seeded()).unwrap();
    let explanation = explain(&fleet.group, &fleet.policy, &facts, &tried, fleet.now, &mut seeded()).unwrap();
    assert_eq!(explanation.decision, decision);
    let order: Vec<_> = explanation.candidates.iter().map(|c| c.ranked.index).collect();
    assert_eq!(order, [H100, T4], "best first");
    for candidate in &explanation.candidates {
        let (terms, prediction) = (candidate.terms.unwrap(), candidate.ranked.prediction.unwrap());
        assert!((terms.ttft_ms() * 1e-3 - prediction.prior_ttft_s).abs() < 1e-12);
        assert!((terms.tpot_ms() * 1e-3 - prediction.prior_tpot_s).abs() < 1e-12);
    }
}

proptest! {
    /// Whatever a client sends: a decision with finite numbers, and a ledger that survives it.
    #[test]
    fn no_request_breaks_the_arithmetic(
        prompt_bytes: u64, exact: Option<u32>, max_tokens: Option<u32>, sequences: u32, stream: bool,
        objective in prop::sample::select(vec![
            Objective::Latency, Objective::Cost, Objective::Energy, Objective::Throughput,
        ]),
    ) {
        let mut fleet = t4_and_h100(objective);
        let facts = RequestFacts {
            prompt_bytes, prompt_tokens_exact: exact, max_tokens, sequences, stream, ..request(0)
        };
        let flights: Vec<_> = (0..3).map(|_| fleet.send(&facts).1).collect();
        let decision = fleet.choose(&facts);
        let prediction = decision.chosen.prediction.unwrap();
        let Prediction { ttft_s, tpot_s, e2e_s, .. } = prediction;
        let all = [ttft_s, tpot_s, e2e_s, prediction.cost_usd.unwrap(), prediction.energy_j.unwrap(), decision.chosen.score];
        prop_assert!(all.iter().all(|x| x.is_finite() && *x > 0.0), "{prediction:?}");
        drop(flights);
        prop_assert!(fleet.group.backends().iter().all(|b| b.state.in_flight() == InFlight::default()));
    }
}

fn priced(fleet: &Fleet, prices: [f64; 2]) -> Group {
    let price = |(backend, price): (&BackendSpec, f64)| BackendSpec {
        price_usd_per_hour: Some(price),
        ..backend.clone()
    };
    Group::new(fleet.group.backends().iter().zip(prices).map(price).collect())
}

fn refusal(group: &Group, tried: &SmallVec<[usize; 4]>) -> NoCandidate {
    let policy = policy(Objective::Latency);
    choose(group, &policy, &request(100), tried, Moment(0), &mut fastrand::Rng::with_seed(0)).unwrap_err()
}

fn set(fleet: &Fleet, availabilities: &[Availability]) {
    for (backend, &availability) in fleet.group.backends().iter().zip(availabilities) {
        backend.state.set_availability(availability);
    }
}
