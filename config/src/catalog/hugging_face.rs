//! A model's numbers from the `config.json` that Hugging Face repositories carry.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Experts, ModelFacts, SlidingWindow};

/// Why a `config.json` gives no numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HfConfigError {
    /// Not JSON, or a key of an unexpected type.
    #[error("not a model's config.json: {0}")]
    Json(String),
    /// A key without which nothing can be computed.
    #[error("the key {0} is missing or zero")]
    Missing(&'static str),
    /// An architecture whose parameters this crate cannot count.
    #[error("cannot count the parameters of {0}")]
    Unsupported(String),
}

/// The keys that matter.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HfConfig {
    model_type: Option<String>,
    hidden_size: Option<u32>,
    num_hidden_layers: Option<u32>,
    num_attention_heads: Option<u32>,
    num_key_value_heads: Option<u32>,
    head_dim: Option<u32>,
    intermediate_size: Option<u32>,
    vocab_size: Option<u32>,
    max_position_embeddings: Option<u32>,
    tie_word_embeddings: Option<bool>,
    torch_dtype: Option<String>,
    quantization_config: Option<Value>,
    layer_types: Option<Vec<String>>,
    sliding_window: Option<u32>,
    // Mixture of experts
    n_routed_experts: Option<u32>,
    num_experts_per_tok: Option<u32>,
    moe_intermediate_size: Option<u32>,
    n_shared_experts: Option<u32>,
    shared_expert_intermediate_size: Option<u32>,
    first_k_dense_replace: Option<u32>,
    decoder_sparse_step: Option<u32>,
    mlp_only_layers: Option<Vec<u32>>,
    // Multi-head latent attention
    q_lora_rank: Option<u32>,
    kv_lora_rank: Option<u32>,
    qk_nope_head_dim: Option<u32>,
    qk_rope_head_dim: Option<u32>,
    v_head_dim: Option<u32>,
}

/// Other names of keys, and the name they are read under.
const OTHER_NAMES: [(&str, &str); 12] = [
    ("dtype", "torch_dtype"),
    ("n_embd", "hidden_size"),
    ("d_model", "hidden_size"),
    ("n_layer", "num_hidden_layers"),
    ("num_layers", "num_hidden_layers"),
    ("n_head", "num_attention_heads"),
    ("n_inner", "intermediate_size"),
    ("n_positions", "max_position_embeddings"),
    ("max_sequence_length", "max_position_embeddings"),
    ("num_experts", "n_routed_experts"),
    ("num_local_experts", "n_routed_experts"),
    ("experts_per_token", "num_experts_per_tok"),
];
/// Architectures whose feed-forward layers have two matrices; all others gate with a third.
const UNGATED: [&str; 12] = [
    "bert",
    "roberta",
    "xlm-roberta",
    "mpnet",
    "gpt2",
    "gpt_neox",
    "gpt_bigcode",
    "opt",
    "falcon",
    "phi",
    "starcoder2",
    "bloom",
];
/// Architectures that tie input and output embeddings unless they say otherwise.
const TIED: [&str; 11] = [
    "bert",
    "roberta",
    "xlm-roberta",
    "mpnet",
    "gpt2",
    "gpt_bigcode",
    "opt",
    "gemma",
    "gemma2",
    "gemma3_text",
    "bloom",
];
/// Bytes of an MXFP4 weight: four bits, and eight of scale for every 32 weights.
const MXFP4_BYTES: f64 = 17.0 / 32.0;

impl ModelFacts {
    /// Reads a Hugging Face `config.json`: dense and mixture-of-experts decoders in the shapes of Llama, Qwen, Mistral,
    /// Mixtral, DeepSeek, GLM, Kimi and gpt-oss, and plain encoders. Of a multi-modal model only the text part
    /// (`text_config`) is read. Parameters are counted from the shapes: weight matrices and embeddings, without the
    /// thousandth that norms and biases are, and without draft (MTP) layers.
    ///
    /// # Errors
    /// When the text is not such a file, lacks a size, or describes layers that cannot be counted.
    pub fn from_hf_config(json: &str) -> Result<Self, HfConfigError> {
        let json_error = |error: serde_json::Error| HfConfigError::Json(error.to_string());
        let mut outer: Map<String, Value> = serde_json::from_str(json).map_err(json_error)?;
        let mut text = match outer.get_mut("text_config") {
            Some(Value::Object(text)) => std::mem::take(text),
            Some(_) | None => std::mem::take(&mut outer),
        };
        // Some multi-modal files state these only outside.
        for key in ["torch_dtype", "dtype", "quantization_config", "tie_word_embeddings"] {
            if let (Some(stated), None) = (outer.remove(key), text.get(key)) {
                text.insert(key.to_owned(), stated);
            }
        }
        // Some files state a key under both names, so this is not left to serde's aliases.
        for (other, name) in OTHER_NAMES {
            if let (Some(stated), None) = (text.remove(other), text.get(name)) {
                text.insert(name.to_owned(), stated);
            }
        }
        let config: HfConfig = serde_json::from_value(Value::Object(text)).map_err(json_error)?;
        Shapes::new(&config)?.facts(&config)
    }
}

