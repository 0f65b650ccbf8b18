//! Where engines are not what their configuration declares.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What differs from the declaration, by the backend's name. As JSON:
///
/// ```
/// # use gearshift_loadtests::scenario::Truth;
/// let truth = Truth::parse(r#"{"engines": {
///     "cheap": {"hardware": {"kind": "t4"}, "slow": 1.5},
///     "far": {"round_trip_ms": 80}
/// }}"#)?;
/// assert_eq!(truth.engines["cheap"].slow, Some(1.5));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Truth {
    /// Engines; those that are not named are honest.
    pub engines: BTreeMap<String, EngineTruth>,
}

/// What is really there; `None` is as declared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineTruth {
    /// The hardware.
    pub hardware: Option<TrueHardware>,
    /// The profile, by its name in the configuration.
    pub profile: Option<String>,
    /// Every step takes this many times as long.
    pub slow: Option<f64>,
    /// Network round trip beyond the machine's own, milliseconds.
    pub round_trip_ms: Option<f64>,
    /// Share of packets that the network loses, 0 to 1. In studies only.
    pub loss: Option<f64>,
    /// Requests that may wait (`--max-num-queued-reqs`).
    pub max_queued: Option<u32>,
    /// KV blocks (`--num-gpu-blocks-override`).
    pub blocks: Option<u64>,
    /// Whether waiting requests are taken by priority (`--scheduling-policy priority`).
    pub priority_scheduling: bool,
    /// Whether it computes embeddings, scores and classes (`--runner pooling`) instead of answers.
    pub pooling: bool,
}

/// Hardware of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrueHardware {
    /// Its name in the catalog.
    pub kind: String,
    /// How many.
    #[serde(default = "one")]
    pub count: u32,
}

fn one() -> u32 {
    1
}

impl Truth {
    /// Reads JSON.
    ///
    /// # Errors
    /// Where it is none, or has a field that is not known.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }
}
