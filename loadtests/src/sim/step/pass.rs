//! One forward pass of one model, kernel by kernel, as sums of rooflines.

use gearshift_config::{HardwareFacts, Knobs, ModelFacts};

use super::{
    Factors,
    layout::{Layout, Parameters, Served, Weights, kv_bytes},
};

/// Bytes of a hidden state's element.
const STATE_BYTES: f64 = 2.0;
/// Bandwidth to an accelerator in another machine, GB/s: 400 Gbit/s each, as in HGX H100 and H200. Default.
const CROSS_NODE_GB_PER_S: f64 = 50.0;
/// Accelerators in one machine. Default.
const NODE: f64 = 8.0;
/// Accelerators of an NVL72 rack, which are one NVLink domain.
const RACK: f64 = 72.0;
/// Rows that a touched expert costs at least: the smallest tile of the kernels measured.
pub(crate) const TILE_ROWS: f64 = 16.0;
/// Times that experts read or write what goes through them, 16 bits each: as the kernels measured.
pub(crate) const EXPERT_PASSES: f64 = 2.0;
/// Dense layers before and after attention: queries, keys and values in one, and the output.
const ATTENTION_GEMMS: f64 = 2.0;
/// The same of latent attention: down, queries up, keys' and values' halves in decoding, and the output.
const LATENT_GEMMS: f64 = 5.0;
/// Dense layers of a feed-forward block: gate and up in one, and down.
const FEED_FORWARD_GEMMS: f64 = 2.0;
/// Elements of queries and keys to those of values in multi-head latent attention of prompts: 192 and 128.
const MLA_PREFILL: f64 = 1.25;

/// Time on one accelerator, and what is busy in it, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Busy {
    /// Duration.
    pub(super) seconds: f64,
    /// Arithmetic busy.
    pub(super) compute: f64,
    /// Memory busy.
    pub(super) memory: f64,
}

impl Busy {
    /// Arithmetic and memory of one kernel overlap, but not wholly: the longer one, more as they come close.
    fn roofline(compute: f64, memory: f64) -> Self {
        Self { seconds: compute.hypot(memory), compute, memory }
    }

    /// Time in which nothing counted is busy.
    pub(super) fn fixed(seconds: f64) -> Self {
        Self { seconds, ..Self::default() }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            seconds: self.seconds + other.seconds,
            compute: self.compute + other.compute,
            memory: self.memory + other.memory,
        }
    }

    pub(super) fn times(self, factor: f64) -> Self {
        Self { seconds: self.seconds * factor, compute: self.compute * factor, memory: self.memory * factor }
    }
}

/// What one replica of a model computes in a pass.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct PassWork {
    /// Tokens through the layers of one replica.
    pub(super) tokens: f64,
    /// Tokens through the layers of all replicas: experts see these.
    pub(super) all_tokens: f64,
    /// Sequences of one replica that decode.
    pub(super) sequences: f64,
    /// Prompt tokens in one replica.
    pub(super) prompts: f64,
    /// Pairs of prompt tokens in one replica.
    pub(super) pairs: f64,
    /// Computed tokens before chunks in one replica.
    pub(super) chunk_context: f64,
    /// Rows of the output layer in one replica.
    pub(super) sampled: f64,
}

/// Matrices that tokens go through: seconds of arithmetic per row, seconds for their bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Matrix {
    row_s: f64,
    bytes_s: f64,
}

impl Matrix {
    fn cost(&self, rows: f64) -> Busy {
        if rows <= 0.0 {
            return Busy::default();
        }
        Busy::roofline(self.row_s * rows, self.bytes_s)
    }
}

/// The routed experts of all layers.
#[derive(Debug, Clone, Copy, PartialEq)]
struct RoutedExperts {
    /// Experts of a layer.
    total: f64,
    /// ln of the probability that one draw misses an expert, times draws a token counts for.
    ln_missed: f64,
    /// Experts a token is routed to.
    active: f64,
    /// Seconds of arithmetic per row through one expert of every layer.
    row_s: f64,
    /// Seconds of memory traffic per row.
    row_memory_s: f64,
    /// Seconds to read one expert of every layer.
    bytes_s: f64,
}

impl RoutedExperts {
    fn cost(&self, tokens: f64) -> Busy {
        if tokens <= 0.0 {
            return Busy::default();
        }
        // At least those of one token; then what independent draws leave untouched becomes rare.
        let touched = (self.total * -(self.ln_missed * tokens).exp_m1()).max(self.active);
        let rows = tokens * self.active;
        let compute = self.row_s * touched.mul_add(TILE_ROWS, rows);
        Busy::roofline(compute, self.bytes_s.mul_add(touched, self.row_memory_s * rows))
    }
}