/// Sizes that every model has, as numbers to count with.
struct Shapes<'a> {
    architecture: &'a str,
    hidden: u32,
    layers: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    vocabulary: u32,
}

impl<'a> Shapes<'a> {
    fn new(config: &'a HfConfig) -> Result<Self, HfConfigError> {
        let need =
            |value: Option<u32>, key| value.filter(|value| *value > 0).ok_or(HfConfigError::Missing(key));
        let hidden = need(config.hidden_size, "hidden_size")?;
        let heads = need(config.num_attention_heads, "num_attention_heads")?;
        let architecture = config.model_type.as_deref().unwrap_or("an unnamed architecture");
        let known = ["full_attention", "sliding_attention", "chunked_attention"];
        if let Some(other) =
            config.layer_types.iter().flatten().find(|layer| !known.contains(&layer.as_str()))
        {
            return Err(HfConfigError::Unsupported(format!("{architecture} with {other} layers")));
        }
        Ok(Self {
            architecture,
            hidden,
            layers: need(config.num_hidden_layers, "num_hidden_layers")?,
            heads,
            kv_heads: config.num_key_value_heads.filter(|heads| *heads > 0).unwrap_or(heads),
            head_dim: [config.head_dim, config.v_head_dim]
                .into_iter()
                .flatten()
                .find(|dim| *dim > 0)
                .unwrap_or((hidden / heads).max(1)),
            vocabulary: need(config.vocab_size, "vocab_size")?,
        })
    }

    fn facts(&self, config: &HfConfig) -> Result<ModelFacts, HfConfigError> {
        let layers = f64::from(self.layers);
        let hidden = f64::from(self.hidden);
        let tied = config.tie_word_embeddings.unwrap_or(TIED.contains(&self.architecture));
        let embeddings = f64::from(self.vocabulary) * hidden * if tied { 1.0 } else { 2.0 };
        let feed_forward = self.feed_forward(config)?;
        let always = embeddings + layers * self.attention(config) + feed_forward.dense;
        let (routed, share) = match &feed_forward.experts {
            Some(experts) => {
                (experts.parameters_b * 1e9, f64::from(experts.active) / f64::from(experts.total))
            }
            None => (0.0, 0.0),
        };
        let parameters_b = (always + routed) / 1e9;
        let active_parameters_b = (always + routed * share) / 1e9;
        let mla_kv_width =
            config.kv_lora_rank.map(|rank| rank.saturating_add(config.qk_rope_head_dim.unwrap_or(0)));
        let expert_share = routed / (always + routed);
        Ok(ModelFacts {
            description: describe(self.architecture, parameters_b, active_parameters_b),
            parameters_b,
            active_parameters_b,
            layers: self.layers,
            hidden: self.hidden,
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            mla_kv_width,
            sliding_window: sliding_window(config),
            weight_bytes: weight_bytes(config, expert_share),
            context: config.max_position_embeddings.unwrap_or(2048),
            experts: feed_forward.experts,
        })
    }

    /// Parameters of one layer's attention.
    fn attention(&self, config: &HfConfig) -> f64 {
        let (hidden, heads) = (f64::from(self.hidden), f64::from(self.heads));
        let Some(kv_rank) = config.kv_lora_rank.map(f64::from) else {
            let (kv_heads, head_dim) = (f64::from(self.kv_heads), f64::from(self.head_dim));
            return hidden * head_dim * (2.0 * heads + 2.0 * kv_heads);
        };
        let dim = |value: Option<u32>| f64::from(value.unwrap_or(self.head_dim));
        let (nope, rope, value) =
            (dim(config.qk_nope_head_dim), dim(config.qk_rope_head_dim), dim(config.v_head_dim));
        let query = match config.q_lora_rank.map(f64::from) {
            Some(rank) => rank * (hidden + heads * (nope + rope)),
            None => hidden * heads * (nope + rope),
        };
        query + hidden * (kv_rank + rope) + kv_rank * heads * (nope + value) + heads * value * hidden
    }

