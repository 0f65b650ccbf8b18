//! What outcomes teach: calibration, token ratios and output lengths, end to end under a virtual clock.

use gearshift_config::Objective;
use gearshift_selector::{Claim, Flight, Prediction, RequestFacts, Usage, Work};

use crate::{
    facts::{h100, llama_3b},
    fleet::{Fleet, replicas, request, request_with_text},
};

/// An engine whose real times are the prior's times these factors.
#[derive(Clone, Copy)]
struct Engine {
    ttft: f64,
    tpot: f64,
}

const ROUND_TRIP_S: f64 = 0.001;

impl Engine {
    /// Answers one request alone on backend 0 with `tokens` tokens.
    fn answer(self, fleet: &mut Fleet, facts: &RequestFacts, tokens: u32, cached: Option<u32>) {
        let prediction = fleet.choose(facts).chosen.prediction.unwrap();
        let mut flight = fleet.send_to(0, facts);
        // Some streams announce themselves before the engine has begun: bytes, but no token.
        flight.progress(0, fleet.now.after_seconds(ROUND_TRIP_S));
        let Prediction { prior_ttft_s, prior_tpot_s, .. } = prediction;
        fleet.later(ROUND_TRIP_S + self.ttft * prior_ttft_s);
        if facts.stream {
            flight.progress(1, fleet.now);
        }
        fleet.later(self.tpot * prior_tpot_s * f64::from(tokens - 1));
        if facts.stream {
            flight.progress(tokens - 1, fleet.now);
        }
        let usage = Usage { prompt_tokens: 1000, completion_tokens: tokens, cached_tokens: cached };
        flight.finish(Some(usage), fleet.now);
        fleet.later(1.0);
    }
}

fn one() -> Fleet {
    Fleet::new(replicas(1, &h100(), &llama_3b()), Objective::Latency)
}

fn factors(fleet: &Fleet) -> (f64, f64, u64) {
    fleet.group.backends()[0].state.calibration()
}

#[test]
fn a_twofold_slowdown_is_learned_within_fifty_requests() {
    let mut fleet = one();
    (0..100).for_each(|_| Engine { ttft: 1.0, tpot: 1.0 }.answer(&mut fleet, &request(1000), 100, None));
    let (ttft, tpot, samples) = factors(&fleet);
    assert!(
        (ttft - 1.0).abs() < 0.02 && (tpot - 1.0).abs() < 0.02 && samples == 100,
        "{ttft} {tpot} {samples}"
    );
    (0..50).for_each(|_| Engine { ttft: 2.0, tpot: 2.0 }.answer(&mut fleet, &request(1000), 100, None));
    let (ttft, tpot, _) = factors(&fleet);
    assert!((1.9..2.1).contains(&ttft) && (1.9..2.1).contains(&tpot), "{ttft} {tpot}");
}

#[test]
fn a_wrong_claim_about_hardware_is_found_out_and_routed_around() {
    let mut fleet = Fleet::new(replicas(2, &h100(), &llama_3b()), Objective::Latency);
    // Backend 0 claims to be what backend 1 is, and is four times slower.
    (0..30).for_each(|_| Engine { ttft: 4.0, tpot: 4.0 }.answer(&mut fleet, &request(1000), 100, None));
    assert!((0..50).all(|_| fleet.choose(&request(1000)).chosen.index == 1));
}

#[test]
fn a_newcomer_is_judged_by_its_first_tokens_before_its_answers_end() {
    let mut fleet = Fleet::new(replicas(2, &h100(), &llama_3b()), Objective::Latency);
    let quick = Engine { ttft: 0.5, tpot: 0.5 };
    (0..30).for_each(|_| quick.answer(&mut fleet, &request(1000), 100, None));
    // The other one takes its requests, and is far slower at their prompts.
    let first = fleet.explain(&request(1000)).candidates.into_iter().find(|it| it.ranked.index == 1).unwrap();
    let prior_ttft_s = first.ranked.prediction.unwrap().prior_ttft_s;
    let mut flights: Vec<_> = (0..5).map(|_| fleet.send_to(1, &request(1000))).collect();
    fleet.later(20.0 * prior_ttft_s);
    flights.iter_mut().for_each(|flight| flight.first_token(fleet.now));
    let newcomer = &fleet.group.backends()[1].state;
    assert!(newcomer.contradicts(Claim::Prefill), "no answer has ended: {:?}", newcomer.calibration());
    let shown = fleet.explain(&request(1000)).candidates;
    let tpot_factor = |index| {
        let prediction = shown.iter().find(|it| it.ranked.index == index).unwrap().ranked.prediction.unwrap();
        prediction.tpot_s / prediction.prior_tpot_s
    };
    assert!((tpot_factor(1) - tpot_factor(0)).abs() < 0.02, "of its decoding nothing is known yet");
    // The end does not say the same again.
    let before = fleet.group.backends()[1].state.calibration();
    for mut flight in flights {
        flight.progress(1, fleet.now);
        flight.finish(None, fleet.now);
    }
    assert_eq!(fleet.group.backends()[1].state.calibration(), before);
}

