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
//! The pace at which software gets faster is not fitted with the rest, see [`Pace`].
//!
//! There are two fits ([`Priors`]): one that ranks, and one that holds the level, with the weights the other way round.
//! What fits best between the actions of a context is off by much more in how long they all take.

mod design;
mod pace;
mod solve;

pub use design::{PARAMETERS, Parts, parts};
use gearshift_selector::PriorFactors;
pub use pace::{PACES, Pace};

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
    /// The multiplier per three months of software age.
    pub pace: Pace,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            soft_l1: 0.1,
            absolute: 0.15,
            ridge: 0.3,
            ridge_prefill: 3.0,
            ridge_multipliers: 3.0,
            pace: Pace::Chosen,
        }
    }
}

impl FitOptions {
    /// For the level: the residuals themselves count twenty times as much, and wild ones more.
    pub fn level() -> Self {
        Self { soft_l1: 0.3, absolute: 3.0, pace: Pace::Fitted, ..Self::default() }
    }
}

/// The prior twice.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Priors {
    /// What compares candidates, and what a learner corrects.
    pub ranking: PriorFactors,
    /// The mean of its estimates over candidates that are compared is how long they take. Not for comparing them.
    pub level: PriorFactors,
}

impl Priors {
    /// Both fits to the same samples.
    pub fn fit(dataset: &Dataset) -> Self {
        Self { ranking: fit(dataset, &FitOptions::default()), level: fit(dataset, &FitOptions::level()) }
    }
}

/// The factors that fit `dataset` best; those of [`defaults`] where it is empty. Deterministic.
pub fn fit(dataset: &Dataset, options: &FitOptions) -> PriorFactors {
    let lines = solve::lines(dataset);
    let pace = match options.pace {
        Pace::Chosen => Pace::Held(pace::choose(dataset, &lines, options)),
        pace @ (Pace::Held(_) | Pace::Fitted) => pace,
    };
    let options = FitOptions { pace, ..*options };
    let problem = solve::Problem::new(lines.iter().map(Vec::as_slice), &options);
    design::factors(&problem.solve(solve::start(&options)))
}

/// What the factors are taken for before anything was measured.
pub fn defaults(options: &FitOptions) -> PriorFactors {
    design::factors(&solve::start(options))
}

#[cfg(test)]
mod silicon;
#[cfg(test)]
mod tests;
