//! Rows of the performance database, as they lie in a folder.

use std::{fs, path::Path};

use arrow_array::{Array as _, Float64Array, ListArray, RecordBatch, StringArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::within;

/// Rows of all files of a folder; none where there is no folder.
pub(crate) fn rows(folder: &Path) -> Vec<RecordBatch> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let file = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
        file.build().unwrap().map(Result::unwrap).collect::<Vec<_>>()
    };
    files.iter().flat_map(read).collect()
}

pub(crate) fn count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

pub(crate) async fn written(folder: &Path, wanted: usize) -> Vec<RecordBatch> {
    within("rows", async {
        loop {
            let batches = rows(folder);
            if count(&batches) >= wanted {
                return batches;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

pub(crate) fn column<'b, A: 'static>(batch: &'b RecordBatch, name: &str) -> &'b A {
    batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}")).as_any().downcast_ref().unwrap()
}

pub(crate) fn text(batch: &RecordBatch, name: &str, row: usize) -> String {
    column::<StringArray>(batch, name).value(row).to_owned()
}

pub(crate) fn number(batch: &RecordBatch, name: &str, row: usize) -> f64 {
    let column = column::<Float64Array>(batch, name);
    assert!(column.is_valid(row), "{name}");
    column.value(row)
}

pub(crate) fn list(batch: &RecordBatch, name: &str, row: usize) -> Vec<f64> {
    let values = column::<ListArray>(batch, name).value(row);
    values
        .as_any()
        .downcast_ref::<Float64Array>()
        .unwrap()
        .iter()
        .map(|one| one.unwrap_or(f64::NAN))
        .collect()
}