/// Layers that see only the last tokens; what full attention costs is counted for the others alone.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Window {
    /// Tokens they see.
    tokens: f64,
    /// Reading a window, seconds for each decoding sequence. Default: contexts are longer than windows.
    sequence_s: f64,
    /// A pair of prompt tokens, seconds.
    pair_s: f64,
}

/// A forward pass of one model on one engine's accelerators, in constants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pass {
    linear: Matrix,
    output: Matrix,
    experts: Option<RoutedExperts>,
    /// Reading a context token's KV, seconds.
    context_s: f64,
    /// Arithmetic of a context token and a query, seconds.
    query_s: f64,
    /// A pair of prompt tokens, seconds.
    pair_s: f64,
    window: Window,
    /// Small kernels, and latencies of collectives, seconds.
    fixed_s: f64,
    /// Small kernels' memory traffic of a token, seconds.
    token_s: f64,
    /// Volume of collectives of a token of this replica, seconds.
    replica_token_s: f64,
    /// Volume of collectives of a token of any replica, seconds.
    any_token_s: f64,
}

/// Where a model runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site<'a> {
    pub(super) hardware: &'a HardwareFacts,
    pub(super) hardware_id: &'a str,
    pub(super) layout: Layout,
    pub(super) knobs: &'a Knobs,
    pub(super) factors: &'a Factors,
}

impl Site<'_> {
    fn bandwidth(&self) -> f64 {
        self.hardware.memory_gb_per_s * 1e9
    }

    /// Seconds of one collective beyond its volume, and seconds per byte that every member ends up with.
    fn collective(&self, members: f64) -> (f64, f64) {
        let domain = if matches!(self.hardware_id, "gb200" | "gb300") { RACK } else { NODE };
        let link = self.hardware.interconnect_gb_per_s;
        let link = if members > domain { link.min(CROSS_NODE_GB_PER_S) } else { link };
        let per_byte = (members - 1.0) / members / (link * 1e9 * self.factors.link);
        (self.factors.collective_s, per_byte)
    }

    fn matrix(&self, parameters: f64, weights: &Weights) -> Matrix {
        Matrix {
            row_s: 2.0 * parameters / weights.rate,
            bytes_s: parameters * weights.bytes / (self.bandwidth() * self.factors.gemm_memory),
        }
    }

    fn experts(&self, model: &ModelFacts, parameters: f64, weights: &Weights) -> Option<RoutedExperts> {
        let experts = model.experts.as_ref()?;
        let (total, active) = (f64::from(experts.total.max(1)), f64::from(experts.active.max(1)));
        let each = parameters / total / self.layout.expert_group();
        let missed = (1.0 - active / total).max(f64::MIN_POSITIVE);
        let bandwidth = self.bandwidth() * self.factors.experts_memory;
        // Of three matrices between the hidden state and the expert's width; both are read and written.
        let layers = f64::from(model.layers);
        let width = each / (3.0 * f64::from(model.hidden));
        let row = layers * 2.0 * f64::from(model.hidden) + 3.0 * width;
        Some(RoutedExperts {
            total,
            ln_missed: missed.ln() * self.factors.experts_spread,
            active,
            row_s: 2.0 * each / weights.rate,
            row_memory_s: row * EXPERT_PASSES * STATE_BYTES / bandwidth,
            bytes_s: each * weights.bytes / bandwidth,
        })
    }

    /// What one layer takes however little goes through it, seconds.
    fn layer(&self, model: &ModelFacts) -> f64 {
        let attention = if model.mla_kv_width.is_some() { LATENT_GEMMS } else { ATTENTION_GEMMS };
        let factors = self.factors;
        let feed_forward = match model.experts {
            Some(_) => factors.experts_s,
            None => FEED_FORWARD_GEMMS * factors.gemm_s,
        };
        attention * factors.gemm_s + factors.attention_s + feed_forward + factors.layer_s
    }

    /// Reading a context token, a query that meets it, and a pair of prompt tokens, seconds over all layers.
    fn attention(&self, model: &ModelFacts) -> (f64, f64, f64) {
        let (tensor, bytes) = (self.layout.tensor, kv_bytes(self.knobs));
        let reached =
            if bytes < 2.0 { self.factors.attention_decode_8 } else { self.factors.attention_decode_16 };
        let cached = model.kv_bytes_per_token(bytes) / self.layout.kv_shards(model);
        let heads = f64::from(model.heads) * f64::from(model.layers) / tensor;
        let head_dim = f64::from(model.head_dim);
        // Scores and values: two multiplications each. Latent attention decodes in the compressed width.
        let (query, pair) = match model.mla_kv_width {
            Some(width) => (4.0 * f64::from(width), 4.0 * head_dim * MLA_PREFILL),
            None => (4.0 * head_dim, 4.0 * head_dim),
        };
        let peak = self.hardware.bf16_tflops * 1e12 * self.factors.attention_prefill;
        (cached / (self.bandwidth() * reached), heads * query / peak, heads * pair / peak)
    }
}

