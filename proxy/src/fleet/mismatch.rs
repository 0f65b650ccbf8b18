//! Where what the file declares and what the engine says differ.

use gearshift_config::{Declared, Knobs, KvCacheDtype, Speculative};

use super::detect::Detected;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Mismatch {
    /// What differs: `model`, or the name of a knob.
    pub what: &'static str,
    /// What the configuration says.
    pub declared: String,
    /// What the engine says.
    pub detected: String,
}

/// What the file declares of a backend.
#[derive(Debug, Clone, Copy)]
pub(super) struct Declaration<'a> {
    /// The name the engine should serve, where the file says it.
    pub(super) served_name: Option<&'a str>,
    /// The knobs it should have, where the file says them.
    pub(super) knobs: Option<&'a Knobs>,
}

impl<'a> Declaration<'a> {
    pub(super) fn new(
        served_name: Option<&'a str>,
        profile: &'a Declared<std::sync::Arc<gearshift_config::Profile>>,
    ) -> Self {
        let knobs = match profile {
            Declared::Is(profile) => Some(&profile.knobs),
            Declared::Detect => None,
        };
        Self { served_name, knobs }
    }
}

/// All differences, in a fixed order. What either side leaves open is none.
pub(super) fn mismatches(declared: Declaration<'_>, detected: &Detected) -> Vec<Mismatch> {
    let mut found = Vec::new();
    if let Some(name) = declared.served_name.filter(|name| !detected.serves(name)) {
        let served: Vec<&str> = detected.served.iter().map(|served| &*served.id).collect();
        found.push(Mismatch { what: "model", declared: name.to_owned(), detected: served.join(", ") });
    }
    if let Some(knobs) = declared.knobs {
        compare_knobs(knobs, detected, &mut found);
    }
    found
}

fn compare_knobs(declared: &Knobs, detected: &Detected, found: &mut Vec<Mismatch>) {
    let seen = &detected.knobs;
    macro_rules! compare_equal {
        ($($knob:ident),* $(,)?) => {
            $(compare(stringify!($knob), declared.$knob.as_ref(), seen.$knob.as_ref(), |a, b| a == b, found);)*
        };
    }
    compare_equal!(
        prefix_caching,
        chunked_prefill,
        max_num_batched_tokens,
        max_num_seqs,
        max_model_len,
        quantization,
        tensor_parallel,
        pipeline_parallel,
        data_parallel,
        expert_parallel,
    );
    // `auto` is the model's own type, which may be bfloat16: only the width can be compared.
    let same_width = |a: &KvCacheDtype, b: &KvCacheDtype| a.bytes().to_bits() == b.bytes().to_bits();
    compare(
        "kv_cache_dtype",
        declared.kv_cache_dtype.as_ref(),
        seen.kv_cache_dtype.as_ref(),
        same_width,
        found,
    );
    compare(
        "gpu_memory_utilization",
        declared.gpu_memory_utilization.as_ref(),
        seen.gpu_memory_utilization.as_ref(),
        |a, b| (a - b).abs() < 0.005,
        found,
    );
    compare_speculative(declared.speculative.as_ref(), detected, found);
}

fn compare<T: std::fmt::Debug>(
    what: &'static str,
    declared: Option<&T>,
    detected: Option<&T>,
    same: impl Fn(&T, &T) -> bool,
    found: &mut Vec<Mismatch>,
) {
    if let (Some(declared), Some(detected)) = (declared, detected)
        && !same(declared, detected)
    {
        let text = |value: &T| format!("{value:?}").to_lowercase();
        found.push(Mismatch { what, declared: text(declared), detected: text(detected) });
    }
}

