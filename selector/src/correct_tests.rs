use std::{sync::Arc, time::Duration};

use gearshift_config::Objective;
use proptest::prelude::*;

use super::*;
use crate::{
    BackendSpec, Decider, Decision, Flight, ModelState, PriorFactors, choose,
    learner::{Generation, HeadError},
    prior::tests::facts::{h100, llama_3b, t4},
};

#[path = "../tests/decision/fleet.rs"]
#[expect(dead_code, reason = "shared with the tests outside, which use more of it")]
mod fleet;
use fleet::{Fleet, backend, request};

/// What stands in for a graph: from a backend's position to what is said of it.
type Says = fn(usize) -> Correction;

/// A fleet with a learner whose memory of a backend is its position.
struct Taught {
    fleet: Fleet,
    head: Head,
}

fn learner(generation: u32, candidates: usize) -> Learner {
    Learner { generation: Generation(generation), spread_scale: 0.2, candidates }
}

fn with_learner(specs: &[BackendSpec], learner: Learner) -> Group {
    let memories = (0..specs.len()).map(|at| Some(Memory::new(&[f32::from(u8::try_from(at).unwrap())])));
    Group::build(specs.to_vec(), &PriorFactors::default(), Some(learner), memories.collect())
}

fn head(generation: u32, says: Says) -> Head {
    let position = |memory: &Memory| (0..64u8).position(|at| f32::from(at) == memory.values()[0]).unwrap();
    let function =
        move |engines: &[&Memory], _: &[_]| Ok(engines.iter().map(|engine| says(position(engine))).collect());
    Head::of_function(Box::new(function), Generation(generation))
}

impl Taught {
    fn new(specs: Vec<BackendSpec>, says: Says) -> Self {
        let mut fleet = Fleet::new(specs, Objective::Latency);
        fleet.group = with_learner(fleet.group.backends(), learner(1, 64));
        Self { fleet, head: head(1, says) }
    }

    fn swap(&mut self, generation: u32, says: Says) {
        self.fleet.group = with_learner(self.fleet.group.backends(), learner(generation, 64));
        self.head = head(generation, says);
    }

    fn choose(&mut self, tokens: u64) -> Decision {
        let Fleet { group, policy, now, rng } = &mut self.fleet;
        let decider = Decider { rng, head: Some(&mut self.head) };
        choose(group, policy, &request(tokens), &SmallVec::new(), *now, decider).unwrap()
    }

    /// Sends a request whose engine takes so many times the prior's times.
    fn serve(&mut self, tokens: u64, truth: fn(usize) -> f64) -> Decision {
        let decision = self.choose(tokens);
        let fleet = &mut self.fleet;
        let chosen = decision.chosen;
        let backend = &fleet.group.backends()[chosen.index];
        let mut flight = Flight::begin(backend, &fleet.policy, &request(tokens), &decision, fleet.now);
        let prediction = chosen.prediction.unwrap();
        let factor = truth(chosen.index);
        fleet.now = fleet.now.after_seconds(backend.state.round_trip_s() + prediction.prior_ttft_s * factor);
        flight.first_token(fleet.now);
        fleet.now = fleet.now.after_seconds(100.0 * prediction.prior_tpot_s * factor);
        flight.progress(101, fleet.now);
        flight.finish(None, fleet.now);
        decision
    }
}

/// An H100 and a T4.
fn pair() -> Vec<BackendSpec> {
    let state = Arc::new(ModelState::new());
    vec![backend("h100", h100(), &llama_3b(), &state), backend("t4", t4(), &llama_3b(), &state)]
}

fn both(ln: f32) -> Correction {
    Correction { relative: ln, ttft: ln, tpot: ln, ttft_p90: ln, tpot_p90: ln, ..Correction::default() }
}

/// Both are what they are not: the H100 is 30 times slower than the prior has it, the T4 as it should be.
fn truth(at: usize) -> f64 {
    if at == 0 { 30.0 } else { 1.0 }
}

fn perfect(at: usize) -> Correction {
    both(if at == 0 { 30f32.ln() } else { 0.0 })
}

#[test]
fn a_perfect_learner_is_right_at_once_and_stays_so() {
    let mut taught = Taught::new(pair(), perfect);
    for _ in 0..60 {
        let decision = taught.serve(1000, truth);
        assert_eq!((decision.chosen.index, decision.fallback), (1, None));
        taught.fleet.later(1.0);
    }
    let state = &taught.fleet.group.backends()[1].state;
    let (ttft, tpot, _) = state.relearned.of(Generation(1)).unwrap().calibration.read();
    assert!(
        (ttft - 1.0).abs() < 0.02 && (tpot - 1.0).abs() < 0.02,
        "nothing is left to learn: {ttft} {tpot}"
    );
    // The prior, by contrast, would have taken the H100.
    assert_eq!(taught.fleet.choose(&request(1000)).chosen.index, 0);
}

#[test]
fn a_wrong_learner_is_calibrated_away() {
    let mut taught = Taught::new(pair(), |_| both(1.0));
    for _ in 0..80 {
        taught.serve(1000, |_| 1.0);
        taught.fleet.later(1.0);
    }
    let prediction = taught.choose(1000).chosen.prediction.unwrap();
    let ratio = prediction.tpot_s / prediction.prior_tpot_s;
    assert!((ratio - 1.0).abs() < 0.03, "{ratio}");
}

