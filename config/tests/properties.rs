//! Whatever the text, reading it ends, and ends without a panic; what is valid comes out as it went in.

#![expect(clippy::unwrap_used, reason = "helpers outside #[test] functions")]

use std::{path::Path, time::Duration};

use gearshift_config::{Config, Errors, ModelFacts, parse_with};
use proptest::prelude::*;

fn read(text: &str) -> Result<Config, Errors> {
    parse_with("g.yaml", text, Path::new("/nonexistent"), &|_| None)
}

/// Pieces that a configuration is made of, and pieces that break YAML.
fn fragment() -> impl Strategy<Value = String> {
    let words = [
        "backends:",
        "- ",
        "url: ",
        "http://a",
        "profiles:",
        "models:",
        "routes:",
        "hardware: ",
        "h100_sxm",
        "{",
        "}",
        "[",
        "]",
        ", ",
        ": ",
        "\n",
        "\n  ",
        "\n    ",
        "&a ",
        "*a",
        "'",
        "\"",
        "|",
        ">",
        "#",
        "? ",
        "!t ",
        "---",
        "%",
        "\t",
        "match:",
        "slo: {ttft: 5s}",
        "limits:",
        "max_body: 1MiB",
        "name: x",
        "kind: l4",
        "count: 2",
        "${X}",
        "<<: ",
        "null",
        "~",
        "-1",
        "1e400",
        "0x7",
        "\u{feff}",
        "\r",
        "é",
        "numbers:",
        "layers: 3",
        "experts: {total: 0}",
    ];
    prop_oneof![4 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

/// A problem has a place in the text.
fn is_located(errors: &Errors, text: &str) -> bool {
    let last = text.lines().count() + 1;
    !errors.problems.is_empty()
        && errors
            .problems
            .iter()
            .all(|problem| problem.position.is_some_and(|at| at.line >= 1 && at.line <= last))
        && errors.problems.is_sorted_by_key(|problem| problem.position)
}

/// A mapping that is quoted everywhere, so that any text can stand in it.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        if let Err(errors) = read(&text) {
            prop_assert!(!errors.problems.is_empty());
        }
    }

    #[test]
    fn fragments_of_configurations_never_panic(parts in prop::collection::vec(fragment(), 0..60)) {
        let text = parts.concat();
        // Some characters end a line for YAML and not for Rust, so lines are compared only without them.
        if let Err(errors) = read(&text) && !text.contains('\r') && text.is_ascii() {
            prop_assert!(is_located(&errors, &text), "{errors}");
        }
    }

    #[test]
    fn arbitrary_config_json_never_panics(
        json in prop_oneof![any::<String>(), config_json()]
    ) {
        if let Ok(facts) = ModelFacts::from_hf_config(&json) {
            prop_assert!(facts.active_parameters_b <= facts.parameters_b);
            prop_assert!(facts.parameters_b.is_finite() && facts.weight_bytes > 0.0);
        }
    }

    #[test]
    fn valid_numbers_come_out_as_they_went_in(
        port in 1u16..,
        count in 1u32..=4096,
        milliseconds in 1u64..600_000,
        kibibytes in 1usize..1_000_000,
        price in 0.01f64..1000.0,
        name in "[a-zA-Z0-9._-]{1,40}",
        header in "[ -~]{0,20}",
    ) {
        let text = format!(
            "listen: '[::1]:{port}'\nbackends:\n- name: {}\n  url: https://example:{port}/p/v1\n  price_usd_per_hour: {price}\n  \
             hardware: {{kind: mi300x, count: {count}}}\nlimits: {{max_body: {kibibytes}KiB}}\n\
             timeouts: {{connect: {milliseconds}ms}}\nroutes: [{{name: r, match: {{headers: {{X-A: {}}}}}}}]\n",
            quoted(&name), quoted(&header),
        );
        let config = read(&text).map_err(|errors| TestCaseError::fail(errors.to_string()))?;
        prop_assert_eq!(config.listeners[0].address.port(), port);
        let backend = &config.backends[0];
        prop_assert_eq!(backend.id.as_str(), name);
        prop_assert_eq!(backend.url.to_string(), format!("https://example:{port}/p"));
        prop_assert_eq!(backend.price_usd_per_hour, Some(price));
        prop_assert_eq!(backend.hardware.as_ref().unwrap().count, count);
        prop_assert_eq!(config.limits.max_body_bytes, kibibytes << 10);
        prop_assert_eq!(config.timeouts.connect, Duration::from_millis(milliseconds));
        prop_assert_eq!(&config.routes[0].matches.headers, &[("x-a".to_owned(), header)]);
    }
}

fn config_json() -> impl Strategy<Value = String> {
    let key = proptest::sample::select(vec![
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "vocab_size",
        "intermediate_size",
        "num_experts",
        "num_experts_per_tok",
        "moe_intermediate_size",
        "first_k_dense_replace",
        "decoder_sparse_step",
        "kv_lora_rank",
        "qk_rope_head_dim",
        "n_shared_experts",
        "max_position_embeddings",
    ]);
    prop::collection::hash_map(key, prop_oneof![0u32..200, any::<u32>()], 4..16)
        .prop_map(|keys| serde_json::to_string(&keys).unwrap())
}
