//! Which profile is best where, and how sure that is.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{kept::Cell, plan::Plan, rows::outcome};
use crate::report::{mean, quantile};

/// One workload on one model, in all profiles.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Context {
    /// The model.
    pub model: String,
    /// The workload.
    pub workload: String,
    /// Requests in flight.
    pub concurrency: u32,
    /// Requests of a repeat.
    pub requests: usize,
    /// Mean tokens of a prompt.
    pub prompt_tokens: f64,
    /// Mean tokens of an answer.
    pub output_tokens: f64,
    /// The profiles, in the plan's order.
    pub profiles: Vec<Measured>,
    /// The fastest: whose requests take least time in the mean.
    pub best: Option<Best>,
}

/// A profile under a workload. Seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// The profile.
    pub profile: String,
    /// Mean time of a request end to end, by repeat.
    pub e2e_s: Vec<f64>,
    /// Mean time to the first token.
    pub ttft_s: f64,
    /// Time per output token after the first.
    pub tpot_s: f64,
    /// Output tokens a second of the whole engine.
    pub output_tokens_per_s: f64,
    /// Share of prompt tokens that the prefix cache had.
    pub cached_share: f64,
    /// Requests that failed.
    pub failed: u32,
    /// How many times as long the reference takes.
    pub over_reference: Option<Gain>,
    /// How many times as long the engine's defaults take.
    pub over_defaults: Option<Gain>,
}

/// A ratio of mean times; the range is over all pairs of repeats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Gain {
    /// Of the means over all repeats.
    pub gain: f64,
    /// Of the least favourable pair.
    pub low: f64,
    /// Of the most favourable one.
    pub high: f64,
}

/// The fastest profile.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Best {
    /// Its name.
    pub profile: String,
    /// Over the reference.
    pub over_reference: Option<Gain>,
    /// Over the engine's defaults.
    pub over_defaults: Option<Gain>,
    /// The gain over the reference of whatever was fastest in one repeat, measured in the others: free of the luck that
    /// chose it.
    pub chosen_on_another_repeat: Option<f64>,
}

/// How much the same measurement differs from time to time: natural logs of ratios of mean times, absolute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Noise {
    /// Between repeats on one engine: median.
    pub repeats_median: f64,
    /// Nine of ten are below.
    pub repeats_p90: f64,
    /// The largest.
    pub repeats_max: f64,
    /// Between the reference's first engine and its last, hours or minutes later: median over workloads.
    pub engines_median: f64,
    /// The largest.
    pub engines_max: f64,
}

/// Mean times by repeat.
type Times = BTreeMap<u32, f64>;

/// All contexts of which there are measurements.
pub(super) fn contexts(plan: &Plan, cells: &[Cell]) -> Vec<Context> {
    let mut all = Vec::new();
    for model in plan.models.keys() {
        for (workload, made) in &plan.workloads {
            for &concurrency in &made.concurrency {
                let of_context: Vec<&Cell> = cells
                    .iter()
                    .filter(|Cell { key, .. }| {
                        key.model == *model && key.workload == *workload && key.concurrency == concurrency
                    })
                    .collect();
                all.extend(context(plan, &of_context));
            }
        }
    }
    all
}

fn context(plan: &Plan, cells: &[&Cell]) -> Option<Context> {
    let first = cells.first()?;
    let times = |profile: &str| -> Times {
        let of_profile = cells.iter().filter(|cell| cell.key.profile == profile);
        of_profile.filter_map(|cell| Some((cell.key.repeat, outcome(cell).e2e_s?))).collect()
    };
    let reference = times(&plan.reference);
    let defaults = plan.defaults.as_ref().map(|profile| times(profile)).unwrap_or_default();
    let mut profiles = Vec::new();
    for profile in plan.profiles.keys() {
        let of_profile: Vec<&Cell> =
            cells.iter().copied().filter(|cell| cell.key.profile == *profile).collect();
        if !of_profile.is_empty() {
            profiles.push(measured(profile, &of_profile, &times(profile), &reference, &defaults));
        }
    }
    let fastest = profiles.iter().min_by(|one, other| mean(&one.e2e_s).total_cmp(&mean(&other.e2e_s)));
    let best = fastest.map(|fastest| Best {
        profile: fastest.profile.clone(),
        over_reference: fastest.over_reference,
        over_defaults: fastest.over_defaults,
        chosen_on_another_repeat: chosen_on_another(plan, &times, &reference),
    });
    let tokens = |count: &dyn Fn(&Cell) -> Vec<f64>| mean(&count(first));
    Some(Context {
        model: first.key.model.clone(),
        workload: first.key.workload.clone(),
        concurrency: first.key.concurrency,
        requests: first.prompt_tokens.len(),
        prompt_tokens: tokens(&|cell| cell.prompt_tokens.iter().copied().map(f64::from).collect()),
        output_tokens: tokens(&|cell| cell.answers.iter().map(|answer| answer.tokens.len() as f64).collect()),
        profiles,
        best,
    })
}

