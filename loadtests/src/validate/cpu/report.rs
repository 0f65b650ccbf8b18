//! What the comparison with real vLLM comes to.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    compare::{Compared, Metric, Order},
    fit::{Refitted, fit, refitted},
    outcome::{Machine, Measurement},
    plan::{self, Profile},
    simulate::{Fitted, simulate},
};
use crate::{Error, report::median};

/// The simulated engine against real vLLM on a CPU.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CpuReport {
    /// What was measured on.
    pub machine: Machine,
    /// The fit.
    pub fitted: Fitted,
    /// What the fit makes of its own probes.
    pub probes: Vec<Refitted>,
    /// Profile by profile.
    pub profiles: Vec<Compared>,
    /// Whether profiles stand in the same order, by metric.
    pub order: Vec<Order>,
    /// What is held against targets.
    pub targets: CpuTargets,
}

/// The figures that have targets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CpuTargets {
    /// Share of pairs of profiles, over all metrics, that measured more than 10 % apart and stand in the same order in the
    /// simulation.
    pub order: f64,
    /// Median over profiles of the error of the median time per output token.
    pub tpot_error: f64,
    /// Median over profiles of the error of the median time to first token.
    pub ttft_error: f64,
}

impl CpuTargets {
    /// Order at least, errors at most.
    pub const LIMITS: Self = Self { order: 0.9, tpot_error: 0.15, ttft_error: 0.30 };
}

impl CpuReport {
    /// Fits to the measurement's probes and simulates its profiles.
    ///
    /// # Errors
    /// Where the measurement is not of this plan, or a profile cannot be simulated.
    pub fn new(measurement: &Measurement) -> Result<Self, Error> {
        if measurement.plan != plan::fingerprint() {
            return Err(Error::Failed("the measurement was made under another plan: measure anew".into()));
        }
        let fitted = fit(measurement)?;
        let cores = measurement.machine.working_cores();
        let mut profiles = Vec::new();
        for profile in Profile::grid() {
            if let Some(measured) = measurement.profiles.get(&profile.name()) {
                profiles.push(Compared::new(profile, measured, &simulate(profile, cores, &fitted)?));
            }
        }
        let order: Vec<Order> = Metric::ALL.map(|metric| Order::new(metric, &profiles)).into();
        let targets = CpuTargets {
            order: share(&order),
            tpot_error: median_error(&profiles, Metric::TpotMedian),
            ttft_error: median_error(&profiles, Metric::TtftMedian),
        };
        Ok(Self {
            machine: measurement.machine.clone(),
            fitted,
            probes: refitted(measurement, &fitted)?,
            profiles,
            order,
            targets,
        })
    }
}

impl CpuReport {
    /// Median error of the fit on its own probes, by kind, with its sign.
    pub fn residuals(&self) -> BTreeMap<&'static str, f64> {
        let mut kinds: BTreeMap<_, Vec<f64>> = BTreeMap::new();
        for probe in &self.probes {
            kinds.entry(probe.kind()).or_default().push(probe.error());
        }
        kinds.into_iter().map(|(kind, errors)| (kind, median(&errors))).collect()
    }
}

fn share(order: &[Order]) -> f64 {
    let sum = |of: fn(&Order) -> usize| order.iter().map(of).sum::<usize>() as f64;
    sum(|order| order.agree) / sum(|order| order.pairs)
}

fn median_error(profiles: &[Compared], metric: Metric) -> f64 {
    let errors = profiles.iter().filter_map(|profile| Some(profile.figure(metric)?.error()));
    median(&errors.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures that the README and the targets are held against; whoever changes the engine, the fit or the
    /// measurement sees here what becomes of them.
    #[test]
    fn the_measurement_shipped_gives_the_figures_quoted() {
        let report = CpuReport::new(&Measurement::shipped().unwrap()).unwrap();
        let CpuTargets { order, tpot_error, ttft_error } = report.targets;
        assert_eq!(report.profiles.len(), Profile::grid().count());
        assert!(order >= 0.95, "order of profiles: {order:.3}");
        assert!((tpot_error - 0.126).abs() < 0.015, "TPOT: {tpot_error:.3}");
        assert!((ttft_error - 0.082).abs() < 0.015, "TTFT: {ttft_error:.3}");
        for profile in report.profiles {
            assert_eq!(profile.prefix_hits.0, profile.prefix_hits.1, "{}", profile.profile);
            assert_eq!(profile.preemptions.0, profile.preemptions.1, "{}", profile.profile);
        }
    }
}
