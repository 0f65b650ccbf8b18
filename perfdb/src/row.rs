//! A row put together again from the cells of a table.

use gearshift_config::{Experts, HardwareFacts, Knobs, ModelFacts, SlidingWindow, Speculative};
use gearshift_selector::Software;

use crate::{Cell, Facts, Load, Named, Observation, Outcome, Workload};

mod live;

/// Access to the cells of one row by column name. A column that the table lacks is [`Cell::Null`].
pub trait Cells {
    /// The cell of `column`.
    fn cell(&self, column: &str) -> Cell<'_>;
}

/// Why cells are no row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {problem}")]
pub struct BadCell {
    /// Which column.
    pub column: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl Observation {
    /// The row that `cells` hold.
    ///
    /// # Errors
    /// Where a required cell is missing, a cell is of another kind, or a word or number is none that can be.
    pub fn of_cells(cells: &impl Cells) -> Result<Self, BadCell> {
        Ok(Self {
            source: word(cells, "source")?,
            grain: word(cells, "grain")?,
            dataset: text(cells, "dataset")?,
            provenance: text(cells, "provenance")?,
            context: text(cells, "context")?,
            action: text(cells, "action")?,
            repeat: whole(cells, "repeat")?,
            at_unix_s: whole_or(cells, "measured_at_unix_s")?,
            facts: facts(cells)?,
            workload: workload(cells)?,
            load: load(cells)?,
            outcome: outcome(cells)?,
            live: live::live(cells)?.map(Box::new),
        })
    }
}

fn facts(cells: &impl Cells) -> Result<Facts, BadCell> {
    Ok(Facts {
        model: text(cells, "model")?,
        family: text(cells, "model_family")?,
        model_facts: model(cells)?,
        hardware: text(cells, "hardware")?,
        hardware_facts: hardware(cells)?,
        count: whole(cells, "hardware_count")?,
        knobs: knobs(cells)?,
        lossless: flag(cells, "lossless")?,
        software: Software { engine: word(cells, "engine")?, months: number_or(cells, "engine_months")? },
        engine_version: text_or(cells, "engine_version")?,
        kv_tokens: whole_or(cells, "engine_kv_tokens")?,
    })
}

fn model(cells: &impl Cells) -> Result<ModelFacts, BadCell> {
    let sliding_window = match whole_or(cells, "model_sliding_window_layers")? {
        Some(layers) => Some(SlidingWindow { layers, tokens: whole(cells, "model_sliding_window_tokens")? }),
        None => None,
    };
    let experts = match whole_or(cells, "model_experts")? {
        Some(total) => Some(Experts {
            total,
            active: whole(cells, "model_experts_active")?,
            parameters_b: number(cells, "model_experts_parameters_b")?,
        }),
        None => None,
    };
    Ok(ModelFacts {
        description: text(cells, "model_description")?,
        parameters_b: number(cells, "model_parameters_b")?,
        active_parameters_b: number(cells, "model_active_parameters_b")?,
        layers: whole(cells, "model_layers")?,
        hidden: whole(cells, "model_hidden")?,
        heads: whole(cells, "model_heads")?,
        kv_heads: whole(cells, "model_kv_heads")?,
        head_dim: whole(cells, "model_head_dim")?,
        mla_kv_width: whole_or(cells, "model_mla_kv_width")?,
        sliding_window,
        weight_bytes: number(cells, "model_weight_bytes")?,
        context: whole(cells, "model_context_tokens")?,
        experts,
    })
}

fn hardware(cells: &impl Cells) -> Result<HardwareFacts, BadCell> {
    Ok(HardwareFacts {
        description: text(cells, "hardware_description")?,
        vendor: text(cells, "hardware_vendor")?,
        architecture: text(cells, "hardware_architecture")?,
        bf16_tflops: number(cells, "hardware_bf16_tflops")?,
        fp8_tflops: number_or(cells, "hardware_fp8_tflops")?,
        fp4_tflops: number_or(cells, "hardware_fp4_tflops")?,
        memory_gb_per_s: number(cells, "hardware_memory_gb_per_s")?,
        memory_gib: number(cells, "hardware_memory_gib")?,
        interconnect_gb_per_s: number(cells, "hardware_interconnect_gb_per_s")?,
        price_usd_per_hour: number(cells, "hardware_price_usd_per_hour")?,
        tdp_w: number(cells, "hardware_tdp_w")?,
        idle_w: number(cells, "hardware_idle_w")?,
    })
}

fn knobs(cells: &impl Cells) -> Result<Knobs, BadCell> {
    let speculative = match text_or(cells, "knob_speculative_method")? {
        Some(method) => Some(Speculative {
            method,
            num_speculative_tokens: whole(cells, "knob_speculative_tokens")?,
            model: text_or(cells, "knob_speculative_model")?,
        }),
        None => None,
    };
    Ok(Knobs {
        prefix_caching: flag_or(cells, "knob_prefix_caching")?,
        chunked_prefill: flag_or(cells, "knob_chunked_prefill")?,
        max_num_batched_tokens: whole_or(cells, "knob_max_num_batched_tokens")?,
        max_num_seqs: whole_or(cells, "knob_max_num_seqs")?,
        max_model_len: whole_or(cells, "knob_max_model_len")?,
        speculative,
        kv_cache_dtype: word_or(cells, "knob_kv_cache_dtype")?,
        quantization: word_or(cells, "knob_quantization")?,
        tensor_parallel: whole_or(cells, "knob_tensor_parallel")?,
        pipeline_parallel: whole_or(cells, "knob_pipeline_parallel")?,
        data_parallel: whole_or(cells, "knob_data_parallel")?,
        expert_parallel: flag_or(cells, "knob_expert_parallel")?,
        gpu_memory_utilization: number_or(cells, "knob_gpu_memory_utilization")?,
    })
}

fn workload(cells: &impl Cells) -> Result<Workload, BadCell> {
    Ok(Workload {
        name: text(cells, "workload")?,
        description: text(cells, "workload_description")?,
        prompt_tokens: number(cells, "prompt_tokens")?,
        cached_tokens: number(cells, "prompt_cached_tokens")?,
        output_tokens: number(cells, "output_tokens")?,
        concurrency: number(cells, "concurrency")?,
        prompt_spread: number(cells, "prompt_spread")?,
        output_spread: number(cells, "output_spread")?,
    })
}

fn load(cells: &impl Cells) -> Result<Load, BadCell> {
    Ok(Load {
        sequences: number(cells, "load_sequences")?,
        decoding: number(cells, "load_decoding")?,
        prefill_tokens: number(cells, "load_prefill_tokens")?,
        decode_tokens: number(cells, "load_decode_tokens")?,
        context_tokens: number(cells, "load_context_tokens")?,
        full_at: number_or(cells, "load_full_at_sequences")?,
        age_s: number_or(cells, "load_age_s")?,
    })
}

fn outcome(cells: &impl Cells) -> Result<Outcome, BadCell> {
    Ok(Outcome {
        requests: whole(cells, "requests")?,
        failed: whole(cells, "requests_failed")?,
        ttft_s: number_or(cells, "ttft_s")?,
        ttft_p90_s: number_or(cells, "ttft_p90_s")?,
        tpot_s: number_or(cells, "tpot_s")?,
        tpot_p90_s: number_or(cells, "tpot_p90_s")?,
        e2e_s: number_or(cells, "e2e_s")?,
        output_tokens_per_s: number_or(cells, "output_tokens_per_s")?,
        joules_per_token: number_or(cells, "joules_per_token")?,
        cached_tokens: number_or(cells, "engine_cached_tokens")?,
        agreement: number_or(cells, "agreement")?,
        reference_e2e_s: number_or(cells, "reference_e2e_s")?,
        reference_tpot_s: number_or(cells, "reference_tpot_s")?,
    })
}

fn bad(column: &'static str, problem: impl Into<String>) -> BadCell {
    BadCell { column, problem: problem.into() }
}

fn there<T>(column: &'static str, value: Option<T>) -> Result<T, BadCell> {
    value.ok_or_else(|| bad(column, "there is no value, and every row needs one"))
}

fn flag_or(cells: &impl Cells, column: &'static str) -> Result<Option<bool>, BadCell> {
    match cells.cell(column) {
        Cell::Null => Ok(None),
        Cell::Flag(flag) => Ok(Some(flag)),
        Cell::Whole(_) | Cell::Number(_) | Cell::Text(_) | Cell::Numbers(_) | Cell::Texts(_) => {
            Err(bad(column, "is no BOOLEAN"))
        }
    }
}

fn number_or(cells: &impl Cells, column: &'static str) -> Result<Option<f64>, BadCell> {
    match cells.cell(column) {
        Cell::Null => Ok(None),
        Cell::Number(number) => Ok(Some(number)),
        // Files written by others hold whole numbers where all of a column are whole.
        Cell::Whole(number) => Ok(Some(number as f64)),
        Cell::Flag(_) | Cell::Text(_) | Cell::Numbers(_) | Cell::Texts(_) => Err(bad(column, "is no number")),
    }
}

fn whole_or<T: TryFrom<i64>>(cells: &impl Cells, column: &'static str) -> Result<Option<T>, BadCell> {
    match cells.cell(column) {
        Cell::Null => Ok(None),
        Cell::Whole(number) => match T::try_from(number) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(bad(column, format!("{number} is out of range"))),
        },
        Cell::Flag(_) | Cell::Number(_) | Cell::Text(_) | Cell::Numbers(_) | Cell::Texts(_) => {
            Err(bad(column, "is no whole number"))
        }
    }
}

