//! The committed JSON Schema is the one the code generates.

use std::{fs, path::Path};

#[test]
fn the_committed_schema_is_fresh() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("gearshift.schema.json");
    let fresh = format!("{:#}\n", gearshift_config::schema());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&file, &fresh).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == fresh, "run `UPDATE_SCHEMA=1 cargo test -p gearshift-config --test schema`");
}

#[test]
fn every_key_is_described() {
    fn walk(schema: &serde_json::Value, at: &str) {
        if let Some(properties) = schema.get("properties").and_then(|properties| properties.as_object()) {
            for (key, value) in properties {
                assert!(value.get("description").is_some(), "{at}.{key} has no description");
            }
        }
        if let Some(object) = schema.as_object() {
            object.iter().for_each(|(key, value)| walk(value, &format!("{at}.{key}")));
        }
    }
    walk(&gearshift_config::schema(), "");
}
