//! Profiles: knobs within range and consistent with each other.

use std::sync::Arc;

use indexmap::IndexMap;

use super::Check;
use crate::{
    Knobs, Profile, ProfileId, Speculative,
    raw::{RawProfile, RawSpeculative},
    yaml::Path,
};

/// More tokens than any context or step has.
const MAX_TOKENS: u32 = 1 << 27;
const MAX_PARALLEL: u32 = 4096;

pub(super) fn profiles(
    check: &mut Check<'_>,
    at: &Path,
    raw: &IndexMap<String, RawProfile>,
) -> Vec<Arc<Profile>> {
    raw.iter()
        .map(|(name, raw)| {
            let at = at.key(name);
            check.name(&at, name);
            if name == "detect" {
                let fix = "name it otherwise".to_owned();
                check.wrong_key(&at, "`detect` means that the engine is asked", fix);
            }
            let knobs = knobs(check, &at, raw);
            let lossless = raw.lossless.unwrap_or_else(|| knobs.lossless());
            Arc::new(Profile { id: ProfileId::new(name.as_str()), lossless, knobs })
        })
        .collect()
}

fn knobs(check: &mut Check<'_>, at: &Path, raw: &RawProfile) -> Knobs {
    let mut count = |key: &str, value: Option<u32>, most: u32| {
        value.inspect(|value| {
            check.within(&at.key(key), *value, 1..=most);
        })
    };
    let max_num_batched_tokens = count("max_num_batched_tokens", raw.max_num_batched_tokens, MAX_TOKENS);
    let max_num_seqs = count("max_num_seqs", raw.max_num_seqs, 1 << 20);
    let max_model_len = count("max_model_len", raw.max_model_len, MAX_TOKENS);
    let tensor_parallel = count("tensor_parallel", raw.tensor_parallel, MAX_PARALLEL);
    let pipeline_parallel = count("pipeline_parallel", raw.pipeline_parallel, MAX_PARALLEL);
    let data_parallel = count("data_parallel", raw.data_parallel, MAX_PARALLEL);
    if let Some(share) = raw.gpu_memory_utilization
        && !(share > 0.0 && share <= 1.0)
    {
        let fix = "write a share above 0 and at most 1, such as 0.9".to_owned();
        check.wrong(&at.key("gpu_memory_utilization"), format!("{share} is out of range"), fix);
    }
    if let (Some(false), Some(budget), Some(longest)) =
        (raw.chunked_prefill, max_num_batched_tokens, max_model_len)
        && budget < longest
    {
        let what =
            format!("without chunked prefill a step of {budget} tokens cannot hold a prompt of {longest}");
        let fix = format!("write at least {longest}, lower max_model_len, or leave chunked_prefill on");
        check.wrong(&at.key("max_num_batched_tokens"), what, fix);
    }
    if let (Some(budget), Some(sequences)) = (max_num_batched_tokens, max_num_seqs)
        && budget < sequences
    {
        let what = format!("a step of {budget} tokens cannot hold {sequences} sequences");
        check.wrong(&at.key("max_num_batched_tokens"), what, format!("write at least {sequences}"));
    }
    Knobs {
        prefix_caching: raw.prefix_caching,
        chunked_prefill: raw.chunked_prefill,
        max_num_batched_tokens,
        max_num_seqs,
        max_model_len,
        speculative: raw.speculative.as_ref().map(|raw| speculative(check, &at.key("speculative"), raw)),
        kv_cache_dtype: raw.kv_cache_dtype,
        quantization: raw.quantization,
        tensor_parallel,
        pipeline_parallel,
        data_parallel,
        expert_parallel: raw.expert_parallel,
        gpu_memory_utilization: raw.gpu_memory_utilization,
    }
}

fn speculative(check: &mut Check<'_>, at: &Path, raw: &RawSpeculative) -> Speculative {
    let method = check.required(&at.key("method"), raw.method.as_ref(), "method: ngram");
    let drafts_at = at.key("num_speculative_tokens");
    let drafts = check.required(&drafts_at, raw.num_speculative_tokens, "num_speculative_tokens: 3");
    if let Some(method) = method {
        check.name(&at.key("method"), method);
        if method == "draft_model" && raw.model.is_none() {
            check.wrong(&at.key("model"), "is missing", "name the draft model".to_owned());
        }
    }
    if let Some(drafts) = drafts {
        check.within(&drafts_at, drafts, 1..=128);
    }
    Speculative {
        method: method.cloned().unwrap_or_default(),
        num_speculative_tokens: drafts.unwrap_or(1),
        model: raw.model.clone(),
    }
}
