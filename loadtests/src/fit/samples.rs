//! Kernel timings as a fit needs them: seconds of arithmetic and of memory at the datasheet's peaks, and those measured.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    path::Path,
};

use gearshift_config::HardwareFacts;

use crate::{
    Error,
    sim::{EXPERT_PASSES, TILE_ROWS},
};

/// Samples of one class that a fit looks at; more are thinned out evenly.
const ENOUGH: usize = 1500;
/// Dense layers and experts narrower than this are no model's, and fit nothing.
const NARROWEST: f64 = 512.0;
/// Draws a routed token counts for in the measured kernels, whose routing is balanced or follows a power law.
const SPREAD: f64 = 0.9;

/// One timing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    /// Seconds of arithmetic at the datasheet's peak.
    pub(super) compute_s: f64,
    /// Seconds of memory (or link) traffic at the datasheet's peak.
    pub(super) memory_s: f64,
    /// Seconds measured.
    pub(super) measured_s: f64,
    /// Power drawn over the power limit, where measured.
    pub(super) power: Option<f64>,
}

/// Samples by class, such as `gemm 16` or `experts 8`.
pub(super) type Classes = BTreeMap<&'static str, Vec<Sample>>;

/// Reads every table of one GPU's directory.
///
/// # Errors
/// Where a table is there and cannot be read.
pub(super) fn read(directory: &Path, hardware: &HardwareFacts) -> Result<(Classes, Vec<String>), Error> {
    let kinds: [(&str, Reader); 5] = [
        ("gemm", gemm),
        ("decode_attention", decode_attention),
        ("prefill_attention", prefill_attention),
        ("experts", experts),
        ("all_reduce", all_reduce),
    ];
    let (mut classes, mut versions) = (Classes::new(), Vec::new());
    for (kind, reader) in kinds {
        let path = directory.join(kind).with_extension("csv");
        if path.exists() {
            let table = Table { hardware, path: &path };
            table.read(reader, &mut classes, &mut versions)?;
        }
    }
    for samples in classes.values_mut() {
        let every = samples.len().div_ceil(ENOUGH).max(1);
        *samples = samples.iter().step_by(every).copied().collect();
    }
    versions.sort();
    versions.dedup();
    Ok((classes, versions))
}

type Reader = fn(&Row<'_>, &HardwareFacts) -> Option<(&'static str, f64, f64)>;

struct Table<'a> {
    hardware: &'a HardwareFacts,
    path: &'a Path,
}

impl Table<'_> {
    fn read(&self, reader: Reader, classes: &mut Classes, versions: &mut Vec<String>) -> Result<(), Error> {
        let failed = |error: csv::Error| Error::Failed(format!("{}: {error}", self.path.display()));
        let mut table = csv::Reader::from_reader(File::open(self.path).map_err(Error::file(self.path))?);
        let columns: HashMap<String, usize> = table
            .headers()
            .map_err(failed)?
            .iter()
            .enumerate()
            .map(|(index, name)| (name.to_owned(), index))
            .collect();
        let mut record = csv::StringRecord::new();
        while table.read_record(&mut record).map_err(failed)? {
            let row = Row { columns: &columns, record: &record };
            let Some(latency_ms) = row.number("latency").filter(|latency| *latency > 0.0) else { continue };
            let Some((class, compute_s, memory_s)) = reader(&row, self.hardware) else { continue };
            let power =
                row.number("power").zip(row.number("power_limit")).map(|(power, limit)| power / limit);
            let sample = Sample { compute_s, memory_s, measured_s: latency_ms * 1e-3, power };
            classes.entry(class).or_default().push(sample);
            let version = row.text("version");
            if versions.last().is_none_or(|last| last != version) {
                versions.push(version.to_owned());
            }
        }
        Ok(())
    }
}

/// A row by its columns' names.
struct Row<'a> {
    columns: &'a HashMap<String, usize>,
    record: &'a csv::StringRecord,
}

impl Row<'_> {
    fn text(&self, name: &str) -> &str {
        self.columns.get(name).and_then(|index| self.record.get(*index)).unwrap_or_default()
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.text(name).parse().ok()
    }
}

fn gemm(row: &Row<'_>, hardware: &HardwareFacts) -> Option<(&'static str, f64, f64)> {
    let (m, n, k) = (row.number("m")?, row.number("n")?, row.number("k")?);
    if n < NARROWEST || k < NARROWEST {
        return None;
    }
    // Block-scaled FP8 is left out: its timings are those of the host that launches it, some 60–400 µs for any size.
    let (class, weight, state, tflops) = match row.text("gemm_dtype") {
        "bfloat16" => ("gemm 16", 2.0, 2.0, hardware.bf16_tflops),
        "fp8" => ("gemm 8", 1.0, 1.0, hardware.fp8_tflops?),
        "nvfp4" => ("gemm 4", 0.5625, 0.5625, hardware.fp4_tflops?),
        _ => return None,
    };
    let bytes = n * k * weight + m * k * state + m * n * 2.0;
    Some((class, 2.0 * m * n * k / (tflops * 1e12), bytes / (hardware.memory_gb_per_s * 1e9)))
}

