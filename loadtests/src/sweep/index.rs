//! What is there already, and of which grid.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use gearshift_perfdb::Observation;
use serde::{Deserialize, Serialize};

use super::contrast::Contrast;
use crate::{
    Error,
    report::{Column, Table},
};

const FILE: &str = "sweep.json";

/// The files of a sweep, as `sweep.json` has them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Index {
    #[serde(skip)]
    folder: PathBuf,
    /// [`super::Grid::key`].
    grid: String,
    files: BTreeMap<String, Entry>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    rows: usize,
    contexts: usize,
    bytes: usize,
    /// Wall time it took.
    seconds: f64,
    contrast: Contrast,
}

impl Index {
    /// The index of a folder; an empty one where there is none, or one of another grid.
    pub(super) fn open(folder: &Path, grid: &str) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let fresh = Self { folder: folder.to_owned(), grid: grid.to_owned(), files: BTreeMap::new() };
        if !path.exists() {
            return Ok(fresh);
        }
        let text = std::fs::read_to_string(&path).map_err(Error::file(&path))?;
        let found: Self = serde_json::from_str(&text)?;
        Ok(if found.grid == grid { Self { folder: folder.to_owned(), ..found } } else { fresh })
    }

    /// Whether a file is there, whole.
    pub(super) fn has(&self, file: &str) -> bool {
        let size = std::fs::metadata(self.folder.join(file)).map(|data| data.len());
        self.files.get(file).is_some_and(|entry| size.is_ok_and(|size| size == entry.bytes as u64))
    }

    /// Writes a file, then the index: whoever ends in between has neither.
    pub(super) fn write(&mut self, file: &str, rows: &[Observation], took: Duration) -> Result<(), Error> {
        let bytes = gearshift_perfdb::to_parquet(rows)?;
        let contexts: BTreeSet<&str> = rows.iter().map(|row| row.context.as_str()).collect();
        let entry = Entry {
            rows: rows.len(),
            contexts: contexts.len(),
            bytes: bytes.len(),
            seconds: (took.as_secs_f64() * 10.0).round() / 10.0,
            contrast: Contrast::of(rows),
        };
        replace(&self.folder.join(file), &bytes)?;
        self.files.insert(file.to_owned(), entry);
        replace(&self.folder.join(FILE), (serde_json::to_string_pretty(self)? + "\n").as_bytes())
    }

    /// A table of all files, by collection and part.
    pub(super) fn table(&self) -> String {
        let mut parts: BTreeMap<&str, Entry> = BTreeMap::new();
        for (file, entry) in &self.files {
            let name = file.trim_end_matches(".parquet");
            let name = name.rsplit_once('-').map_or(name, |(part, _)| part);
            parts.entry(name).and_modify(|sum| *sum = sum.with(entry)).or_insert_with(|| entry.clone());
        }
        let numbers = [
            "rows",
            "contexts",
            "KiB",
            "s",
            "matters",
            "defaults not best",
            "worst/best",
            "off/best",
            "defaults/best",
        ];
        let columns = std::iter::once(Column::text("part")).chain(numbers.map(Column::number));
        let mut table = Table::new(columns);
        for (name, entry) in &parts {
            let figures = [
                (*name).to_owned(),
                entry.rows.to_string(),
                entry.contexts.to_string(),
                (entry.bytes / 1024).to_string(),
                format!("{:.0}", entry.seconds),
            ];
            table.row(figures.into_iter().chain(entry.contrast.cells()));
        }
        table.to_text()
    }
}

impl Entry {
    fn with(&self, other: &Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            contexts: self.contexts + other.contexts,
            bytes: self.bytes + other.bytes,
            seconds: self.seconds + other.seconds,
            contrast: self.contrast.with(&other.contrast),
        }
    }
}

/// Writes beside the final name, then renames: nobody sees half a file.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let beside = path.with_extension("part");
    std::fs::write(&beside, bytes).map_err(Error::file(&beside))?;
    std::fs::rename(&beside, path).map_err(Error::file(path))
}
