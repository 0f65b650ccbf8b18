//! The configuration after validation: what the rest of Gearshift works with.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use crate::{
    Actuator, BackendId, Controller, HardwareFacts, HardwareId, ModelFacts, ModelId, Profile, RouteId,
    Secret, Telemetry, summary,
};

/// A whole, valid configuration.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Config {
    /// Where clients connect. At least one.
    pub listeners: Vec<Listener>,
    /// The listener for operators.
    pub admin: Admin,
    /// Request cores: one runtime each. Never zero.
    pub workers: usize,
    /// Models that the file declares, and those of the catalog that backends name without declaring them: every
    /// [`Declared::Is`] model of a backend is here.
    pub models: Vec<Model>,
    /// Profiles that the file declares.
    pub profiles: Vec<Arc<Profile>>,
    /// The fleet. At least one.
    pub backends: Vec<Arc<Backend>>,
    /// Routes, first match wins; the last one matches everything.
    pub routes: Vec<Arc<Route>>,
    /// Sizes and counts.
    pub limits: Limits,
    /// Durations on the request path.
    pub timeouts: Timeouts,
    /// Retries before the first byte.
    pub retries: Retries,
    /// How the fleet is watched.
    pub fleet: Fleet,
    /// How profiles follow the traffic.
    pub controller: Controller,
    /// How bundles of the meta-learner are taken over.
    pub learner: Learner,
    /// What is learned from the requests that are served.
    pub observations: Observations,
    /// What is told of requests to other systems.
    pub telemetry: Telemetry,
    /// Files and folders.
    pub paths: Paths,
}

/// One address that clients connect to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Listener {
    /// Address and port; port 0 asks the system for one.
    pub address: SocketAddr,
    /// TLS, where configured.
    pub tls: Option<ServerTls>,
}

/// A server certificate, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ServerTls {
    /// Certificate chain, leaf first.
    #[serde(serialize_with = "summary::path")]
    pub certificate: PathBuf,
    /// Private key.
    #[serde(serialize_with = "summary::path")]
    pub key: PathBuf,
}

/// The listener for operators.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Admin {
    /// Address; anything but loopback needs a token.
    pub address: SocketAddr,
    /// Bearer token, where one is asked for.
    pub token: Option<Secret>,
}

/// A model that clients may name.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Model {
    /// The name clients use.
    pub id: ModelId,
    /// Other names for it; a request that uses one is rewritten to the backend's served name.
    pub aliases: Vec<String>,
    /// The name the engines serve it under; `id` where the file states no other.
    pub served_name: String,
    /// Its numbers, where the catalog, a `config.json` or the file gives them.
    pub facts: Option<Arc<ModelFacts>>,
}

/// A value that the file states, or leaves to the engine's own word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Declared<T> {
    /// Ask the engine.
    Detect,
    /// The file says so.
    Is(T),
}

/// Accelerators of one kind.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Hardware {
    /// Kind.
    pub id: HardwareId,
    /// How many the engine runs on.
    pub count: u32,
    /// One of them, in numbers.
    pub facts: Arc<HardwareFacts>,
}

/// One running engine.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Backend {
    /// Name in metrics, logs and the admin API; unique.
    pub id: BackendId,
    /// Where it listens.
    pub url: BackendUrl,
    /// What it runs on, where stated.
    pub hardware: Option<Hardware>,
    /// Which model it serves.
    pub model: Declared<ModelId>,
    /// In which profile it runs.
    pub profile: Declared<Arc<Profile>>,
    /// Profiles it may be shifted into, its own among them; empty where it stays in its own.
    pub profiles: Vec<Arc<Profile>>,
    /// What puts it into another profile.
    pub actuator: Option<Actuator>,
    /// Price of the whole engine, US dollars an hour: as stated, else the hardware's list price times its count.
    pub price_usd_per_hour: Option<f64>,
    /// Sent upstream as a bearer token instead of the client's own `Authorization`.
    pub api_key: Option<Secret>,
    /// HTTP version spoken upstream.
    pub protocol: UpstreamProtocol,
    /// Extra trust root (PEM) for an `https` URL.
    #[serde(serialize_with = "summary::optional_path")]
    pub ca_file: Option<PathBuf>,
}

