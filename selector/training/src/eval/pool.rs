//! The choices of one or more parts, judged.

use std::collections::BTreeMap;

use super::{
    limits::Limits,
    outcome::{MARGINS, Outcome, questions},
    profiles,
};
use crate::{
    baselines::Target,
    dataset::{Dataset, Sample},
};

/// What was asked once: a context, or a case under a limit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    /// What is drawn as one by the bootstrap.
    pub unit: String,
    /// Model and hardware.
    pub cluster: String,
    /// Worst over best, natural log.
    pub at_stake: f64,
    /// The all-off profile over the best, natural log, where it is among the actions.
    pub all_off: Option<f64>,
    /// vLLM's defaults over the best, natural log, where they are among the actions.
    pub defaults: Option<f64>,
}

/// How one choice turned out, averaged over seeds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Mark {
    /// Chosen over best, natural log.
    pub regret: f64,
    /// Whether it is the best.
    pub best: f64,
    /// Whether it is within 2 % of it.
    pub near: f64,
    /// Whether it breaks the limit.
    pub violated: f64,
    /// How unsure the selector was.
    pub spread: Option<f64>,
}

/// Items of an objective, and every selector's marks.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Pool {
    /// What was asked.
    pub items: Vec<Item>,
    /// By selector: a mark for every item.
    pub marks: BTreeMap<String, Vec<Mark>>,
    /// By selector: median errors of its times, one a part, with the samples that each is over.
    pub time_errors: BTreeMap<String, Vec<(f64, usize)>>,
}

/// 2 %.
const NEAR: f64 = 0.019_802_627_296_179_73;
/// What rounding may do to equal values.
const EQUAL: f64 = 1e-9;

/// What was chosen in one part: by selector, by seed.
pub(super) type Chosen = BTreeMap<String, Vec<Outcome>>;

impl Pool {
    /// Judges the choices of one part for a target.
    pub(super) fn of_target(dataset: &Dataset, target: Target, chosen: &Chosen) -> Self {
        let questions = questions(dataset, target);
        let value = |at: usize| target.ln(&dataset.samples[at]).unwrap_or(f64::INFINITY);
        let least = |samples: &[usize]| samples.iter().map(|&at| value(at)).fold(f64::INFINITY, f64::min);
        let bests: Vec<f64> = questions.iter().map(|(_, samples)| least(samples)).collect();
        let item = |((context, samples), best): (&(usize, Vec<usize>), &f64)| {
            let of = |is: fn(&Sample) -> bool| {
                samples.iter().find(|&&at| is(&dataset.samples[at])).map(|&at| value(at) - best)
            };
            let worst = samples.iter().map(|&at| value(at)).fold(f64::NEG_INFINITY, f64::max);
            let context = &dataset.contexts[*context];
            Item {
                unit: context.name.clone(),
                cluster: cluster(dataset, samples),
                at_stake: worst - best,
                all_off: of(profiles::is_all_off),
                defaults: of(profiles::is_defaults),
            }
        };
        let items = questions.iter().zip(&bests).map(item).collect();
        let marks = |outcome: &Outcome| {
            let choices = outcome.choices.get(&target)?;
            let spread = outcome.spreads.as_ref().filter(|_| target == Target::Latency);
            let mark = |(at, (&choice, best)): (usize, (&usize, &f64))| {
                let regret = value(choice) - best;
                Mark { spread: spread.map(|spread| spread[at]), ..Mark::of(regret, false) }
            };
            (choices.len() == bests.len())
                .then(|| choices.iter().zip(&bests).enumerate().map(mark).collect::<Vec<Mark>>())
        };
        Self::averaged(items, dataset.samples.len(), chosen, marks)
    }

    /// Judges the choices of one part under limits, with one of [`MARGINS`].
    pub(super) fn of_limits(dataset: &Dataset, limits: &Limits, margin: usize, chosen: &Chosen) -> Self {
        let name = MARGINS[margin].0;
        let item = |case: &super::limits::Case| {
            let samples = &limits.groups[case.group];
            let first = samples.first().map(|&at| dataset.samples[at].row.context.clone());
            Item {
                unit: first.unwrap_or_default(),
                cluster: cluster(dataset, samples),
                at_stake: f64::INFINITY,
                all_off: None,
                defaults: None,
            }
        };
        let items = limits.cases.iter().map(item).collect();
        let marks = |outcome: &Outcome| {
            let choices = outcome.limits.get(name).filter(|choices| choices.len() == limits.cases.len())?;
            let judged = limits.cases.iter().zip(choices).map(|(case, &choice)| {
                let verdict = limits.judge(case, dataset, choice);
                Mark::of(verdict.regret, verdict.violated)
            });
            Some(judged.collect())
        };
        Self::averaged(items, dataset.samples.len(), chosen, marks)
    }

    fn averaged(
        items: Vec<Item>,
        samples: usize,
        chosen: &Chosen,
        marks: impl Fn(&Outcome) -> Option<Vec<Mark>>,
    ) -> Self {
        let mut pool = Self { items, ..Self::default() };
        for (selector, outcomes) in chosen {
            let by_seed: Option<Vec<Vec<Mark>>> = outcomes.iter().map(&marks).collect();
            let Some(by_seed) = by_seed.filter(|seeds| !seeds.is_empty()) else { continue };
            let mean = |at: usize| Mark::mean(by_seed.iter().map(|seed| seed[at]));
            pool.marks.insert(selector.clone(), (0..pool.items.len()).map(mean).collect());
            let errors = outcomes.iter().filter_map(|outcome| Some((outcome.time_error?, samples)));
            pool.time_errors.insert(selector.clone(), errors.collect());
        }
        pool
    }

    /// Adds the items of another part; a selector that is missing in one of both goes.
    pub(super) fn join(&mut self, other: Self) {
        if self.items.is_empty() {
            *self = other;
            return;
        }
        if other.items.is_empty() {
            return;
        }
        self.items.extend(other.items);
        self.marks.retain(|selector, _| other.marks.contains_key(selector));
        for (selector, marks) in other.marks {
            if let Some(mine) = self.marks.get_mut(&selector) {
                mine.extend(marks);
            }
        }
        for (selector, errors) in other.time_errors {
            self.time_errors.entry(selector).or_default().extend(errors);
        }
    }
}

impl Mark {
    fn of(regret: f64, violated: bool) -> Self {
        let met = f64::from(!violated);
        Self {
            regret,
            best: met * f64::from(regret < EQUAL),
            near: met * f64::from(regret < NEAR),
            violated: f64::from(violated),
            spread: None,
        }
    }

    fn mean(marks: impl Iterator<Item = Self>) -> Self {
        let (mut sum, mut count) = (Self::default(), 0.0);
        for mark in marks {
            sum.regret += mark.regret;
            sum.best += mark.best;
            sum.near += mark.near;
            sum.violated += mark.violated;
            sum.spread = mark.spread.map(|spread| sum.spread.unwrap_or(0.0) + spread);
            count += 1.0;
        }
        Self {
            regret: sum.regret / count,
            best: sum.best / count,
            near: sum.near / count,
            violated: sum.violated / count,
            spread: sum.spread.map(|spread| spread / count),
        }
    }
}

fn cluster(dataset: &Dataset, samples: &[usize]) -> String {
    let first = samples.first().map(|&at| &dataset.samples[at].row.facts);
    first.map_or_else(String::new, |facts| format!("{} on {}", facts.model, facts.hardware))
}
