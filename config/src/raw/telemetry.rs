//! Traces, the access log, headers, engines' own metrics.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::values::DurationText;

/// What is told of requests to other systems. Never a prompt or an answer: names, numbers, ids.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Telemetry")]
pub(crate) struct RawTelemetry {
    /// Spans by OpenTelemetry's OTLP. Without it, `traceparent` and `tracestate` pass through as they come.
    pub(crate) tracing: Option<RawTracing>,
    /// One JSON line for each request.
    pub(crate) access_log: Option<RawAccessLog>,
    /// Whether a client that sends `x-gearshift-explain: 1` is told, in headers, why its request went where it went: backend,
    /// profile, prediction, reason. Default false, for it tells clients about the fleet.
    pub(crate) explain_headers: Option<bool>,
    /// Families of vLLM's own metrics that `/metrics` shows, summed up by model and profile, such as
    /// `vllm:generation_tokens_total` or `vllm:time_to_first_token_seconds`. Default none.
    pub(crate) engine_metrics: Vec<String>,
}

/// Spans by OpenTelemetry's OTLP, over HTTP with protobuf.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Tracing")]
pub(crate) struct RawTracing {
    /// The collector, such as `http://localhost:4318`; `/v1/traces` is added where it is missing. `${NAME}` reads an environment
    /// variable.
    #[schemars(required)]
    pub(crate) endpoint: Option<String>,
    /// Share of the traces that begin here, 0 to 1; of others the caller's `traceparent` has decided. Default 1.
    pub(crate) sample: Option<f64>,
    /// Headers that are sent along, such as `authorization`; `${NAME}` reads an environment variable.
    pub(crate) headers: IndexMap<String, String>,
    /// `service.name`. Default `gearshift`.
    pub(crate) service_name: Option<String>,
    /// Further attributes of the resource, such as `deployment.environment.name`; `${NAME}` reads an environment variable. Operators
    /// are shown them, as collectors are: keys belong into `headers`.
    pub(crate) resource: IndexMap<String, String>,
    /// How long the collector may take for a batch. Default `10s`.
    pub(crate) timeout: Option<DurationText>,
}

/// One JSON line for each request.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "AccessLog")]
pub(crate) struct RawAccessLog {
    /// `stdout`, `stderr`, or a file, relative to this one's folder. Default `stdout`.
    pub(crate) to: Option<String>,
    /// Share of the requests that went well that get a line, 0 to 1. Default 1.
    pub(crate) sample: Option<f64>,
    /// Whether those that did not (status 400 and above, a response that broke off) all get one. Default true.
    pub(crate) errors: Option<bool>,
}
