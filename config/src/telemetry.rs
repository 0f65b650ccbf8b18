//! What is told of requests to other systems: traces, the access log, headers, engines' own metrics.

use std::{path::PathBuf, time::Duration};

use crate::{BackendUrl, Secret, summary};

/// What is told of requests to other systems.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Telemetry {
    /// Where spans are sent. None are made without.
    pub tracing: Option<Tracing>,
    /// Where a line for each request is written. None are without.
    pub access_log: Option<AccessLog>,
    /// Whether a client that sends `x-gearshift-explain: 1` is told why its request went where it went. Default false: it tells
    /// clients about the fleet.
    pub explain_headers: bool,
    /// Families of the engines' own metrics that `/metrics` shows, summed up by model and profile. Default none.
    pub engine_metrics: Vec<&'static EngineFamily>,
}

/// Spans, sent by OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Tracing {
    /// The whole URL that they are posted to. Shown without its path, which may be a key.
    #[serde(serialize_with = "summary::origin")]
    pub endpoint: BackendUrl,
    /// Share of the traces that begin here, 0–1; of others the caller has decided. Default 1.
    pub sample: f64,
    /// Headers that are sent along.
    pub headers: Vec<(String, Secret)>,
    /// `service.name`. Default `gearshift`.
    pub service_name: String,
    /// Further attributes of the resource, which operators are shown.
    pub resource: Vec<(String, String)>,
    /// How long a collector may take for a batch. Default 10 s.
    #[serde(serialize_with = "summary::duration")]
    pub timeout: Duration,
}

/// One JSON line for each request.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct AccessLog {
    /// Where they are written.
    pub to: LogTarget,
    /// Share of the requests that went well that get one, 0–1. Default 1.
    pub sample: f64,
    /// Whether those that did not all get one. Default true.
    pub errors: bool,
}

/// Where lines are written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// Standard error, where Gearshift's own log goes as well.
    Stderr,
    /// A file, which is made anew where it was moved away.
    File(#[serde(serialize_with = "summary::path")] PathBuf),
}

/// What a family of metrics is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineFamilyKind {
    /// Only ever grows; its samples end in `_total`.
    Counter,
    /// What is now, of a kind that may be added up.
    Gauge,
    /// Counts by upper bounds.
    Histogram,
}

/// A family of vLLM's own metrics (names as of vLLM 0.32) that may be summed up over engines.
#[derive(Debug, PartialEq, Eq)]
pub struct EngineFamily {
    /// As vLLM's samples are called; of a histogram without `_bucket`, `_sum`, `_count`.
    pub name: &'static str,
    /// What it is.
    pub kind: EngineFamilyKind,
    /// The label that is kept, beside model and profile.
    pub label: Option<&'static str>,
}

impl serde::Serialize for EngineFamily {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

const fn counter(name: &'static str, label: Option<&'static str>) -> EngineFamily {
    EngineFamily { name, kind: EngineFamilyKind::Counter, label }
}

const fn gauge(name: &'static str, label: Option<&'static str>) -> EngineFamily {
    EngineFamily { name, kind: EngineFamilyKind::Gauge, label }
}

const fn histogram(name: &'static str) -> EngineFamily {
    EngineFamily { name, kind: EngineFamilyKind::Histogram, label: None }
}

impl EngineFamily {
    /// All that may be summed up. Shares, as `vllm:kv_cache_usage_perc`, may not.
    pub const ALL: &[Self] = &[
        gauge("vllm:num_requests_running", None),
        gauge("vllm:num_requests_waiting", None),
        gauge("vllm:num_requests_waiting_by_reason", Some("reason")),
        counter("vllm:prefix_cache_queries_total", None),
        counter("vllm:prefix_cache_hits_total", None),
        counter("vllm:external_prefix_cache_queries_total", None),
        counter("vllm:external_prefix_cache_hits_total", None),
        counter("vllm:mm_cache_queries_total", None),
        counter("vllm:mm_cache_hits_total", None),
        counter("vllm:num_preemptions_total", None),
        counter("vllm:prompt_tokens_total", None),
        counter("vllm:prompt_tokens_by_source_total", Some("source")),
        counter("vllm:prompt_tokens_cached_total", None),
        counter("vllm:generation_tokens_total", None),
        counter("vllm:request_success_total", Some("finished_reason")),
        counter("vllm:admission_rejections_total", Some("reason")),
        counter("vllm:spec_decode_num_drafts_total", None),
        counter("vllm:spec_decode_num_draft_tokens_total", None),
        counter("vllm:spec_decode_num_accepted_tokens_total", None),
        histogram("vllm:request_prompt_tokens"),
        histogram("vllm:request_generation_tokens"),
        histogram("vllm:request_max_num_generation_tokens"),
        histogram("vllm:request_params_max_tokens"),
        histogram("vllm:request_prefill_kv_computed_tokens"),
        histogram("vllm:iteration_tokens_total"),
        histogram("vllm:time_to_first_token_seconds"),
        histogram("vllm:inter_token_latency_seconds"),
        histogram("vllm:request_time_per_output_token_seconds"),
        histogram("vllm:e2e_request_latency_seconds"),
        histogram("vllm:request_queue_time_seconds"),
        histogram("vllm:request_inference_time_seconds"),
        histogram("vllm:request_prefill_time_seconds"),
        histogram("vllm:request_decode_time_seconds"),
        histogram("vllm:request_num_preemptions"),
    ];
}