    fn feed_forward(&self, config: &HfConfig) -> Result<FeedForward, HfConfigError> {
        let hidden = f64::from(self.hidden);
        let matrices = if UNGATED.contains(&self.architecture) { 2.0 } else { 3.0 };
        let mlp = |width: u32| matrices * hidden * f64::from(width);
        let default_width = matches!(self.architecture, "gpt2" | "gpt_bigcode" | "bloom" | "falcon");
        let width = match config.intermediate_size {
            Some(width) if width > 0 => Some(width),
            Some(_) | None => default_width.then(|| self.hidden.saturating_mul(4)),
        };
        let total = config.n_routed_experts.unwrap_or(0);
        if total <= 1 {
            let width = width.ok_or(HfConfigError::Missing("intermediate_size"))?;
            return Ok(FeedForward { dense: f64::from(self.layers) * mlp(width), experts: None });
        }
        let active = config.num_experts_per_tok.filter(|active| (1..=total).contains(active));
        let active = active.ok_or(HfConfigError::Missing("num_experts_per_tok"))?;
        let expert_width = config.moe_intermediate_size.filter(|width| *width > 0).or(width);
        let expert_width = expert_width.ok_or(HfConfigError::Missing("moe_intermediate_size"))?;
        let sparse = self.sparse_layers(config);
        let shared = match config.shared_expert_intermediate_size {
            Some(width) => mlp(width),
            None => f64::from(config.n_shared_experts.unwrap_or(0)) * mlp(expert_width),
        };
        let router = hidden * f64::from(total);
        let dense_layers = f64::from(self.layers - sparse);
        let dense = f64::from(sparse) * (shared + router) + dense_layers * mlp(width.unwrap_or(expert_width));
        let routed = f64::from(sparse) * f64::from(total) * mlp(expert_width);
        Ok(FeedForward { dense, experts: Some(Experts { total, active, parameters_b: routed / 1e9 }) })
    }

    /// Layers that have experts.
    fn sparse_layers(&self, config: &HfConfig) -> u32 {
        let first = config.first_k_dense_replace.unwrap_or(0).min(self.layers);
        let step = config.decoder_sparse_step.unwrap_or(1).max(1);
        let mut dense = config.mlp_only_layers.clone().unwrap_or_default();
        dense.sort_unstable();
        dense.dedup();
        let listed = dense
            .iter()
            .filter(|layer| **layer >= first && **layer < self.layers && (**layer + 1) % step == 0);
        let listed = u32::try_from(listed.count()).unwrap_or(0);
        (self.layers / step).saturating_sub(first / step).saturating_sub(listed)
    }
}

struct FeedForward {
    /// Parameters every token passes through, all layers: dense layers, shared experts, routers.
    dense: f64,
    experts: Option<Experts>,
}

/// Layers with a sliding window, where the file says which and how wide.
fn sliding_window(config: &HfConfig) -> Option<SlidingWindow> {
    let tokens = config.sliding_window.filter(|tokens| *tokens > 0)?;
    let sliding = config.layer_types.iter().flatten().filter(|layer| *layer == "sliding_attention").count();
    let layers = u32::try_from(sliding).ok().filter(|layers| *layers > 0)?;
    Some(SlidingWindow { layers, tokens })
}

fn describe(architecture: &str, total_b: f64, active_b: f64) -> String {
    if active_b < total_b {
        format!(
            "A {architecture} mixture of experts with {total_b:.1}B parameters, {active_b:.1}B active per token."
        )
    } else {
        format!("A dense {architecture} model with {total_b:.2}B parameters.")
    }
}

/// Bytes of a weight as published: what the quantization says, else the type.
fn weight_bytes(config: &HfConfig, expert_share: f64) -> f64 {
    let plain = match config.torch_dtype.as_deref() {
        Some("float32") => 4.0,
        Some(dtype) if dtype.starts_with("float8") || dtype == "int8" => 1.0,
        Some(_) | None => 2.0,
    };
    let Some(quantization) = &config.quantization_config else { return plain };
    let text = |key: &str| quantization.get(key).and_then(Value::as_str).unwrap_or("").to_ascii_lowercase();
    match text("quant_method").as_str() {
        "fp8" | "fbgemm_fp8" => 1.0,
        // Only the experts are quantized; attention and embeddings stay as they are.
        "mxfp4" => expert_share * MXFP4_BYTES + (1.0 - expert_share) * plain,
        "modelopt" if text("quant_algo").contains("fp4") => 0.5,
        "modelopt" => 1.0,
        _ => bits(quantization).map_or(plain, |bits| bits / 8.0),
    }
}

/// Bits of a weight in the files of GPTQ, AWQ, bitsandbytes and compressed-tensors.
fn bits(quantization: &Value) -> Option<f64> {
    let direct = ["bits", "w_bit"].iter().find_map(|key| quantization.get(key)?.as_f64());
    let group = || {
        quantization
            .get("config_groups")?
            .as_object()?
            .values()
            .next()?
            .pointer("/weights/num_bits")?
            .as_f64()
    };
    let flag = |key: &str| quantization.get(key).and_then(Value::as_bool).unwrap_or(false);
    direct
        .or_else(group)
        .or_else(|| flag("load_in_4bit").then_some(4.0))
        .or_else(|| flag("load_in_8bit").then_some(8.0))
        .filter(|bits| (1.0..=32.0).contains(bits))
}

#[cfg(test)]
mod tests;
