use std::{sync::Arc, time::Duration};

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
    with_prior(specs, learner, &PriorFactors::default())
}

fn with_prior(specs: &[BackendSpec], learner: Learner, factors: &PriorFactors) -> Group {
    let memories = (0..specs.len()).map(|at| Some(Memory::new(&[f32::from(u8::try_from(at).unwrap())])));
    Group::build(specs.to_vec(), factors, Some(learner), memories.collect())
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

    /// A bundle that only brings another prior.
    fn swap_prior(&mut self, generation: u32, factors: &PriorFactors) {
        self.swap_both(generation, |_| both(0.0), factors);
    }

    fn swap_both(&mut self, generation: u32, says: Says, factors: &PriorFactors) {
        self.fleet.group = with_prior(self.fleet.group.backends(), learner(generation, 64), factors);
        self.head = head(generation, says);
    }

    fn without_learner(&mut self) {
        self.fleet.group = Group::new(self.fleet.group.backends().to_vec());
    }

    /// As after many outcomes that the learner has foretold: its weight is 0.98 or more, and nothing is calibrated.
    fn believed(&self) {
        for backend in self.fleet.group.backends() {
            let learnt = backend.state.relearned.of_or_new(self.head.generation());
            for gate in [&learnt.ttft, &learnt.tpot] {
                (0..2000).for_each(|turn| gate.learn(100 + turn, 1.0, 1.0));
            }
        }
    }

    /// By backend: predicted TTFT and TPOT.
    fn predictions(&mut self, tokens: u64) -> Vec<[f64; 2]> {
        let Fleet { group, policy, now, rng } = &mut self.fleet;
        let decider = Decider { rng, head: Some(&mut self.head) };
        let shown = crate::explain(group, policy, &request(tokens), &SmallVec::new(), *now, decider).unwrap();
        let mut ranked: Vec<_> = shown.candidates.iter().map(|candidate| candidate.ranked).collect();
        ranked.sort_by_key(|ranked| ranked.index);
        ranked.iter().map(|ranked| ranked.prediction.map(|it| [it.ttft_s, it.tpot_s]).unwrap()).collect()
    }

    fn choose(&mut self, tokens: u64) -> Decision {
        self.choose_but(&[], tokens)
    }

    fn choose_but(&mut self, tried: &[usize], tokens: u64) -> Decision {
        let Fleet { group, policy, now, rng } = &mut self.fleet;
        let decider = Decider { rng, head: Some(&mut self.head) };
        choose(group, policy, &request(tokens), &SmallVec::from_slice(tried), *now, decider).unwrap()
    }

    /// Sends so many requests to each of a pair in turn.
    fn serve_both(&mut self, count: u32, truth: fn(usize) -> f64) {
        for _ in 0..count {
            self.serve_but(&[1], 1000, truth);
            self.serve_but(&[0], 1000, truth);
        }
    }

    /// Sends a request whose engine takes so many times the prior's times.
    fn serve(&mut self, tokens: u64, truth: fn(usize) -> f64) -> Decision {
        self.serve_but(&[], tokens, truth)
    }

    fn serve_but(&mut self, tried: &[usize], tokens: u64, truth: fn(usize) -> f64) -> Decision {
        let decision = self.choose_but(tried, tokens);
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
fn a_perfect_learner_that_is_believed_is_right_at_once_and_stays_so() {
    let mut taught = Taught::new(pair(), perfect);
    taught.believed();
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
fn what_is_said_of_a_backend_that_nobody_knows_moves_nothing() {
    let plain = Fleet::new(pair(), Objective::Latency).choose(&request(1000)).chosen.prediction.unwrap();
    for says in [perfect as Says, |_| both(1.0), |_| both(-1.0)] {
        let mut taught = Taught::new(pair(), says);
        taught.swap_both(1, says, &other_factors());
        let decision = taught.choose(1000);
        let prediction = decision.chosen.prediction.unwrap();
        assert_eq!((decision.chosen.index, decision.fallback), (0, None), "asked, for evidence");
        assert_eq!((prediction.ttft_s, prediction.tpot_s), (plain.ttft_s, plain.tpot_s));
        assert_eq!(prediction.upper, plain.upper, "nor what limits are held against");
    }
}

#[test]
fn a_learner_that_is_off_by_a_level_earns_no_say_while_calibration_looks_for_it() {
    // It is right about the level, which is all there is to know: so is calibration soon.
    let mut taught = Taught::new(pair()[..1].to_vec(), |_| both(std::f32::consts::LN_2));
    let learnt = |taught: &Taught| {
        let state = &taught.fleet.group.backends()[0].state;
        let learnt = state.relearned.of(Generation(1)).unwrap();
        (learnt.compared(), learnt.say())
    };
    let serve = |taught: &mut Taught, count: u32| {
        for _ in 0..count {
            taught.serve(1000, |_| 2.0);
        }
    };
    serve(&mut taught, 8);
    assert_eq!(learnt(&taught), (false, 0.0));
    serve(&mut taught, 60);
    let (compared, say) = learnt(&taught);
    assert!(compared && say < 0.1, "{say}");
}

#[test]
fn a_wrong_learner_is_calibrated_away() {
    let mut taught = Taught::new(pair(), |_| both(1.0));
    taught.believed();
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

/// Factors that set Hopper back against others, and prefill against decoding.
fn other_factors() -> PriorFactors {
    PriorFactors { ln_hopper: 0.6, prefill_flops: 2.5, ..PriorFactors::default() }
}

/// The largest factor between two predictions of the same backends.
fn jump(before: &[[f64; 2]], after: &[[f64; 2]]) -> f64 {
    let pairs = before.as_flattened().iter().zip(after.as_flattened());
    pairs.map(|(before, after)| (after / before).max(before / after)).fold(1.0, f64::max)
}

#[test]
fn a_prior_of_the_bundles_own_moves_no_backend_that_is_known() {
    let mut taught = Taught::new(pair(), |_| both(0.0));
    taught.without_learner();
    taught.serve_both(60, |_| 2.0);
    let before = taught.predictions(1000);
    taught.swap_prior(1, &other_factors());
    let activated = taught.predictions(1000);
    assert!(jump(&before, &activated) < 1.001, "when it comes in: {before:?} {activated:?}");
    taught.serve_both(60, |_| 2.0);
    let served = taught.predictions(1000);
    assert!(jump(&before, &served) < 1.02, "while it serves: {before:?} {served:?}");
    taught.swap_prior(2, &PriorFactors::default());
    let next = taught.predictions(1000);
    assert!(jump(&served, &next) < 1.01, "when the next comes in: {served:?} {next:?}");
    taught.without_learner();
    let rolled_back = taught.predictions(1000);
    assert!(jump(&served, &rolled_back) < 1.01, "when none is left: {served:?} {rolled_back:?}");
}

#[test]
fn a_bundle_that_is_believed_has_a_backend_where_its_own_prior_has_it() {
    let mut taught = Taught::new(pair(), |_| both(0.0));
    let before = taught.predictions(1000);
    taught.swap_prior(1, &other_factors());
    taught.believed();
    let after = taught.predictions(1000);
    let tpot: Vec<f64> = before.iter().zip(&after).map(|(before, after)| after[1] / before[1]).collect();
    // The other factor is of what `ln_hopper` was before.
    let hopper = (0.6 - PriorFactors::default().ln_hopper).exp();
    assert!((tpot[0] / hopper - 1.0).abs() < 0.02 && (tpot[1] - 1.0).abs() < 1e-6, "{tpot:?}");
    assert!(after[1][0] > 1.2 * before[1][0], "prefill: {before:?} {after:?}");
    let base = taught.choose(1000).chosen.prediction.unwrap();
    let plain = taught.fleet.choose(&request(1000)).chosen.prediction.unwrap();
    assert_eq!(base.prior_tpot_s, plain.prior_tpot_s, "calibrated is always the same prior");
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
fn a_learner_without_a_say_is_seldom_asked_and_one_that_earns_it_is_asked_again() {
    // It says something else of each prompt, and none of it is so.
    let mut taught = Taught::new(pair(), |_| both(0.0));
    let noise = |taught: &mut Taught, seed| {
        let mut rng = fastrand::Rng::with_seed(seed);
        let said = move |engines: &[&Memory], _: &[_]| {
            Ok(engines.iter().map(|_| both(0.3 * if rng.bool() { 1.0 } else { -1.0 })).collect())
        };
        taught.head = Head::of_function(Box::new(said), Generation(1));
    };
    noise(&mut taught, 1);
    taught.serve_both(150, |_| 2.0);
    let mut silent = |count: u32| {
        let decisions =
            (0..count).map(|_| taught.choose(1000)).filter(|it| it.fallback == Some(Fallback::NoSay));
        decisions.inspect(|it| assert_eq!(it.chosen.prediction.unwrap().learned, None)).count()
    };
    assert!((330..370).contains(&silent(400)), "seven of eight");
    // From now on it knows what no calibration can: short prompts take a third of the time.
    let short = |queries: &[QueryInputs]| queries[0][inputs::QUERY.len() - 8] < 8.0;
    let said = move |engines: &[&Memory], queries: &[_]| {
        Ok(engines.iter().map(|_| both(if short(queries) { -1.1 } else { 0.0 })).collect())
    };
    taught.head = Head::of_function(Box::new(said), Generation(1));
    for _ in 0..400 {
        taught.serve_but(&[1], 50, |_| 2.0 / 3.0);
        taught.serve_but(&[1], 1000, |_| 2.0);
        taught.serve_but(&[0], 50, |_| 2.0 / 3.0);
        taught.serve_but(&[0], 1000, |_| 2.0);
    }
    assert_eq!(taught.choose(1000).fallback, None, "always asked");
}

/// Little of TTFT and TPOT may be moved while much is of what is not compared.
#[test]
fn a_say_in_limits_and_throughput_is_never_left_out_at_random() {
    let mut taught = Taught::new(pair(), |_| Correction { tpot_p90: 1.5, ..both(0.0) });
    taught.serve_both(60, |_| 2.0);
    let fallbacks = |taught: &mut Taught| -> Vec<_> {
        let decisions = (0..64).map(|_| taught.choose_but(&[1], 1000));
        decisions.map(|it| (it.chosen.meets_slo, it.fallback == Some(Fallback::NoSay))).collect()
    };
    let silent = |all: &[(bool, bool)]| all.iter().filter(|(_, silent)| *silent).count();
    let upper = taught.choose_but(&[1], 1000).chosen.prediction.unwrap();
    let limit = Some(Duration::from_secs_f64(upper.tpot_s * MARGIN * 1.1));
    taught.fleet.policy.slo.tpot = limit;
    let unweighed = fallbacks(&mut taught);
    assert!(silent(&unweighed) > 44, "without a weight it moves nothing at all");
    assert!(unweighed.iter().all(|(meets, _)| *meets));
    for backend in taught.fleet.group.backends() {
        let learnt = backend.state.relearned.of(Generation(1)).unwrap();
        let swing = |turn: u32| if turn.is_multiple_of(2) { 0.03 } else { -0.03 };
        (0..2000).for_each(|turn| learnt.tpot.learn(100, swing(turn), swing(turn)));
        assert!(learnt.weights().1 > 0.3 && learnt.say() < LEAST_SAY);
    }
    let limited = fallbacks(&mut taught);
    assert_eq!(silent(&limited), 0);
    assert!(limited.iter().all(|(meets, _)| !meets), "its tail counts every time");
    taught.fleet.policy.slo.tpot = None;
    assert!(silent(&fallbacks(&mut taught)) > 44);
    taught.fleet.policy.objective = Objective::Throughput;
    assert_eq!(silent(&fallbacks(&mut taught)), 0);
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
    taught.believed();
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
    taught.believed();
    let prediction = taught.choose(1000).chosen.prediction.unwrap();
    assert!((prediction.upper.tpot_s / prediction.tpot_s - 0.5f64.exp()).abs() < 0.02);
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
        taught.believed();
        let prediction = taught.choose(tokens).chosen.prediction.unwrap();
        let numbers = [prediction.ttft_s, prediction.tpot_s, prediction.e2e_s, prediction.upper.e2e_s];
        prop_assert!(numbers.iter().all(|x| x.is_finite() && *x > 0.0), "{:?}", prediction);
    }
}
