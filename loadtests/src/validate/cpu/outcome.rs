//! What was measured, as it is kept.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use super::{plan::Phase, probes::Sample};
use crate::{Error, workload::Class};

/// Everything that one measurement found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// Of the plan that it was made under.
    pub plan: String,
    /// On what.
    pub machine: Machine,
    /// What step times are fitted on.
    pub probes: Vec<Sample>,
    /// The grid, by the profile's name.
    pub profiles: BTreeMap<String, ProfileRun>,
    /// Speculation by n-gram lookup, where it was measured.
    pub speculation: Option<Speculation>,
}

/// Made by `gearshift-loadtest validate --save`.
const SHIPPED: &str = include_str!("../../../data/vllm_cpu_smollm2.json");

impl Measurement {
    /// The one that ships with Gearshift.
    ///
    /// # Errors
    /// Where the file shipped is not of this form.
    pub fn shipped() -> Result<Self, Error> {
        Ok(serde_json::from_str(SHIPPED)?)
    }
}

/// What a measurement was made on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Processor, as the kernel names it.
    pub cpu: String,
    /// Cores; all but one of them multiply.
    pub cores: usize,
    /// The engine's version.
    pub vllm: String,
    /// When, UTC.
    pub date: String,
}

impl Machine {
    /// Cores that multiply: vLLM keeps one for its scheduler and front end.
    pub fn working_cores(&self) -> usize {
        self.cores.saturating_sub(1).max(1)
    }
}

/// One profile under both loads.
pub type ProfileRun = BTreeMap<Phase, PhaseRun>;

/// One profile under one load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseRun {
    /// From when each request was due to its first token, seconds, in the order of requests.
    pub ttft_s: Vec<f64>,
    /// The same to its last token.
    pub e2e_s: Vec<f64>,
    /// Prompt tokens that the prefix cache had.
    pub prefix_hits: u64,
    /// Preemptions.
    pub preemptions: u64,
    /// Share of the machine that other processes took meanwhile, 0 to 1; 0 in the simulation.
    pub others: f64,
}

/// What n-gram speculation did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speculation {
    /// Draft tokens a step.
    pub tokens: u32,
    /// Longest n-gram looked up.
    pub lookup_max: u32,
    /// By kind of text.
    pub kinds: BTreeMap<Class, Drafted>,
    /// Steps that verify drafts, timed.
    pub steps: Vec<DraftStep>,
}

/// Counters of speculation over some requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drafted {
    /// Tokens generated.
    pub generated: u64,
    /// Drafts made: one per sequence and step in which an n-gram was found.
    pub drafts: u64,
    /// Tokens in them.
    pub drafted: u64,
    /// Of these, accepted, by their position in the draft.
    pub accepted: Vec<u64>,
}

/// The time of a step in which sequences have drafts verified.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DraftStep {
    /// Sequences in the step.
    pub count: u32,
    /// Context tokens of all of them.
    pub context: u32,
    /// Share of sequences and steps that had a draft, 0 to 1.
    pub drafted: f64,
    /// How long such steps took in the mean, seconds.
    pub seconds: f64,
}

/// Reads a file of this form; `None` where there is none.
///
/// # Errors
/// Where it cannot be read or has another form.
pub fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(serde_json::from_str(&text)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file(path)(error)),
    }
}

/// Writes it, whole or not at all.
///
/// # Errors
/// Where it cannot be written.
pub fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
    let text = serde_json::to_string(value)?;
    let draft = path.with_extension("part");
    std::fs::write(&draft, text + "\n").map_err(Error::file(&draft))?;
    std::fs::rename(&draft, path).map_err(Error::file(path))
}

/// To the tenth of a millisecond: finer is noise, and would fill files.
pub fn rounded(seconds: f64) -> f64 {
    (seconds * 1e4).round() / 1e4
}
