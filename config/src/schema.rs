//! The JSON Schema of the file, for editors.

use schemars::{generate::SchemaSettings, transform::RecursiveTransform};

use crate::raw::RawConfig;

/// The JSON Schema (draft 2020-12) of a configuration file. It is committed as `config/gearshift.schema.json`; editors
/// that speak the YAML language server protocol take it from a first line
/// `# yaml-language-server: $schema=gearshift.schema.json`.
pub fn schema() -> serde_json::Value {
    let without_null_defaults = RecursiveTransform(|schema: &mut schemars::Schema| {
        // Defaults are in the descriptions; `null` says only that a key may be left out.
        if schema.get("default").is_some_and(serde_json::Value::is_null) {
            schema.remove("default");
        }
    });
    let settings = SchemaSettings::draft2020_12().with_transform(without_null_defaults);
    settings.into_generator().into_root_schema_for::<RawConfig>().to_value()
}
