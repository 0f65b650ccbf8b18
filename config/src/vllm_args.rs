//! From knobs to the arguments of `vllm serve`.

use std::borrow::Cow;

use crate::{Knobs, KvCacheDtype, Quantization, Speculative};

impl Knobs {
    /// The arguments of `vllm serve` that set these knobs, each one word (`--name=value`); a knob left open gives none.
    ///
    /// Integer and four-bit weights give none either: there the checkpoint is quantized, and vLLM reads how from its
    /// configuration. FP8 gives `--quantization=fp8`, which quantizes a 16-bit checkpoint while loading.
    pub fn vllm_args(&self) -> Vec<String> {
        [
            switch("prefix-caching", self.prefix_caching),
            switch("chunked-prefill", self.chunked_prefill),
            value("max-num-batched-tokens", self.max_num_batched_tokens),
            value("max-num-seqs", self.max_num_seqs),
            value("max-model-len", self.max_model_len),
            value("speculative-config", self.speculative.as_ref().map(speculative)),
            value("kv-cache-dtype", self.kv_cache_dtype.map(kv_cache_dtype)),
            value("quantization", self.quantization.and_then(quantization)),
            value("tensor-parallel-size", self.tensor_parallel),
            value("pipeline-parallel-size", self.pipeline_parallel),
            value("data-parallel-size", self.data_parallel),
            switch("expert-parallel", self.expert_parallel),
            value("gpu-memory-utilization", self.gpu_memory_utilization),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn switch(name: &str, on: Option<bool>) -> Option<String> {
    on.map(|on| format!("--{}enable-{name}", if on { "" } else { "no-" }))
}

fn value(name: &str, value: Option<impl std::fmt::Display>) -> Option<String> {
    value.map(|value| format!("--{name}={value}"))
}

fn speculative(knob: &Speculative) -> serde_json::Value {
    let mut config = serde_json::json!({
        "method": knob.method,
        "num_speculative_tokens": knob.num_speculative_tokens,
    });
    if let Some(model) = &knob.model {
        config["model"] = model.as_str().into();
    }
    config
}

fn kv_cache_dtype(knob: KvCacheDtype) -> &'static str {
    match knob {
        KvCacheDtype::Auto => "auto",
        KvCacheDtype::Bfloat16 => "bfloat16",
        KvCacheDtype::Fp8 => "fp8",
    }
}

fn quantization(knob: Quantization) -> Option<&'static str> {
    match knob {
        Quantization::Fp8 => Some("fp8"),
        Quantization::None | Quantization::Int8 | Quantization::Int4 | Quantization::Fp4 => None,
    }
}

/// The argument as one word of a POSIX shell, for a line to paste: in quotes where it needs them.
pub fn shell_word(argument: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=./:,@%+".contains(&byte);
    if !argument.is_empty() && argument.bytes().all(plain) {
        return Cow::Borrowed(argument);
    }
    Cow::Owned(format!("'{}'", argument.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn knobs_left_open_give_no_argument() {
        assert!(Knobs::default().vllm_args().is_empty());
    }

    #[test]
    fn every_knob_has_its_argument() {
        let knobs = Knobs {
            prefix_caching: Some(true),
            chunked_prefill: Some(false),
            max_num_batched_tokens: Some(8192),
            max_num_seqs: Some(256),
            max_model_len: Some(4096),
            speculative: Some(Speculative {
                method: "ngram".to_owned(),
                num_speculative_tokens: 3,
                model: None,
            }),
            kv_cache_dtype: Some(KvCacheDtype::Fp8),
            quantization: Some(Quantization::Fp8),
            tensor_parallel: Some(2),
            pipeline_parallel: Some(3),
            data_parallel: Some(4),
            expert_parallel: Some(true),
            gpu_memory_utilization: Some(0.9),
        };
        let expected = [
            "--enable-prefix-caching",
            "--no-enable-chunked-prefill",
            "--max-num-batched-tokens=8192",
            "--max-num-seqs=256",
            "--max-model-len=4096",
            r#"--speculative-config={"method":"ngram","num_speculative_tokens":3}"#,
            "--kv-cache-dtype=fp8",
            "--quantization=fp8",
            "--tensor-parallel-size=2",
            "--pipeline-parallel-size=3",
            "--data-parallel-size=4",
            "--enable-expert-parallel",
            "--gpu-memory-utilization=0.9",
        ];
        assert_eq!(knobs.vllm_args(), expected);
    }

    #[test]
    fn a_draft_model_is_named_and_a_quantized_checkpoint_is_not() {
        let speculative =
            Speculative { method: "eagle3".to_owned(), num_speculative_tokens: 2, model: Some("d".into()) };
        let knobs = Knobs {
            speculative: Some(speculative),
            quantization: Some(Quantization::Int4),
            ..Knobs::default()
        };
        let expected = [r#"--speculative-config={"method":"eagle3","model":"d","num_speculative_tokens":2}"#];
        assert_eq!(knobs.vllm_args(), expected);
    }

    #[test]
    fn only_what_needs_quotes_is_quoted() {
        assert_eq!(shell_word("--max-num-seqs=8"), "--max-num-seqs=8");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word(r#"{"a":1}"#), r#"'{"a":1}'"#);
        assert_eq!(shell_word("it's"), r"'it'\''s'");
    }

    proptest! {
        #[test]
        fn a_shell_reads_the_word_back(argument in "[ -~]{0,24}") {
            let output = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", shell_word(&argument))])
                .output()
                .unwrap();
            prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), argument);
        }
    }
}
