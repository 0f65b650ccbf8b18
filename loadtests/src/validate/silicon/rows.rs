//! The measured table, and the mending of its faults.

use std::{collections::HashMap, path::Path};

use serde::Deserialize;

use crate::Error;

/// Longest TTFT of a run that is kept. Beyond it (minutes, at a TPOT of a few milliseconds) the engine held requests back by
/// a limit that the table does not state.
const LONGEST_MS: f64 = 10_000.0;

/// One measured run of vLLM under a closed loop.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct SiliconRow {
    /// Its name in the table.
    pub id: String,
    /// The model as the table names it.
    pub model: String,
    /// The accelerator's key in the catalog.
    pub system: String,
    /// Precision: `bf16`, `fp8`, `fp4`, `int4`.
    pub precision: String,
    /// vLLM's version.
    pub version: String,
    /// Which collection it comes from.
    pub source: String,
    /// Prompt tokens.
    pub isl: u32,
    /// Answer tokens.
    pub osl: u32,
    /// Requests in flight at all times.
    pub concurrency: u32,
    /// Accelerators.
    pub count: u32,
    /// Tensor-parallel size of attention.
    pub tensor: u32,
    /// Data-parallel size of attention.
    pub data: u32,
    /// Whether experts stand whole on accelerators.
    pub expert: bool,
    /// Measured time to first token, milliseconds.
    pub ttft_ms: f64,
    /// Measured time per output token, milliseconds.
    pub tpot_ms: f64,
}

impl SiliconRow {
    /// Whether its mean TTFT holds the burst with which a closed loop begins. The table does not say which statistic it
    /// has: in all collections but the sweeps on H200 with vLLM 0.12.0 TTFT grows with concurrency as such a mean does.
    pub fn begins_at_once(&self) -> bool {
        !self.source.contains("h200_sxm/vllm/0.12.0/")
    }
}

/// A row as it stands in the file; columns not read here are left out.
#[derive(Debug, Deserialize)]
struct RawRow {
    id: String,
    silicon_data_source: String,
    backend: String,
    backend_version: String,
    model_path: String,
    system: String,
    precision: Option<String>,
    mode: String,
    isl: f64,
    osl: f64,
    batch_size: Option<f64>,
    tp_size: Option<f64>,
    pp_size: Option<f64>,
    attention_dp_size: Option<f64>,
    moe_tp_size: Option<f64>,
    moe_ep_size: Option<f64>,
    silicon_ttft_ms: Option<f64>,
    silicon_tpot_ms: Option<f64>,
}

/// Reads the rows of vLLM in aggregated serving, parallelism mended, duplicates dropped.
///
/// # Errors
/// Where the file cannot be read or lacks a column.
pub fn read(path: &Path) -> Result<Vec<SiliconRow>, Error> {
    let text = std::fs::read(path).map_err(Error::file(path))?;
    let mut rows = Vec::new();
    for raw in csv::Reader::from_reader(text.as_slice()).deserialize::<RawRow>() {
        let raw = raw.map_err(|error| Error::Failed(format!("{}: {error}", path.display())))?;
        rows.extend(mended(&raw));
    }
    Ok(without_duplicates(rows))
}

fn mended(raw: &RawRow) -> Option<SiliconRow> {
    if raw.backend != "vllm" || raw.mode != "agg" || raw.pp_size.is_some_and(|size| size > 1.0) {
        return None;
    }
    let (ttft_ms, tpot_ms) = (raw.silicon_ttft_ms?, raw.silicon_tpot_ms?);
    let concurrency = noted(&raw.silicon_data_source, "silicon_concurrency=").or(raw.batch_size)?;
    let measured = tpot_ms > 0.0 && (f64::MIN_POSITIVE..LONGEST_MS).contains(&ttft_ms) && concurrency >= 1.0;
    let parallel = Parallel::mended(raw);
    measured.then(|| SiliconRow {
        id: raw.id.clone(),
        model: raw.model_path.clone(),
        system: raw.system.clone(),
        precision: raw.precision.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| "bf16".into()),
        version: raw.backend_version.clone(),
        source: collection(&raw.silicon_data_source),
        isl: whole(raw.isl),
        osl: whole(raw.osl),
        concurrency: whole(concurrency),
        count: parallel.tensor * parallel.data,
        tensor: parallel.tensor,
        data: parallel.data,
        expert: parallel.expert,
        ttft_ms,
        tpot_ms,
    })
}

/// How a run shares its accelerators.
struct Parallel {
    tensor: u32,
    data: u32,
    expert: bool,
}

impl Parallel {
    /// The table writes n accelerators with experts on each as tp n² (n × n), and attention replicas both as tp n, dp n and
    /// as tp 1, dp n² of as many accelerators: the square root of experts' tp × ep says how many there are.
    fn mended(raw: &RawRow) -> Self {
        let at_least_one = |size: Option<f64>| whole(size.unwrap_or(1.0).max(1.0));
        let (tensor, data) = (at_least_one(raw.tp_size), at_least_one(raw.attention_dp_size));
        let (expert_tensor, experts) = (at_least_one(raw.moe_tp_size), at_least_one(raw.moe_ep_size));
        let squared = expert_tensor >= 4 && expert_tensor == experts;
        let expert = experts > 1;
        if squared && data == 1 && tensor == expert_tensor * experts {
            return Self { tensor: experts, data: 1, expert };
        }
        if squared && data > 1 && tensor == 1 {
            return Self { tensor: 1, data: experts, expert };
        }
        if data > 1 && tensor == data {
            return Self { tensor: 1, data, expert };
        }
        Self { tensor, data, expert }
    }
}

/// One measurement stands under several parses: those with equal figures in one context are one.
fn without_duplicates(rows: Vec<SiliconRow>) -> Vec<SiliconRow> {
    let mut seen: HashMap<String, ()> = HashMap::new();
    let mut kept = rows;
    // The plain parse first.
    kept.sort_by_key(|row| row.data);
    kept.retain(|row| {
        let key = format!(
            "{}|{}|{}|{}|{}|{}|{}|{:.1}|{:.2}",
            row.model,
            row.system,
            row.precision,
            row.isl,
            row.osl,
            row.concurrency,
            row.count,
            row.ttft_ms,
            row.tpot_ms
        );
        seen.insert(key, ()).is_none()
    });
    kept
}

/// The number after `key` in a row's notes.
fn noted(notes: &str, key: &str) -> Option<f64> {
    let rest = &notes[notes.find(key)? + key.len()..];
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// The file or dump a row comes from, without folders.
fn collection(notes: &str) -> String {
    let first = notes.split(';').next().unwrap_or_default().trim();
    let name = first.strip_prefix("source_file=").unwrap_or(first);
    name.rsplit("/data/").next().unwrap_or(name).to_owned()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes and lengths; what is out of range saturates"
)]
fn whole(number: f64) -> u32 {
    number.round() as u32
}
