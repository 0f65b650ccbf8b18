//! The profile controller's settings, and what puts a backend into another profile.

use std::{path::PathBuf, time::Duration};

use crate::{BackendUrl, ProfileId, Secret, summary};

/// How profiles follow the traffic.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Controller {
    /// Whether plans are carried out.
    pub mode: ControllerMode,
    /// Between two plans. Default 60 s.
    #[serde(serialize_with = "summary::duration")]
    pub every: Duration,
    /// Gain below which nothing is shifted, as a share of the predicted objective over all of the model's
    /// requests. Default 0.03.
    pub min_gain: f64,
    /// Least time in a profile before the controller changes it. Default 15 min.
    #[serde(serialize_with = "summary::duration")]
    pub min_dwell: Duration,
    /// A switch's cost must be earned back within this time. Default 1 h.
    #[serde(serialize_with = "summary::duration")]
    pub payback: Duration,
    /// Backends of one model that may be out of service for switches at once. Default 1.
    pub max_unavailable: u32,
    /// How long a backend's requests may take to finish before its switch is given up. Default 10 min.
    #[serde(serialize_with = "summary::duration")]
    pub drain: Duration,
    /// Over this time a backend's share grows back after a switch. Default 30 s.
    #[serde(serialize_with = "summary::duration")]
    pub slow_start: Duration,
    /// Requests that an engine answers before clients' requests go there. Default 2.
    pub warm_up_requests: u32,
    /// The journal: which profile each backend is in, and how far a switch has come.
    #[serde(serialize_with = "summary::path")]
    pub state: PathBuf,
}

/// Whether the controller carries out what it plans.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ControllerMode {
    /// It only says what it would do. Operators may shift by hand.
    #[default]
    Advisory,
    /// It shifts.
    Act,
}

/// What puts a backend into another profile.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Actuator {
    /// Gearshift starts and ends the engine.
    Process(ProcessActuator),
    /// Engines that share an accelerator: one is awake, the others sleep.
    Sleep(SleepActuator),
    /// The operator's own system is told.
    Webhook(WebhookActuator),
}

/// An engine that Gearshift starts, restarts and ends.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ProcessActuator {
    /// The program and its first arguments; those of the profile, the host and the port follow. Never empty.
    #[serde(serialize_with = "summary::command")]
    pub command: Vec<String>,
    /// Where it runs.
    #[serde(serialize_with = "summary::path")]
    pub workdir: PathBuf,
    /// Added to Gearshift's own environment. Values may be keys, so they are not shown.
    pub env: Vec<(String, Secret)>,
    /// Variables that the file reads by `${NAME}` elsewhere than in this backend's own entry: of Gearshift's own environment, the
    /// engine does not get these.
    #[serde(skip)]
    pub withheld: Vec<String>,
    /// How long it may take to end before it is killed. Default 30 s.
    #[serde(serialize_with = "summary::duration")]
    pub stop_grace: Duration,
    /// How long it may take to answer and to prove its profile. Default 10 min.
    #[serde(serialize_with = "summary::duration")]
    pub start_timeout: Duration,
    /// What it writes; each start begins a new file. Its engine is known again by the [file beside it](Self::pid_file).
    #[serde(serialize_with = "summary::path")]
    pub log: PathBuf,
    /// Whether operators are told how that ended, where the engine did. It may hold prompts. Default false.
    pub show_last_words: bool,
    /// A command that prints the memory in use on the engine's accelerators, MiB, a line for each; empty for nothing to wait for.
    /// Absent, `nvidia-smi` is asked, where the machine has it, which processes hold memory.
    pub memory_probe: Option<Vec<String>>,
    /// How long memory may take to become free once the engine has ended. Default 60 s.
    #[serde(serialize_with = "summary::duration")]
    pub release_timeout: Duration,
    /// What becomes of it when Gearshift is told to end.
    pub on_exit: OnExit,
}

impl ProcessActuator {
    /// The file that names the engine's process; no two backends have one.
    pub fn pid_file(&self) -> PathBuf {
        self.log.with_extension("pid")
    }
}

/// What becomes of an engine when Gearshift is told to end.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum OnExit {
    /// It runs on, and the next Gearshift takes it over.
    #[default]
    Keep,
    /// It is ended too.
    Stop,
}

/// Engines that share an accelerator, run with `--enable-sleep-mode` and `VLLM_SERVER_DEV_MODE=1`.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct SleepActuator {
    /// The engine of each other profile. The backend's own URL is that of its own profile.
    pub siblings: Vec<(ProfileId, BackendUrl)>,
    /// How long one may take to fall asleep or wake. Default 2 min.
    #[serde(serialize_with = "summary::duration")]
    pub timeout: Duration,
}

/// A system of the operator's that starts engines.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct WebhookActuator {
    /// Where the order is posted. Its path may be a key, so it is not shown.
    #[serde(serialize_with = "summary::origin")]
    pub url: BackendUrl,
    /// The key of the order's HMAC-SHA256.
    pub secret: Secret,
    /// How long it may take to accept an order. Default 10 s.
    #[serde(serialize_with = "summary::duration")]
    pub timeout: Duration,
    /// How long the engine may then take to come back in its new profile. Default 10 min.
    #[serde(serialize_with = "summary::duration")]
    pub start_timeout: Duration,
}

impl Actuator {
    /// Its name in metrics and the admin API.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Process(_) => "process",
            Self::Sleep(_) => "sleep",
            Self::Webhook(_) => "webhook",
        }
    }
}
