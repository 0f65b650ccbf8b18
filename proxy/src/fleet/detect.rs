//! What an engine says it serves, and how it is set up.

mod served;

use std::time::Duration;

use gearshift_config::{Knobs, Quantization, Speculative};
use gearshift_selector::Software;
use http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};

use self::served::RawModels;
pub use self::served::Served;
pub(super) use self::served::{LONGEST_NAME, MOST_NAMES};
use super::{
    probe::{Probe, ProbeError, Target},
    scrape::{CacheConfig, kv_dtype},
};

/// Bytes of JSON read at most; a list of some thousand adapters fits.
const JSON_LIMIT: usize = 4 << 20;

/// What an engine says of itself.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Detected {
    /// The names it serves, in its order: models, their aliases, LoRA adapters. At most 1,000.
    pub served: Vec<Served>,
    /// How many more it lists that are not taken in: too many, or longer than 256 bytes.
    pub left_out: usize,
    /// The engine's version, where it tells.
    pub version: Option<String>,
    /// The knobs that can be observed; `None` for all others.
    pub knobs: Knobs,
    /// Whether `/server_info` is open (vLLM's dev mode). Only then an absent [`Knobs::speculative`] means that there
    /// is no speculation, and the scheduler's and the parallel knobs are known.
    pub server_info: bool,
    /// KV-cache capacity in tokens over all data-parallel engines.
    pub kv_tokens: Option<u64>,
}

impl Detected {
    /// Whether the engine serves `name`.
    pub fn serves(&self, name: &str) -> bool {
        self.served.iter().any(|served| served.id == name)
    }

    /// Its software, as old as its version says; of unknown age where that tells nothing.
    pub fn software(&self) -> Software {
        self.version.as_deref().map_or_else(Software::default, Software::vllm)
    }

    /// Takes over from what the same engine said `before` what it would not say now.
    pub(super) fn keep(&mut self, before: &Self, unsaid: &Unsaid) {
        if unsaid.version.is_some() {
            self.version.clone_from(&before.version);
        }
        if unsaid.server_info.is_some() {
            self.server_info = before.server_info;
            // That it still tells by its list of models: no length there is none.
            let max_model_len = self.knobs.max_model_len;
            self.knobs = Knobs { max_model_len, ..self.knobs.or(&before.knobs) };
        }
    }

    /// The names of models, without LoRA adapters.
    pub fn models(&self) -> impl Iterator<Item = &Served> {
        self.served.iter().filter(|served| served.parent.is_none())
    }
}

/// Why it did not answer questions that it need not answer. One that is closed is no failure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Unsaid {
    pub(super) version: Option<String>,
    pub(super) server_info: Option<String>,
}

