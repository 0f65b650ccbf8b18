//! Rows of grain `window`: every action of a context in a closed loop, with the same requests.

use std::sync::Arc;

use gearshift_perfdb::{Grain, Load, Observation, Outcome, Workload};

use super::{
    Labels,
    grid::{FactorMode, Grid},
    plan::Context,
    row::{Told, coarse, description, load, row},
    site::engine,
};
use crate::{
    report::{mean, quantile},
    sim::{Moment, SpecError, StepModel},
    study::{ClosedLoop, Member, Trip, Watched, Window, closed_loop},
    workload::{Class, Workload as Requests, WorkloadError, WorkloadSpec},
};

/// Prompts to different models share nothing; one context has one.
const SALT: u64 = 1;
/// Answers from this many tokens on have a time per token of their own.
const MEASURABLE: u32 = 8;

/// Rows of one context; an action whose engine cannot be has none.
pub(super) fn rows(
    grid: &Grid,
    factors: FactorMode,
    context: &Context,
    labels: &Labels,
) -> Result<Vec<Observation>, WorkloadError> {
    let shape = shape(grid, context.concurrency);
    let trips = trips(grid, context, shape)?;
    let seed = grid.seed_of(&context.name);
    let mut rows = Vec::new();
    for action in &context.actions {
        let spec = engine(&context.site, action.count, &context.model, &action.knobs, factors);
        let front_s = StepModel::new(&spec).front_s();
        let run: Result<Window, SpecError> = closed_loop(&Member::honest(spec), &trips, shape, seed);
        // Too large with these knobs, or knobs that vLLM refuses.
        let Ok(window) = run else { continue };
        if window.requests.len() * 2 < shape.counted {
            continue;
        }
        let told = Told {
            grain: Grain::Window,
            dataset: Arc::clone(&labels.dataset),
            provenance: Arc::clone(&labels.provenance),
            context: context.name.clone(),
            workload: workload(context.class, f64::from(context.concurrency), &window.requests),
            load: mean_load(&window.requests),
            outcome: outcome(&window, front_s),
        };
        rows.push(row(&context.site, &context.model, action, window.kv_tokens, told));
    }
    Ok(rows)
}

fn shape(grid: &Grid, concurrency: u32) -> ClosedLoop {
    let concurrency = usize::try_from(concurrency).unwrap_or(1);
    let shape = grid.window;
    ClosedLoop {
        concurrency,
        warm_up: (concurrency * shape.warm_up_per_place).max(shape.warm_up_least),
        counted: (concurrency * shape.counted_per_place).max(shape.counted_least),
    }
}

/// The context's requests. How turns of sessions interleave goes by rate: as if each place ended one in four seconds.
fn trips(grid: &Grid, context: &Context, shape: ClosedLoop) -> Result<Vec<Arc<Trip>>, WorkloadError> {
    let count = shape.warm_up + shape.counted + 4 * shape.concurrency + 64;
    let rate = (f64::from(context.concurrency) / 4.0).max(0.5);
    let block = crate::scenario::block_tokens(&context.site.facts);
    let requests = requests(context.class)?
        .within_context(grid.context_tokens)
        .at_rate(rate)
        .limited(count as u64)
        .requests(grid.seed_of(&format!("{} requests", context.name)));
    Ok(requests.map(|one| Arc::new(Trip::new(&one, Moment(0).after(one.at), &[block], SALT))).collect())
}

pub(super) fn requests(class: Class) -> Result<Requests, WorkloadError> {
    let unknown = || WorkloadError::Unknown { name: class.name().to_owned() };
    WorkloadSpec::named(class.name()).ok_or_else(unknown)?.build()
}

fn workload(class: Class, concurrency: f64, requests: &[Watched]) -> Workload {
    let of = |value: fn(&Watched) -> f64| requests.iter().map(value).collect::<Vec<f64>>();
    let prompts = of(|one| f64::from(one.trip.prompt_tokens));
    let outputs = of(|one| f64::from(one.trip.output_tokens));
    Workload {
        name: class.name().to_owned(),
        description: description(class).to_owned(),
        prompt_tokens: coarse(mean(&prompts)),
        cached_tokens: coarse(mean(&of(|one| one.situation.cached_tokens)).min(mean(&prompts) - 1.0)),
        output_tokens: coarse(mean(&outputs)),
        concurrency,
        prompt_spread: coarse(spread(&prompts)),
        output_spread: coarse(spread(&outputs)),
    }
}

/// Standard deviation over mean.
fn spread(values: &[f64]) -> f64 {
    let mean_value = mean(values);
    let squares: Vec<f64> = values.iter().map(|value| (value - mean_value).powi(2)).collect();
    mean(&squares).sqrt() / mean_value
}

/// The router's ledger, on average over the moments of choice. Full where it was full at most of them.
fn mean_load(requests: &[Watched]) -> Load {
    let of = |value: fn(&Load) -> f64| {
        coarse(mean(&requests.iter().map(|one| value(&load(&one.situation, None))).collect::<Vec<_>>()))
    };
    let full: Vec<f64> = requests.iter().filter_map(|one| one.situation.load.full_at).collect();
    Load {
        sequences: of(|load| load.sequences),
        decoding: of(|load| load.decoding),
        prefill_tokens: of(|load| load.prefill_tokens),
        decode_tokens: of(|load| load.decode_tokens),
        context_tokens: of(|load| load.context_tokens),
        full_at: (full.len() * 2 > requests.len()).then(|| coarse(mean(&full))),
        age_s: None,
    }
}

fn outcome(window: &Window, front_s: f64) -> Outcome {
    let requests = &window.requests;
    let of = |value: fn(&Watched) -> f64| requests.iter().map(value).collect::<Vec<f64>>();
    let (ttft, e2e) = (of(|one| one.ttft_s), of(|one| one.e2e_s));
    // Over all tokens, so that first token and tokens add up to the whole answer.
    let after: f64 = of(|one| f64::from(one.trip.output_tokens.saturating_sub(1))).iter().sum();
    let decoding: f64 = of(|one| one.e2e_s - one.ttft_s).iter().sum();
    let measurable = requests.iter().filter(|one| one.trip.output_tokens >= MEASURABLE);
    let each: Vec<f64> =
        measurable.map(|one| (one.e2e_s - one.ttft_s) / f64::from(one.trip.output_tokens - 1)).collect();
    Outcome {
        requests: u32::try_from(requests.len()).unwrap_or(u32::MAX),
        failed: 0,
        ttft_s: Some(coarse(front_s + mean(&ttft))),
        ttft_p90_s: Some(coarse(front_s + quantile(&ttft, 0.9))),
        tpot_s: (after > 0.0).then(|| coarse(decoding / after)),
        tpot_p90_s: (!each.is_empty()).then(|| coarse(quantile(&each, 0.9))),
        e2e_s: Some(coarse(front_s + mean(&e2e))),
        output_tokens_per_s: Some(coarse(window.output_tokens_per_s)),
        joules_per_token: Some(coarse(window.joules_per_token)),
        cached_tokens: Some(coarse(mean(&of(|one| f64::from(one.cached_tokens))))),
        agreement: None,
        reference_e2e_s: None,
        reference_tpot_s: None,
    }
}