#[test]
fn a_swap_moves_no_backend_that_is_known() {
    let specs = pair()[..1].to_vec();
    let mut taught = Taught::new(specs, |_| both(0.0));
    for _ in 0..60 {
        taught.serve(1000, |_| 2.0);
        taught.fleet.later(1.0);
    }
    let before = taught.choose(1000).chosen.prediction.unwrap().e2e_s;
    let others: [(u32, Says); 3] = [(2, |_| both(1.5)), (3, |_| both(-1.5)), (1, |_| both(0.0))];
    for (generation, says) in others {
        taught.swap(generation, says);
        let after = taught.choose(1000).chosen.prediction.unwrap();
        assert!((after.e2e_s / before - 1.0).abs() < 0.01, "{generation}: {before} {after:?}");
        assert!(after.learned.is_some());
    }
}

#[test]
fn a_learner_in_disagreement_with_itself_changes_nothing() {
    let garbage: Says = |at| Correction { spread: 5.0, ..both(if at == 0 { 3.0 } else { -3.0 }) };
    let mut taught = Taught::new(pair(), garbage);
    let mut plain = Fleet::new(pair(), Objective::Latency);
    for tokens in [10, 100, 1000, 10_000] {
        let (with, without) = (taught.choose(tokens), plain.choose(&request(tokens)));
        assert_eq!(with.fallback, Some(Fallback::LowConfidence));
        assert_eq!(with.chosen, without.chosen);
    }
}

#[test]
fn a_learner_that_fails_is_left_out() {
    let nan: Says = |_| Correction { tpot: f32::NAN, ..Correction::default() };
    let mut taught = Taught::new(pair(), nan);
    assert_eq!(taught.choose(100).fallback, Some(Fallback::LearnerFailed));
    let failing = |_: &[&Memory], _: &[_]| Err(HeadError::Size { what: "rows", found: 0, expected: 1 });
    taught.head = Head::of_function(Box::new(failing), Generation(1));
    assert_eq!(taught.choose(100).fallback, Some(Fallback::LearnerFailed));
    taught.head = head(2, |_| both(0.0));
    assert_eq!(taught.choose(100).fallback, Some(Fallback::LearnerFailed), "of another bundle");
    let plain = Fleet::new(pair(), Objective::Latency).choose(&request(100));
    assert_eq!(taught.choose(100).chosen, plain.chosen);
}

#[test]
fn only_the_best_few_are_asked_and_the_others_keep_their_distance() {
    let state = Arc::new(ModelState::new());
    let hardware =
        |at: u32| gearshift_config::HardwareFacts { memory_gb_per_s: 3350.0 / f64::from(1 + at), ..h100() };
    let specs = (0..6).map(|at| backend(&format!("b{at}"), hardware(at), &llama_3b(), &state)).collect();
    let mut taught = Taught::new(specs, |_| both(1.0));
    taught.fleet.group = with_learner(taught.fleet.group.backends(), learner(1, 2));
    let Fleet { group, policy, now, rng } = &mut taught.fleet;
    let decider = Decider { rng, head: Some(&mut taught.head) };
    let shown = crate::explain(group, policy, &request(100), &SmallVec::new(), *now, decider).unwrap();
    let order: Vec<_> = shown.candidates.iter().map(|c| c.ranked.index).collect();
    assert_eq!(order, [0, 1, 2, 3, 4, 5], "all are slower by the same");
    let asked = shown.candidates.iter().filter(|c| c.ranked.prediction.unwrap().learned.is_some());
    assert_eq!(asked.count(), 2);
}

#[test]
fn limits_are_held_against_the_tail() {
    let mut taught = Taught::new(pair()[..1].to_vec(), |_| Correction { tpot_p90: 0.5, ..both(0.0) });
    let prediction = taught.choose(1000).chosen.prediction.unwrap();
    assert!((prediction.upper.tpot_s / prediction.tpot_s - 0.5f64.exp()).abs() < 1e-6);
    taught.fleet.policy.slo.tpot = Some(Duration::from_secs_f64(prediction.tpot_s * 1.2));
    assert!(!taught.choose(1000).chosen.meets_slo);
    assert!(taught.fleet.choose(&request(1000)).chosen.meets_slo, "with the margin alone");
}

proptest! {
    #[test]
    fn no_learner_breaks_the_arithmetic(
        values in prop::collection::vec(-20f32..20.0, 12), spread in 0f32..20.0, tokens in 1u64..100_000,
    ) {
        let function = move |engines: &[&Memory], _: &[_]| {
            let row = |at: usize| Correction {
                relative: values[at * 6], ttft: values[at * 6 + 1], tpot: values[at * 6 + 2],
                ttft_p90: values[at * 6 + 3], tpot_p90: values[at * 6 + 4], saturation: values[at * 6 + 5], spread,
            };
            Ok((0..engines.len()).map(row).collect())
        };
        let mut taught = Taught::new(pair(), |_| both(0.0));
        taught.head = Head::of_function(Box::new(function), Generation(1));
        let prediction = taught.choose(tokens).chosen.prediction.unwrap();
        let numbers = [prediction.ttft_s, prediction.tpot_s, prediction.e2e_s, prediction.upper.e2e_s];
        prop_assert!(numbers.iter().all(|x| x.is_finite() && *x > 0.0), "{:?}", prediction);
    }
}
