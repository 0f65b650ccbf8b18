//! `gearshift-loadtest engine`: one simulated vLLM server, set up as `vllm serve` is.

use std::net::SocketAddr;

use clap::Args;
use gearshift_loadtests::{Error, scenario::Scenario, serve::EngineServer, system};
use serde_json::{Value, json};

use super::{
    engines::{Serving, describe, listen},
    print,
};

/// Options of `gearshift-loadtest engine`. Those of the engine have vLLM's names and meanings.
#[derive(Debug, Args)]
pub(crate) struct EngineOptions {
    /// The accelerator, by its name in the catalog.
    #[arg(long, value_name = "NAME")]
    hardware: String,
    /// How many of them.
    #[arg(long, value_name = "N", default_value_t = 1)]
    hardware_count: u32,
    /// The model, by its name in the catalog or on Hugging Face.
    #[arg(long, value_name = "NAME")]
    model: String,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// What the engine computes.
    #[arg(long, default_value = "generate", value_parser = ["generate", "pooling"])]
    runner: String,
    #[command(flatten)]
    knobs: KnobOptions,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    serving: Serving,
}

/// Knobs of the profile.
#[derive(Debug, Args)]
struct KnobOptions {
    #[arg(long)]
    max_num_seqs: Option<u32>,
    #[arg(long)]
    max_num_batched_tokens: Option<u32>,
    #[arg(long)]
    max_model_len: Option<u32>,
    /// Switch automatic prefix caching on: the default.
    #[arg(long, overrides_with = "no_enable_prefix_caching")]
    enable_prefix_caching: bool,
    /// Switch automatic prefix caching off.
    #[arg(long)]
    no_enable_prefix_caching: bool,
    /// Prefill prompts in chunks: the default.
    #[arg(long, overrides_with = "no_enable_chunked_prefill")]
    enable_chunked_prefill: bool,
    /// Prefill prompts whole.
    #[arg(long)]
    no_enable_chunked_prefill: bool,
    /// Speculative decoding, for example '{"method":"ngram","num_speculative_tokens":3}'.
    #[arg(long, value_name = "JSON", value_parser = object)]
    speculative_config: Option<Value>,
    #[arg(long, value_name = "TYPE")]
    kv_cache_dtype: Option<String>,
    #[arg(long, value_name = "KIND")]
    quantization: Option<String>,
    #[arg(long)]
    tensor_parallel_size: Option<u32>,
    #[arg(long)]
    pipeline_parallel_size: Option<u32>,
    #[arg(long)]
    data_parallel_size: Option<u32>,
    #[arg(long)]
    enable_expert_parallel: bool,
    #[arg(long)]
    gpu_memory_utilization: Option<f64>,
}

/// Settings that are no part of a profile.
#[derive(Debug, Args)]
struct LimitOptions {
    /// The name that clients use for the model.
    #[arg(long, value_name = "NAME")]
    served_model_name: Option<String>,
    #[arg(long)]
    num_gpu_blocks_override: Option<u64>,
    #[arg(long)]
    max_num_queued_reqs: Option<u32>,
    #[arg(long, default_value = "fcfs", value_parser = ["fcfs", "priority"])]
    scheduling_policy: String,
    /// Every step takes this many times as long.
    #[arg(long, default_value_t = 1.0)]
    slow: f64,
}

fn object(text: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if value.is_object() { Ok(value) } else { Err("not a JSON object".to_owned()) }
}

/// Serves the engine until the process is told to end.
pub(super) async fn run(options: EngineOptions) -> Result<(), Error> {
    let scenario = options.scenario()?;
    let Some(planned) = scenario.engines.first() else {
        return Err(Error::Failed("there is no engine".into()));
    };
    system::raise_open_files()?;
    let listener = listen(&planned.spec.name, options.listen)?;
    let server = EngineServer::new(planned, options.serving.options(planned.runner))?;
    print(&describe(planned, &listener)?)?;
    server.serve(listener).await
}

impl EngineOptions {
    /// A fleet of this one engine: the options as a configuration, so that they are checked as one.
    fn scenario(&self) -> Result<Scenario, Error> {
        let name = self.limits.served_model_name.as_deref().unwrap_or(&self.model);
        let config = json!({
            "models": {name: {"catalog": self.model}},
            "profiles": {"options": self.knobs.profile()},
            "backends": [{
                "name": "engine",
                // Where it listens is said by --listen, which may leave the port to the system.
                "url": "http://127.0.0.1:1",
                "hardware": {"kind": self.hardware, "count": self.hardware_count},
                "model": name,
                "profile": "options",
            }],
        });
        let truth = json!({"engines": {"engine": {
            "slow": self.limits.slow,
            "max_queued": self.limits.max_num_queued_reqs,
            "blocks": self.limits.num_gpu_blocks_override,
            "priority_scheduling": self.limits.scheduling_policy == "priority",
            "pooling": self.runner == "pooling",
        }}});
        // JSON is YAML.
        Ok(Scenario::parse("engine", &config.to_string(), Some(&truth.to_string()))?)
    }
}

/// What a pair of switches says.
fn switched(on: bool, off: bool) -> Option<bool> {
    (on || off).then_some(on)
}

impl KnobOptions {
    /// The profile of a configuration file.
    fn profile(&self) -> Value {
        let all = json!({
            "max_num_seqs": self.max_num_seqs,
            "max_num_batched_tokens": self.max_num_batched_tokens,
            "max_model_len": self.max_model_len,
            "prefix_caching": switched(self.enable_prefix_caching, self.no_enable_prefix_caching),
            "chunked_prefill": switched(self.enable_chunked_prefill, self.no_enable_chunked_prefill),
            "speculative": self.speculative_config,
            "kv_cache_dtype": self.kv_cache_dtype,
            "quantization": self.quantization,
            "tensor_parallel": self.tensor_parallel_size,
            "pipeline_parallel": self.pipeline_parallel_size,
            "data_parallel": self.data_parallel_size,
            "expert_parallel": self.enable_expert_parallel.then_some(true),
            "gpu_memory_utilization": self.gpu_memory_utilization,
        });
        let stated = all.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        Value::Object(stated.map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}
