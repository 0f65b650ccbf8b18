//! Any text as a Hugging Face `config.json`. Run with `cargo +nightly fuzz run hf_config` in `config/`.
#![no_main]

use gearshift_config::ModelFacts;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(facts) = ModelFacts::from_hf_config(text) {
        assert!(facts.active_parameters_b <= facts.parameters_b);
    }
});