impl Pass {
    /// Constants of a model's pass on a site.
    pub(super) fn new(model: &ModelFacts, site: &Site<'_>) -> Self {
        let Site { hardware, layout, knobs, factors, .. } = *site;
        let served = Served::new(model, hardware, knobs, factors);
        let parameters = Parameters::new(model);
        let head = Weights { bytes: 2.0, rate: hardware.bf16_tflops * 1e12 * factors.gemm_compute_16 };
        let (context_s, query_s, pair_s) = site.attention(model);
        let full = full_share(model);
        let tokens = model.sliding_window.map_or(0.0, |window| f64::from(window.tokens));
        let (sequence_s, window_pair_s) = (tokens * context_s * (1.0 - full), pair_s * (1.0 - full));
        let layers = f64::from(model.layers);
        let state = f64::from(model.hidden) * STATE_BYTES;
        let mut pass = Self {
            linear: site.matrix(parameters.linear / layout.tensor, &served.dense),
            output: site.matrix(parameters.output / layout.tensor, &head),
            experts: site.experts(model, parameters.experts, &served.experts),
            context_s: context_s * full,
            query_s: query_s * full,
            pair_s: pair_s * full,
            window: Window { tokens, sequence_s, pair_s: window_pair_s },
            fixed_s: layers * site.layer(model) + factors.gemm_s,
            token_s: layers * factors.layer_passes * state / (site.bandwidth() * factors.gemm_memory),
            replica_token_s: 0.0,
            any_token_s: 0.0,
        };
        pass.add_collectives(site, model.experts.is_some(), layers, state);
        pass
    }

    /// Two all-reduces a layer where accelerators share it; experts of replicas gather all tokens and scatter them back.
    fn add_collectives(&mut self, site: &Site<'_>, sparse: bool, layers: f64, state: f64) {
        let layout = &site.layout;
        let shared = sparse && layout.data > 1.0;
        if layout.tensor > 1.0 {
            let (latency_s, per_byte) = site.collective(layout.tensor);
            let each_layer = if shared { 1.0 } else { 2.0 };
            self.fixed_s += layers * each_layer * latency_s;
            // Every byte goes there and back: reduce, then gather.
            self.replica_token_s += layers * each_layer * 2.0 * state * per_byte;
        }
        if shared {
            let (latency_s, per_byte) = site.collective(layout.expert_group());
            self.fixed_s += layers * 2.0 * latency_s;
            self.any_token_s += layers * 2.0 * state * per_byte;
        }
        if layout.pipeline > 1.0 {
            let (latency_s, per_byte) = site.collective(2.0);
            self.fixed_s += (layout.pipeline - 1.0) * latency_s;
            self.replica_token_s += (layout.pipeline - 1.0) * state * 2.0 * per_byte;
        }
    }

    /// What the pass costs without the context of decoding sequences.
    pub(super) fn cost(&self, work: &PassWork) -> Busy {
        let volume = work.tokens * self.replica_token_s + work.all_tokens * self.any_token_s;
        let small = work.tokens * self.token_s;
        let windowed = work.pairs.min(work.prompts * self.window.tokens);
        self.linear
            .cost(work.tokens)
            .plus(self.output.cost(work.sampled))
            .plus(self.experts.map_or_else(Busy::default, |experts| experts.cost(work.all_tokens)))
            .plus(Busy::roofline(
                work.pairs.mul_add(self.pair_s, windowed * self.window.pair_s),
                work.chunk_context * self.context_s,
            ))
            .plus(Busy::roofline(0.0, work.sequences * self.window.sequence_s))
            .plus(Busy::roofline(0.0, small))
            .plus(Busy::fixed(self.fixed_s + volume))
    }

    /// What a token of context costs the pass where `width` tokens are verified with it.
    pub(super) fn context_cost(&self, width: f64) -> Busy {
        Busy::roofline(width * self.query_s, self.context_s)
    }
}

/// Share of a model's layers that see all tokens.
pub(super) fn full_share(model: &ModelFacts) -> f64 {
    let windowed = model.sliding_window.map_or(0, |window| window.layers);
    1.0 - f64::from(windowed.min(model.layers)) / f64::from(model.layers.max(1))
}
