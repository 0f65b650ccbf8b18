use super::*;
use crate::Catalog;

/// Shapes of published models, and their published sizes in billions: total, and active where sparse. gpt-oss and GLM
/// publish active sizes without embeddings (3.6 and 12); here theirs stand with them.
const FIXTURES: [(&str, &str, f64, f64); 12] = [
    ("llama-3.1-8b", include_str!("../../../tests/hf/llama-3.1-8b.json"), 8.030, 8.030),
    ("llama-3.2-1b, tied", include_str!("../../../tests/hf/llama-3.2-1b.json"), 1.236, 1.236),
    ("smollm2-135m", include_str!("../../../tests/hf/smollm2-135m.json"), 0.1345, 0.1345),
    ("qwen3-0.6b, head_dim stated", include_str!("../../../tests/hf/qwen3-0.6b.json"), 0.596, 0.596),
    ("qwen2.5-7b", include_str!("../../../tests/hf/qwen2.5-7b.json"), 7.616, 7.616),
    ("mistral-7b", include_str!("../../../tests/hf/mistral-7b.json"), 7.248, 7.248),
    ("mixtral-8x7b", include_str!("../../../tests/hf/mixtral-8x7b.json"), 46.7, 12.9),
    ("qwen3-30b-a3b", include_str!("../../../tests/hf/qwen3-30b-a3b.json"), 30.5, 3.35),
    ("deepseek-v3", include_str!("../../../tests/hf/deepseek-v3.json"), 671.0, 37.0),
    ("gpt-oss-20b", include_str!("../../../tests/hf/gpt-oss-20b.json"), 20.91, 4.19),
    ("glm-4.5-air", include_str!("../../../tests/hf/glm-4.5-air.json"), 106.9, 13.4),
    ("gemma-3-27b, nested", include_str!("../../../tests/hf/gemma-3-27b.json"), 27.4, 27.4),
];

fn facts(json: &str) -> ModelFacts {
    ModelFacts::from_hf_config(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

#[test]
fn counts_agree_with_the_published_ones_within_three_percent() {
    for (name, json, total_b, active_b) in FIXTURES {
        let facts = facts(json);
        assert!((facts.parameters_b / total_b - 1.0).abs() < 0.03, "{name}: {}", facts.parameters_b);
        assert!(
            (facts.active_parameters_b / active_b - 1.0).abs() < 0.03,
            "{name}: {}",
            facts.active_parameters_b
        );
    }
}

/// The shipped catalog and this reader were filled in from the same files by different ways.
#[test]
fn the_catalog_agrees() {
    for (name, json, ..) in FIXTURES {
        let id = name.split(',').next().unwrap();
        let shipped = Catalog::shipped().model(id).unwrap_or_else(|| panic!("{id}"));
        let read = facts(json);
        let shape = |facts: &ModelFacts| {
            (
                facts.layers,
                facts.hidden,
                facts.heads,
                facts.kv_heads,
                facts.head_dim,
                facts.mla_kv_width,
                facts.context,
            )
        };
        assert_eq!(shape(&read), shape(shipped), "{name}");
        assert!((read.weight_bytes - shipped.weight_bytes).abs() < 0.02, "{name}: {}", read.weight_bytes);
        let experts = |facts: &ModelFacts| facts.experts.map(|experts| (experts.total, experts.active));
        assert_eq!(experts(&read), experts(shipped), "{name}");
    }
}

#[test]
fn quantization_is_read_from_every_dialect() {
    let base = r#""model_type":"llama","hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,
        "intermediate_size":128,"vocab_size":100,"dtype":"bfloat16""#;
    for (quantization, bytes) in [
        (r#"{"quant_method":"fp8"}"#, 1.0),
        (r#"{"quant_method":"awq","bits":4}"#, 0.5),
        (r#"{"quant_method":"gptq","bits":8}"#, 1.0),
        (r#"{"quant_method":"bitsandbytes","load_in_4bit":true}"#, 0.5),
        (
            r#"{"quant_method":"compressed-tensors","config_groups":{"group_0":{"weights":{"num_bits":4}}}}"#,
            0.5,
        ),
        (r#"{"quant_method":"modelopt","quant_algo":"NVFP4"}"#, 0.5),
        (r#"{"quant_method":"of tomorrow"}"#, 2.0),
        ("null", 2.0),
    ] {
        let facts = facts(&format!(r#"{{{base},"quantization_config":{quantization}}}"#));
        assert_eq!(facts.weight_bytes.to_bits(), f64::to_bits(bytes), "{quantization}");
        assert_eq!(facts.kv_heads, 4, "as many as heads where not stated");
        assert_eq!(facts.head_dim, 16);
    }
}

#[test]
fn what_cannot_be_counted_is_an_error() {
    let error = |json: &str| ModelFacts::from_hf_config(json).unwrap_err();
    assert!(matches!(error("{"), HfConfigError::Json(_)));
    assert!(matches!(error("[]"), HfConfigError::Json(_)));
    assert!(matches!(error(r#"{"hidden_size":-1}"#), HfConfigError::Json(_)));
    assert_eq!(error("{}"), HfConfigError::Missing("hidden_size"));
    let hybrid = r#"{"model_type":"qwen3_next","hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,
        "vocab_size":100,"layer_types":["linear_attention","full_attention"]}"#;
    assert_eq!(
        error(hybrid),
        HfConfigError::Unsupported("qwen3_next with linear_attention layers".to_owned())
    );
    let no_choice = r#"{"hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,"vocab_size":100,
        "num_experts":8,"intermediate_size":4}"#;
    assert_eq!(error(no_choice), HfConfigError::Missing("num_experts_per_tok"));
}