fn measured(profile: &str, cells: &[&Cell], times: &Times, reference: &Times, defaults: &Times) -> Measured {
    let outcomes: Vec<_> = cells.iter().map(|cell| outcome(cell)).collect();
    let mean_of = |value: fn(&gearshift_perfdb::Outcome) -> Option<f64>| {
        mean(&outcomes.iter().filter_map(value).collect::<Vec<f64>>())
    };
    let prompt: u64 = cells.iter().flat_map(|cell| &cell.prompt_tokens).copied().map(u64::from).sum();
    let hits: u64 = cells.iter().map(|cell| cell.prefix_hits).sum();
    Measured {
        profile: profile.to_owned(),
        e2e_s: times.values().copied().collect(),
        ttft_s: mean_of(|outcome| outcome.ttft_s),
        tpot_s: mean_of(|outcome| outcome.tpot_s),
        output_tokens_per_s: mean_of(|outcome| outcome.output_tokens_per_s),
        cached_share: hits as f64 / prompt.max(1) as f64,
        failed: cells.iter().map(|cell| cell.failed).sum(),
        over_reference: gain(times, reference),
        over_defaults: gain(times, defaults),
    }
}

/// How many times as long `other` takes.
fn gain(times: &Times, other: &Times) -> Option<Gain> {
    let ratios: Vec<f64> =
        times.values().flat_map(|time| other.values().map(move |other| other / time)).collect();
    let of_means = mean_time(other) / mean_time(times);
    (!ratios.is_empty()).then(|| Gain {
        gain: of_means,
        low: ratios.iter().copied().fold(f64::INFINITY, f64::min),
        high: ratios.iter().copied().fold(0.0, f64::max),
    })
}

fn mean_time(times: &Times) -> f64 {
    mean(&times.values().copied().collect::<Vec<f64>>())
}

/// Each of the plan's repeats chooses; the others tell what the choice is worth.
fn chosen_on_another(plan: &Plan, times: &impl Fn(&str) -> Times, reference: &Times) -> Option<f64> {
    let mut logs = Vec::new();
    for chooser in 0..plan.repeats {
        let fastest = plan
            .profiles
            .keys()
            .filter_map(|profile| {
                let times = times(profile);
                Some((*times.get(&chooser)?, times))
            })
            .min_by(|one, other| one.0.total_cmp(&other.0));
        let Some((_, times)) = fastest else { continue };
        for (repeat, time) in times.iter().filter(|(repeat, _)| **repeat != chooser) {
            logs.extend(reference.get(repeat).map(|reference| (reference / time).ln()));
        }
    }
    (!logs.is_empty()).then(|| mean(&logs).exp())
}

/// How much a model's repeats differ.
pub(super) fn noise(plan: &Plan, cells: &[Cell], model: &str) -> Noise {
    let mut groups: BTreeMap<_, Times> = BTreeMap::new();
    for cell in cells.iter().filter(|cell| cell.key.model == model) {
        let key = &cell.key;
        let engine = key.repeat / plan.repeats.max(1);
        if let Some(time) = outcome(cell).e2e_s {
            let group = (&key.profile, &key.workload, key.concurrency, engine);
            groups.entry(group).or_default().insert(key.repeat, time);
        }
    }
    let (mut repeats, mut engines) = (Vec::new(), Vec::new());
    for ((profile, workload, concurrency, engine), times) in &groups {
        let values: Vec<f64> = times.values().copied().collect();
        repeats.extend(values.windows(2).map(|pair| (pair[1] / pair[0]).ln().abs()));
        let later = groups.get(&(*profile, *workload, *concurrency, engine + 1));
        engines.extend(later.map(|later| (mean_time(later) / mean_time(times)).ln().abs()));
    }
    let largest = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    let quantile = |values: &[f64], at| if values.is_empty() { 0.0 } else { quantile(values, at) };
    Noise {
        repeats_median: quantile(&repeats, 0.5),
        repeats_p90: quantile(&repeats, 0.9),
        repeats_max: largest(&repeats),
        engines_median: quantile(&engines, 0.5),
        engines_max: largest(&engines),
    }
}
