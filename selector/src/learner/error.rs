//! Why a bundle is refused.

use std::{path::PathBuf, time::Duration};

/// Why a bundle cannot be used, and what to do about it. The bundle in use stays.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file is missing or cannot be read.
    #[error(
        "{}: {source}; is the bundle copied completely? Copy it beside its place, then rename it",
        path.display()
    )]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `manifest.json` is not JSON, or lacks or misnames a field.
    #[error("manifest.json: {problem}; see models/README.md for its fields")]
    Manifest {
        /// What is wrong.
        problem: String,
    },
    /// Made for another version of the format.
    #[error(
        "the bundle has format {found}, this build reads {expected}; make it anew with this version's gearshift-train"
    )]
    Format {
        /// What the manifest says.
        found: u32,
        /// [`FORMAT`](super::FORMAT).
        expected: u32,
    },
    /// Made for other inputs or outputs.
    #[error(
        "the bundle was made for the inputs {found}, this build gives {expected}; make it anew with this version's gearshift-train"
    )]
    Schema {
        /// What the manifest says.
        found: String,
        /// [`schema_hash`](crate::inputs::schema_hash).
        expected: String,
    },
    /// A file's content is not what the manifest says.
    #[error(
        "{file} has SHA-256 {found}, the manifest says {expected}; it is damaged or was copied in part: copy the bundle again"
    )]
    Hash {
        /// Which file.
        file: String,
        /// Of its content.
        found: String,
        /// Of the manifest.
        expected: String,
    },
    /// ONNX Runtime refuses a graph, or its inputs or outputs are not those of the contract.
    #[error("{file}: {problem}; models/README.md has the graphs' inputs and outputs")]
    Graph {
        /// Which file.
        file: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// `vectors.json` or `golden.json` cannot be understood.
    #[error("{file}: {problem}; models/README.md has its form")]
    Data {
        /// Which file.
        file: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The graphs do not say what they said where the bundle was made.
    #[error(
        "golden row {row}: {output} is {found}, {expected} was expected; the graphs are not those that golden.json was written with, or this ONNX Runtime computes differently"
    )]
    Golden {
        /// Its position, from 0.
        row: usize,
        /// Which of [`OUTPUTS`](super::OUTPUTS).
        output: &'static str,
        /// What the graphs say now.
        found: f32,
        /// What the row says.
        expected: f32,
    },
    /// Not even the fewest candidates fit into the time of a decision.
    #[error(
        "{candidates} candidates take {took:?}, the budget is {budget:?}; use a smaller graph, or raise the budget"
    )]
    TooSlow {
        /// The fewest that are worth asking for.
        candidates: usize,
        /// Median time for them on this machine.
        took: Duration,
        /// [`LoadOptions::budget`](super::LoadOptions::budget).
        budget: Duration,
    },
    /// The text encoder that the manifest names is there but cannot be used.
    #[error(transparent)]
    Encoder(#[from] super::EncoderError),
    /// The graphs failed on the facts of an engine.
    #[error("engine {engine}: {problem}; report this with the backend's configuration")]
    Engine {
        /// Its position among those that were asked for.
        engine: usize,
        /// What is wrong.
        problem: String,
    },
}

/// Why a [`Head`](super::Head) has no answer; the prior decides then.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// ONNX Runtime failed.
    #[error("the regressor failed: {0}")]
    Run(#[from] ort::Error),
    /// As many rows were not asked for, or an engine was encoded by another bundle.
    #[error("{what}: {found} numbers instead of {expected}")]
    Size {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// NaN, infinite, or beyond what any engine could be off by.
    #[error("{output} of candidate {row} is {value}")]
    Absurd {
        /// Position of the candidate.
        row: usize,
        /// Which of [`OUTPUTS`](super::OUTPUTS).
        output: &'static str,
        /// What it is.
        value: f32,
    },
}