/// Why an engine could not be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum DetectError {
    #[error("/v1/models: {0}")]
    Probe(#[from] ProbeError),
    #[error("/v1/models answers {0}; a backend with a key needs `api_key`")]
    Status(StatusCode),
    #[error("/v1/models does not answer with a list of models: {0}")]
    Json(#[from] serde_json::Error),
}

/// Asks the engine; `cache` is what its metrics page says. Only `/v1/models` has to answer. `timeout` is for each
/// question.
pub(super) async fn detect(
    probe: &mut Probe,
    target: &Target,
    timeout: Duration,
    cache: Option<&CacheConfig>,
) -> Result<(Detected, Unsaid), DetectError> {
    let models = probe.get(target, "/v1/models", timeout, JSON_LIMIT).await?;
    if !models.status.is_success() {
        return Err(DetectError::Status(models.status));
    }
    let models: RawModels = serde_json::from_slice(&models.body)?;
    let version: Result<Option<RawVersion>, _> = optional(probe, target, "/version", timeout).await;
    let info: Result<Option<RawServerInfo>, _> =
        optional(probe, target, "/server_info?config_format=json", timeout).await;
    let unsaid =
        Unsaid { version: version.as_ref().err().cloned(), server_info: info.as_ref().err().cloned() };
    Ok((assemble(models, version.ok().flatten(), info.ok().flatten(), cache), unsaid))
}

/// Whether an engine in dev mode says that it sleeps.
pub(super) async fn is_sleeping(probe: &mut Probe, target: &Target, timeout: Duration) -> Option<bool> {
    #[derive(Deserialize)]
    struct Raw {
        is_sleeping: bool,
    }
    let said: Result<Option<Raw>, _> = optional(probe, target, "/is_sleeping", timeout).await;
    Some(said.ok()??.is_sleeping)
}

/// `None` where the engine has no such endpoint, or says there what nobody understands; an error where it has one, and fails.
async fn optional<T: DeserializeOwned>(
    probe: &mut Probe,
    target: &Target,
    path: &str,
    timeout: Duration,
) -> Result<Option<T>, String> {
    let answer = probe.get(target, path, timeout, JSON_LIMIT).await.map_err(|error| error.to_string())?;
    if answer.status.is_server_error() && answer.status != StatusCode::NOT_IMPLEMENTED {
        return Err(format!("answers {}", answer.status));
    }
    let body = answer.status.is_success().then_some(&answer.body);
    Ok(body.and_then(|body| serde_json::from_slice(body).ok()))
}

fn assemble(
    models: RawModels,
    version: Option<RawVersion>,
    info: Option<RawServerInfo>,
    cache: Option<&CacheConfig>,
) -> Detected {
    let (served, left_out) = models.validate();
    let server_info = info.is_some();
    let mut knobs = info.map(|info| info.vllm_config.knobs()).unwrap_or_default();
    knobs.max_model_len =
        served.iter().filter(|model| model.parent.is_none()).filter_map(|model| model.max_model_len).max();
    if let Some(cache) = cache {
        knobs.prefix_caching = cache.prefix_caching.or(knobs.prefix_caching);
        knobs.kv_cache_dtype = cache.dtype.or(knobs.kv_cache_dtype);
        knobs.gpu_memory_utilization = cache.gpu_memory_utilization.or(knobs.gpu_memory_utilization);
    }
    Detected {
        served,
        left_out,
        version: version.map(|raw| raw.version).filter(|version| version.len() <= LONGEST_NAME),
        knobs,
        server_info,
        kv_tokens: cache.and_then(|cache| cache.kv_tokens),
    }
}

#[derive(Debug, Deserialize)]
struct RawVersion {
    version: String,
}

#[derive(Debug, Deserialize)]
struct RawServerInfo {
    vllm_config: RawVllmConfig,
}

/// The sections of vLLM's own configuration that hold knobs. All may be missing in another version.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawVllmConfig {
    model_config: RawModelConfig,
    cache_config: RawCacheConfig,
    parallel_config: RawParallelConfig,
    scheduler_config: RawSchedulerConfig,
    speculative_config: Option<RawSpeculative>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawModelConfig {
    /// Absent means unknown, null means none.
    #[serde(deserialize_with = "present")]
    quantization: Option<serde_json::Value>,
}

/// A field that is there, null included.
fn present<'de, D: serde::Deserializer<'de>>(field: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(field).map(Some)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawCacheConfig {
    cache_dtype: Option<String>,
    enable_prefix_caching: Option<bool>,
    gpu_memory_utilization: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawParallelConfig {
    tensor_parallel_size: Option<u32>,
    pipeline_parallel_size: Option<u32>,
    data_parallel_size: Option<u32>,
    enable_expert_parallel: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawSchedulerConfig {
    max_num_batched_tokens: Option<u32>,
    max_num_seqs: Option<u32>,
    enable_chunked_prefill: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct RawSpeculative {
    method: String,
    #[serde(default)]
    num_speculative_tokens: u32,
    model: Option<String>,
}

impl RawVllmConfig {
    fn knobs(self) -> Knobs {
        let (scheduler, parallel, cache) = (self.scheduler_config, self.parallel_config, self.cache_config);
        Knobs {
            prefix_caching: cache.enable_prefix_caching,
            chunked_prefill: scheduler.enable_chunked_prefill,
            max_num_batched_tokens: scheduler.max_num_batched_tokens,
            max_num_seqs: scheduler.max_num_seqs,
            max_model_len: None,
            speculative: self.speculative_config.map(RawSpeculative::validate),
            kv_cache_dtype: cache.cache_dtype.as_deref().and_then(kv_dtype),
            quantization: self.model_config.quantization.as_ref().and_then(quantization),
            tensor_parallel: parallel.tensor_parallel_size,
            pipeline_parallel: parallel.pipeline_parallel_size,
            data_parallel: parallel.data_parallel_size,
            expert_parallel: parallel.enable_expert_parallel,
            gpu_memory_utilization: cache.gpu_memory_utilization,
        }
    }
}

impl RawSpeculative {
    fn validate(self) -> Speculative {
        // vLLM repeats the method as the model where there is no draft model.
        let model = self.model.filter(|model| *model != self.method);
        Speculative { method: self.method, num_speculative_tokens: self.num_speculative_tokens, model }
    }
}

/// vLLM's name of a quantization as the widths and units that matter. Names that cover several widths
/// (`compressed-tensors`, `gptq`, `quark`, …) are left unobserved rather than guessed.
fn quantization(value: &serde_json::Value) -> Option<Quantization> {
    if value.is_null() {
        return Some(Quantization::None);
    }
    match value.as_str()? {
        "modelopt_fp4" | "mxfp4" | "gpt_oss_mxfp4" | "nvfp4_per_token" => Some(Quantization::Fp4),
        "awq" | "auto_awq" | "awq_marlin" => Some(Quantization::Int4),
        "experts_int8" | "int8_per_channel_weight_only" => Some(Quantization::Int8),
        name if name.contains("fp8") => Some(Quantization::Fp8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use gearshift_config::KvCacheDtype;

    use super::*;
    use crate::fleet::scrape::Scrape;

    fn assembled(models: &str, info: Option<&str>, metrics: &str) -> Detected {
        assemble(
            serde_json::from_str(models).unwrap(),
            Some(RawVersion { version: "0.32.0".into() }),
            info.map(|info| serde_json::from_str(info).unwrap()),
            Scrape::parse(metrics).and_then(|scrape| scrape.cache).as_ref(),
        )
    }

    const MODELS: &str = include_str!("fixtures/models.json");
    const SERVER_INFO: &str = include_str!("fixtures/server_info.json");
    const METRICS: &str = include_str!("fixtures/metrics.txt");

    #[test]
    fn all_of_vllm_0_32_in_dev_mode() {
        let detected = assembled(MODELS, Some(SERVER_INFO), METRICS);
        assert_eq!(detected.models().map(|model| &*model.id).collect::<Vec<_>>(), ["tiny", "tiny-alias"]);
        assert_eq!(detected.kv_tokens, Some(2_097_152));
        let knobs = Knobs {
            prefix_caching: Some(true),
            chunked_prefill: Some(true),
            max_num_batched_tokens: Some(2048),
            max_num_seqs: Some(32),
            max_model_len: Some(2048),
            speculative: Some(Speculative { method: "ngram".into(), num_speculative_tokens: 3, model: None }),
            kv_cache_dtype: Some(KvCacheDtype::Auto),
            quantization: Some(Quantization::None),
            tensor_parallel: Some(1),
            pipeline_parallel: Some(1),
            data_parallel: Some(1),
            expert_parallel: Some(false),
            gpu_memory_utilization: Some(0.92),
        };
        assert_eq!(detected.knobs, knobs);
    }

    #[test]
    fn without_dev_mode_the_metrics_page_still_tells_the_cache() {
        let detected = assembled(MODELS, None, METRICS);
        assert!(!detected.server_info);
        assert_eq!(detected.knobs.prefix_caching, Some(true));
        assert_eq!(detected.knobs.max_num_seqs, None);
        assert_eq!(detected.kv_tokens, Some(2_097_152));
    }

    #[test]
    fn adapters_have_a_parent_and_do_not_set_the_context() {
        let models = r#"{"data": [
            {"id": "base", "max_model_len": 4096, "parent": null},
            {"id": "lora", "parent": "base", "root": "/lora", "max_model_len": null}]}"#;
        let detected = assembled(models, None, "");
        assert_eq!(detected.models().count(), 1);
        assert_eq!(detected.served[1].parent.as_deref(), Some("base"));
        assert!(detected.serves("lora") && !detected.serves("other"));
        assert_eq!(detected.knobs.max_model_len, Some(4096));
    }

    #[test]
    fn other_engines_lists_are_read_too() {
        let detected = assembled(
            r#"{"object":"list","data":[{"id":"m.gguf","meta":{"n_ctx_train":8192},"max_model_len":"8k"}]}"#,
            None,
            "",
        );
        assert_eq!(detected.served[0].id, "m.gguf");
        assert_eq!(detected.knobs, Knobs::default());
    }

    #[test]
    fn a_quantization_that_is_missing_is_unknown_and_null_is_none() {
        let of = |model: &str| {
            let info = format!(r#"{{"vllm_config": {{"model_config": {model}}}}}"#);
            assembled(MODELS, Some(&info), "").knobs.quantization
        };
        assert_eq!(of("{}"), None);
        assert_eq!(of(r#"{"quantization": null}"#), Some(Quantization::None));
        assert_eq!(of(r#"{"quantization": "fp8"}"#), Some(Quantization::Fp8));
        assert_eq!(of(r#"{"quantization": "awq_marlin"}"#), Some(Quantization::Int4));
        assert_eq!(of(r#"{"quantization": "mxfp4"}"#), Some(Quantization::Fp4));
        assert_eq!(of(r#"{"quantization": "experts_int8"}"#), Some(Quantization::Int8));
        assert_eq!(of(r#"{"quantization": "compressed-tensors"}"#), None);
    }
}
