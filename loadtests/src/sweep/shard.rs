//! Work in pieces, each a file.

use gearshift_perfdb::Observation;

use super::{
    Labels,
    grid::{Collection, Grid},
    plan::{Context, knob_contexts, named_contexts},
    requests, window,
};
use crate::Error;

/// Contexts of one file; open loops count as these many.
const CONTEXTS: usize = 500;
const RUNS: usize = 150;

/// One context, or one open loop by its number.
#[derive(Debug, Clone)]
pub(super) enum Work {
    Context(Box<Context>),
    Run(usize),
}

/// What goes into one file.
#[derive(Debug, Clone)]
pub(super) struct Shard {
    pub(super) file: String,
    pub(super) dataset: String,
    pub(super) collection: Collection,
    pub(super) work: Vec<Work>,
}

impl Shard {
    pub(super) fn len(&self) -> usize {
        self.work.len()
    }
}

impl Work {
    pub(super) fn rows(
        &self,
        grid: &Grid,
        collection: &Collection,
        labels: &Labels,
    ) -> Result<Vec<Observation>, Error> {
        match self {
            Self::Context(context) => Ok(window::rows(grid, collection.factors, context, labels)?),
            Self::Run(number) => requests::rows(grid, collection, *number, labels),
        }
    }
}

/// All shards of a collection.
pub(super) fn shards(grid: &Grid, dataset: &str, collection: &Collection) -> Vec<Shard> {
    let boxed =
        |contexts: Vec<Context>| contexts.into_iter().map(|one| Work::Context(Box::new(one))).collect();
    let parts: [(&str, Vec<Work>, usize); 3] = [
        ("named", boxed(named_contexts(grid, collection)), CONTEXTS),
        ("knobs", boxed(knob_contexts(grid, dataset, collection)), CONTEXTS),
        ("requests", (0..collection.runs).map(Work::Run).collect(), RUNS),
    ];
    let shard = |part: &str, number: usize, work: &[Work]| Shard {
        file: format!("{dataset}-{part}-{number}.parquet"),
        dataset: dataset.to_owned(),
        collection: *collection,
        work: work.to_vec(),
    };
    parts
        .iter()
        .flat_map(|(part, work, size)| {
            work.chunks(*size).enumerate().map(|(number, work)| shard(part, number, work))
        })
        .collect()
}
