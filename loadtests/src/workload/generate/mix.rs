//! Which classes a workload mixes, and how that drifts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::Class;

/// Shares of the classes, of any sum.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    /// Of [`Class::Chat`].
    pub chat: f64,
    /// Of [`Class::Rag`].
    pub rag: f64,
    /// Of [`Class::Agent`].
    pub agent: f64,
    /// Of [`Class::Code`].
    pub code: f64,
    /// Of [`Class::Summary`].
    pub summary: f64,
    /// Of [`Class::Reasoning`].
    pub reasoning: f64,
}

impl Weights {
    /// One class alone.
    pub fn only(class: Class) -> Self {
        let mut weights = [0.0; Class::ALL.len()];
        weights[class as usize] = 1.0;
        Self::from_array(weights)
    }

    /// In the order of [`Class::ALL`].
    pub fn to_array(self) -> [f64; Class::ALL.len()] {
        let Self { chat, rag, agent, code, summary, reasoning } = self;
        [chat, rag, agent, code, summary, reasoning]
    }

    /// From the order of [`Class::ALL`].
    pub fn from_array(weights: [f64; Class::ALL.len()]) -> Self {
        let [chat, rag, agent, code, summary, reasoning] = weights;
        Self { chat, rag, agent, code, summary, reasoning }
    }

    /// Whether they can be drawn from: finite, none negative, one positive.
    pub fn is_valid(self) -> bool {
        let weights = self.to_array();
        weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0)
            && weights.iter().any(|&weight| weight > 0.0)
    }

    /// Shares between `self` and `other`, whose sums are made alike.
    fn towards(self, other: Self, along: f64) -> Self {
        let shares = |weights: Self| {
            let sum: f64 = weights.to_array().iter().sum();
            weights.to_array().map(|weight| weight / sum)
        };
        let (from, to) = (shares(self), shares(other));
        Self::from_array(std::array::from_fn(|class| from[class] + (to[class] - from[class]) * along))
    }
}

/// A stretch of time with its own mix.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// How long it lasts, seconds.
    pub seconds: f64,
    /// What is asked meanwhile.
    pub weights: Weights,
}

/// The classes over time: phases one after the other, then from the first again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// At least one.
    pub phases: Vec<Phase>,
    /// Whether the shares glide from the middle of a phase to the middle of the next one, instead of jumping.
    #[serde(default)]
    pub smooth: bool,
}

impl Mix {
    /// Shares that stay.
    pub fn steady(weights: Weights) -> Self {
        Self { phases: vec![Phase { seconds: 3_600.0, weights }], smooth: false }
    }

    /// The same phases, longer or shorter, so that they pass once within `duration`.
    #[must_use]
    pub fn over(mut self, duration: Duration) -> Self {
        let factor = duration.as_secs_f64() / self.seconds();
        self.phases.iter_mut().for_each(|phase| phase.seconds *= factor);
        self
    }

    /// Whether there are phases, and all of them have a length and shares.
    pub fn is_valid(&self) -> bool {
        let good =
            |phase: &Phase| phase.seconds.is_finite() && phase.seconds > 0.0 && phase.weights.is_valid();
        !self.phases.is_empty() && self.phases.iter().all(good)
    }

    /// The shares at a time since the start.
    pub fn at(&self, time: Duration) -> Weights {
        if let [only] = self.phases[..] {
            return only.weights;
        }
        let mut left = time.as_secs_f64() % self.seconds();
        for (index, phase) in self.phases.iter().enumerate() {
            if left < phase.seconds {
                return if self.smooth { self.glide(index, left / phase.seconds) } else { phase.weights };
            }
            left -= phase.seconds;
        }
        self.phases.last().map(|phase| phase.weights).unwrap_or_default()
    }

    /// The shares when a share `along` of phase `index` has passed.
    fn glide(&self, index: usize, along: f64) -> Weights {
        let count = self.phases.len();
        let (this, off) = (self.phases[index], along - 0.5);
        let neighbour = self.phases[if off < 0.0 { index + count - 1 } else { index + 1 } % count];
        let distance = off.abs() * this.seconds;
        this.weights.towards(neighbour.weights, distance / f64::midpoint(this.seconds, neighbour.seconds))
    }

    fn seconds(&self) -> f64 {
        self.phases.iter().map(|phase| phase.seconds).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn weights() -> impl Strategy<Value = Weights> {
        prop::array::uniform6(0.0..5.0_f64)
            .prop_map(Weights::from_array)
            .prop_filter("drawable", |weights| weights.is_valid())
    }

    fn mix() -> impl Strategy<Value = Mix> {
        let phase = (0.1..500.0_f64, weights()).prop_map(|(seconds, weights)| Phase { seconds, weights });
        (prop::collection::vec(phase, 1..6), any::<bool>())
            .prop_map(|(phases, smooth)| Mix { phases, smooth })
    }

    proptest! {
        #[test]
        fn there_are_shares_at_every_time(mix in mix(), ms in any::<u32>()) {
            prop_assert!(mix.at(Duration::from_millis(u64::from(ms))).is_valid());
        }

        #[test]
        fn a_smooth_drift_does_not_jump(mix in mix(), at in 0.0..2_000.0_f64) {
            let mix = Mix { smooth: true, ..mix };
            let shares = |at: f64| {
                let weights = mix.at(Duration::from_secs_f64(at)).to_array();
                let sum: f64 = weights.iter().sum();
                weights.map(|weight| weight / sum)
            };
            for (before, after) in shares(at).iter().zip(shares(at + 1e-4)) {
                prop_assert!((before - after).abs() < 2.1e-3);
            }
        }
    }

    #[test]
    fn phases_follow_each_other_and_begin_anew() {
        let phase = |class, seconds| Phase { seconds, weights: Weights::only(class) };
        let mix = Mix { phases: vec![phase(Class::Chat, 10.0), phase(Class::Code, 30.0)], smooth: false };
        let class = |mix: &Mix, at| mix.at(Duration::from_secs(at));
        assert_eq!(class(&mix, 9), Weights::only(Class::Chat));
        assert_eq!(class(&mix, 10), Weights::only(Class::Code));
        assert_eq!(class(&mix, 41), Weights::only(Class::Chat));
        let faster = mix.clone().over(Duration::from_secs(4));
        assert_eq!(class(&faster, 1), Weights::only(Class::Code));
        let smooth = Mix { smooth: true, ..mix };
        assert_eq!(
            class(&smooth, 5),
            Weights::only(Class::Chat),
            "in the middle of its phase a class is alone"
        );
        let half = class(&smooth, 15);
        assert!((half.code - 0.5).abs() < 1e-9 && (half.chat - 0.5).abs() < 1e-9);
    }
}
