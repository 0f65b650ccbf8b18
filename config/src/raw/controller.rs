//! The profile controller and the actuators of backends.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::values::DurationText;
use crate::{ControllerMode, OnExit};

/// How profiles follow the traffic.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Controller")]
pub(crate) struct RawController {
    /// Whether plans are carried out (`act`) or only shown. Default `advisory`.
    pub(crate) mode: Option<ControllerMode>,
    /// Between two plans. Default `1m`.
    pub(crate) every: Option<DurationText>,
    /// Gain below which nothing is shifted, as a share of the predicted objective over all of the model's requests,
    /// 0 to 10. Default 0.03.
    pub(crate) min_gain: Option<f64>,
    /// Least time in a profile before the controller changes it. Default `15m`.
    pub(crate) min_dwell: Option<DurationText>,
    /// A switch's cost must be earned back within this time. Default `1h`.
    pub(crate) payback: Option<DurationText>,
    /// Backends of one model that may be out of service for switches at once, 1 to 1000. Default 1.
    pub(crate) max_unavailable: Option<u32>,
    /// How long a backend's requests may take to finish before its switch is given up. Default `10m`.
    pub(crate) drain: Option<DurationText>,
    /// Over this time a backend's share grows back after a switch; `0` gives it all at once. Default `30s`.
    pub(crate) slow_start: Option<DurationText>,
    /// Requests that an engine answers before clients' requests go there, 0 to 100. Default 2.
    pub(crate) warm_up_requests: Option<u32>,
    /// The journal: which profile each backend is in, and how far a switch has come. Default `controller-state.json`.
    pub(crate) state: Option<String>,
}

/// What puts a backend into another profile: one of the three.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Actuator")]
pub(crate) struct RawActuator {
    /// Gearshift starts and ends the engine.
    pub(crate) process: Option<RawProcess>,
    /// Engines that share an accelerator: one is awake, the others sleep.
    pub(crate) sleep: Option<RawSleep>,
    /// The operator's own system is told.
    pub(crate) webhook: Option<RawWebhook>,
}

/// An engine that Gearshift starts, restarts and ends.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Process")]
pub(crate) struct RawProcess {
    /// The program and its first arguments, such as `[vllm, serve, Qwen/Qwen3-8B]`; those of the profile, `--host` and
    /// `--port` follow.
    #[schemars(required, length(min = 1))]
    pub(crate) command: Vec<String>,
    /// Where it runs. Default: the folder of this file.
    pub(crate) workdir: Option<String>,
    /// Added to Gearshift's own environment; `${NAME}` reads an environment variable. Of its own, an engine does not get variables
    /// that this file reads by `${NAME}` elsewhere than in this backend's entry (but those like `HOME` and `PATH`), nor the keys of
    /// clouds' stores and of collectors that Gearshift itself reads: state here what it needs of them.
    pub(crate) env: IndexMap<String, String>,
    /// How long it may take to end before it is killed. Default `30s`.
    pub(crate) stop_grace: Option<DurationText>,
    /// How long it may take to answer and to prove its profile. Default `10m`.
    pub(crate) start_timeout: Option<DurationText>,
    /// What it writes; each start begins a new file and keeps the three before it. The engine is known again by the file of this
    /// name that ends in `.pid`: each backend has its own. Default `engine-logs/NAME.log`.
    pub(crate) log: Option<String>,
    /// Whether operators (`/controller`, `/events`, the console, the journal and the log) are told the end of it, where the engine
    /// ended. It may hold prompts, where the engine logs requests. Default false: they are told where the file is.
    pub(crate) show_last_words: Option<bool>,
    /// A command that prints the memory in use, MiB, a line for each of the engine's accelerators; memory is free once no more
    /// is in use than before the engine started. `[]`: it is not waited for. Default: `nvidia-smi`, where the machine has it,
    /// is asked which processes hold memory, and it is free once none of the engine's does; in a container, which hides them,
    /// it goes by the memory of the accelerators in `CUDA_VISIBLE_DEVICES`, which no other backend may share then.
    pub(crate) memory_probe: Option<Vec<String>>,
    /// How long memory may take to become free once the engine has ended; then the switch goes back, and no engine is started
    /// before it is. Default `60s`.
    pub(crate) release_timeout: Option<DurationText>,
    /// What becomes of the engine when Gearshift is told to end: `keep` it for the next Gearshift, or `stop` it.
    /// Default `keep`.
    pub(crate) on_exit: Option<OnExit>,
}

/// Engines that share an accelerator, run with `--enable-sleep-mode` and `VLLM_SERVER_DEV_MODE=1`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Sleep")]
pub(crate) struct RawSleep {
    /// The engine of each other profile, by the profile's name. The backend's own URL is that of its own profile.
    #[schemars(required)]
    pub(crate) siblings: IndexMap<String, String>,
    /// How long one may take to fall asleep or wake. Default `2m`.
    pub(crate) timeout: Option<DurationText>,
}

/// A system of the operator's that starts engines.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Webhook")]
pub(crate) struct RawWebhook {
    /// Where the order is posted; `${NAME}` reads an environment variable.
    #[schemars(required)]
    pub(crate) url: Option<String>,
    /// The key of the order's HMAC-SHA256; `${NAME}` reads an environment variable.
    pub(crate) secret: Option<String>,
    /// File that holds the key, instead of `secret`.
    pub(crate) secret_file: Option<String>,
    /// How long it may take to accept an order. Default `10s`.
    pub(crate) timeout: Option<DurationText>,
    /// How long the engine may then take to come back in its new profile. Default `10m`.
    pub(crate) start_timeout: Option<DurationText>,
}
