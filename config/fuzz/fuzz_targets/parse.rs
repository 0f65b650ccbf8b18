//! Any text as a configuration: reading it ends without a panic, and an error names at least one problem.
//! Run with `cargo +nightly fuzz run parse` in `config/`; `config/examples` is a good corpus.
#![no_main]

use std::path::Path;

libfuzzer_sys::fuzz_target!(|text: &str| {
    match gearshift_config::parse_with("fuzz.yaml", text, Path::new("/nonexistent"), &|_| None) {
        Ok(config) => assert!(!config.backends.is_empty() && !config.redacted().is_null()),
        Err(errors) => assert!(!errors.problems.is_empty() && !errors.to_string().is_empty()),
    }
});
