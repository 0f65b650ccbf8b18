//! How a model lies on accelerators: who multiplies what, in which type, and how many bytes that is.

use gearshift_config::{HardwareFacts, Knobs, KvCacheDtype, ModelFacts, Quantization};

use super::Factors;

/// Rows of the output layer where the model's vocabulary is not known. Default: vocabularies of today's models have
/// 128–200 thousand entries.
const VOCABULARY: f64 = 131_072.0;
/// Share of the dense weights that the output layer has at most: small models have small vocabularies. Default.
const OUTPUT_SHARE: f64 = 0.25;
/// From this many billions on, models have an output layer of their own beside the embedding. Default.
const UNTIED_B: f64 = 6.0;
/// Bytes of a 4-bit integer weight with a 16-bit scale for each 128.
const INT4_BYTES: f64 = 0.53;
/// Bytes of an NVFP4 weight with an 8-bit scale for each 16.
const FP4_BYTES: f64 = 0.5625;
/// Parts whose 8-bit rate in the catalog is INT8's: FP8 weights are widened to 16 bits there.
const WITHOUT_FP8: [&str; 10] = [
    "turing",
    "volta",
    "ampere",
    "cdna2",
    "tpu_v5e",
    "trillium",
    "sapphire_rapids",
    "granite_rapids",
    "zen4",
    "zen5",
];

/// How an engine's accelerators share the work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Layout {
    /// Accelerators that share one layer.
    pub(super) tensor: f64,
    /// Stages of layers.
    pub(super) pipeline: f64,
    /// Replicas of attention.
    pub(super) data: f64,
    /// Whether experts stand whole on accelerators.
    pub(super) expert: bool,
}

impl Layout {
    pub(super) fn new(count: u32, knobs: &Knobs) -> Self {
        let count = count.max(1);
        let data = knobs.data_parallel.unwrap_or(1).max(1);
        let pipeline = knobs.pipeline_parallel.unwrap_or(1).max(1);
        let tensor = knobs.tensor_parallel.unwrap_or(count / (data * pipeline)).max(1);
        Self {
            tensor: f64::from(tensor),
            pipeline: f64::from(pipeline),
            data: f64::from(data),
            expert: knobs.expert_parallel.unwrap_or(false),
        }
    }

    /// Accelerators that share one layer's experts.
    pub(super) fn expert_group(&self) -> f64 {
        self.tensor * self.data
    }

    /// All accelerators.
    pub(super) fn accelerators(&self) -> f64 {
        self.tensor * self.data * self.pipeline
    }

    /// Shares into which one replica's KV cache of a layer is cut; beyond the KV heads it is repeated.
    pub(super) fn kv_shards(&self, model: &ModelFacts) -> f64 {
        match model.mla_kv_width {
            Some(_) => 1.0,
            None => self.tensor.min(f64::from(model.kv_heads.max(1))),
        }
    }
}

/// The unit that multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Sixteen,
    Eight,
    Four,
    /// Sixteen bits, to which four-bit weights are widened.
    Widened,
}

/// Weights of one kind: their size, and how fast they are multiplied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Weights {
    /// Bytes of one.
    pub(super) bytes: f64,
    /// What is reached of the unit's peak, FLOP/s.
    pub(super) rate: f64,
}

/// Weights of a model as served: those every token meets, and those of routed experts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Served {
    pub(super) dense: Weights,
    pub(super) experts: Weights,
}

impl Served {
    pub(super) fn new(
        model: &ModelFacts,
        hardware: &HardwareFacts,
        knobs: &Knobs,
        factors: &Factors,
    ) -> Self {
        let published = Published::new(model);
        let (dense, experts) = match knobs.quantization.unwrap_or(Quantization::None) {
            Quantization::None => (published.dense, published.experts),
            Quantization::Fp8 => {
                ((published.dense.0.min(1.0), fp8(hardware)), (published.experts.0.min(1.0), fp8(hardware)))
            }
            Quantization::Int8 => {
                ((published.dense.0.min(1.0), Unit::Eight), (published.experts.0.min(1.0), Unit::Eight))
            }
            Quantization::Int4 => Published::with_four_bits(model, (INT4_BYTES, Unit::Widened)),
            Quantization::Fp4 => Published::with_four_bits(model, (FP4_BYTES, Unit::Four)),
        };
        let shares = |unit, shares: [f64; 4]| rate(unit, hardware, shares);
        let gemm = [
            factors.gemm_compute_16,
            factors.gemm_compute_8,
            factors.gemm_compute_4,
            factors.gemm_compute_16,
        ];
        let routed = [
            factors.experts_compute_16,
            factors.experts_compute_8,
            factors.experts_compute_4,
            factors.experts_compute_widened,
        ];
        Self {
            dense: Weights { bytes: dense.0, rate: shares(dense.1, gemm) },
            experts: Weights { bytes: experts.0, rate: shares(experts.1, routed) },
        }
    }
}

