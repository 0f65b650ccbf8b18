//! A choice against the best of the others, once its answer has come.

use std::time::Duration;

use gearshift_config::{Objective, Slo};
use gearshift_selector::{Decision, Flight, Hindsight};

use crate::{
    facts::{h100, llama_3b, t4},
    fleet::{Fleet, replicas, request},
};

/// Sends one request where it is chosen to go, and answers it after so many times the predicted time.
fn answered(fleet: &mut Fleet, times: f64, tokens: u32) -> (Decision, Option<Hindsight>) {
    let decision = fleet.choose(&request(1000));
    let index = decision.chosen.index;
    let (backend, facts) = (&fleet.group.backends()[index], request(1000));
    let flight = Flight::begin(backend, &fleet.policy, &facts, &decision, fleet.now);
    let expected = flight.predicted(tokens).unwrap().e2e_s;
    let hindsight = flight.hindsight(tokens, fleet.now.after_seconds(times * expected));
    (decision, hindsight)
}

#[test]
fn an_answer_as_predicted_is_no_worse_than_that_of_an_equal_and_a_late_one_is() {
    let mut fleet = Fleet::new(replicas(2, &h100(), &llama_3b()), Objective::Latency);
    let (_, hindsight) = answered(&mut fleet, 1.0, 100);
    let Hindsight { chosen_s, best_other_s } = hindsight.unwrap();
    assert!((chosen_s / best_other_s - 1.0).abs() < 1e-6, "{chosen_s} {best_other_s}");
    let (_, hindsight) = answered(&mut fleet, 3.0, 100);
    let Hindsight { chosen_s, best_other_s } = hindsight.unwrap();
    assert!(chosen_s > 2.0 * best_other_s, "{chosen_s} {best_other_s}");
}

#[test]
fn the_other_is_predicted_for_the_output_that_came() {
    let mut fleet = Fleet::new(replicas(2, &h100(), &llama_3b()), Objective::Latency);
    let best_other = |fleet: &mut Fleet, tokens| answered(fleet, 1.0, tokens).1.unwrap().best_other_s;
    assert!(best_other(&mut fleet, 1000) > 5.0 * best_other(&mut fleet, 100));
}

#[test]
fn a_slower_kind_elsewhere_leaves_nothing_to_regret() {
    let mut backends = replicas(1, &h100(), &llama_3b());
    backends.extend(replicas(1, &t4(), &llama_3b()));
    let mut fleet = Fleet::new(backends, Objective::Latency);
    let (decision, hindsight) = answered(&mut fleet, 1.0, 100);
    let Hindsight { chosen_s, best_other_s } = hindsight.unwrap();
    assert_eq!(decision.chosen.index, 0);
    assert!(chosen_s < 0.5 * best_other_s, "{chosen_s} {best_other_s}");
}

#[test]
fn where_time_does_not_decide_there_is_nobody_to_hold_it_against() {
    let mut alone = Fleet::new(replicas(1, &h100(), &llama_3b()), Objective::Latency);
    assert_eq!(answered(&mut alone, 1.0, 100).1, None);
    let mut energy = Fleet::new(replicas(2, &h100(), &llama_3b()), Objective::Energy);
    assert_eq!(answered(&mut energy, 1.0, 100).1, None);
    let mut missed = Fleet::new(replicas(2, &h100(), &llama_3b()), Objective::Latency);
    missed.policy.slo = Slo { ttft: Some(Duration::from_nanos(1)), ..Slo::default() };
    assert_eq!(answered(&mut missed, 1.0, 100).1, None);
}
