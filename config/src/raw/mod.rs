//! The file as it is written: serde shapes, nothing checked beyond names and types.
//!
//! The doc comments are the descriptions of the JSON Schema that editors show. Nothing is required here: what is
//! missing is found by validation, together with everything else that is wrong.

mod catalog;
mod controller;
mod fleet;
mod routing;
mod server;
mod telemetry;
mod values;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) use catalog::{RawExperts, RawHardware, RawModel, RawModelNumbers, RawSlidingWindow};
pub(crate) use controller::{RawActuator, RawController, RawProcess, RawSleep, RawWebhook};
pub(crate) use fleet::{RawBackend, RawBackendHardware, RawFleet, RawProfile, RawSpeculative};
pub(crate) use routing::{RawMatch, RawRetries, RawRoute, RawSlo};
pub(crate) use server::{
    RawAdmin, RawLearner, RawLimits, RawListener, RawObservations, RawPaths, RawTimeouts,
};
pub(crate) use telemetry::{RawAccessLog, RawTelemetry, RawTracing};
pub(crate) use values::{DurationText, OneOrMany, SizeText, TextOr};

/// Configuration of Gearshift, the router for heterogeneous vLLM servers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "Gearshift")]
pub(crate) struct RawConfig {
    /// Where clients connect: an address such as `127.0.0.1:8080`, a list of such, or keys `address` and `tls`. Port 0
    /// asks the system for a free one. Default `127.0.0.1:8080`.
    pub(crate) listen: Option<OneOrMany<TextOr<RawListener>>>,
    /// The listener for operators: metrics, health, state of the fleet.
    pub(crate) admin: RawAdmin,
    /// Request cores, 1 to 1024. Default: the machine's cores.
    pub(crate) workers: Option<u32>,
    /// Models by the name clients use. A model from the catalog needs no entry, unless it has aliases.
    pub(crate) models: IndexMap<String, RawModel>,
    /// Hardware that the catalog lacks, or knows with other numbers, by name.
    pub(crate) hardware: IndexMap<String, RawHardware>,
    /// The fleet: one entry for each engine.
    #[schemars(required, length(min = 1))]
    pub(crate) backends: Vec<RawBackend>,
    /// Sets of engine knobs by name. A backend without a profile is asked for its knobs.
    pub(crate) profiles: IndexMap<String, RawProfile>,
    /// Which requests are routed how; the first match wins. A last route `default` (objective latency) takes what no
    /// other does.
    pub(crate) routes: Vec<RawRoute>,
    /// Sizes and counts.
    pub(crate) limits: RawLimits,
    /// Durations on the request path.
    pub(crate) timeouts: RawTimeouts,
    /// Retries before the first byte of a response.
    pub(crate) retries: RawRetries,
    /// How the fleet is watched.
    pub(crate) fleet: RawFleet,
    /// How profiles follow the traffic.
    pub(crate) controller: RawController,
    /// How bundles of the meta-learner are taken over.
    pub(crate) learner: RawLearner,
    /// What is learned from the requests that are served.
    pub(crate) observations: RawObservations,
    /// What is told of requests to other systems: traces, an access log, headers.
    pub(crate) telemetry: RawTelemetry,
    /// Files and folders; relative ones start at the folder of this file.
    pub(crate) paths: RawPaths,
}
