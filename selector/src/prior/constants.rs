//! The fitted constants of the roofline prior.
//!
//! Fitted on the measured rows of AIConfigurator's `silicon_sample` table (5,221 rows: dense and
//! mixture-of-experts models from 8 B to 1 T parameters on H100, H200, B200, B300, GB200 and GB300; vLLM, SGLang and
//! TensorRT-LLM), by soft-L1 on context-centred log residuals with a ridge to physical defaults. On model families
//! left out of the fit the median latency error was 28 %. Each factor multiplies a closed-form time; 1 would be the
//! datasheet's peak. CPUs, older GPUs and other vendors' parts are outside of the fitted data: the same factors are
//! used, and calibration learns the difference.

/// The fitted factors of the roofline prior. A bundle brings those that its meta-learner is a correction of.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorFactors {
    /// Reading dense weights, per datasheet bandwidth.
    pub dense: f64,
    /// Reading the experts that a step touches.
    pub experts: f64,
    /// Reading the KV cache.
    pub kv_cache: f64,
    /// A decode step's arithmetic, per datasheet peak.
    pub decode_flops: f64,
    /// Milliseconds of one all-reduce's latency over four accelerators; a step has two a layer, and each takes in
    /// proportion to log₂ of the accelerators.
    pub all_reduce_ms: f64,
    /// A decode step's all-reduce volume.
    pub decode_volume: f64,
    /// Milliseconds of launches and small kernels a layer.
    pub layer_ms: f64,
    /// Milliseconds of scheduling and sampling a step.
    pub step_ms: f64,
    /// Prefill arithmetic of the linear layers.
    pub prefill_flops: f64,
    /// Prefill attention, quadratic in the prompt.
    pub prefill_attention: f64,
    /// Prefill all-reduce volume.
    pub prefill_volume: f64,
    /// Natural log of vLLM's factor on everything.
    pub ln_vllm: f64,
    /// Of SGLang's; TensorRT-LLM's is 0.
    pub ln_sglang: f64,
    /// As above, with data-parallel attention.
    pub ln_data_parallel: f64,
    /// As above, with expert parallelism.
    pub ln_expert_parallel: f64,
    /// As above, on Hopper.
    pub ln_hopper: f64,
    /// As above, per three months of software age around [`MIDDLE_MONTH`]; left out where the age is not known. Held,
    /// not fitted: too few engines were measured at two ages.
    pub ln_quarter: f64,
}

impl Default for PriorFactors {
    fn default() -> Self {
        Self {
            dense: 1.49,
            experts: 1.13,
            kv_cache: 1.02,
            decode_flops: 1.60,
            all_reduce_ms: 0.0043,
            decode_volume: 0.71,
            layer_ms: 0.10,
            step_ms: 1.15,
            prefill_flops: 1.03,
            prefill_attention: 2.29,
            prefill_volume: 0.78,
            ln_vllm: 0.115,
            ln_sglang: 0.116,
            ln_data_parallel: -0.122,
            ln_expert_parallel: 0.038,
            ln_hopper: -0.02,
            ln_quarter: -0.15,
        }
    }
}

/// The month (since July 2025) whose software the factors are for where no age is known: February 2026.
pub const MIDDLE_MONTH: f64 = 7.0;
/// The newest month of software that was measured on accelerators: 22 April 2026, in the shipped rows. Newer software counts as of this month: what
/// `ln_quarter` and a bundle say of age holds no further. (The measured CPU rows are newer, of one version alone.)
pub const NEWEST_MONTH: f64 = 295.0 / 30.4;

/// An all-reduce over more accelerators than one NVLink domain of eight crosses slower links.
pub(super) const NODE: f64 = 8.0;
/// By so much.
pub(super) const CROSS_NODE: f64 = 4.0;

/// Bytes of a 4-bit weight with its scales.
pub(super) const FOUR_BIT: f64 = 0.55;

/// Tokens a step yields with `k` draft tokens, at k = 1, 2, 3: the middle of acceptance lengths measured on code
/// (1.6–1.8 at k = 1, 2.2–2.8 at k = 3); k = 2 interpolated. More drafts are not credited: nobody measured them here.
pub(super) const ACCEPTED: [f64; 3] = [1.7, 2.1, 2.5];

/// Share of memory vLLM takes unless told otherwise.
pub(super) const MEMORY_UTILIZATION: f64 = 0.9;
/// Share of that left after activations and graphs.
pub(super) const AFTER_ACTIVATIONS: f64 = 0.95;
/// GiB from which vLLM takes its defaults for large GPUs.
pub(super) const LARGE_GPU_GIB: f64 = 70.0;
/// vLLM's default step budget in tokens, on large GPUs and others.
pub(super) const STEP_TOKENS: (f64, f64) = (8192.0, 2048.0);
/// vLLM's default of sequences in one step, on large GPUs and others.
pub(super) const STEP_SEQUENCES: (f64, f64) = (1024.0, 256.0);

/// Context at which a saturated engine's decode rate is taken, tokens.
pub(super) const SATURATED_CONTEXT: f64 = 1024.0;
/// Batch beyond which a saturated engine is not assumed to go: few fleets run there.
pub(super) const SATURATED_BATCH: f64 = 256.0;
