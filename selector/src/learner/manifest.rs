//! A bundle's manifest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::prior::PriorFactors;

/// Version of the bundle's format that this build reads.
pub const FORMAT: u32 = 1;

/// What a bundle calls itself. Operators call it by its directory, which may be named otherwise: after a mount, or as a copy
/// that is kept to go back to.
pub type BundleId = String;

/// `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// What it calls itself; lower-case letters, digits, `-`, `.` and `_`.
    pub id: BundleId,
    /// When it was made, RFC 3339 in UTC; newer bundles replace older ones.
    pub created: String,
    /// [`schema_hash`](crate::inputs::schema_hash) of the inputs and outputs it was made for.
    pub feature_schema: String,
    /// The prior it corrects; the shipped one's where absent.
    #[serde(default)]
    pub prior: PriorFactors,
    /// A prior fitted to how long things take rather than to which of them takes longer: its mean over candidates that
    /// are compared is their level, where nothing was measured yet that calibration could go by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<PriorFactors>,
    /// Width of the text vectors it takes; absent where it takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<Encoder>,
    /// Half-life of trust: a spread (natural log) at which a correction counts half.
    pub spread_scale: f32,
    /// Rows it was trained on, by source.
    pub training: Vec<TrainingRows>,
    /// Summary of its evaluation, for people; free form.
    #[serde(default)]
    pub evaluation: serde_json::Value,
    /// SHA-256 of every other file of the bundle, hexadecimal, by name.
    pub files: BTreeMap<String, String>,
}

/// The text encoder whose vectors a bundle takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encoder {
    /// Its published name.
    pub name: String,
    /// SHA-256 of its ONNX graph.
    pub model_sha256: String,
    /// SHA-256 of its tokenizer.
    pub tokenizer_sha256: String,
    /// Width of its vectors.
    pub width: usize,
}

/// Rows of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingRows {
    /// `simulated`, `simulated_kernel`, `measured` or `live`.
    pub source: String,
    /// The data set.
    pub dataset: String,
    /// How many.
    pub rows: u64,
}
