//! Errors of the simulator on measured rows, by GPU, model family and kind.

use std::{collections::BTreeMap, fmt::Write as _, path::Path, sync::Arc};

use serde::Serialize;

use super::{SiliconRow, engine, engine_loop, load::median, read};
use crate::{
    Error,
    sim::{EngineSpec, FactorTable, Factors},
};

/// Errors of one quantity over a group of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Median of |simulated / measured − 1|.
    pub median: f64,
    /// Its ninth decile.
    pub p90: f64,
    /// Median of simulated / measured: above 1 where the simulator is too slow.
    pub ratio: f64,
}

/// Errors over a group of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Errors {
    /// Rows.
    pub rows: usize,
    /// Time to first token.
    pub ttft: Spread,
    /// Time per output token.
    pub tpot: Spread,
}

/// A group of rows, with and without measurements of the row's own GPU.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// What its rows share.
    pub name: String,
    /// With factors fitted to all GPUs.
    pub fitted: Errors,
    /// With each row's GPU left out of the fit: its datasheet, and what others said.
    pub held_out: Errors,
}

/// One row, simulated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowReport {
    /// Its name in the table.
    pub id: String,
    /// Measured, milliseconds: TTFT, TPOT.
    pub measured_ms: (f64, f64),
    /// Simulated with all in the fit.
    pub fitted_ms: (f64, f64),
    /// Simulated with the GPU held out.
    pub held_out_ms: (f64, f64),
    /// The row.
    pub row: SiliconRow,
}

/// How far the simulator is from measured GPUs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SiliconReport {
    /// How rows became runs of the simulator.
    pub conditions: Vec<&'static str>,
    /// Rows of vLLM after mending.
    pub rows: usize,
    /// Rows left out: unknown model or GPU, or what the simulator says does not fit into memory.
    pub left_out: usize,
    /// All rows.
    pub all: Group,
    /// By GPU.
    pub gpus: Vec<Group>,
    /// By model.
    pub families: Vec<Group>,
    /// Dense models, and mixtures of experts.
    pub kinds: Vec<Group>,
    /// By version of vLLM: the factors are of one age of software, the rows of many.
    pub versions: Vec<Group>,
    /// Every row.
    pub details: Vec<RowReport>,
}

const CONDITIONS: [&str; 6] = [
    "Closed loop of as many requests as the row had in flight. TTFT is the mean over ten times as many, the burst at the \
     beginning with them (without it for the sweeps of vLLM 0.12.0 on H200); TPOT the median. The table does not say which it has: \
     no other reading comes near its TTFT.",
    "Lengths of prompts and answers are drawn evenly from 80 to 100 % of the nominal ones, as InferenceX's runs do; \
     other sources of the table do not say.",
    "Rows with a TTFT of ten seconds and more are left out: a limit that the table does not state held requests back.",
    "Step budget 8,192 tokens and memory share 0.9; prefix caching off; prompts do not repeat.",
    "NVFP4 checkpoints and NVIDIA's FP8 Llama have an 8-bit KV cache; 4-bit mixtures keep attention at 16 bits.",
    "No correction for the age of the software: one configuration under two versions differs by 16 % (median) in the table itself.",
];

/// Simulates every row of the table at `csv` with the shipped factors, and compares.
///
/// # Errors
/// Where the table cannot be read.
pub fn run(csv: &Path) -> Result<SiliconReport, Error> {
    run_with(csv, FactorTable::shipped())
}

/// As [`run`], with factors of the caller's.
///
/// # Errors
/// Where the table cannot be read.
pub fn run_with(csv: &Path, table: &FactorTable) -> Result<SiliconReport, Error> {
    Ok(of(&read(csv)?, table))
}

/// Simulates rows, and compares.
pub(super) fn of(rows: &[SiliconRow], table: &FactorTable) -> SiliconReport {
    let results: Vec<Simulated> = rows.iter().filter_map(|row| simulate(row, table)).collect();
    let named = |name: fn(&Simulated) -> String| grouped(&results, name);
    SiliconReport {
        conditions: CONDITIONS.to_vec(),
        rows: rows.len(),
        left_out: rows.len() - results.len(),
        all: group("all", &results.iter().collect::<Vec<_>>()),
        gpus: named(|result| result.row.system.clone()),
        families: named(|result| format!("{} {}", result.row.model, result.row.precision)),
        kinds: named(|result| if result.sparse { "mixture of experts" } else { "dense" }.to_owned()),
        versions: named(|result| match result.row.version.as_str() {
            "" => "version not stated".to_owned(),
            version => format!("vLLM {version}"),
        }),
        details: results.iter().map(Simulated::report).collect(),
    }
}

