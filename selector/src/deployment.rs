//! One engine as the prior and the learner see it: what changes only with the configuration.

use std::sync::Arc;

use gearshift_config::{HardwareFacts, Knobs, ModelFacts};

/// A model, on a hardware, in a profile, under an engine's software.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// One accelerator.
    pub hardware: Arc<HardwareFacts>,
    /// How many of them.
    pub count: u32,
    /// The model.
    pub model: Arc<ModelFacts>,
    /// The profile's knobs.
    pub knobs: Knobs,
    /// What runs it.
    pub software: Software,
    /// The engine's own word on how many tokens its KV cache holds, which goes before the estimate.
    pub kv_tokens: Option<u64>,
}

/// The engine's software.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Software {
    /// Which engine.
    pub engine: EngineKind,
    /// Its release date in months since July 2025, where known: newer software is faster, which explains much.
    pub months: Option<f64>,
}

/// When vLLM 0.x.0 came out, days after 1 July 2025, by x: the day of its first file on PyPI (`https://pypi.org/pypi/vllm/json`, read
/// in November 2026).
const VLLM_RELEASES: [(u32, f64); 25] = [
    (9, -34.0),
    (10, 24.0),
    (11, 95.0),
    (12, 155.0),
    (13, 171.0),
    (14, 203.0),
    (15, 212.0),
    (16, 240.0),
    (17, 249.0),
    (18, 262.0),
    (19, 276.0),
    (20, 300.0),
    (21, 318.0),
    (22, 332.0),
    (23, 347.0),
    (24, 364.0),
    (25, 375.0),
    (26, 389.0),
    (27, 405.0),
    (28, 421.0),
    (29, 435.0),
    (30, 448.0),
    (31, 461.0),
    (32, 474.0),
    (33, 489.0),
];
const DAYS_PER_MONTH: f64 = 30.4;

impl Software {
    /// vLLM of a version as it names itself, such as `0.19.0` or `v0.12.0rc1+cu129`. A patch is as old as its minor version; what is outside
    /// of the table as the nearest that is in it. Unknown where it is no version. What is newer than all software that was measured counts
    /// as the newest of that in prior and learner: nobody has seen how much faster it is.
    pub fn vllm(version: &str) -> Self {
        let days = vllm_version(version).map(|version| {
            let newer = VLLM_RELEASES.partition_point(|&(known, _)| (0, known) <= version);
            VLLM_RELEASES[newer.saturating_sub(1)].1
        });
        Self { engine: EngineKind::Vllm, months: days.map(|days| days / DAYS_PER_MONTH) }
    }
}

/// Major and minor.
fn vllm_version(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim().trim_start_matches('v').split('.');
    let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let patch = parts.next().unwrap_or("0");
    patch.starts_with(|first: char| first.is_ascii_digit()).then_some((major, minor))
}

/// Engines of which measured rows exist; Gearshift itself routes to vLLM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// vLLM.
    #[default]
    Vllm,
    /// SGLang.
    Sglang,
    /// TensorRT-LLM.
    TensorrtLlm,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_in_their_order() {
        let next = |pair: &[(u32, f64)]| pair[1].0 == pair[0].0 + 1 && pair[1].1 > pair[0].1;
        assert!(VLLM_RELEASES.windows(2).all(next));
    }

    #[test]
    fn the_age_of_vllm_follows_its_version() {
        let days = |version| Software::vllm(version).months.map(|months| (months * DAYS_PER_MONTH).round());
        assert_eq!(days("0.19.0"), Some(276.0));
        assert_eq!(days("v0.12.0rc1+cu129"), Some(155.0));
        assert_eq!(days("0.17.2.dev3+g12ab"), Some(249.0), "as 0.17.0");
        assert_eq!(days("0.32.0"), Some(474.0));
        assert_eq!((days("0.40.1"), days("1.0")), (Some(489.0), Some(489.0)), "as the newest known");
        assert_eq!(days("0.8.5"), Some(-34.0), "as the oldest known");
        assert_eq!(["", "nightly", "0", "0.x.1", "0.19.post1"].map(days), [None; 5]);
    }
}