impl Backend {
    /// The name of the profile it runs in, for people and labels; `detected` where the engine is asked.
    pub fn profile_name(&self) -> &str {
        match &self.profile {
            Declared::Is(profile) => profile.id.as_str(),
            Declared::Detect => "detected",
        }
    }

    /// Whether `other` is reached in the same way, so that connections to one serve the other.
    pub fn same_connection(&self, other: &Self) -> bool {
        self.url == other.url
            && self.api_key == other.api_key
            && self.protocol == other.protocol
            && self.ca_file == other.ca_file
    }
}

/// The base URL of a backend, in parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BackendUrl {
    /// `https` or `http`.
    pub tls: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port, explicit or the scheme's.
    pub port: u16,
    /// Path prefix without a trailing slash; empty for most. A trailing `/v1` is dropped.
    pub path: String,
}

/// HTTP version spoken with a backend.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamProtocol {
    /// HTTP/1.1, what vLLM's server speaks.
    #[default]
    Http1,
    /// HTTP/2, by prior knowledge in clear text or by ALPN over TLS.
    Http2,
}

/// A rule that maps requests to an objective and its limits.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Route {
    /// Its name in metrics and logs.
    pub id: RouteId,
    /// Which requests it takes.
    pub matches: RouteMatch,
    /// What is made best.
    pub objective: Objective,
    /// Limits that come before the objective.
    pub slo: Slo,
    /// Whether profiles that change outputs are eligible.
    pub allow_lossy: bool,
    /// Whether streamed requests get `stream_options.include_usage` where the client left it out.
    pub inject_usage: bool,
}

/// Which requests a route takes; empty lists match all.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct RouteMatch {
    /// Model names as clients write them, aliases included.
    pub models: Vec<String>,
    /// Request paths, exact.
    pub paths: Vec<String>,
    /// Headers (lower-case name, exact value); all must match.
    pub headers: Vec<(String, String)>,
}

/// What a route makes best.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// Shortest end-to-end latency.
    #[default]
    Latency,
    /// Least cost: price × share of the engine's time.
    Cost,
    /// Least energy.
    Energy,
    /// Most tokens per second over the fleet.
    Throughput,
}

/// Limits; a candidate predicted to miss one is chosen only when all do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Slo {
    /// Time to first token.
    #[serde(serialize_with = "summary::optional_duration")]
    pub ttft: Option<Duration>,
    /// Time per output token after the first.
    #[serde(serialize_with = "summary::optional_duration")]
    pub tpot: Option<Duration>,
    /// End to end.
    #[serde(serialize_with = "summary::optional_duration")]
    pub e2e: Option<Duration>,
}

/// Sizes and counts.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Limits {
    /// Largest request body, bytes. Default 32 MiB.
    pub max_body_bytes: usize,
    /// Request bodies held in memory at once over all requests, bytes. Default 2 GiB.
    pub max_buffered_bytes: usize,
    /// Largest request head, bytes. Default 64 KiB.
    pub max_header_bytes: usize,
    /// Most header fields in a request. Default 100.
    pub max_headers: usize,
    /// Requests in flight over all listeners. Default 16,384.
    pub max_in_flight: usize,
    /// Open client connections over all listeners. Default 16,384.
    pub max_connections: usize,
}

