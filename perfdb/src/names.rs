//! Words that columns hold in place of enumerations.

use gearshift_config::{KvCacheDtype, Objective, Quantization};
use gearshift_selector::EngineKind;

use crate::{Ended, Grain, Source};

/// A value that a column names by one word.
pub trait Named: Copy + PartialEq + Sized + 'static {
    /// All values and their words.
    const NAMES: &'static [(Self, &'static str)];

    /// Its word.
    fn word(self) -> &'static str {
        Self::NAMES.iter().find(|(value, _)| *value == self).map_or("", |(_, word)| word)
    }

    /// The value of a word.
    fn of_word(word: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, name)| *name == word).map(|(value, _)| *value)
    }

    /// All words, for messages.
    fn words() -> String {
        Self::NAMES.iter().map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
    }
}

impl Named for Source {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::Simulated, "simulated"),
        (Self::SimulatedKernel, "simulated-kernel"),
        (Self::Measured, "measured"),
        (Self::Live, "live"),
    ];
}

impl Named for Grain {
    const NAMES: &'static [(Self, &'static str)] = &[(Self::Request, "request"), (Self::Window, "window")];
}

impl Named for EngineKind {
    const NAMES: &'static [(Self, &'static str)] =
        &[(Self::Vllm, "vllm"), (Self::Sglang, "sglang"), (Self::TensorrtLlm, "trtllm")];
}

impl Named for KvCacheDtype {
    const NAMES: &'static [(Self, &'static str)] =
        &[(Self::Auto, "auto"), (Self::Bfloat16, "bfloat16"), (Self::Fp8, "fp8")];
}

impl Named for Quantization {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::None, "none"),
        (Self::Fp8, "fp8"),
        (Self::Int8, "int8"),
        (Self::Int4, "int4"),
        (Self::Fp4, "fp4"),
    ];
}

impl Named for Objective {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::Latency, "latency"),
        (Self::Cost, "cost"),
        (Self::Energy, "energy"),
        (Self::Throughput, "throughput"),
    ];
}

impl Named for Ended {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::Ok, "ok"),
        (Self::ClientError, "client_error"),
        (Self::UpstreamError, "upstream_error"),
        (Self::Cut, "cut"),
        (Self::Cancelled, "cancelled"),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_word_that_leads_back() {
        fn check<T: Named + std::fmt::Debug>(values: &[T]) {
            for value in values {
                assert_eq!(T::of_word(value.word()), Some(*value));
            }
        }
        check(&[Source::Simulated, Source::SimulatedKernel, Source::Measured, Source::Live]);
        check(&[Grain::Request, Grain::Window]);
        check(&[EngineKind::Vllm, EngineKind::Sglang, EngineKind::TensorrtLlm]);
        check(&[Objective::Latency, Objective::Cost, Objective::Energy, Objective::Throughput]);
        check(&[Ended::Ok, Ended::ClientError, Ended::UpstreamError, Ended::Cut, Ended::Cancelled]);
        check(&[KvCacheDtype::Auto, KvCacheDtype::Bfloat16, KvCacheDtype::Fp8]);
        check(&[
            Quantization::None,
            Quantization::Fp8,
            Quantization::Int8,
            Quantization::Int4,
            Quantization::Fp4,
        ]);
        assert_eq!(Source::of_word("guessed"), None);
    }
}
