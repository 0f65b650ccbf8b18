//! Fits the roofline prior's factors to samples: what a fold's prior is made with.
//!
//! End to end time is linear in the eleven term factors, and each multiplier stands in its exponent: both are read off
//! the prior itself by probing (`design.rs`), so the fit is of the prior that serves. What is minimised, as soft-L1
//! (`solve.rs`):
//!
//! - residuals ln(prior) − ln(measured), less their mean over the context, each context with the weight of √actions:
//!   what choosing between actions needs;
//! - the residuals as they are, with a small weight: what holds the level;
//! - ridges that hold the factors near physical defaults where the samples say little.
//!
//! The pace at which software gets faster is held, not fitted: few model × accelerator pairs were measured at
//! different ages, and with one of them left out its sign is not certain.

mod design;
mod solve;

pub use design::{PARAMETERS, Parts, parts};
use gearshift_selector::PriorFactors;

use crate::dataset::Dataset;

/// How the factors are fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitOptions {
    /// Residual, natural log, from which soft-L1 counts an error in proportion instead of squared.
    pub soft_l1: f64,
    /// Weight of a residual itself beside its difference from the context's mean.
    pub absolute: f64,
    /// Ridge on the natural logs of the term factors.
    pub ridge: f64,
    /// The same on those of prefill's linear layers and attention. The measured prompts are too short to tell them
    /// apart, and what is put down to attention grows with the square of longer ones.
    pub ridge_prefill: f64,
    /// Ridge on the multipliers, natural logs.
    pub ridge_multipliers: f64,
    /// The multiplier per three months of software age, held at this; fitted where `None`.
    pub ln_quarter: Option<f64>,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            soft_l1: 0.1,
            absolute: 0.15,
            ridge: 0.3,
            ridge_prefill: 3.0,
            ridge_multipliers: 3.0,
            ln_quarter: Some(-0.15),
        }
    }
}

/// The factors that fit `dataset` best; those of [`defaults`] where it is empty. Deterministic.
pub fn fit(dataset: &Dataset, options: &FitOptions) -> PriorFactors {
    let problem = solve::Problem::new(dataset, options);
    design::factors(&problem.solve())
}

/// What the factors are taken for before anything was measured.
pub fn defaults(options: &FitOptions) -> PriorFactors {
    design::factors(&solve::start(options))
}

#[cfg(test)]
mod silicon;
#[cfg(test)]
mod tests;
