//! Rows from tables and benchmarks that others made.
//!
//! [`files`] takes any CSV, JSON or JSON Lines: a [`Mapping`] says which field is which column. Results of `vllm bench serve`,
//! GuideLLM and AIPerf have mappings of their own (`formats/*.yaml`), which a user's begins from by `like`.
//! [`silicon`] takes AIConfigurator's measured table, which has to be mended.

mod complete;
mod mapping;
mod records;
pub mod silicon;

use std::{collections::HashMap, path::Path};

use gearshift_perfdb::{Observation, columns};

pub use mapping::Mapping;

use crate::Error;

/// Rows of `paths` as `mapping` reads them. Repetitions of one context and action are numbered in the order they come.
///
/// # Errors
/// Where a file cannot be read, or a record is no row: the message names file, record and column.
pub fn files(mapping: &Mapping, paths: &[impl AsRef<Path>]) -> Result<Vec<Observation>, Error> {
    let mut repeats: HashMap<(String, String), u32> = HashMap::new();
    let mut rows = Vec::new();
    for path in paths.iter().map(AsRef::as_ref) {
        for (record, number) in records::read(path, mapping.records.as_deref())?.iter().zip(1_usize..) {
            let place =
                |problem: String| Error::Failed(format!("{}, record {number}: {problem}", path.display()));
            let mut cells = complete::Held::default();
            for column in columns() {
                if let Some(cell) = mapping.cell(column, record).map_err(place)? {
                    cells.set(column.name, cell);
                }
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            cells.complete(&format!("{name}, record {number}")).map_err(place)?;
            let mut row = Observation::of_cells(&cells).map_err(|bad| place(bad.to_string()))?;
            if !mapping.states("lossless") {
                row.facts.lossless = row.facts.knobs.lossless();
            }
            let repeat = repeats.entry((row.context.clone(), row.action.clone())).or_default();
            if !mapping.states("repeat") {
                row.repeat = *repeat;
            }
            *repeat += 1;
            rows.push(row);
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests;