#[test]
fn an_engine_that_was_never_tried_is_not_left_alone_because_the_prior_is_slow() {
    let mut fleet = Fleet::new(replicas(3, &h100(), &llama_3b()), Objective::Latency);
    let quick = Engine { ttft: 0.5, tpot: 0.5 };
    (0..30).for_each(|_| quick.answer(&mut fleet, &request(1000), 100, None));
    let strangers = (0..50).filter(|_| fleet.choose(&request(1000)).chosen.index != 0).count();
    assert!(strangers > 10, "{strangers} of 50 go to engines that nothing is known of");
}

#[test]
fn one_outlier_does_not_wreck_the_calibration() {
    let mut fleet = one();
    (0..50).for_each(|_| Engine { ttft: 1.0, tpot: 1.0 }.answer(&mut fleet, &request(1000), 100, None));
    Engine { ttft: 500.0, tpot: 500.0 }.answer(&mut fleet, &request(1000), 100, None);
    let (ttft, tpot, _) = factors(&fleet);
    assert!(ttft < 1.15 && tpot < 1.15, "{ttft} {tpot}");
}

#[test]
fn answers_that_come_whole_teach_too() {
    let mut fleet = one();
    let facts = RequestFacts { stream: false, ..request(1000) };
    (0..120).for_each(|_| Engine { ttft: 3.0, tpot: 3.0 }.answer(&mut fleet, &facts, 150, None));
    let (_, tpot, _) = factors(&fleet);
    assert!((2.7..3.4).contains(&tpot), "{tpot}");
}

#[test]
fn encoding_teaches_the_first_part_alone() {
    let mut fleet = one();
    let facts = RequestFacts { work: Work::Encode, stream: false, ..request(1000) };
    (0..60).for_each(|_| Engine { ttft: 2.0, tpot: 1.0 }.answer(&mut fleet, &facts, 1, None));
    let (ttft, tpot, _) = factors(&fleet);
    assert!((1.9..2.1).contains(&ttft) && tpot == 1.0, "{ttft} {tpot}");
}

#[test]
fn a_surprising_cache_hit_teaches_nothing_about_speed() {
    let mut fleet = one();
    // Another router warmed the engine: it answers at once, and says why.
    (0..50).for_each(|_| Engine { ttft: 0.1, tpot: 1.0 }.answer(&mut fleet, &request(1000), 100, Some(900)));
    assert_eq!(factors(&fleet), (1.0, 1.0, 0));
}

#[test]
fn what_failed_or_was_cancelled_teaches_nothing() {
    let mut fleet = one();
    for _ in 0..50 {
        let mut flight: Flight = fleet.send_to(0, &request(1000));
        fleet.later(0.02);
        flight.progress(3, fleet.now);
    }
    assert_eq!(factors(&fleet), (1.0, 1.0, 0));
    assert_eq!(fleet.choose(&request(1000)).expected_output_tokens, 211);
}

#[test]
fn an_engine_so_slow_that_clients_give_up_is_found_out() {
    let mut fleet = one();
    for _ in 0..10 {
        let mut flight: Flight = fleet.send_to(0, &request(1000));
        fleet.later(30.0);
        flight.progress(3, fleet.now);
    }
    let (ttft, tpot, _) = factors(&fleet);
    assert!(ttft > 5.0 && tpot == 1.0, "{ttft} {tpot}");
}

#[test]
fn token_ratio_and_output_length_are_learned_from_usage() {
    let mut fleet = one();
    let facts = request_with_text(&[b'x'; 6000]);
    for _ in 0..200 {
        let flight = fleet.send_to(0, &facts);
        let usage = Usage { prompt_tokens: 2000, completion_tokens: 40, cached_tokens: None };
        fleet.later(1.0);
        flight.finish(Some(usage), fleet.now);
    }
    let decision = fleet.choose(&facts);
    assert!((1950..=2050).contains(&decision.prompt_tokens), "{decision:?}");
    assert!((39..=41).contains(&decision.expected_output_tokens), "{decision:?}");
}

#[test]
fn learned_state_survives_a_new_snapshot() {
    let mut fleet = one();
    (0..50).for_each(|_| Engine { ttft: 2.0, tpot: 2.0 }.answer(&mut fleet, &request(1000), 100, None));
    let _flight = fleet.send_to(0, &request(1000));
    let rebuilt = Fleet::new(fleet.group.backends().to_vec(), Objective::Latency);
    assert_eq!(factors(&rebuilt), factors(&fleet));
    assert_eq!(rebuilt.group.backends()[0].state.in_flight().requests, 1);
}
