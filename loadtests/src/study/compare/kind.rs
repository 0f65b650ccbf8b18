//! The policies that can be compared.

use std::sync::Arc;

use gearshift_config::{Objective, Slo};
use gearshift_selector::Bundle;

use crate::study::{
    CacheAware, Gearshift, LeastOutstanding, Oracle, PeakEwma, Policy, PowerOfTwo, Random, RoundRobin,
    Weighted, WithoutLearner,
};

/// A policy, by name.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Each in turn.
    RoundRobin,
    /// Any.
    Random,
    /// Fewest requests under way.
    LeastOutstanding,
    /// The less busy of two.
    P2c,
    /// The less busy of two, by peak-sensitive latency.
    P2cPeakEwma,
    /// SGLang's rule.
    CacheAware,
    /// llm-d's scorers.
    WeightedScorer,
    /// The selector, with its meta-learner where the plan has a bundle.
    Gearshift,
    /// The selector without a meta-learner: what it would do by prior and calibration alone.
    GearshiftPrior,
    /// The engines' true state, greedily.
    Oracle,
}

/// Highest load that the oracle is run at.
pub(super) const ORACLE_LOAD: f64 = 0.6;

impl Kind {
    /// All of them, in the order reports use.
    pub const ALL: [Self; 10] = [
        Self::RoundRobin,
        Self::Random,
        Self::LeastOutstanding,
        Self::P2c,
        Self::P2cPeakEwma,
        Self::CacheAware,
        Self::WeightedScorer,
        Self::Gearshift,
        Self::GearshiftPrior,
        Self::Oracle,
    ];

    /// Those that are run unless others are asked for: without a bundle, the selector and its prior are one.
    pub fn usual(with_bundle: bool) -> Vec<Self> {
        Self::ALL.into_iter().filter(|&kind| with_bundle || kind != Self::GearshiftPrior).collect()
    }

    /// The policy itself. Objective, limits and bundle matter to Gearshift alone: no other knows of them.
    pub fn build(
        self,
        objective: Objective,
        slo: Slo,
        bundle: Option<&Arc<Bundle>>,
        seed: u64,
    ) -> Box<dyn Policy> {
        match self {
            Self::RoundRobin => Box::new(RoundRobin::default()),
            Self::Random => Box::new(Random::new(seed)),
            Self::LeastOutstanding => Box::new(LeastOutstanding::new(seed)),
            Self::P2c => Box::new(PowerOfTwo::new(seed)),
            Self::P2cPeakEwma => Box::new(PeakEwma::new(seed)),
            Self::CacheAware => Box::new(CacheAware::new(seed)),
            Self::WeightedScorer => Box::new(Weighted::new(seed)),
            Self::Gearshift => match bundle {
                Some(bundle) => Box::new(Gearshift::with_bundle(objective, slo, Arc::clone(bundle), seed)),
                None => Box::new(Gearshift::new(objective, slo, seed)),
            },
            Self::GearshiftPrior => Box::new(WithoutLearner(Gearshift::new(objective, slo, seed))),
            Self::Oracle => Box::new(Oracle::new(seed)),
        }
    }

    /// Whether it is run with this seed at this load. The oracle looks into the future, which costs more than all others
    /// together and grows with the queues: it takes part once, and not where queues stand.
    pub fn takes_part(self, seed: u64, load: f64) -> bool {
        self != Self::Oracle || (seed == 0 && load <= ORACLE_LOAD)
    }

    /// Its name in reports and files.
    pub fn name(self) -> &'static str {
        self.build(Objective::Latency, Slo::default(), None, 0).name()
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn a_policy_is_called_the_same_everywhere() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_possible_value().unwrap().get_name(), kind.name());
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        assert_eq!(Kind::ALL.len(), Kind::value_variants().len());
    }
}