fn compare_speculative(declared: Option<&Speculative>, detected: &Detected, found: &mut Vec<Mismatch>) {
    let (Some(declared), true) = (declared, detected.server_info) else { return };
    let seen = detected.knobs.speculative.as_ref();
    let same = seen.is_some_and(|seen| {
        seen.method == declared.method
            && seen.num_speculative_tokens == declared.num_speculative_tokens
            && (seen.model.is_none() || declared.model.is_none() || seen.model == declared.model)
    });
    if !same {
        let text = |speculative: &Speculative| {
            let Speculative { method, num_speculative_tokens, model } = speculative;
            let model = model.as_ref().map(|model| format!(", model {model}")).unwrap_or_default();
            format!("{method}, {num_speculative_tokens} tokens{model}")
        };
        found.push(Mismatch {
            what: "speculative",
            declared: text(declared),
            detected: seen.map_or_else(|| "none".to_owned(), text),
        });
    }
}

#[cfg(test)]
mod tests {
    use gearshift_config::Quantization;

    use super::*;
    use crate::fleet::detect::Served;

    fn detected(knobs: Knobs) -> Detected {
        let served = Served { id: "tiny".into(), parent: None, root: None, max_model_len: None };
        Detected { served: vec![served], knobs, server_info: true, ..Detected::default() }
    }

    fn knob_mismatches(declared: &Knobs, seen: Knobs) -> Vec<Mismatch> {
        mismatches(Declaration { served_name: None, knobs: Some(declared) }, &detected(seen))
    }

    #[test]
    fn another_model_is_a_mismatch_that_names_both() {
        let declared = Declaration { served_name: Some("big"), knobs: None };
        let expected = Mismatch { what: "model", declared: "big".into(), detected: "tiny".into() };
        assert_eq!(mismatches(declared, &detected(Knobs::default())), [expected]);
        let right = Declaration { served_name: Some("tiny"), knobs: None };
        assert_eq!(mismatches(right, &detected(Knobs::default())), []);
    }

    #[test]
    fn a_knob_that_differs_is_named_with_both_values() {
        let declared = Knobs { max_num_seqs: Some(256), prefix_caching: Some(true), ..Knobs::default() };
        let seen = Knobs { max_num_seqs: Some(32), prefix_caching: Some(true), ..Knobs::default() };
        let expected = Mismatch { what: "max_num_seqs", declared: "256".into(), detected: "32".into() };
        assert_eq!(knob_mismatches(&declared, seen), [expected]);
    }

    #[test]
    fn what_either_side_leaves_open_is_no_mismatch() {
        let declared = Knobs { quantization: Some(Quantization::Fp8), ..Knobs::default() };
        let seen = Knobs { tensor_parallel: Some(2), ..Knobs::default() };
        assert_eq!(knob_mismatches(&declared, seen), []);
    }

    #[test]
    fn kv_cache_types_are_compared_by_width() {
        let of = |dtype| Knobs { kv_cache_dtype: Some(dtype), ..Knobs::default() };
        assert_eq!(knob_mismatches(&of(KvCacheDtype::Bfloat16), of(KvCacheDtype::Auto)), []);
        assert_eq!(knob_mismatches(&of(KvCacheDtype::Fp8), of(KvCacheDtype::Auto)).len(), 1);
    }

    #[test]
    fn memory_shares_are_compared_as_written() {
        let of = |share| Knobs { gpu_memory_utilization: Some(share), ..Knobs::default() };
        assert_eq!(knob_mismatches(&of(0.92), of(0.920_000_01)), []);
        assert_eq!(knob_mismatches(&of(0.92), of(0.9)).len(), 1);
    }

    #[test]
    fn speculation_that_is_not_there_is_a_mismatch_only_where_it_would_show() {
        let speculative = Speculative { method: "ngram".into(), num_speculative_tokens: 4, model: None };
        let declared = Knobs { speculative: Some(speculative.clone()), ..Knobs::default() };
        assert_eq!(knob_mismatches(&declared, declared.clone()), []);
        let mut other = speculative;
        other.num_speculative_tokens = 3;
        let seen = Knobs { speculative: Some(other), ..Knobs::default() };
        assert_eq!(knob_mismatches(&declared, seen)[0].detected, "ngram, 3 tokens");
        assert_eq!(knob_mismatches(&declared, Knobs::default())[0].detected, "none");

        let mut closed = detected(Knobs::default());
        closed.server_info = false;
        assert_eq!(mismatches(Declaration { served_name: None, knobs: Some(&declared) }, &closed), []);
    }
}
