//! Profiles that others are held against, by the names that the collections give them.

use std::collections::{BTreeMap, BTreeSet};

use gearshift_perfdb::Observation;

use crate::dataset::Sample;

/// The eight actions of the MetaInf paper as the simulated sweeps name them: prefix cache × chunked prefill × wide batch.
const SIMULATED: [&str; 8] =
    ["all-off", "cache", "chunk", "wide", "cache-chunk", "cache-wide", "chunk-wide", "vllm-defaults"];
/// The same as `gearshift-loadtest collect` names them: prefix cache – chunked prefill – sequences in a step.
const COLLECTED: [&str; 8] =
    ["off-off-8", "on-off-8", "off-on-8", "off-off-256", "on-on-8", "on-off-256", "off-on-256", "on-on-256"];

/// Everything off that costs memory or complexity: no prefix cache, no chunks, a narrow batch, no drafts.
pub(super) fn is_all_off(sample: &Sample) -> bool {
    ["all-off", "off-off-8"].contains(&sample.row.action.as_str())
}

/// What vLLM does when it is told nothing.
pub(super) fn is_defaults(sample: &Sample) -> bool {
    ["vllm-defaults", "defaults"].contains(&sample.row.action.as_str())
}

/// Whether an action is one of the eight of the MetaInf paper.
pub fn is_one_of_eight(action: &str) -> bool {
    SIMULATED.contains(&action) || COLLECTED.contains(&action)
}

/// Rows of the paper's eight actions, of contexts that have all of them.
pub(super) fn of_eight(rows: &[Observation]) -> Vec<Observation> {
    let is_one = |row: &&Observation| is_one_of_eight(&row.action);
    let mut actions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in rows.iter().filter(is_one) {
        actions.entry(&row.context).or_default().insert(&row.action);
    }
    let whole = |row: &&Observation| actions.get(row.context.as_str()).is_some_and(|names| names.len() == 8);
    rows.iter().filter(is_one).filter(whole).cloned().collect()
}