/// Bytes and units as published, for hardware that has them all.
#[derive(Debug, Clone, Copy)]
struct Published {
    dense: (f64, Unit),
    experts: (f64, Unit),
}

impl Published {
    fn new(model: &ModelFacts) -> Self {
        let bytes = model.weight_bytes;
        match &model.experts {
            // A mean below a byte is 4-bit experts beside 16-bit dense layers.
            Some(experts) if bytes < 0.9 => {
                let dense_b = (model.parameters_b - experts.parameters_b).max(0.0);
                let left = (bytes * model.parameters_b - 2.0 * dense_b) / experts.parameters_b;
                Self { dense: (2.0, Unit::Sixteen), experts: (left.clamp(0.5, 2.0), Unit::Four) }
            }
            _ => {
                let unit = if (0.9..=1.5).contains(&bytes) { Unit::Eight } else { Unit::Sixteen };
                Self { dense: (bytes, unit), experts: (bytes, unit) }
            }
        }
    }

    /// Four bits are for experts where there are any: published NVFP4, MXFP4 and INT4 checkpoints (Kimi-K2.5, MiniMax-M2.5,
    /// gpt-oss) leave attention at 16 bits.
    fn with_four_bits(model: &ModelFacts, four: (f64, Unit)) -> ((f64, Unit), (f64, Unit)) {
        if model.experts.is_some() { ((2.0, Unit::Sixteen), four) } else { (four, four) }
    }
}

fn fp8(hardware: &HardwareFacts) -> Unit {
    if WITHOUT_FP8.contains(&hardware.architecture.as_str()) { Unit::Sixteen } else { Unit::Eight }
}

/// What is reached of a unit's peak, FLOP/s, by the shares of the units; the next wider unit where the hardware lacks it.
fn rate(unit: Unit, hardware: &HardwareFacts, [sixteen, eight, four, widened]: [f64; 4]) -> f64 {
    let tflops = match unit {
        Unit::Sixteen => hardware.bf16_tflops * sixteen,
        Unit::Eight => hardware.fp8_tflops.map_or(hardware.bf16_tflops * sixteen, |peak| peak * eight),
        Unit::Four => hardware.fp4_tflops.map_or(hardware.bf16_tflops * widened, |peak| peak * four),
        Unit::Widened => hardware.bf16_tflops * widened,
    };
    tflops * 1e12
}

/// Weights of a model by what a forward pass does with them, in numbers of parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Parameters {
    /// Of dense layers, all of them together.
    pub(super) linear: f64,
    /// Of the output layer.
    pub(super) output: f64,
    /// Of all routed experts.
    pub(super) experts: f64,
    /// Of all, the embedding with them.
    pub(super) total: f64,
}

impl Parameters {
    pub(super) fn new(model: &ModelFacts) -> Self {
        let total = model.parameters_b * 1e9;
        let experts = model.experts.as_ref().map_or(0.0, |experts| experts.parameters_b * 1e9).min(total);
        let dense = total - experts;
        let output = (VOCABULARY * f64::from(model.hidden)).min(OUTPUT_SHARE * dense);
        let embeddings = if model.parameters_b >= UNTIED_B { 2.0 * output } else { output };
        Self { linear: (dense - embeddings).max(0.0), output, experts, total }
    }

    /// Bytes of all weights as served, over one replica of attention.
    pub(super) fn dense_bytes(&self, served: &Served) -> f64 {
        // Embedding and output layer stay as published: 16 bits in every checkpoint we know.
        let embeddings = self.total - self.experts - self.linear;
        self.linear * served.dense.bytes + embeddings * 2.0
    }
}

/// Bytes of one KV element.
pub(super) fn kv_bytes(knobs: &Knobs) -> f64 {
    knobs.kv_cache_dtype.unwrap_or(KvCacheDtype::Auto).bytes()
}
