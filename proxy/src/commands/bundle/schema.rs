//! What a bundle's graphs are given and must say, for whoever makes one elsewhere.

use gearshift_selector::{
    FORMAT, OUTPUTS,
    inputs::{self, HARDWARE, MODEL, PROFILE},
};
use serde_json::{Value, json};

/// The graphs' inputs by name, each with the names of its numbers in order.
fn groups() -> [(&'static str, Vec<String>); 4] {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    [
        ("model", owned(&MODEL)),
        ("hardware", owned(&HARDWARE)),
        ("profile", owned(&PROFILE)),
        ("query", inputs::query_names().collect()),
    ]
}

/// As JSON: `feature_schema` and `format` as they belong into a manifest, `inputs` by group, `features` (all of them in a row,
/// as an unsplit graph takes them), `outputs`.
pub(super) fn json() -> Value {
    let groups = groups();
    let features: Vec<_> = groups.iter().flat_map(|(_, names)| names).collect();
    let inputs: serde_json::Map<_, _> =
        groups.iter().map(|(group, names)| ((*group).to_owned(), json!(names))).collect();
    json!({
        "format": FORMAT,
        "feature_schema": inputs::schema_hash(),
        "features": features,
        "inputs": inputs,
        "outputs": OUTPUTS,
    })
}

/// As a table: position in its group, position in `features`, name.
pub(super) fn table() -> String {
    let groups = groups();
    let width: usize = groups.iter().map(|(_, names)| names.len()).sum();
    let mut lines = vec![
        format!("format          {FORMAT}"),
        format!("feature_schema  {}", inputs::schema_hash()),
        format!("features        {width}"),
    ];
    let mut at = 0;
    for (group, names) in groups {
        lines.push(format!("\n{group} [n, {}]: number, place in features, name", names.len()));
        for (number, name) in names.iter().enumerate() {
            lines.push(format!("{number:>4} {at:>4}  {name}"));
            at += 1;
        }
    }
    lines.push(format!("\nprediction [n, {}]", OUTPUTS.len()));
    lines.extend(OUTPUTS.iter().enumerate().map(|(number, name)| format!("{number:>4}       {name}")));
    lines.join("\n")
}
