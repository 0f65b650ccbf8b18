//! Routes and retries.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{DurationText, OneOrMany};
use crate::Objective;

/// A rule that maps requests to an objective and its limits.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Route")]
pub(crate) struct RawRoute {
    /// Name in metrics and logs.
    #[schemars(required)]
    pub(crate) name: Option<String>,
    /// Which requests it takes; without it, all.
    #[serde(rename = "match")]
    pub(crate) matches: RawMatch,
    /// What is made best. Default `latency`.
    pub(crate) objective: Option<Objective>,
    /// Limits that come before the objective.
    pub(crate) slo: RawSlo,
    /// Whether profiles that change outputs are eligible. Default false.
    pub(crate) allow_lossy: Option<bool>,
    /// Whether streamed requests get `stream_options.include_usage` where the client left it out, so that output
    /// lengths are learned from exact counts; the client then sees one more chunk. Default false.
    pub(crate) inject_usage: Option<bool>,
}

/// Which requests a route takes: all that is stated must match.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Match")]
pub(crate) struct RawMatch {
    /// Model names as clients write them, aliases included; one is enough.
    pub(crate) models: OneOrMany<String>,
    /// Request paths, exact, such as `/v1/chat/completions`; one is enough.
    pub(crate) paths: OneOrMany<String>,
    /// Headers with their exact value; all must match.
    pub(crate) headers: IndexMap<String, String>,
}

/// Limits; a backend predicted to miss one is chosen only when all do.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Slo")]
pub(crate) struct RawSlo {
    /// Time to first token.
    pub(crate) ttft: Option<DurationText>,
    /// Time per output token after the first.
    pub(crate) tpot: Option<DurationText>,
    /// End to end.
    pub(crate) e2e: Option<DurationText>,
}

/// Retries before the first byte of a response, on another backend.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Retries")]
pub(crate) struct RawRetries {
    /// Further attempts per request, 0 to 10. Default 2.
    pub(crate) attempts: Option<u32>,
    /// Retries as a share of all requests, 0 to 1, so that an outage is not multiplied. Default 0.2.
    pub(crate) budget: Option<f64>,
}