/// Durations on the request path.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Timeouts {
    /// Reading a request head. Default 10 s.
    #[serde(serialize_with = "summary::duration")]
    pub header: Duration,
    /// Between two pieces of a request body. Default 30 s.
    #[serde(serialize_with = "summary::duration")]
    pub body_idle: Duration,
    /// Reading a whole request body. Default 120 s.
    #[serde(serialize_with = "summary::duration")]
    pub body: Duration,
    /// Connecting upstream, TLS and HTTP/2 handshakes included. Default 3 s.
    #[serde(serialize_with = "summary::duration")]
    pub connect: Duration,
    /// From sending the request to the response head. Default 600 s.
    #[serde(serialize_with = "summary::duration")]
    pub response_head: Duration,
    /// Between two pieces of a response body. Default 300 s.
    #[serde(serialize_with = "summary::duration")]
    pub response_idle: Duration,
    /// How long an idle upstream connection is kept; vLLM closes after 5 s. Default 4 s.
    #[serde(serialize_with = "summary::duration")]
    pub pool_idle: Duration,
    /// How long an idle client connection is kept, or one that takes nothing of its response. Default 300 s.
    #[serde(serialize_with = "summary::duration")]
    pub client_idle: Duration,
    /// How long open streams may finish at shutdown. Default 120 s.
    #[serde(serialize_with = "summary::duration")]
    pub drain: Duration,
}

/// Retries before the first byte.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Retries {
    /// Further attempts per request at most. Default 2.
    pub attempts: u32,
    /// Retries as a share of requests over the whole proxy, so that an outage is not multiplied. Default 0.2.
    pub budget: f64,
}

/// How the fleet is watched.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fleet {
    /// Between two health checks of a backend. Default 2 s.
    #[serde(serialize_with = "summary::duration")]
    pub health_interval: Duration,
    /// How long one may take. Default 5 s.
    #[serde(serialize_with = "summary::duration")]
    pub health_timeout: Duration,
    /// Failures in a row that take a backend out. Default 3.
    pub unhealthy_after: u32,
    /// Between two scrapes of a backend's metrics. Default 1 s.
    #[serde(serialize_with = "summary::duration")]
    pub scrape_interval: Duration,
    /// Work in flight without a token for this long is a hang. Default 60 s.
    #[serde(serialize_with = "summary::duration")]
    pub hang_after: Duration,
    /// Between two detections of model and profile. Default 30 s.
    #[serde(serialize_with = "summary::duration")]
    pub detect_interval: Duration,
}

/// How bundles of the meta-learner are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Learner {
    /// Whether bundles are used at all. Default true.
    pub enabled: bool,
    /// Time the learner may add to one decision. Default 100 µs.
    #[serde(serialize_with = "summary::duration")]
    pub budget: Duration,
    /// Requests over which a new bundle is compared with the active one before it decides. Default 0.
    pub shadow_requests: u32,
}

/// What is learned from the requests that are served: rows of the performance database, exploration, workload windows.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Observations {
    /// Where rows are written: a folder, or a store's URL. No rows are kept without one.
    #[serde(serialize_with = "summary::store")]
    pub url: Option<String>,
    /// Share of finished requests that become rows, 0–1. Default 1.
    pub sample: f64,
    /// Rows are written after this time at the latest. Default 60 s.
    #[serde(serialize_with = "summary::duration")]
    pub flush_every: Duration,
    /// Rows of one file at most. Default 5,000.
    pub flush_rows: u32,
    /// Rows held in memory while the store does not take them; no fewer than `flush_rows`. Default 20,000.
    pub max_pending: u32,
    /// Share of requests that explore, 0–0.5. Default 0.01 where rows are kept, else 0.
    pub explore: f64,
    /// How much worse than the best an explored backend may be by the objective, as a share. Default 0.2.
    pub explore_max_loss: f64,
    /// Half-life of the workload windows. Default 5 min.
    #[serde(serialize_with = "summary::duration")]
    pub half_life: Duration,
}

/// Files and folders; what the file states relative to itself is joined to its folder.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Paths {
    /// Bundles are dropped in here.
    #[serde(serialize_with = "summary::path")]
    pub models: PathBuf,
    /// ONNX Runtime's shared library, where stated; else `ORT_DYLIB_PATH`.
    #[serde(serialize_with = "summary::optional_path")]
    pub onnxruntime: Option<PathBuf>,
}
