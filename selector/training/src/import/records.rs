//! Files as records of named fields.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

use crate::Error;

/// One record: fields by name, those of nested objects by dotted names. Values as they are written.
pub(super) type Record = BTreeMap<String, String>;

/// Reads a file's records: the lines of a CSV with a header, or the objects of JSON and JSON Lines; `within` names the array that
/// holds them where that is inside of an object.
pub(super) fn read(path: &Path, within: Option<&str>) -> Result<Vec<Record>, Error> {
    let bytes = std::fs::read(path).map_err(Error::file(path))?;
    let failed = |problem: String| Error::Failed(format!("{}: {problem}", path.display()));
    if path.extension().is_some_and(|extension| extension == "csv") {
        return if is_statistics(&bytes) { statistics(&bytes) } else { table(&bytes) }.map_err(failed);
    }
    let mut records = Vec::new();
    for document in serde_json::Deserializer::from_slice(&bytes).into_iter::<Value>() {
        let mut document = document.map_err(|error| failed(error.to_string()))?;
        let document = match within {
            None => document,
            Some(name) => document
                .pointer_mut(&format!("/{}", name.replace('.', "/")))
                .map(Value::take)
                .ok_or_else(|| failed(format!("there is no {name:?}")))?,
        };
        match document {
            Value::Array(items) => records.extend(items.iter().map(flattened)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                records.push(flattened(&document));
            }
        }
    }
    Ok(records)
}

fn table(bytes: &[u8]) -> Result<Vec<Record>, String> {
    let lines = csv::Reader::from_reader(bytes).into_deserialize::<Record>().collect::<Result<Vec<_>, _>>();
    lines.map_err(|error| error.to_string())
}

/// AIPerf's CSV: one run, a line for each metric under a header of statistics.
fn is_statistics(bytes: &[u8]) -> bool {
    bytes.starts_with(b"Metric,")
}

/// One record: `METRIC.STATISTIC`, or `METRIC` alone for those with one value.
fn statistics(bytes: &[u8]) -> Result<Vec<Record>, String> {
    let mut record = Record::new();
    let mut header: Vec<String> = Vec::new();
    for line in csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes).records() {
        let line = line.map_err(|error| error.to_string())?;
        let metric = line.get(0).unwrap_or_default();
        if metric == "Metric" {
            header = line.iter().map(str::to_owned).collect();
            continue;
        }
        for (statistic, value) in header.iter().zip(line.iter()).skip(1) {
            let name = if statistic == "Value" { metric.to_owned() } else { format!("{metric}.{statistic}") };
            record.insert(name, value.to_owned());
        }
    }
    Ok(vec![record])
}

fn flattened(value: &Value) -> Record {
    let mut record = Record::new();
    flatten(String::new(), value, &mut record);
    record
}

fn flatten(name: String, value: &Value, into: &mut Record) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let inner = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(inner, value, into);
            }
        }
        Value::String(text) => {
            into.insert(name, text.clone());
        }
        Value::Bool(_) | Value::Number(_) => {
            into.insert(name, value.to_string());
        }
        // What was measured of each request, in all of these formats: the rows are of whole runs.
        Value::Array(_) | Value::Null => {}
    }
}
