//! One row.

use gearshift_config::{HardwareFacts, Knobs, ModelFacts};
use gearshift_selector::Software;

use crate::Live;

/// How a row came to be. Reports never mix sources without saying so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A simulated engine in virtual time.
    Simulated,
    /// Put together from measured kernels by AIConfigurator.
    SimulatedKernel,
    /// A benchmark of a real engine.
    #[default]
    Measured,
    /// A request that Gearshift served.
    Live,
}

/// What one row stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grain {
    /// One request, at the load the router saw when it chose.
    Request,
    /// A run of many, at a constant number in flight.
    #[default]
    Window,
}

/// One row of the performance database.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observation {
    /// How it came to be.
    pub source: Source,
    /// What it stands for.
    pub grain: Grain,
    /// The collection it belongs to: `silicon`, `vllm_cpu`, `simulated_engines`, `aiconfigurator`, or your own.
    pub dataset: String,
    /// Where exactly it comes from: file, tool, version, date, row id.
    pub provenance: String,
    /// Rows of one data set with equal `context` answer the same question (model, hardware, workload, load) by different actions.
    pub context: String,
    /// What was chosen: the profile's name, or the engine's and its parallelism.
    pub action: String,
    /// Repetition of the same context and action, from 0.
    pub repeat: u32,
    /// When it was measured, seconds since 1970.
    pub at_unix_s: Option<i64>,
    /// The engine in numbers and words.
    pub facts: Facts,
    /// What was asked of it.
    pub workload: Workload,
    /// Its load without this request, as a router would see it; for a window: in the steady state.
    pub load: Load,
    /// What it did.
    pub outcome: Outcome,
    /// For source `live`: the decision, and how the request ended.
    pub live: Option<Box<Live>>,
}

/// Model, hardware and profile.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// The model's name: the catalog's where it has one.
    pub model: String,
    /// Models of one family (architecture and size) are held out together.
    pub family: String,
    /// Its numbers and description.
    pub model_facts: ModelFacts,
    /// The accelerator's key in the catalog, or any name.
    pub hardware: String,
    /// Its numbers and description.
    pub hardware_facts: HardwareFacts,
    /// Accelerators.
    pub count: u32,
    /// The profile's knobs.
    pub knobs: Knobs,
    /// Whether the profile is declared to leave outputs as they are.
    pub lossless: bool,
    /// Engine and age.
    pub software: Software,
    /// Its version as it says.
    pub engine_version: Option<String>,
    /// Tokens its KV cache holds, where it said.
    pub kv_tokens: Option<u64>,
}

/// What was asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Workload {
    /// Its name: `chat`, `rag`, `8192x1024`, ….
    pub name: String,
    /// One sentence for people and for the text encoder.
    pub description: String,
    /// Prompt tokens (mean).
    pub prompt_tokens: f64,
    /// Leading prompt tokens that a router would predict to be in the cache (mean); 0 where the profile has none.
    pub cached_tokens: f64,
    /// Output tokens (mean).
    pub output_tokens: f64,
    /// Requests in flight, this one included; a window's is held constant.
    pub concurrency: f64,
    /// Standard deviation over mean of prompt lengths; 0 where all are equal.
    pub prompt_spread: f64,
    /// The same of output lengths.
    pub output_spread: f64,
}

/// A backend's load as the router saw it; see `gearshift_selector::Load`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Load {
    /// Sequences there.
    pub sequences: f64,
    /// Of these, past their prefill.
    pub decoding: f64,
    /// Prompt tokens not yet prefilled.
    pub prefill_tokens: f64,
    /// Output tokens still to come.
    pub decode_tokens: f64,
    /// Tokens of context of all sequences.
    pub context_tokens: f64,
    /// Sequences at which it is out of cache, where it said.
    pub full_at: Option<f64>,
    /// Age of the scraped part, seconds.
    pub age_s: Option<f64>,
}

/// What came of it. Seconds; means over a window's requests.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Outcome {
    /// Requests this rests on; 0 where the source does not say.
    pub requests: u32,
    /// Of these, failed; not part of the times.
    pub failed: u32,
    /// Time to first token.
    pub ttft_s: Option<f64>,
    /// Nine of ten are below.
    pub ttft_p90_s: Option<f64>,
    /// Time per output token after the first.
    pub tpot_s: Option<f64>,
    /// Nine of ten are below.
    pub tpot_p90_s: Option<f64>,
    /// End to end.
    pub e2e_s: Option<f64>,
    /// Output tokens a second of the whole engine.
    pub output_tokens_per_s: Option<f64>,
    /// Joules of the engine per output token: measured, or modelled by a simulated engine.
    pub joules_per_token: Option<f64>,
    /// Prompt tokens the engine took from its cache (mean).
    pub cached_tokens: Option<f64>,
    /// Share of greedy answers equal to those of the same model with everything off, 0–1.
    pub agreement: Option<f64>,
    /// Estimate of another tool for the same row: AIConfigurator's end to end, seconds.
    pub reference_e2e_s: Option<f64>,
    /// Its time per output token, seconds.
    pub reference_tpot_s: Option<f64>,
}
