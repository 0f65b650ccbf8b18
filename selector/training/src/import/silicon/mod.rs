//! `silicon_sample.csv` of AIConfigurator: measured serving of large models on six GPUs by three engines, mended.
//!
//! The table's faults, and what is done about them:
//! - expert parallelism on n accelerators stands as tp n², attention replicas in three ways: sizes are mended;
//! - one measurement stands under two parses with equal figures: it is kept once;
//! - concurrency stands in the notes: it is taken from there, and else from `batch_size`;
//! - many runs have no date: the version's release stands in, else the median of the collection.

mod age;
mod table;

use std::{collections::HashMap, path::Path};

use gearshift_config::{Catalog, HardwareFacts, Knobs, KvCacheDtype, ModelFacts, Quantization};
use gearshift_perfdb::{Facts, Grain, Load, Named, Observation, Outcome, Source, Workload};
use gearshift_selector::{EngineKind, Situation, Software};

use self::table::{Parallel, Run};
use crate::Error;

pub use self::table::Counts;

/// Name of the data set.
pub const DATASET: &str = "silicon";
const PROVENANCE: &str = "silicon_sample.csv of aiconfigurator-core 0.12.0";
/// Budget of a step in the measured runs. Default: vLLM's own on these GPUs at the time.
const STEP_TOKENS: u32 = 8192;
const SECONDS_PER_DAY: i64 = 86_400;

/// Rows of the table at `table`, and what became of those in the file. `estimates` is what tools/aiconfigurator_estimates.py wrote.
///
/// # Errors
/// Where a file cannot be read or lacks a column, or a model or GPU is not in the catalog.
pub fn rows(table: &Path, estimates: Option<&Path>) -> Result<(Vec<Observation>, Counts), Error> {
    let (runs, counts) = table::read(table)?;
    let estimates = estimates.map_or_else(|| Ok(HashMap::new()), read_estimates)?;
    let mut repeats: HashMap<(String, String), u32> = HashMap::new();
    let mut rows = Vec::with_capacity(runs.len());
    for run in &runs {
        let seen = repeats.entry((run.context(), run.action())).or_default();
        rows.push(row(run, *seen, estimates.get(&run.entry.id))?);
        *seen += 1;
    }
    Ok((rows, counts))
}

/// AIConfigurator's own estimate of a row.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
struct Estimate {
    ttft_ms: f64,
    tpot_ms: f64,
}

fn read_estimates(path: &Path) -> Result<HashMap<String, Estimate>, Error> {
    #[derive(serde::Deserialize)]
    struct Line {
        id: String,
        ttft_ms: f64,
        tpot_ms: f64,
    }
    let text = std::fs::read(path).map_err(Error::file(path))?;
    let lines = csv::Reader::from_reader(text.as_slice())
        .into_deserialize::<Line>()
        .map(|line| line.map(|Line { id, ttft_ms, tpot_ms }| (id, Estimate { ttft_ms, tpot_ms })))
        .collect::<Result<_, _>>();
    lines.map_err(|error| Error::Failed(format!("{}: {error}", path.display())))
}

fn row(run: &Run, repeat: u32, estimate: Option<&Estimate>) -> Result<Observation, Error> {
    let (prompt, output) = (run.entry.isl, run.entry.osl);
    let end_to_end_s = |ttft_ms: f64, tpot_ms: f64| (output - 1.0).mul_add(tpot_ms, ttft_ms) / 1e3;
    let load = Situation::closed_loop(run.concurrency.into(), prompt, 0.0, output).load;
    Ok(Observation {
        source: Source::Measured,
        grain: Grain::Window,
        dataset: DATASET.into(),
        provenance: format!("{PROVENANCE}: {}", run.entry.id),
        context: run.context(),
        action: run.action(),
        repeat,
        at_unix_s: age::measured_day(run).map(|day| day * SECONDS_PER_DAY),
        facts: facts(run)?,
        workload: Workload {
            name: format!("{prompt}x{output}"),
            description: format!("Prompts of {prompt} tokens, answers of {output}, nothing shared."),
            prompt_tokens: prompt,
            cached_tokens: 0.0,
            output_tokens: output,
            concurrency: run.concurrency.into(),
            prompt_spread: 0.0,
            output_spread: 0.0,
        },
        load: Load {
            sequences: load.sequences,
            decoding: load.decoding,
            prefill_tokens: load.prefill_tokens,
            decode_tokens: load.decode_tokens,
            context_tokens: load.context_tokens,
            full_at: None,
            age_s: None,
        },
        outcome: Outcome {
            ttft_s: Some(run.ttft_ms / 1e3),
            tpot_s: Some(run.tpot_ms / 1e3),
            e2e_s: Some(end_to_end_s(run.ttft_ms, run.tpot_ms)),
            reference_e2e_s: estimate.map(|estimate| end_to_end_s(estimate.ttft_ms, estimate.tpot_ms)),
            reference_tpot_s: estimate.map(|estimate| estimate.tpot_ms / 1e3),
            ..Outcome::default()
        },
        live: None,
    })
}

