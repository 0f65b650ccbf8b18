//! How fast software gets faster: held, fitted, or chosen by model families left out.

use std::collections::BTreeSet;

use super::{
    FitOptions,
    solve::{Line, Problem, start},
};
use crate::{
    dataset::{Context, Dataset},
    score::{self, Objective},
};

/// The multiplier per three months of software age, natural log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Held at this.
    Held(f64),
    /// Fitted with the other factors.
    Fitted,
    /// Of [`PACES`] the one with the least regret on model families that the other factors were not fitted to. Few
    /// pairs of model and accelerator were measured at different ages: fitted with the rest, even its sign depends on
    /// which of them are there.
    Chosen,
}

/// What is chosen from; of equals the first.
pub const PACES: [f64; 5] = [-0.15, -0.10, -0.20, -0.05, -0.30];

/// Software whose ages differ by less, in quarters, is of one age.
const ONE_AGE: f64 = 1e-6;

impl Pace {
    /// Where the fit begins.
    pub(super) fn start(self) -> f64 {
        match self {
            Self::Held(pace) => pace,
            Self::Fitted => 0.0,
            Self::Chosen => PACES[0],
        }
    }
}

/// The best of [`PACES`] for families left out, each in turn; the first where there is nothing to tell them by.
pub(super) fn choose(dataset: &Dataset, lines: &[Vec<Line>], options: &FitOptions) -> f64 {
    let families: BTreeSet<&str> = dataset.contexts.iter().map(|context| context.family.as_str()).collect();
    let of_one_age =
        |lines: &Vec<Line>| lines.windows(2).all(|pair| pair[0].quarters_from(&pair[1]) < ONE_AGE);
    if families.len() < 2 || lines.iter().all(of_one_age) {
        return PACES[0];
    }
    let regret = |pace: f64| {
        let held = FitOptions { pace: Pace::Held(pace), ..*options };
        let regrets = families.iter().map(|family| left_out(dataset, lines, &held, family));
        regrets.sum::<f64>()
    };
    let best = PACES
        .map(|pace| (pace, regret(pace)))
        .into_iter()
        .reduce(|best, next| if next.1 < best.1 { next } else { best });
    best.map_or(PACES[0], |(pace, _)| pace)
}

/// Regret in latency and in cost, summed over a family's contexts, by a fit to the others.
fn left_out(dataset: &Dataset, lines: &[Vec<Line>], options: &FitOptions, family: &str) -> f64 {
    let of = |own: bool| {
        let is_own = move |(context, _): &(&Context, &Vec<Line>)| (context.family == family) == own;
        dataset.contexts.iter().zip(lines).filter(is_own).map(|(_, lines)| lines.as_slice())
    };
    let parameters = Problem::new(of(false), options).solve(start(options));
    let foretold: Vec<f64> = of(true).flatten().map(|line| line.foretell(&parameters)).collect();
    let test = dataset.of_contexts(|context| context.family == family);
    let regret = |objective: Objective| {
        let scored = test.samples.iter().zip(&foretold);
        let scores: Vec<f64> = scored.map(|(sample, ln)| objective.ln(sample, *ln)).collect();
        score::regrets(&test, &scores, objective).iter().sum::<f64>()
    };
    regret(Objective::Latency) + regret(Objective::Cost)
}
