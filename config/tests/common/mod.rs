//! Reading a text as a configuration file.

#![expect(clippy::panic, reason = "helpers outside #[test] functions")]

use std::path::Path;

use gearshift_config::{Config, Errors, parse_with};

pub(crate) fn read(text: &str) -> Result<Config, Errors> {
    parse_with("g.yaml", text, Path::new(""), &|name| (name == "SET").then(|| "s3cret".to_owned()))
}

pub(crate) fn lines(text: &str) -> Vec<String> {
    let errors = read(text).err().unwrap_or_else(|| panic!("no error in {text}"));
    errors.to_string().lines().map(str::to_owned).collect()
}

/// The only problem of a text.
pub(crate) fn only(text: &str) -> String {
    let lines = lines(text);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    lines.concat()
}

pub(crate) const ONE: &str = "backends: [{url: 'http://a'}]\n";
