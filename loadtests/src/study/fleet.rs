//! The fleet of a study: engines, what a router is told of them, and how it reaches them.

use std::{sync::Arc, time::Duration};

use gearshift_config::{Declared, HardwareFacts, Knobs};

use crate::{
    scenario::{PlannedEngine, Scenario},
    sim::EngineSpec,
};

/// Engines that serve one model.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// Its name in reports.
    pub name: String,
    /// Its engines.
    pub members: Vec<Member>,
}

/// One engine of a fleet.
#[derive(Debug, Clone)]
pub struct Member {
    /// What it is.
    pub engine: EngineSpec,
    /// What the router is told it is.
    pub claim: Claim,
    /// Every step takes this many times as long; 1 for an engine that does what its hardware can.
    pub slow: f64,
    /// Network round trip between router and engine.
    pub round_trip: Duration,
    /// Share of packets lost on the way: each comes again after a retransmission timeout, and what follows waits for it.
    pub loss: f64,
    /// US dollars an hour of the whole engine.
    pub price_usd_per_hour: f64,
}

/// What a router knows of an engine: from the configuration, and from what the engine says of itself.
#[derive(Debug, Clone)]
pub struct Claim {
    /// One accelerator.
    pub hardware: Arc<HardwareFacts>,
    /// How many.
    pub count: u32,
    /// The knobs of its profile.
    pub knobs: Knobs,
    /// Whether its profile leaves the model's outputs as they are.
    pub lossless: bool,
}

/// Round trip where nothing else is said: one machine room.
const ROUND_TRIP: Duration = Duration::from_millis(1);

impl Fleet {
    /// The engines of a scenario. Its routes are left aside: a study says itself what is made best.
    pub fn of(scenario: &Scenario) -> Self {
        Self { name: scenario.name.clone(), members: scenario.engines.iter().map(Member::planned).collect() }
    }

    /// The distinct sizes of KV blocks in the fleet, tokens.
    pub fn block_sizes(&self) -> Vec<u32> {
        let mut sizes: Vec<u32> = self.members.iter().map(|member| member.engine.block_tokens).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }
}

impl Member {
    /// An engine that is what it claims to be, in the same machine room (1 ms), at its hardware's list price.
    pub fn honest(engine: EngineSpec) -> Self {
        let claim = Claim {
            hardware: Arc::clone(&engine.hardware),
            count: engine.count,
            knobs: engine.knobs.or(&observed(&engine)),
            lossless: engine.knobs.lossless(),
        };
        let price_usd_per_hour = engine.hardware.price_usd_per_hour * f64::from(engine.count);
        Self { engine, claim, slow: 1.0, round_trip: ROUND_TRIP, loss: 0.0, price_usd_per_hour }
    }

    fn planned(planned: &PlannedEngine) -> Self {
        let backend = &planned.backend;
        let mut member = Self::honest(planned.spec.clone());
        member.slow = planned.slow;
        member.round_trip = ROUND_TRIP.max(Duration::from_secs_f64(planned.round_trip_s.max(0.0)));
        member.loss = planned.loss;
        if let Some(hardware) = &backend.hardware {
            (member.claim.hardware, member.claim.count) = (Arc::clone(&hardware.facts), hardware.count);
        }
        if let Declared::Is(profile) = &backend.profile {
            // What is declared goes before what is observed, as in the proxy.
            member.claim.knobs = profile.knobs.or(&observed(&planned.spec));
            member.claim.lossless = profile.lossless;
        }
        member.price_usd_per_hour = backend.price_usd_per_hour.unwrap_or(member.price_usd_per_hour);
        member
    }

    /// US dollars a second of the whole engine.
    pub fn price_usd_per_s(&self) -> f64 {
        self.price_usd_per_hour / 3600.0
    }
}

/// The knobs that vLLM tells whoever asks: on its model list and its metrics page.
fn observed(engine: &EngineSpec) -> Knobs {
    Knobs {
        max_model_len: engine.knobs.max_model_len.or(Some(engine.model.context)),
        prefix_caching: engine.knobs.prefix_caching.or(Some(true)),
        kv_cache_dtype: engine.knobs.kv_cache_dtype,
        gpu_memory_utilization: engine.knobs.gpu_memory_utilization,
        ..Knobs::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_liar_is_told_from_what_it_claims() {
        let fleet = Fleet::of(&Scenario::shipped("liar").unwrap());
        let of = |name: &str| fleet.members.iter().find(|member| member.engine.name == name).unwrap();
        let (honest, old, hot, forgetful) = (of("honest-a"), of("old-card"), of("runs-hot"), of("forgetful"));
        assert_eq!(honest.engine.hardware, honest.claim.hardware);
        assert_eq!(old.claim.hardware, honest.claim.hardware);
        assert_ne!(old.engine.hardware, old.claim.hardware);
        assert!(hot.slow > 1.0);
        assert_eq!(forgetful.engine.knobs.prefix_caching, Some(false));
        assert_eq!(forgetful.claim.knobs.prefix_caching, Some(true));
    }

    #[test]
    fn every_shipped_scenario_is_a_fleet_with_prices() {
        for name in Scenario::shipped_names() {
            let fleet = Fleet::of(&Scenario::shipped(name).unwrap());
            assert!(fleet.members.iter().all(|member| member.price_usd_per_s() > 0.0), "{name}");
            assert!(!fleet.block_sizes().is_empty(), "{name}");
        }
    }
}
