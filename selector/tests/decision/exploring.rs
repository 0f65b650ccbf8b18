//! Exploration is small and safe, and its probabilities are the true ones.

use std::{sync::Arc, time::Duration};

use gearshift_config::{Objective, Slo};
use gearshift_selector::{Exploration, FIELD, ModelState, choose_on_record};
use smallvec::SmallVec;

use crate::{
    facts::{h100, llama_3b, t4},
    fleet::{Fleet, backend, replicas, request},
};

const EXPLORATION: Exploration = Exploration { share: 0.2, max_loss: 0.5, introduce: 0.0 };

/// Three H100, one of them busy, and a T4, which is many times slower.
fn mixed() -> (Fleet, Vec<gearshift_selector::Flight>) {
    let state = Arc::new(ModelState::new());
    let mut specs: Vec<_> =
        (0..3).map(|at| backend(&format!("h100-{at}"), h100(), &llama_3b(), &state)).collect();
    specs.push(backend("t4", t4(), &llama_3b(), &state));
    let mut fleet = Fleet::new(specs, Objective::Latency);
    fleet.group = fleet.group.clone().exploring(EXPLORATION);
    let flights = (0..12).map(|_| fleet.send_to(2, &request(500))).collect();
    (fleet, flights)
}

#[test]
fn propensities_of_whole_decisions_are_their_frequencies() {
    const DECISIONS: u32 = 6000;
    let (mut fleet, _flights) = mixed();
    let explained = fleet.explain(&request(500)).candidates;
    let total: f64 = explained.iter().map(|candidate| candidate.propensity).sum();
    assert!((total - 1.0).abs() < 1e-9, "{explained:?}");
    let mut counts = [0u32; 4];
    let mut explored = 0;
    for _ in 0..DECISIONS {
        let decision = fleet.choose(&request(500));
        counts[decision.chosen.index] += 1;
        explored += u32::from(decision.explored);
        let said =
            explained.iter().find(|candidate| candidate.ranked.index == decision.chosen.index).unwrap();
        assert!((said.propensity - decision.propensity).abs() < 1e-12);
    }
    for candidate in &explained {
        let seen = f64::from(counts[candidate.ranked.index]) / f64::from(DECISIONS);
        assert!((seen - candidate.propensity).abs() < 0.03, "{seen} for {candidate:?}");
    }
    assert!((0.18..0.22).contains(&(f64::from(explored) / f64::from(DECISIONS))), "{explored}");
    assert_eq!(counts[3], 0, "a T4 loses more than half");
}

#[test]
fn who_is_predicted_to_break_a_limit_is_never_explored() {
    let (mut fleet, _flights) = mixed();
    fleet.group = fleet.group.clone().exploring(Exploration { share: 1.0, max_loss: 1000.0, introduce: 0.0 });
    fleet.policy.slo = Slo { tpot: Some(Duration::from_millis(12)), ..Slo::default() };
    let explained = fleet.explain(&request(500)).candidates;
    let misses: Vec<_> = explained.iter().filter(|candidate| !candidate.ranked.meets_slo).collect();
    assert!(!misses.is_empty() && misses.len() < explained.len(), "{explained:?}");
    assert!(misses.iter().all(|candidate| candidate.propensity == 0.0), "{misses:?}");
}

#[test]
fn a_retry_does_not_explore() {
    let (mut fleet, _flights) = mixed();
    fleet.group = fleet.group.clone().exploring(Exploration { share: 1.0, max_loss: 1000.0, introduce: 0.0 });
    let tried: SmallVec<[usize; 4]> = [0].into_iter().collect();
    let (decision, _) =
        choose_on_record(&fleet.group, &fleet.policy, &request(500), &tried, fleet.now, &mut fleet.rng)
            .unwrap();
    assert!(!decision.explored);
}

#[test]
fn who_is_sent_much_that_teaches_nothing_is_introduced_no_more() {
    let mut fleet = Fleet::new(replicas(2, &h100(), &llama_3b()), Objective::Latency);
    fleet.group = fleet.group.clone().exploring(Exploration { introduce: 0.5, ..Exploration::default() });
    let introduced = |fleet: &mut Fleet| (0..50).filter(|_| fleet.choose(&request(500)).explored).count();
    assert!(introduced(&mut fleet) > 10);
    for at in [0, 1].repeat(20) {
        drop(fleet.send_to(at, &request(500)));
    }
    assert_eq!(introduced(&mut fleet), 0);
}

#[test]
fn the_field_is_bounded_and_has_the_chosen_one() {
    for count in [1, 5, 40] {
        let mut fleet = Fleet::new(replicas(count, &h100(), &llama_3b()), Objective::Latency);
        let _flights: Vec<_> =
            (0..count).map(|at| fleet.send_to(at, &request(50 * (at as u64 % 3 + 1)))).collect();
        for _ in 0..50 {
            let none = SmallVec::new();
            let (decision, field) = choose_on_record(
                &fleet.group,
                &fleet.policy,
                &request(500),
                &none,
                fleet.now,
                &mut fleet.rng,
            )
            .unwrap();
            assert_eq!(field.len(), count.min(FIELD));
            assert!(field.windows(2).all(|pair| pair[0].index < pair[1].index));
            let chosen = field.iter().find(|entrant| entrant.index == decision.chosen.index).unwrap();
            let predicted = decision.chosen.prediction.unwrap().ttft_s;
            assert!((f64::from(chosen.ttft_s) / predicted - 1.0).abs() < 1e-6);
            assert!(chosen.meets && chosen.load.unwrap().sequences >= 1.0);
        }
    }
}
