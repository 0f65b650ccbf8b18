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

/// When vLLM releases came out, days after 1 July 2025: (minor, patch) of versions 0.x. Release dates, or where these were not
/// at hand the first day of a published measurement.
const VLLM_RELEASES: [((u32, u32), f64); 7] = [
    ((11, 2), 142.0),
    ((12, 0), 155.0),
    ((15, 1), 219.0),
    ((16, 0), 243.0),
    ((17, 0), 252.0),
    ((18, 0), 269.0),
    ((19, 0), 276.0),
];
const DAYS_PER_MONTH: f64 = 30.4;

impl Software {
    /// vLLM of a version as it names itself, such as `0.19.0` or `v0.12.0rc1+cu129`. Of versions between known ones the age
    /// is that of the one before, of those outside that of the nearest: no row says more. Unknown where it is no version.
    pub fn vllm(version: &str) -> Self {
        let days = vllm_version(version).map(|version| {
            let newer = VLLM_RELEASES.partition_point(|&(known, _)| (0, known) <= version);
            VLLM_RELEASES[newer.saturating_sub(1)].1
        });
        Self { engine: EngineKind::Vllm, months: days.map(|days| days / DAYS_PER_MONTH) }
    }
}

/// Major, then minor and patch.
fn vllm_version(version: &str) -> Option<(u32, (u32, u32))> {
    let mut parts = version.trim().trim_start_matches('v').split('.');
    let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let patch = parts.next().unwrap_or("0");
    let digits = patch.find(|c: char| !c.is_ascii_digit()).unwrap_or(patch.len());
    Some((major, (minor, patch[..digits].parse().ok()?)))
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
    fn the_age_of_vllm_follows_its_version() {
        let days = |version| Software::vllm(version).months.map(|months| (months * DAYS_PER_MONTH).round());
        assert_eq!(days("0.19.0"), Some(276.0));
        assert_eq!(days("v0.12.0rc1+cu129"), Some(155.0));
        assert_eq!(days("0.17.2.dev3+g12ab"), Some(252.0), "as the one before it");
        assert_eq!((days("0.40.1"), days("1.0")), (Some(276.0), Some(276.0)), "as the newest known");
        assert_eq!(days("0.8.5"), Some(142.0), "as the oldest known");
        assert_eq!(["", "nightly", "0", "0.x.1", "0.19.post1"].map(days), [None; 5]);
    }
}
