//! Listeners, limits, timeouts, paths.

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{DurationText, Named, SizeText};

/// An address, and TLS where wanted.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Listener")]
pub(crate) struct RawListener {
    /// IP address and port, such as `0.0.0.0:8443` or `[::]:8443`.
    #[schemars(required)]
    pub(crate) address: Option<String>,
    /// Server certificate; without it the listener speaks clear text.
    pub(crate) tls: Option<RawTls>,
}

impl Named for RawListener {
    const WHAT: &'static str = "an address such as 127.0.0.1:8080, or keys `address` and `tls`";
}

/// A server certificate, as PEM files.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Tls")]
pub(crate) struct RawTls {
    /// File with the certificate chain, leaf first.
    #[schemars(required)]
    pub(crate) certificate: Option<String>,
    /// File with the private key.
    #[schemars(required)]
    pub(crate) key: Option<String>,
}

/// The listener for operators.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Admin")]
pub(crate) struct RawAdmin {
    /// IP address and port. Anything but loopback needs a token. Default `127.0.0.1:9090`.
    pub(crate) address: Option<String>,
    /// Bearer token that is asked for; `${NAME}` reads an environment variable.
    pub(crate) token: Option<String>,
    /// File that holds the bearer token, instead of `token`.
    pub(crate) token_file: Option<String>,
}

/// Sizes and counts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Limits")]
pub(crate) struct RawLimits {
    /// Largest request body. Default `32MiB`.
    pub(crate) max_body: Option<SizeText>,
    /// Request bodies held in memory at once over all requests. Default `2GiB`.
    pub(crate) max_buffered: Option<SizeText>,
    /// Largest request head, `8KiB` to `1MiB`. Default `64KiB`.
    pub(crate) max_header: Option<SizeText>,
    /// Most header fields in a request, 1 to 10,000. Default 100.
    pub(crate) max_headers: Option<u32>,
    /// Requests in flight over all listeners. Default 16384.
    pub(crate) max_in_flight: Option<u32>,
    /// Open client connections over all listeners. Default 16384.
    pub(crate) max_connections: Option<u32>,
}

/// Durations on the request path.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Timeouts")]
pub(crate) struct RawTimeouts {
    /// Reading a request head. Default `10s`.
    pub(crate) header: Option<DurationText>,
    /// Between two pieces of a request body. Default `30s`.
    pub(crate) body_idle: Option<DurationText>,
    /// Reading a whole request body. Default `120s`.
    pub(crate) body: Option<DurationText>,
    /// Connecting to a backend, TLS and HTTP/2 handshakes included. Default `3s`.
    pub(crate) connect: Option<DurationText>,
    /// From sending the request to the head of the response. Default `600s`.
    pub(crate) response_head: Option<DurationText>,
    /// Between two pieces of a response body. Default `300s`.
    pub(crate) response_idle: Option<DurationText>,
    /// How long an idle connection to a backend is kept; vLLM closes after 5 s. Default `4s`.
    pub(crate) pool_idle: Option<DurationText>,
    /// How long an idle client connection is kept, or one that takes nothing of its response. Default `300s`.
    pub(crate) client_idle: Option<DurationText>,
    /// How long open streams may finish at shutdown; `0` ends them at once. Default `120s`.
    pub(crate) drain: Option<DurationText>,
}

/// How bundles of the meta-learner are taken over.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Learner")]
pub(crate) struct RawLearner {
    /// Whether bundles are used at all. Default true.
    pub(crate) enabled: Option<bool>,
    /// Time the learner may add to one decision; how many candidates it looks at follows from it. Default `100us`.
    pub(crate) budget: Option<DurationText>,
    /// Requests over which a new bundle is compared with the active one before it decides. Default 0.
    pub(crate) shadow_requests: Option<u32>,
}

/// What is learned from the requests that are served: rows of the performance database, exploration, workload windows.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Observations")]
pub(crate) struct RawObservations {
    /// Where rows are written, as Parquet: a folder, or a bucket such as `s3://bucket/prefix`, `gs://…` or `az://…`, with the
    /// credentials of the environment. Without it no rows are kept. `${NAME}` reads an environment variable.
    pub(crate) url: Option<String>,
    /// Share of finished requests that become rows, 0 to 1. Default 1.
    pub(crate) sample: Option<f64>,
    /// Rows are written after this time at the latest. Default `60s`.
    pub(crate) flush_every: Option<DurationText>,
    /// Rows of one file at most: so many are written at once. Default 5000.
    pub(crate) flush_rows: Option<u32>,
    /// Rows held in memory while the store does not take them; more are dropped and counted. Default 20000.
    pub(crate) max_pending: Option<u32>,
    /// Share of requests that go elsewhere than to the best, where no limit is in danger, so that rows tell what it would have
    /// been like. Default 0.01 where rows are kept, else 0. Whatever it says, a backend that has answered fewer than four requests
    /// is introduced: every other request goes to it, where no limit is in danger and at most half is predicted to be lost.
    pub(crate) explore: Option<f64>,
    /// How much worse than the best an explored backend may be by the objective, as a share. Default 0.2. One that is introduced
    /// may be half worse.
    pub(crate) explore_max_loss: Option<f64>,
    /// Half-life of the workload windows. Default `5m`.
    pub(crate) half_life: Option<DurationText>,
}

/// Files and folders.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Paths")]
pub(crate) struct RawPaths {
    /// Folder that bundles are dropped into. Default `models`.
    pub(crate) models: Option<String>,
    /// ONNX Runtime's shared library. Default: what `ORT_DYLIB_PATH` names.
    pub(crate) onnxruntime: Option<String>,
}
