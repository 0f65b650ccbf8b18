//! The fitted constants of the roofline prior.
//!
//! Fitted on the measured rows of AIConfigurator's `silicon_sample` table (5,221 rows: dense and
//! mixture-of-experts models from 8 B to 1 T parameters on H100, H200, B200, B300, GB200 and GB300; vLLM, SGLang and
//! TensorRT-LLM), by soft-L1 on context-centred log residuals with a ridge to physical defaults. On model families
//! left out of the fit the median latency error was 28 %. Each factor multiplies a closed-form time; 1 would be the
//! datasheet's peak. CPUs, older GPUs and other vendors' parts are outside of the fitted data: the same factors are
//! used, and calibration learns the difference.

/// Reading dense weights, per datasheet bandwidth.
pub(super) const DENSE: f64 = 1.49;
/// Reading the experts that a step touches.
pub(super) const EXPERTS: f64 = 1.13;
/// Reading the KV cache.
pub(super) const KV_CACHE: f64 = 1.02;
/// A decode step's arithmetic, per datasheet peak.
pub(super) const DECODE_FLOPS: f64 = 1.60;
/// Milliseconds of one all-reduce's latency; a step has two a layer.
pub(super) const ALL_REDUCE_MS: f64 = 0.0038;
/// A decode step's all-reduce volume.
pub(super) const DECODE_VOLUME: f64 = 0.71;
/// Milliseconds of launches and small kernels a layer.
pub(super) const LAYER_MS: f64 = 0.10;
/// Milliseconds of scheduling and sampling a step.
pub(super) const STEP_MS: f64 = 1.15;

/// Prefill arithmetic of the linear layers.
pub(super) const PREFILL_FLOPS: f64 = 1.03;
/// Prefill attention, quadratic in the prompt.
pub(super) const PREFILL_ATTENTION: f64 = 2.29;
/// Prefill all-reduce volume.
pub(super) const PREFILL_VOLUME: f64 = 0.78;

/// Natural log of vLLM's factor on everything.
pub(super) const LN_VLLM: f64 = 0.115;
/// As above, with data-parallel attention.
pub(super) const LN_DATA_PARALLEL: f64 = -0.122;
/// As above, with expert parallelism.
pub(super) const LN_EXPERT_PARALLEL: f64 = 0.038;
/// As above, on Hopper.
pub(super) const LN_HOPPER: f64 = -0.02;
// The fit's last factor, −0.057 per three months of engine age around February 2026, is left at that month: the
// router does not know how old an engine's software is, and calibration sees what it does.

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
