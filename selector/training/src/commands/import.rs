//! `gearshift-train import`.

use std::path::{Path, PathBuf};

use gearshift_perfdb::{Observation, to_parquet};
use gearshift_training::{Error, import};

use super::{Output, examples};

/// Turns tables and benchmark results into rows of the performance database.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
    /// What is printed.
    #[arg(long, value_enum, default_value_t = Output::Text, global = true)]
    output: Output,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// AIConfigurator's table of measured serving, mended.
    #[command(after_help = examples::IMPORT_SILICON)]
    Silicon(Silicon),
    /// Any CSV, JSON or JSON Lines, and results of vllm bench, GuideLLM and AIPerf.
    #[command(after_help = examples::IMPORT_FILES)]
    Files(Files),
}

#[derive(Debug, clap::Args)]
struct Silicon {
    /// `silicon_sample.csv`; tools/aiconfigurator_kernels.py fetches it.
    #[arg(default_value = ".cache/aiconfigurator/silicon_sample.csv")]
    table: PathBuf,
    /// AIConfigurator's own estimates of these rows, from tools/aiconfigurator_estimates.py.
    #[arg(long)]
    estimates: Option<PathBuf>,
    /// The file to write.
    #[arg(long, default_value = "perfdb/data/silicon.parquet")]
    into: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Files {
    /// Which field is which column; selector/training/examples/mapping.yaml explains it.
    #[arg(long)]
    mapping: PathBuf,
    /// The file to write.
    #[arg(long)]
    into: PathBuf,
    /// The tables and results.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// A file of rows.
#[derive(Debug, serde::Serialize)]
struct Written<'a> {
    file: &'a Path,
    rows: usize,
    bytes: usize,
    /// What became of the table's rows, where they were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<import::silicon::Counts>,
}

/// Runs it; what came of it.
pub(crate) fn run(args: &Args) -> Result<String, Error> {
    match &args.what {
        What::Silicon(Silicon { table, estimates, into }) => {
            let (rows, counts) = import::silicon::rows(table, estimates.as_deref())?;
            let written = Written { table: Some(counts), ..write(&rows, into)? };
            written.said(args.output)
        }
        What::Files(Files { mapping, into, files }) => {
            let mapping = import::Mapping::read(mapping)?;
            write(&import::files(&mapping, files)?, into)?.said(args.output)
        }
    }
}

impl Written<'_> {
    fn said(&self, output: Output) -> Result<String, Error> {
        if output == Output::Json {
            return super::json(self);
        }
        let counts = self.table.map(|counts| format!("{counts}\n")).unwrap_or_default();
        let kilobytes = self.bytes as f64 / 1e3;
        Ok(format!("{counts}{}: {} rows, {kilobytes:.1} KB", self.file.display(), self.rows))
    }
}

fn write<'a>(rows: &[Observation], into: &'a Path) -> Result<Written<'a>, Error> {
    let file = to_parquet(rows).map_err(|error| Error::Failed(error.to_string()))?;
    if let Some(directory) = into.parent() {
        std::fs::create_dir_all(directory).map_err(Error::file(directory))?;
    }
    std::fs::write(into, &file).map_err(Error::file(into))?;
    Ok(Written { file: into, rows: rows.len(), bytes: file.len(), table: None })
}
