//! What a route makes best, and how far a candidate is from the route's limits.

use gearshift_config::{HardwareFacts, Objective, Slo};

use crate::{decision::Prediction, features::Situation, prior::Terms};

/// Linear power model of an engine's accelerators: idle + utilisation × (TDP − idle).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Power {
    idle_w: f64,
    dynamic_w: f64,
}

impl Power {
    /// `None` where the numbers say nothing.
    pub(crate) fn new(hardware: &HardwareFacts, count: u32) -> Option<Self> {
        let (idle, tdp, count) = (hardware.idle_w.max(0.0), hardware.tdp_w, f64::from(count));
        (tdp > 0.0).then(|| Self { idle_w: idle * count, dynamic_w: (tdp - idle).max(0.0) * count })
    }

    /// Watts at a utilisation, 0–1.
    pub(crate) fn at(&self, utilisation: f64) -> f64 {
        self.idle_w + utilisation * self.dynamic_w
    }
}

/// The engine's time that one request takes up, calibrated seconds.
///
/// Prefill is charged in full. A decode step is shared evenly by the sequences in it: the share is what an engine
/// that is kept this busy must charge for its time to be paid for, the same GPU time per token that published cost
/// figures use. Waiting takes up nobody's time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct EngineTime {
    prefill_s: f64,
    decode_s: f64,
    decode_utilisation: f64,
}

impl EngineTime {
    pub(crate) fn new(terms: &Terms, s: &Situation, (ttft_factor, tpot_factor): (f64, f64)) -> Self {
        let share = (s.sequences / terms.concurrency).min(1.0);
        let steps = if s.generates { s.output_tokens / terms.tokens_per_step } else { 0.0 };
        let prefill_ms = terms.own_prefill + if s.generates { 0.0 } else { terms.first_steps };
        Self {
            prefill_s: prefill_ms * ttft_factor * 1e-3,
            decode_s: steps * terms.step_ms() * share * tpot_factor * 1e-3,
            decode_utilisation: terms.busy_share(),
        }
    }

    pub(crate) fn cost_usd(&self, price_usd_per_s: f64) -> f64 {
        (self.prefill_s + self.decode_s) * price_usd_per_s
    }

    pub(crate) fn energy_j(&self, power: &Power) -> f64 {
        self.prefill_s * power.at(1.0) + self.decode_s * power.at(self.decode_utilisation)
    }
}

/// A candidate's number under an objective, lower is better: seconds, US dollars or joules; `None` where it is not
/// known.
///
/// Latency is that of all requests, not of this one alone: what it delays others by counts as its own (`imposed_s`), or
/// every request would crowd onto the fastest engine until that is as slow as the slowest.
///
/// Throughput is the time in which the engine could be done with all it has and this request, at the rate of a full
/// batch: taking the least of it gives each engine work by its speed, and so wastes no engine's capacity.
pub(crate) fn score(
    objective: Objective,
    prediction: &Prediction,
    imposed_s: f64,
    drain_s: impl FnOnce() -> f64,
) -> Option<f64> {
    match objective {
        Objective::Latency => Some(prediction.e2e_s + imposed_s),
        Objective::Cost => prediction.cost_usd,
        Objective::Energy => prediction.energy_j,
        Objective::Throughput => Some(drain_s()),
    }
}

/// By how much the worst limit is missed, as a share of it; 0 where all are met.
pub(crate) fn violation(slo: &Slo, prediction: &Prediction) -> f64 {
    let over = |limit: Option<std::time::Duration>, predicted: f64| {
        limit.map_or(0.0, |limit| predicted / limit.as_secs_f64().max(1e-9) - 1.0)
    };
    let upper = &prediction.upper;
    over(slo.ttft, upper.ttft_s).max(over(slo.tpot, upper.tpot_s)).max(over(slo.e2e, upper.e2e_s)).max(0.0)
}

/// Cost and energy do not see waiting: without a latency limit they would queue everything on the cheapest engine
/// for ever. A candidate with no free slot is therefore behind by its wait, as a share of its service time.
pub(crate) fn saturation(objective: Objective, terms: &Terms, s: &Situation) -> f64 {
    match objective {
        Objective::Latency | Objective::Throughput => 0.0,
        Objective::Cost | Objective::Energy => {
            let service = terms.ttft_ms() - terms.slot_wait + s.output_tokens * terms.tpot_ms();
            terms.slot_wait / service
        }
    }
}

/// Whether a route has any limit.
pub(crate) fn has_limits(slo: &Slo) -> bool {
    slo.ttft.or(slo.tpot).or(slo.e2e).is_some()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::decision::Upper;

    fn prediction(ttft_s: f64, tpot_s: f64, e2e_s: f64) -> Prediction {
        Prediction {
            ttft_s,
            tpot_s,
            e2e_s,
            cost_usd: None,
            energy_j: None,
            prior_ttft_s: ttft_s,
            prior_tpot_s: tpot_s,
            concurrency: 1.0,
            upper: Upper { ttft_s, tpot_s, e2e_s },
            learned: None,
        }
    }

    #[test]
    fn the_worst_limit_counts() {
        let slo =
            Slo { ttft: Some(Duration::from_secs(1)), tpot: Some(Duration::from_millis(20)), e2e: None };
        assert_eq!(violation(&slo, &prediction(0.99, 0.019, 99.0)), 0.0);
        assert!((violation(&slo, &prediction(1.0, 0.04, 99.0)) - 1.0).abs() < 1e-9);
        assert_eq!(violation(&Slo::default(), &prediction(9.0, 9.0, 9.0)), 0.0);
    }

    #[test]
    fn an_impossible_limit_is_no_nan() {
        let slo = Slo { ttft: Some(Duration::ZERO), ..Slo::default() };
        assert!(violation(&slo, &prediction(1.0, 1.0, 1.0)).is_finite());
    }

    #[test]
    fn what_is_not_known_has_no_score() {
        assert_eq!(score(Objective::Cost, &prediction(1.0, 0.1, 2.0), 0.5, || 3.0), None);
        assert_eq!(score(Objective::Latency, &prediction(1.0, 0.1, 2.0), 0.5, || 3.0), Some(2.5));
        assert_eq!(score(Objective::Throughput, &prediction(1.0, 0.1, 2.0), 0.5, || 3.0), Some(3.0));
    }
}
