//! Measurements as rows of the performance database.

use gearshift_perfdb::{Facts, Grain, Load, Observation, Outcome, Source, Workload};
use gearshift_selector::{EngineKind, Situation, Software};

use super::{
    agreement::Agreement,
    kept::{Answered, Cell},
    plan::Plan,
};
use crate::{
    Error,
    report::{mean, quantile},
};

/// One row for each measurement.
///
/// # Errors
/// Where the numbers of a model or of the hardware cannot be read.
pub(super) fn rows(plan: &Plan, cells: &[Cell], agreements: &[Agreement]) -> Result<Vec<Observation>, Error> {
    cells
        .iter()
        .map(|cell| {
            let of = |agreement: &&Agreement| {
                agreement.model == cell.key.model && agreement.profile == cell.key.profile
            };
            row(plan, cell, agreements.iter().find(of).and_then(Agreement::share_alone))
        })
        .collect()
}

fn row(plan: &Plan, cell: &Cell, agreement: Option<f64>) -> Result<Observation, Error> {
    let Plan { dataset, hardware, .. } = plan;
    let key = &cell.key;
    let workload = workload(plan, cell)?;
    let situation = Situation::closed_loop(
        workload.concurrency,
        workload.prompt_tokens,
        workload.cached_tokens,
        workload.output_tokens,
    );
    Ok(Observation {
        source: Source::Measured,
        grain: Grain::Window,
        dataset: dataset.clone(),
        provenance: format!("gearshift-loadtest collect: {}", key.name()),
        context: format!(
            "{}|{}x{}|{}|{}",
            key.model,
            hardware.name,
            hardware.count.unwrap_or(1),
            key.workload,
            key.concurrency
        ),
        action: key.profile.clone(),
        repeat: key.repeat,
        at_unix_s: Some(cell.at_unix_s),
        facts: facts(plan, cell)?,
        workload,
        load: Load {
            sequences: situation.load.sequences,
            decoding: situation.load.decoding,
            prefill_tokens: situation.load.prefill_tokens,
            decode_tokens: situation.load.decode_tokens,
            context_tokens: situation.load.context_tokens,
            full_at: None,
            age_s: None,
        },
        outcome: Outcome { agreement, ..outcome(cell) },
        live: None,
    })
}

fn facts(plan: &Plan, cell: &Cell) -> Result<Facts, Error> {
    let key = &cell.key;
    let missing = || Error::Failed(format!("the plan lacks {}", key.name()));
    let model = plan.models.get(&key.model).ok_or_else(missing)?;
    let profile = plan.profiles.get(&key.profile).ok_or_else(missing)?;
    Ok(Facts {
        model: key.model.clone(),
        family: model.family.clone().unwrap_or_else(|| key.model.clone()),
        model_facts: model.facts()?,
        hardware: plan.hardware.name.clone(),
        hardware_facts: plan.hardware.facts()?,
        count: plan.hardware.count.unwrap_or(1),
        knobs: plan.knobs_of(profile).or(&profile.resolved),
        lossless: plan.declared_lossless(profile),
        software: Software { engine: EngineKind::Vllm, months: plan.engine.months },
        engine_version: Some(cell.version.clone()),
        kv_tokens: cell.kv_tokens,
    })
}

fn workload(plan: &Plan, cell: &Cell) -> Result<Workload, Error> {
    let key = &cell.key;
    let missing = || Error::Failed(format!("the plan lacks {}", key.name()));
    let made = plan.workloads.get(&key.workload).ok_or_else(missing)?;
    let profile = plan.profiles.get(&key.profile).ok_or_else(missing)?;
    let caches = plan.knobs_of(profile).or(&profile.resolved).prefix_caching != Some(false);
    let prompts: Vec<f64> = cell.prompt_tokens.iter().copied().map(f64::from).collect();
    let cached: Vec<f64> = cell.predicted_cached.iter().map(|&tokens| tokens as f64).collect();
    let outputs: Vec<f64> = cell.answers.iter().map(|answer| answer.tokens.len() as f64).collect();
    Ok(Workload {
        name: key.workload.clone(),
        description: made.description.clone(),
        prompt_tokens: mean(&prompts),
        cached_tokens: if caches { mean(&cached) } else { 0.0 },
        output_tokens: mean(&outputs),
        concurrency: f64::from(key.concurrency),
        prompt_spread: spread(&prompts),
        output_spread: spread(&outputs),
    })
}

/// What a cell's answers come to. The time per token is that of all tokens together, so that with the time to the first
/// one it makes up the whole.
pub(super) fn outcome(cell: &Cell) -> Outcome {
    let of_all = |value: fn(&Answered) -> f64| cell.answers.iter().map(value).collect::<Vec<f64>>();
    let later = |answer: &Answered| answer.tokens.len().saturating_sub(1) as f64;
    let decoding = |answer: &Answered| answer.e2e_s - answer.ttft_s;
    let paces: Vec<f64> = cell.answers.iter().map(|answer| decoding(answer) / later(answer)).collect();
    let ttft = of_all(|answer| answer.ttft_s);
    let tokens: f64 = of_all(|answer| answer.tokens.len() as f64).iter().sum();
    let (all_later, all_decoding) =
        (cell.answers.iter().map(later).sum::<f64>(), cell.answers.iter().map(decoding).sum::<f64>());
    Outcome {
        requests: u32::try_from(cell.answers.len()).unwrap_or(u32::MAX) + cell.failed,
        failed: cell.failed,
        ttft_s: known(mean(&ttft)),
        ttft_p90_s: known(quantile(&ttft, 0.9)),
        tpot_s: known(all_decoding / all_later),
        tpot_p90_s: known(quantile(&paces, 0.9)),
        e2e_s: known(mean(&of_all(|answer| answer.e2e_s))),
        output_tokens_per_s: known(tokens / cell.wall_s),
        cached_tokens: known(cell.prefix_hits as f64 / cell.prompt_tokens.len() as f64),
        ..Outcome::default()
    }
}

fn known(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// Standard deviation over mean.
fn spread(values: &[f64]) -> f64 {
    let mean_value = mean(values);
    let squares: Vec<f64> = values.iter().map(|value| (value - mean_value).powi(2)).collect();
    if mean_value > 0.0 { mean(&squares).sqrt() / mean_value } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::kept::Key;

    fn answered(request: usize, ttft_s: f64, e2e_s: f64, tokens: usize) -> Answered {
        Answered { request, ttft_s, e2e_s, tokens: vec![5; tokens] }
    }

    #[test]
    fn first_token_and_pace_make_up_the_whole() {
        let cell = Cell {
            key: Key { repeat: 1, ..Key::default() },
            prompt_tokens: vec![10, 30],
            answers: vec![answered(0, 0.1, 0.5, 5), answered(1, 0.3, 1.7, 11)],
            failed: 1,
            wall_s: 2.0,
            prefix_hits: 16,
            ..Cell::default()
        };
        let Outcome { ttft_s, tpot_s, e2e_s, output_tokens_per_s, cached_tokens, requests, .. } =
            outcome(&cell);
        let (ttft, tpot, e2e) = (ttft_s.unwrap(), tpot_s.unwrap(), e2e_s.unwrap());
        assert!((ttft + (8.0 - 1.0) * tpot - e2e).abs() < 1e-12);
        assert_eq!((requests, output_tokens_per_s, cached_tokens), (3, Some(8.0), Some(8.0)));
        assert!((spread(&[1.0, 3.0]) - 0.5).abs() < 1e-12);
        assert_eq!(outcome(&Cell::default()).tpot_s, None);
    }
}
