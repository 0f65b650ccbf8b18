//! Rows from Parquet files.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use arrow_array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, ListArray,
    RecordBatch, StringArray,
};
use arrow_schema::DataType;
use bytes::Bytes;
use gearshift_perfdb::{Cell, Cells, Named, Observation, SCHEMA_KEY, SCHEMA_VERSION, Source, columns};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use crate::Error;

/// Reads rows from the Parquet files of a directory (or from one file), those of `sources` only, in the order of the files' names.
/// Columns that need no value may be missing, and others may be there: files of older and newer versions, and files
/// that other tools wrote, are read.
///
/// # Errors
/// Where a file cannot be read, was written by a version of Gearshift with another schema, lacks a column, or holds what is no row.
pub fn read(directory: &Path, sources: &[Source]) -> Result<Vec<Observation>, Error> {
    let mut rows = Vec::new();
    for path in files(directory)? {
        read_file(&path, sources, &mut rows)?;
    }
    Ok(rows)
}

fn files(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    if directory.is_file() {
        return Ok(vec![directory.to_owned()]);
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(Error::file(directory))? {
        let path = entry.map_err(Error::file(directory))?.path();
        if path.extension().is_some_and(|extension| extension == "parquet") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read_file(path: &Path, sources: &[Source], rows: &mut Vec<Observation>) -> Result<(), Error> {
    let bytes = Bytes::from(std::fs::read(path).map_err(Error::file(path))?);
    parse(&path.display().to_string(), bytes, sources, rows)
}

/// Reads the bytes of a file that errors call `name`.
///
/// # Errors
/// As [`read()`].
pub fn parse(name: &str, bytes: Bytes, sources: &[Source], rows: &mut Vec<Observation>) -> Result<(), Error> {
    let failed = |problem: String| Error::Failed(format!("{name}: {problem}"));
    let no_parquet = |error: parquet::errors::ParquetError| failed(error.to_string());
    // Parquet's own types, whatever Arrow types the writer had.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder =
        ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options).map_err(no_parquet)?;
    let metadata = builder.metadata().file_metadata().key_value_metadata();
    let version = metadata.and_then(|pairs| pairs.iter().find(|pair| pair.key == SCHEMA_KEY));
    if let Some(version) = version.and_then(|pair| pair.value.as_deref())
        && version != SCHEMA_VERSION.to_string()
    {
        return Err(failed(format!("has schema {version}; this version reads {SCHEMA_VERSION}")));
    }
    let schema = builder.schema();
    if let Some(missing) = columns().find(|column| column.required && schema.index_of(column.name).is_err()) {
        return Err(failed(format!("column {} is missing", missing.name)));
    }
    let mut before = 0;
    for batch in builder.build().map_err(no_parquet)? {
        let batch = batch.map_err(|error| failed(error.to_string()))?;
        let arrays = arrays(&batch).map_err(&failed)?;
        for row in 0..batch.num_rows() {
            let cells = Row { arrays: &arrays, row };
            if cells.is_of(sources) {
                let place = |bad| failed(format!("row {}, {bad}", before + row + 1));
                rows.push(Observation::of_cells(&cells).map_err(place)?);
            }
        }
        before += batch.num_rows();
    }
    Ok(())
}

/// A column of a batch, as the type it has.
enum Values<'a> {
    Flag(&'a BooleanArray),
    Whole(&'a Int64Array),
    Short(&'a Int32Array),
    Number(&'a Float64Array),
    Single(&'a Float32Array),
    Text(&'a StringArray),
    List(&'a ListArray),
    Nothing,
}

/// The columns of a batch that rows have.
fn arrays(batch: &RecordBatch) -> Result<HashMap<&'static str, Values<'_>>, String> {
    let mut arrays = HashMap::new();
    for column in columns() {
        let Some(array) = batch.column_by_name(column.name) else { continue };
        let any = array.as_any();
        let values = any
            .downcast_ref()
            .map(Values::Flag)
            .or_else(|| any.downcast_ref().map(Values::Whole))
            .or_else(|| any.downcast_ref().map(Values::Short))
            .or_else(|| any.downcast_ref().map(Values::Number))
            .or_else(|| any.downcast_ref().map(Values::Single))
            .or_else(|| any.downcast_ref().map(Values::Text))
            .or_else(|| any.downcast_ref().map(Values::List))
            // A column of which no value is known has any type.
            .or_else(|| (array.null_count() == array.len()).then_some(Values::Nothing))
            .or_else(|| (array.data_type() == &DataType::Null).then_some(Values::Nothing));
        let kind = || format!("column {}: {} is not {}", column.name, array.data_type(), column.kind.sql());
        arrays.insert(column.name, values.ok_or_else(kind)?);
    }
    Ok(arrays)
}

struct Row<'a> {
    arrays: &'a HashMap<&'static str, Values<'a>>,
    row: usize,
}

impl Row<'_> {
    /// Whether the row is of one of these sources; so is one that says nothing sensible, which is then refused.
    fn is_of(&self, sources: &[Source]) -> bool {
        match self.cell("source") {
            Cell::Text(word) => Source::of_word(&word).is_none_or(|source| sources.contains(&source)),
            Cell::Null
            | Cell::Flag(_)
            | Cell::Whole(_)
            | Cell::Number(_)
            | Cell::Numbers(_)
            | Cell::Texts(_) => true,
        }
    }
}

impl Cells for Row<'_> {
    fn cell(&self, column: &str) -> Cell<'_> {
        let row = self.row;
        match self.arrays.get(column) {
            None | Some(Values::Nothing) => Cell::Null,
            Some(Values::Flag(array)) => known(*array, row, |array| array.value(row)),
            Some(Values::Whole(array)) => known(*array, row, |array| array.value(row)),
            Some(Values::Short(array)) => known(*array, row, |array| i64::from(array.value(row))),
            Some(Values::Number(array)) => known(*array, row, |array| array.value(row)),
            Some(Values::Single(array)) => known(*array, row, |array| f64::from(array.value(row))),
            Some(Values::Text(array)) => known(*array, row, |array| array.value(row)),
            Some(Values::List(array)) if array.is_valid(row) => list(&array.value(row)),
            Some(Values::List(_)) => Cell::Null,
        }
    }
}

/// A list's elements; of another kind than a row may have, there is none.
fn list(values: &ArrayRef) -> Cell<'static> {
    if let Some(numbers) = values.as_any().downcast_ref::<Float64Array>() {
        Cell::Numbers(numbers.iter().map(|number| number.unwrap_or(f64::NAN)).collect())
    } else if let Some(texts) = values.as_any().downcast_ref::<StringArray>() {
        Cell::Texts(texts.iter().map(|text| text.unwrap_or_default().to_owned()).collect())
    } else {
        Cell::Null
    }
}

/// The value at `row`, or that there is none.
fn known<'a, A: Array, T: Into<Cell<'a>>>(array: &'a A, row: usize, value: impl Fn(&'a A) -> T) -> Cell<'a> {
    if array.is_valid(row) { value(array).into() } else { Cell::Null }
}

#[cfg(test)]
mod tests;
