//! Rows as the bytes of a Parquet file.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    builder::{Float64Builder, ListBuilder, StringBuilder},
};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::{
    arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    file::{metadata::KeyValue, properties::EnabledStatistics, properties::WriterProperties},
};

use crate::{Cell, Column, Error, Kind, Observation, columns, columns::columns_of};

/// Key of the schema's version in a file's metadata.
pub const SCHEMA_KEY: &str = "gearshift.schema";
/// The schema's version. New columns that need no value do not change it.
pub const SCHEMA_VERSION: u32 = 1;

/// All columns' Arrow schema. Files without rows of source `live` do without the columns that are about these alone.
pub fn schema() -> Schema {
    schema_of(&columns().collect::<Vec<_>>())
}

fn schema_of(columns: &[&Column]) -> Schema {
    let item = |kind| DataType::List(Arc::new(Field::new(Field::LIST_FIELD_DEFAULT_NAME, kind, true)));
    let field = |column: &&Column| {
        let kind = match column.kind {
            Kind::Flag => DataType::Boolean,
            Kind::Whole => DataType::Int64,
            Kind::Number => DataType::Float64,
            Kind::Text => DataType::Utf8,
            Kind::Numbers => item(DataType::Float64),
            Kind::Texts => item(DataType::Utf8),
        };
        Field::new(column.name, kind, !column.required)
    };
    Schema::new(columns.iter().map(field).collect::<Vec<_>>())
}

/// Rows as Arrow columns.
///
/// # Errors
/// None that is known: each column is built of its own kind.
pub fn to_batch(rows: &[Observation]) -> Result<RecordBatch, Error> {
    let columns = columns_of(rows);
    let arrays = columns.iter().map(|column| array(column, rows)).collect();
    Ok(RecordBatch::try_new(Arc::new(schema_of(&columns)), arrays)?)
}

/// Rows as a Parquet file: one row group, values that repeat stored once (dictionaries), zstd.
///
/// # Errors
/// None that is known: the file grows in memory.
pub fn to_parquet(rows: &[Observation]) -> Result<Bytes, Error> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(9)?))
        .set_max_row_group_row_count(Some(usize::MAX))
        // Per page it would outweigh the rows of a small file.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_key_value_metadata(Some(vec![KeyValue::new(SCHEMA_KEY.into(), SCHEMA_VERSION.to_string())]))
        .build();
    // Parquet's own types say all there is to say; Arrow's, base64 in every footer, would say it again.
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let batch = to_batch(rows)?;
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new_with_options(&mut file, batch.schema(), options)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(file.into())
}

fn array(column: &Column, rows: &[Observation]) -> ArrayRef {
    let cells = rows.iter().map(|row| column.cell(row));
    match column.kind {
        Kind::Flag => {
            let flag = |cell| if let Cell::Flag(flag) = cell { Some(flag) } else { None };
            Arc::new(cells.map(flag).collect::<BooleanArray>())
        }
        Kind::Whole => {
            let whole = |cell| if let Cell::Whole(number) = cell { Some(number) } else { None };
            Arc::new(cells.map(whole).collect::<Int64Array>())
        }
        Kind::Number => {
            let number = |cell| if let Cell::Number(number) = cell { Some(number) } else { None };
            Arc::new(cells.map(number).collect::<Float64Array>())
        }
        Kind::Text => {
            let text = |cell| if let Cell::Text(text) = cell { Some(text) } else { None };
            Arc::new(cells.map(text).collect::<StringArray>())
        }
        Kind::Numbers => {
            let mut lists = ListBuilder::new(Float64Builder::new());
            for cell in cells {
                let Cell::Numbers(numbers) = cell else {
                    lists.append_null();
                    continue;
                };
                lists.append_value(numbers.iter().map(|&number| Some(number).filter(|it| !it.is_nan())));
            }
            Arc::new(lists.finish())
        }
        Kind::Texts => {
            let mut lists = ListBuilder::new(StringBuilder::new());
            for cell in cells {
                let Cell::Texts(texts) = cell else {
                    lists.append_null();
                    continue;
                };
                lists.append_value(texts.iter().map(|text| Some(text.as_str())));
            }
            Arc::new(lists.finish())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn each_column_gives_cells_of_its_kind() {
        // The last one has every optional value: none may turn into a null on its way.
        let row = example::rows().pop().unwrap();
        let batch = to_batch(&[row]).unwrap();
        for (column, array) in columns().zip(batch.columns()) {
            assert_eq!(array.null_count(), 0, "{}", column.name);
        }
    }

    #[test]
    fn files_without_live_rows_are_as_they_were() {
        let row = example::rows().remove(0);
        let names = |rows: &[Observation]| -> Vec<String> {
            to_batch(rows).unwrap().schema().fields().iter().map(|field| field.name().clone()).collect()
        };
        assert!(!names(std::slice::from_ref(&row)).contains(&"propensity".to_owned()));
        let live = example::rows().pop().unwrap();
        assert!(live.live.is_some());
        assert_eq!(names(&[row, live]), columns().map(|column| column.name).collect::<Vec<_>>());
    }

    #[test]
    fn a_thousand_like_rows_cost_a_few_bytes_each() {
        let row = example::rows().pop().unwrap();
        let one = to_parquet(std::slice::from_ref(&row)).unwrap().len();
        let rows: Vec<Observation> = (0..1000).map(|repeat| Observation { repeat, ..row.clone() }).collect();
        let thousand = to_parquet(&rows).unwrap().len();
        assert!(one < 40_000, "{one}");
        assert!(thousand < one + 10_000, "{thousand} after {one}");
    }
}
