//! Replicas do not herd, ties are fair, and large groups cost no more than small ones.

use std::time::Duration;

use gearshift_config::{Objective, Slo};
use gearshift_selector::{Availability, Flight};

use crate::{
    facts::{h100, llama_3b},
    fleet::{Fleet, replicas, request, request_with_text},
};

fn counts(chosen: impl Iterator<Item = usize>, len: usize) -> Vec<u32> {
    let mut counts = vec![0; len];
    chosen.for_each(|index| counts[index] += 1);
    counts
}

fn assert_even(counts: &[u32], tolerance: f64) {
    let mean = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
    assert!(counts.iter().all(|&c| (f64::from(c) / mean - 1.0).abs() <= tolerance), "{counts:?}");
}

#[test]
fn a_thousand_decisions_at_once_spread_over_equal_replicas() {
    for objective in [Objective::Latency, Objective::Throughput] {
        let mut fleet = Fleet::new(replicas(8, &h100(), &llama_3b()), objective);
        let mut flights: Vec<Flight> = Vec::new();
        let chosen: Vec<_> = (0..1000)
            .map(|_| {
                let (index, flight) = fleet.send(&request(500));
                flights.push(flight);
                index
            })
            .collect();
        assert_even(&counts(chosen.into_iter(), 8), 0.05);
    }
}

#[test]
fn a_thousand_blind_decisions_spread_too() {
    // All cores decide before any request has entered a ledger: chance alone has to spread them.
    let mut fleet = Fleet::new(replicas(8, &h100(), &llama_3b()), Objective::Latency);
    let chosen: Vec<_> = (0..1000).map(|_| fleet.choose(&request(500)).chosen.index).collect();
    assert_even(&counts(chosen.into_iter(), 8), 0.2);
}

#[test]
fn a_burst_that_shares_a_prefix_does_not_drown_one_replica() {
    let mut fleet = Fleet::new(replicas(8, &h100(), &llama_3b()), Objective::Latency);
    let facts = request_with_text(&[b's'; 8000]);
    let mut flights: Vec<Flight> = Vec::new();
    let chosen: Vec<_> = (0..800)
        .map(|_| {
            let (index, flight) = fleet.send(&facts);
            flights.push(flight);
            index
        })
        .collect();
    assert_even(&counts(chosen.into_iter(), 8), 0.25);
}

#[test]
fn overloaded_replicas_that_all_miss_their_limit_do_not_herd_either() {
    let mut fleet = Fleet::new(replicas(4, &h100(), &llama_3b()), Objective::Latency);
    fleet.policy.slo = Slo { ttft: Some(Duration::from_micros(1)), ..Slo::default() };
    let mut flights: Vec<Flight> = Vec::new();
    let chosen: Vec<_> = (0..400)
        .map(|_| {
            let (index, flight) = fleet.send(&request(500));
            flights.push(flight);
            index
        })
        .collect();
    assert_even(&counts(chosen.into_iter(), 4), 0.1);
}

/// A replica answers one request in `factor` times what the prior says.
fn answer(fleet: &mut Fleet, index: usize, factor: f64) {
    let prediction = fleet.choose(&request(500)).chosen.prediction.unwrap();
    let mut flight = fleet.send_to(index, &request(500));
    fleet.later(factor * prediction.prior_ttft_s);
    flight.progress(1, fleet.now);
    fleet.later(factor * prediction.prior_tpot_s * 99.0);
    flight.progress(99, fleet.now);
    flight.finish(None, fleet.now);
}

fn burst(fleet: &mut Fleet) -> Vec<u32> {
    let mut flights = Vec::new();
    let chosen = (0..24).map(|_| {
        let (index, flight) = fleet.send(&request(500));
        flights.push(flight);
        index
    });
    counts(chosen.collect::<Vec<_>>().into_iter(), 2)
}

#[test]
fn a_replica_that_once_looked_slow_is_not_left_alone_for_ever() {
    let mut fleet = Fleet::new(replicas(2, &h100(), &llama_3b()), Objective::Latency);
    for _ in 0..40 {
        answer(&mut fleet, 0, 2.5);
        answer(&mut fleet, 1, 3.5);
    }
    let fresh = burst(&mut fleet);
    assert!(fresh[0] > 2 * fresh[1], "what was just measured holds: {fresh:?}");
    fleet.later(300.0);
    (0..40).for_each(|_| answer(&mut fleet, 0, 2.5));
    let shares = burst(&mut fleet);
    assert!(shares[1] >= 8 && shares[1] > fresh[1], "old news gives way to load: {fresh:?}, then {shares:?}");
}

#[test]
fn the_same_seed_and_state_give_the_same_choices() {
    let run = || {
        let mut fleet = Fleet::new(replicas(200, &h100(), &llama_3b()), Objective::Latency);
        let mut flights: Vec<Flight> = Vec::new();
        (0..300)
            .map(|i| {
                let (index, flight) = fleet.send(&request(100 + i));
                flights.push(flight);
                index
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn a_large_group_is_sampled_and_keeps_its_warm_backends() {
    let mut fleet = Fleet::new(replicas(500, &h100(), &llama_3b()), Objective::Latency);
    let mut text = vec![b'x'; 20_000];
    let (warm, flight) = fleet.send(&request_with_text(&text));
    drop(flight);
    text.extend([b'y'; 3000]);
    for _ in 0..50 {
        let decision = fleet.choose(&request_with_text(&text));
        assert_eq!((decision.considered, decision.chosen.index), (64, warm));
    }
    let strangers: std::collections::HashSet<_> =
        (0..300).map(|_| fleet.choose(&request(100)).chosen.index).collect();
    assert!(strangers.len() > 150, "{} of 500 chosen", strangers.len());
}

#[test]
fn the_last_ready_backend_of_a_large_group_is_found() {
    let mut fleet = Fleet::new(replicas(1000, &h100(), &llama_3b()), Objective::Latency);
    for backend in fleet.group.backends() {
        backend.state.set_availability(Availability::Down);
    }
    let decision = fleet.choose(&request(100));
    assert_eq!(fleet.group.backends()[decision.chosen.index].state.availability(), Availability::Down);
    // All but one tried or lossy: the sample goes on until it has found somebody.
    let mut backends = fleet.group.backends().to_vec();
    backends.iter_mut().for_each(|backend| backend.lossless = false);
    backends[777].lossless = true;
    let mut fleet = Fleet::new(backends, Objective::Latency);
    assert_eq!(fleet.choose(&request(100)).chosen.index, 777);
}
