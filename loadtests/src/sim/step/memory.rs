//! What memory leaves for the KV cache, as vLLM works it out.

use gearshift_config::ModelFacts;

use super::{
    layout::{Parameters, Served, kv_bytes},
    pass::{Site, full_share},
};

/// Share of memory that vLLM 0.32 takes unless told otherwise.
const UTILIZATION: f64 = 0.92;
/// Activations, CUDA graphs, communication buffers and the context of the driver, GiB: what AIConfigurator's system
/// descriptions set aside on data-centre GPUs.
const RESERVE_GIB: f64 = 3.5;
/// That reserve on small accelerators, share of their memory. Default.
const RESERVE_SHARE: f64 = 0.06;
const GIB: f64 = 1_073_741_824.0;

/// Weights on one accelerator and memory it may use, bytes.
pub(super) fn weights(model: &ModelFacts, site: &Site<'_>) -> f64 {
    let served = Served::new(model, site.hardware, site.knobs, site.factors);
    let parameters = Parameters::new(model);
    let layout = &site.layout;
    let dense = parameters.dense_bytes(&served) / layout.tensor;
    (dense + parameters.experts * served.experts.bytes / layout.expert_group()) / layout.pipeline
}

/// Bytes of an accelerator that weights and KV cache may take.
pub(super) fn usable(site: &Site<'_>) -> f64 {
    let all = site.hardware.memory_gib * GIB;
    let reserve = (RESERVE_GIB * GIB).min(RESERVE_SHARE * all);
    site.knobs.gpu_memory_utilization.unwrap_or(UTILIZATION) * all - reserve
}

/// KV tokens over all replicas; 0 where weights leave nothing.
pub(super) fn kv_tokens(model: &ModelFacts, draft: Option<&ModelFacts>, site: &Site<'_>) -> u64 {
    let layout = &site.layout;
    let models = [Some(model), draft];
    let taken: f64 = models.iter().flatten().map(|model| weights(model, site)).sum();
    // Layers with a sliding window give blocks back once they are behind it: what they hold is left out.
    let token: f64 = models
        .iter()
        .flatten()
        .map(|model| {
            model.kv_bytes_per_token(kv_bytes(site.knobs)) * full_share(model)
                / layout.kv_shards(model)
                / layout.pipeline
        })
        .sum();
    let tokens = (usable(site) - taken) / token * layout.data;
    if tokens.is_finite() && tokens >= 1.0 { whole(tokens) } else { 0 }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "finite and at least 1; what exceeds u64 saturates, and no memory holds that many"
)]
fn whole(tokens: f64) -> u64 {
    tokens as u64
}
