//! The table as it stands, and the mending of its parallelism.

use std::{collections::HashSet, path::Path};

use serde::Deserialize;

use super::age;
use crate::Error;

/// A row as it stands in the file; columns not read here are left out.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Entry {
    pub id: String,
    pub silicon_data_source: String,
    pub backend: String,
    pub backend_version: Option<String>,
    pub model_path: String,
    pub system: String,
    pub precision: Option<String>,
    mode: String,
    pub isl: f64,
    pub osl: f64,
    pub gemm_quant_mode: Option<String>,
    batch_size: Option<f64>,
    tp_size: Option<f64>,
    attention_dp_size: Option<f64>,
    moe_tp_size: Option<f64>,
    moe_ep_size: Option<f64>,
    silicon_ttft_ms: Option<f64>,
    silicon_tpot_ms: Option<f64>,
}

/// A measured run of aggregated serving.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub entry: Entry,
    /// Requests in flight.
    pub concurrency: u32,
    pub parallel: Parallel,
    pub ttft_ms: f64,
    pub tpot_ms: f64,
    /// Age of its software; see [`age`].
    pub months: f64,
}

/// How a run shares its accelerators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parallel {
    /// Accelerators.
    pub count: u32,
    /// Whether attention is replicated on each.
    pub data: bool,
    /// Whether experts stand whole on them.
    pub expert: bool,
    /// Whether the table says otherwise.
    pub mended: bool,
}

/// What became of the table's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counts {
    /// In the file.
    pub rows: usize,
    /// Of aggregated serving; the others split prefill and decode.
    pub aggregated: usize,
    /// Of models left out: three NVFP4 checkpoints with a few rows, of models that the table has hundreds of.
    pub other_models: usize,
    /// With other sizes of parallelism than the table says.
    pub mended: usize,
    /// Dropped: the same measurement under another parse or a second time.
    pub duplicates: usize,
    /// Kept.
    pub kept: usize,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rows, aggregated, other_models, mended, duplicates, kept } = self;
        write!(
            f,
            "{rows} rows, {aggregated} of aggregated serving; left out: {other_models} of other models, "
        )?;
        write!(f, "{duplicates} duplicates; kept: {kept}, parallelism mended in {mended}")
    }
}

/// Reads the runs, parallelism mended, duplicates dropped, in the file's order.
pub(super) fn read(path: &Path) -> Result<(Vec<Run>, Counts), Error> {
    let text = std::fs::read(path).map_err(Error::file(path))?;
    let (mut runs, mut counts) = (Vec::new(), Counts::default());
    for entry in csv::Reader::from_reader(text.as_slice()).deserialize::<Entry>() {
        let entry = entry.map_err(|error| Error::Failed(format!("{}: {error}", path.display())))?;
        counts.rows += 1;
        if entry.mode != "agg" {
            continue;
        }
        counts.aggregated += 1;
        if entry.model_path.ends_with("-NVFP4") {
            counts.other_models += 1;
        } else {
            runs.extend(run(entry));
        }
    }
    let months = age::months(&runs);
    runs.iter_mut().zip(months).for_each(|(run, months)| run.months = months);
    let all = runs.len();
    let runs = without_duplicates(runs);
    counts.kept = runs.len();
    counts.duplicates = all - runs.len();
    counts.mended = runs.iter().filter(|run| run.parallel.mended).count();
    Ok((runs, counts))
}

fn run(entry: Entry) -> Option<Run> {
    let concurrency = noted(&entry.silicon_data_source, "silicon_concurrency=").or(entry.batch_size)?;
    let (ttft_ms, tpot_ms) = (entry.silicon_ttft_ms?, entry.silicon_tpot_ms?);
    let parallel = Parallel::mended(&entry);
    (concurrency >= 1.0).then(|| Run {
        concurrency: whole(concurrency),
        parallel,
        ttft_ms,
        tpot_ms,
        months: 0.0,
        entry,
    })
}

impl Parallel {
    /// The table writes n accelerators with experts on each as tp n² (n × n), and attention replicas both as tp n, dp n and
    /// as tp 1, dp n² of as many accelerators: the square root of experts' tp × ep says how many there are.
    fn mended(entry: &Entry) -> Self {
        let size = |size: Option<f64>| whole(size.unwrap_or(1.0).max(1.0));
        let (tensor, replicas) = (size(entry.tp_size), size(entry.attention_dp_size));
        let (expert_tensor, experts) = (size(entry.moe_tp_size), size(entry.moe_ep_size));
        let (data, expert) = (replicas > 1, experts > 1);
        let squared = expert_tensor >= 4 && expert_tensor == experts;
        if squared && (data && tensor == 1 || !data && tensor == expert_tensor * experts) {
            return Self { count: experts, data, expert, mended: true };
        }
        if data && tensor == 1 {
            return Self { count: replicas, data, expert, mended: false };
        }
        Self { count: tensor, data, expert, mended: data && tensor == replicas }
    }
}

/// One measurement stands under several parses: those with equal figures in one context are one. The plain parse is kept.
fn without_duplicates(runs: Vec<Run>) -> Vec<Run> {
    let mut order: Vec<usize> = (0..runs.len()).collect();
    order.sort_by_key(|&at| (runs[at].parallel.data, runs[at].parallel.mended));
    let mut seen = HashSet::new();
    let first: HashSet<usize> = order
        .into_iter()
        .filter(|&at| {
            let run = &runs[at];
            let figures = ((run.ttft_ms * 10.0).round_ties_even(), (run.tpot_ms * 100.0).round_ties_even());
            let engine = &run.entry.backend;
            seen.insert(format!("{}|{engine}|{}|{figures:?}", run.context(), run.parallel.count))
        })
        .collect();
    runs.into_iter().enumerate().filter(|(at, _)| first.contains(at)).map(|(_, run)| run).collect()
}

impl Run {
    /// What is asked: model, system, lengths, load, precision.
    pub(super) fn context(&self) -> String {
        let Entry { model_path, system, isl, osl, .. } = &self.entry;
        format!("{model_path}|{system}|{isl}|{osl}|{}|{}", self.concurrency, self.precision())
    }

    /// What was chosen: engine, precision, accelerators, attention replicas, expert parallelism.
    pub(super) fn action(&self) -> String {
        let Parallel { count, data, expert, .. } = self.parallel;
        let (data, expert) = (u8::from(data), u8::from(expert));
        format!("{}|{}|g{count}|dp{data}|ep{expert}", self.entry.backend, self.precision())
    }

    /// The table's word, or `na` where it has none.
    pub(super) fn precision(&self) -> &str {
        self.entry.precision.as_deref().filter(|word| !word.is_empty()).unwrap_or("na")
    }

    /// The file or dump that the run comes from.
    pub(super) fn collection(&self) -> Option<&str> {
        let notes = &self.entry.silicon_data_source;
        let first = notes.split(';').next().unwrap_or_default();
        if notes.starts_with("db-dump") { Some("db-dump") } else { first.strip_prefix("source_file=") }
    }
}

/// The number after `key` in a row's notes.
fn noted(notes: &str, key: &str) -> Option<f64> {
    let (_, rest) = notes.split_once(key)?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes and lengths; what is out of range saturates"
)]
fn whole(number: f64) -> u32 {
    number.round() as u32
}