fn decode_attention(row: &Row<'_>, hardware: &HardwareFacts) -> Option<(&'static str, f64, f64)> {
    let (batch, context) = (row.number("batch_size")?, row.number("step")?);
    let (heads, kv_heads, head_dim) = attention_shape(row)?;
    let (class, bytes) = cache(row, ["decode attention 16", "decode attention 8"])?;
    let traffic = batch * (context * kv_heads * 2.0 * head_dim * bytes + heads * head_dim * 4.0);
    Some((class, 0.0, traffic / (hardware.memory_gb_per_s * 1e9)))
}

fn prefill_attention(row: &Row<'_>, hardware: &HardwareFacts) -> Option<(&'static str, f64, f64)> {
    let (batch, tokens) = (row.number("batch_size")?, row.number("isl")?);
    let (heads, kv_heads, head_dim) = attention_shape(row)?;
    let (class, _) = cache(row, ["prefill attention 16", "prefill attention 8"])?;
    let flops = batch * heads * tokens * tokens / 2.0 * 4.0 * head_dim;
    let traffic = batch * tokens * head_dim * 2.0 * (2.0 * heads + 2.0 * kv_heads);
    Some((class, flops / (hardware.bf16_tflops * 1e12), traffic / (hardware.memory_gb_per_s * 1e9)))
}

/// Heads, KV heads and their width, of full attention over ordinary heads.
fn attention_shape(row: &Row<'_>) -> Option<(f64, f64, f64)> {
    let shape = (row.number("num_heads")?, row.number("num_key_value_heads")?, row.number("head_dim")?);
    let full = row.number("window_size").unwrap_or(0.0) == 0.0;
    (full && shape.2 == 128.0).then_some(shape)
}

fn cache(row: &Row<'_>, [sixteen, eight]: [&'static str; 2]) -> Option<(&'static str, f64)> {
    match row.text("kv_cache_dtype") {
        "bfloat16" | "float16" => Some((sixteen, 2.0)),
        "fp8" => Some((eight, 1.0)),
        _ => None,
    }
}

fn experts(row: &Row<'_>, hardware: &HardwareFacts) -> Option<(&'static str, f64, f64)> {
    let (tokens, active, total) =
        (row.number("num_tokens")?, row.number("topk")?, row.number("num_experts")?);
    let (hidden, shards) = (row.number("hidden_size")?, row.number("moe_tp_size")?);
    let width = row.number("inter_size")? / shards;
    // With experts spread over accelerators a timing is that of the fullest one, which is no single kernel's.
    if row.number("moe_ep_size")? > 1.0 || width < NARROWEST / 4.0 || active < 2.0 {
        return None;
    }
    let (class, weight, tflops) = match row.text("moe_dtype") {
        "bfloat16" => ("experts 16", 2.0, hardware.bf16_tflops),
        // Per-tensor FP8 on Hopper takes a kernel that no published checkpoint takes.
        "fp8_block" => ("experts 8", 1.0, hardware.fp8_tflops?),
        "nvfp4" => ("experts 4", 0.5625, hardware.fp4_tflops?),
        "int4_wo" | "w4a16_mxfp4" => ("experts widened", 0.53, hardware.bf16_tflops),
        _ => return None,
    };
    let missed = (tokens * SPREAD * (-active / total).ln_1p()).exp();
    let touched = (total * (1.0 - missed)).max(active);
    let (each, rows) = (3.0 * hidden * width, tokens * active);
    let flops = 2.0 * each * touched.mul_add(TILE_ROWS, rows);
    let bytes = touched * each * weight + rows * (2.0 * hidden + 3.0 * width) * EXPERT_PASSES * 2.0;
    Some((class, flops / (tflops * 1e12), bytes / (hardware.memory_gb_per_s * 1e9)))
}

fn all_reduce(row: &Row<'_>, hardware: &HardwareFacts) -> Option<(&'static str, f64, f64)> {
    let (members, bytes) = (row.number("num_gpus")?, row.number("message_size")?);
    // As captured in a graph: launched from the host, latency is the host's. Beyond 32 MiB no step goes.
    if row.text("kernel_source").contains("eager") && hardware.vendor == "nvidia" || bytes > 33_554_432.0 {
        return None;
    }
    let volume = 2.0 * (members - 1.0) / members * bytes;
    (members <= 8.0).then(|| ("all-reduce", 0.0, volume / (hardware.interconnect_gb_per_s * 1e9)))
}
