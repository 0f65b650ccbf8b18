//! Rows of the performance database from simulated engines, in virtual time.
//!
//! A [`Grid`] says what is run; each collection of it has three parts:
//!
//! - *named*: MetaInf's eight combinations of prefix caching, chunked prefill and batching, in closed loops;
//! - *knobs*: continuous knobs and parallelism, sampled, in closed loops, beside two of the eight;
//! - *requests*: open loops through Gearshift's own selector, one row for each request with what the router knew.
//!
//! Work is cut into shards, one Parquet file each. `sweep.json` beside them says which grid they belong to: a second
//! run goes on where the first one ended. The same grid gives the same rows.
//!
//! Estimates of AIConfigurator (`tools/aiconfigurator_sweep.py`) become rows here as well, with the overheads they lack.

mod contrast;
mod estimates;
mod grid;
mod index;
mod plan;
mod profile;
mod requests;
mod row;
mod shard;
mod site;
mod window;

#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc};

use gearshift_perfdb::Observation;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

pub use self::{
    grid::{
        Collection, FactorMode, Grid, HardwareLimits, KnobRanges, ModelOptions, RequestShape, Synthetic,
        WindowShape,
    },
    profile::{ALL_OFF, VLLM_DEFAULTS},
};
use self::{
    index::Index,
    shard::{Shard, shards},
};
use crate::{Error, options::Format, study::compare::parallel::each};

/// Options of `gearshift-loadtest sweep`.
#[derive(Debug, Clone, clap::Args)]
pub struct SweepOptions {
    /// Folder for the rows.
    #[arg(long)]
    pub out: PathBuf,
    /// Another grid than the one that ships, as JSON.
    #[arg(long)]
    pub grid: Option<PathBuf>,
    /// Collections of the grid; all where none is named.
    #[arg(long, value_delimiter = ',')]
    pub datasets: Vec<String>,
    /// Estimates of AIConfigurator to be turned into rows, as `tools/aiconfigurator_sweep.py` writes them.
    #[arg(long)]
    pub estimates: Option<PathBuf>,
    /// Threads to work on.
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
    /// What is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
}

/// What all rows of a shard say of where they come from.
#[derive(Debug, Clone)]
struct Labels {
    dataset: Arc<str>,
    provenance: Arc<str>,
}

/// Runs what is not there yet, and returns a table of all there is, or `sweep.json` as it was written.
///
/// # Errors
/// Where a file cannot be read or written, or the grid names what is not there.
pub fn run(options: &SweepOptions) -> Result<String, Error> {
    let grid = Grid::load(options.grid.as_deref())?;
    if let Some(stranger) = options.datasets.iter().find(|name| !grid.datasets.contains_key(*name)) {
        return Err(Error::Failed(format!("the grid has no collection {stranger}")));
    }
    std::fs::create_dir_all(&options.out).map_err(Error::file(&options.out))?;
    let mut index = Index::open(&options.out, &grid.key())?;
    let wanted = |name: &str| options.datasets.is_empty() || options.datasets.iter().any(|one| one == name);
    let all: Vec<Shard> = grid
        .datasets
        .iter()
        .filter(|(name, _)| wanted(name))
        .flat_map(|(name, collection)| shards(&grid, name, collection))
        .collect();
    let left: Vec<&Shard> = all.iter().filter(|shard| !index.has(&shard.file)).collect();
    let bar = ProgressBar::new(left.iter().map(|shard| shard.len() as u64).sum()).with_style(style());
    for shard in left {
        bar.set_message(shard.file.clone());
        let started = Instant::now();
        let rows = rows(&grid, shard, options.threads, &bar)?;
        index.write(&shard.file, &rows, started.elapsed())?;
    }
    bar.finish_and_clear();
    if let Some(path) = &options.estimates {
        let started = Instant::now();
        index.write(estimates::FILE, &estimates::rows(path)?, started.elapsed())?;
    }
    if options.output == Format::Json { crate::report::json(&index) } else { Ok(index.table()) }
}

/// Rows of one shard, in the order of its work.
fn rows(grid: &Grid, shard: &Shard, threads: usize, bar: &ProgressBar) -> Result<Vec<Observation>, Error> {
    let labels = Labels {
        dataset: shard.dataset.as_str().into(),
        provenance: format!("gearshift-loadtest sweep, grid {}", grid.key()).into(),
    };
    let rows = each(&shard.work, threads, |work| {
        let rows = work.rows(grid, &shard.collection, &labels);
        bar.inc(1);
        rows
    })?;
    Ok(rows.into_iter().flatten().collect())
}

fn style() -> ProgressStyle {
    let template = "{bar:32} {pos}/{len} contexts, {eta} left, {msg}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