/// A row, and ratios of simulated to measured.
struct Simulated {
    row: SiliconRow,
    sparse: bool,
    fitted_ms: (f64, f64),
    held_out_ms: (f64, f64),
}

impl Simulated {
    fn report(&self) -> RowReport {
        RowReport {
            id: self.row.id.clone(),
            measured_ms: (self.row.ttft_ms, self.row.tpot_ms),
            fitted_ms: self.fitted_ms,
            held_out_ms: self.held_out_ms,
            row: self.row.clone(),
        }
    }
}

fn simulate(row: &SiliconRow, table: &FactorTable) -> Option<Simulated> {
    let spec = engine(row)?;
    let fitted = &table.entry(&row.system, &spec.hardware).factors;
    let held_out = table.held_out.get(&row.system).map_or(fitted, |entry| &entry.factors);
    Some(Simulated {
        row: row.clone(),
        sparse: spec.model.experts.is_some(),
        fitted_ms: latencies_ms(row, &spec, fitted)?,
        held_out_ms: latencies_ms(row, &spec, held_out)?,
    })
}

fn latencies_ms(row: &SiliconRow, spec: &EngineSpec, factors: &Factors) -> Option<(f64, f64)> {
    let spec = EngineSpec { factors: Some(Arc::new(*factors)), ..spec.clone() };
    let found = engine_loop::run(row, &spec)?;
    Some((found.ttft_s * 1e3, found.tpot_s * 1e3))
}

fn grouped(results: &[Simulated], name: impl Fn(&Simulated) -> String) -> Vec<Group> {
    let mut groups: BTreeMap<String, Vec<&Simulated>> = BTreeMap::new();
    for result in results {
        groups.entry(name(result)).or_default().push(result);
    }
    groups.iter().map(|(name, results)| group(name, results)).collect()
}

fn group(name: &str, results: &[&Simulated]) -> Group {
    Group {
        name: name.to_owned(),
        fitted: errors(results, |result| result.fitted_ms),
        held_out: errors(results, |result| result.held_out_ms),
    }
}

fn errors(results: &[&Simulated], simulated: impl Fn(&Simulated) -> (f64, f64)) -> Errors {
    let ttft = results.iter().map(|result| simulated(result).0 / result.row.ttft_ms).collect();
    let tpot = results.iter().map(|result| simulated(result).1 / result.row.tpot_ms).collect();
    Errors { rows: results.len(), ttft: spread(ttft), tpot: spread(tpot) }
}

fn spread(ratios: Vec<f64>) -> Spread {
    let mut errors: Vec<f64> = ratios.iter().map(|ratio| (ratio - 1.0).abs()).collect();
    errors.sort_by(f64::total_cmp);
    let p90 = errors.get(errors.len() * 9 / 10).copied().unwrap_or_default();
    Spread { median: median(errors).unwrap_or_default(), p90, ratio: median(ratios).unwrap_or_default() }
}

impl SiliconReport {
    /// The groups as a table in Markdown.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| rows of | | TPOT off | TTFT off | TPOT ratio | TTFT ratio | held out: TPOT | TTFT |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        );
        let groups = [&self.gpus, &self.kinds, &self.families, &self.versions].into_iter().flatten();
        for Group { name, fitted, held_out } in std::iter::once(&self.all).chain(groups) {
            // Writing into a String cannot fail.
            let _ = writeln!(
                text,
                "| {name} | {} | {:.0} % | {:.0} % | {:.2} | {:.2} | {:.0} % | {:.0} % |",
                fitted.rows,
                fitted.tpot.median * 100.0,
                fitted.ttft.median * 100.0,
                fitted.tpot.ratio,
                fitted.ttft.ratio,
                held_out.tpot.median * 100.0,
                held_out.ttft.median * 100.0,
            );
        }
        text
    }
}