fn text_or(cells: &impl Cells, column: &'static str) -> Result<Option<String>, BadCell> {
    match cells.cell(column) {
        Cell::Null => Ok(None),
        Cell::Text(text) => Ok(Some(text.into_owned())),
        Cell::Flag(_) | Cell::Whole(_) | Cell::Number(_) | Cell::Numbers(_) | Cell::Texts(_) => {
            Err(bad(column, "is no text"))
        }
    }
}

/// Empty where there is none.
fn numbers(cells: &impl Cells, column: &'static str) -> Result<Vec<f64>, BadCell> {
    match cells.cell(column) {
        Cell::Null => Ok(Vec::new()),
        Cell::Numbers(numbers) => Ok(numbers.into_owned()),
        Cell::Flag(_) | Cell::Whole(_) | Cell::Number(_) | Cell::Text(_) | Cell::Texts(_) => {
            Err(bad(column, "is no list of numbers"))
        }
    }
}

/// Empty where there is none.
fn texts(cells: &impl Cells, column: &'static str) -> Result<Vec<String>, BadCell> {
    match cells.cell(column) {
        Cell::Null => Ok(Vec::new()),
        Cell::Texts(texts) => Ok(texts.into_owned()),
        Cell::Flag(_) | Cell::Whole(_) | Cell::Number(_) | Cell::Text(_) | Cell::Numbers(_) => {
            Err(bad(column, "is no list of texts"))
        }
    }
}

fn word_or<T: Named>(cells: &impl Cells, column: &'static str) -> Result<Option<T>, BadCell> {
    let Some(word) = text_or(cells, column)? else { return Ok(None) };
    let unknown = || bad(column, format!("{word:?} is none of {}", T::words()));
    T::of_word(&word).map(Some).ok_or_else(unknown)
}

fn flag(cells: &impl Cells, column: &'static str) -> Result<bool, BadCell> {
    there(column, flag_or(cells, column)?)
}

fn number(cells: &impl Cells, column: &'static str) -> Result<f64, BadCell> {
    there(column, number_or(cells, column)?)
}

fn whole<T: TryFrom<i64>>(cells: &impl Cells, column: &'static str) -> Result<T, BadCell> {
    there(column, whole_or(cells, column)?)
}

fn text(cells: &impl Cells, column: &'static str) -> Result<String, BadCell> {
    there(column, text_or(cells, column)?)
}

fn word<T: Named>(cells: &impl Cells, column: &'static str) -> Result<T, BadCell> {
    there(column, word_or(cells, column)?)
}

#[cfg(test)]
mod tests;
