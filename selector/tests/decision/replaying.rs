//! A decision made again from its record is the decision that was made.

use gearshift_config::{Catalog, Objective};
use gearshift_selector::{
    Decider, Usage, choose_on_record,
    replay::{Asked, Seen, replay},
};
use proptest::prelude::*;
use smallvec::SmallVec;

use crate::fleet::{Fleet, replicas, request};

/// Engines of three kinds, some of which have work, and about which something was learned.
fn fleet(objective: Objective, seed: u64) -> Fleet {
    let catalog = Catalog::shipped();
    let model = catalog.model("llama-3.1-8b").unwrap();
    let mut specs = replicas(5, catalog.hardware("h100_sxm").unwrap(), model);
    for (at, name) in [(1, "l40s"), (2, "a100_sxm_80gb")] {
        if let Some(hardware) = catalog.hardware(name) {
            specs[at].hardware = Some((hardware.clone(), 1));
        }
    }
    let mut fleet = Fleet::new(specs, objective);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..random.usize(..40) {
        let facts = request(random.u64(10..6000));
        let (_, mut flight) = fleet.send(&facts);
        fleet.later(0.05 + random.f64() * 0.4);
        flight.first_token(fleet.now);
        if random.bool() {
            fleet.later(random.f64());
            let usage = Usage { prompt_tokens: 800, completion_tokens: 60, cached_tokens: None };
            flight.finish(Some(usage), fleet.now);
        } else {
            std::mem::forget(flight);
        }
    }
    fleet
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_record_leads_to_the_same_decision(seed in 0..1000_u64, tokens in 1..9000_u64, cost: bool) {
        let mut fleet = fleet(if cost { Objective::Cost } else { Objective::Latency }, seed);
        let facts = request(tokens);
        let explained = fleet.explain(&facts);
        let decider = Decider::from(&mut fleet.rng);
        let (decision, field) =
            choose_on_record(&fleet.group, &fleet.policy, &facts, &SmallVec::new(), fleet.now, decider).unwrap();
        let asked = Asked {
            prompt_tokens: decision.prompt_tokens.into(),
            output_tokens: decision.expected_output_tokens.into(),
            sequences: 1.0,
            typical: fleet.group.backends()[0].model_state.typical(),
        };
        let seen: Vec<Seen> = field
            .iter()
            .map(|one| Seen { index: one.index, cached_tokens: one.cached_tokens.into(), load: one.load.unwrap() })
            .collect();
        let mut rng = fastrand::Rng::with_seed(1);
        let again = replay(&fleet.group, &fleet.policy, &asked, &seen, fleet.now, &mut rng).unwrap();
        for (seen, again) in seen.iter().zip(&again.candidates) {
            let before = explained.candidates.iter().find(|one| one.ranked.index == seen.index).unwrap();
            // The record has whole tokens.
            prop_assert!((again.ranked.score / before.ranked.score).ln().abs() < 0.01);
            prop_assert_eq!(again.ranked.meets_slo, before.ranked.meets_slo);
        }
        let sure: f64 = again.candidates.iter().map(|one| one.propensity).sum();
        prop_assert!((sure - 1.0).abs() < 1e-9, "{}", sure);
    }
}