fn facts(run: &Run) -> Result<Facts, Error> {
    let (model, model_facts) = model(&run.entry.model_path)?;
    let hardware_facts = hardware(&run.entry.system)?;
    let knobs = knobs(run);
    Ok(Facts {
        family: family(&model).to_owned(),
        model,
        model_facts,
        hardware: run.entry.system.clone(),
        hardware_facts,
        count: run.parallel.count,
        lossless: knobs.lossless(),
        knobs,
        software: Software { engine: engine(&run.entry.backend)?, months: Some(run.months) },
        engine_version: run.entry.backend_version.clone().filter(|version| !version.is_empty()),
        kv_tokens: None,
    })
}

/// Models of one architecture and size are one family.
fn family(model: &str) -> &str {
    match model {
        "kimi-k2.5" => "deepseek-v3",
        other => other,
    }
}

/// The catalog's id and facts of a model as the table names it: FP8 checkpoints have the shape of the model they were made of.
fn model(path: &str) -> Result<(String, ModelFacts), Error> {
    let catalog = Catalog::shipped();
    let name = path.strip_suffix("-FP8").unwrap_or(path);
    let name = name
        .strip_prefix("nvidia/Llama")
        .map_or_else(|| name.to_owned(), |rest| format!("meta-llama/Llama{rest}"));
    let facts =
        catalog.model(&name).ok_or_else(|| Error::Failed(format!("model {name} is not in the catalog")))?;
    let is_it = |id: &&str| catalog.model(id).is_some_and(|other| std::sync::Arc::ptr_eq(other, facts));
    let id = catalog.model_names().find(is_it).unwrap_or(&name).to_owned();
    Ok((id, facts.as_ref().clone()))
}

fn hardware(system: &str) -> Result<HardwareFacts, Error> {
    let unknown = || Error::Failed(format!("hardware {system} is not in the catalog"));
    Ok(Catalog::shipped().hardware(system).ok_or_else(unknown)?.as_ref().clone())
}

fn engine(backend: &str) -> Result<EngineKind, Error> {
    let unknown = || Error::Failed(format!("{backend} is none of {}", EngineKind::words()));
    EngineKind::of_word(backend).ok_or_else(unknown)
}

fn knobs(run: &Run) -> Knobs {
    let quantization = quantization(run);
    let Parallel { count, data, expert, .. } = run.parallel;
    let (tensor, replicas) = if data { (1, count) } else { (count, 1) };
    // Checkpoints of eight and four bits are served with an eight-bit cache in most of these runs; the table does not say.
    let narrow = run.precision() != "bf16" && run.precision() != "na" || quantization != Quantization::None;
    Knobs {
        prefix_caching: Some(false),
        max_num_batched_tokens: Some(STEP_TOKENS),
        max_num_seqs: Some(run.concurrency.max(256)),
        kv_cache_dtype: narrow.then_some(KvCacheDtype::Fp8),
        quantization: Some(quantization),
        tensor_parallel: Some(tensor),
        data_parallel: Some(replicas),
        expert_parallel: Some(expert),
        gpu_memory_utilization: Some(0.9),
        ..Knobs::default()
    }
}

/// How weights are stored and multiplied; where the table has no precision, its kernels or the model's name say FP8.
fn quantization(run: &Run) -> Quantization {
    let eight = || {
        let kernels = run.entry.gemm_quant_mode.as_deref().unwrap_or_default();
        kernels.contains("fp8") || run.entry.model_path.contains("FP8")
    };
    match run.precision() {
        // Published with MXFP4 experts: what the table calls fp4 is the model as it is.
        "fp4" if run.entry.model_path.contains("gpt-oss") => Quantization::None,
        "fp4" => Quantization::Fp4,
        "int4" => Quantization::Int4,
        "fp8" => Quantization::Fp8,
        "na" if eight() => Quantization::Fp8,
        _ => Quantization::None,
    }
}

#[cfg(test)]
mod tests;
