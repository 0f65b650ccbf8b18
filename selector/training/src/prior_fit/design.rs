//! The prior as a design: what each factor adds to one sample's times, and what each multiplier multiplies.

use gearshift_selector::{Prior, PriorFactors, Situation, Terms};

use crate::dataset::Sample;

/// Factors of terms.
pub(super) const TERMS: usize = 11;
/// Multipliers of everything.
const MULTIPLIERS: usize = 6;
/// Parameters of the fit: natural logs of the term factors, then the multipliers.
pub const PARAMETERS: usize = TERMS + MULTIPLIERS;

/// All parameters, in the order of [`PriorFactors`]' fields.
pub(super) type Parameters = [f64; PARAMETERS];

/// Position of the factor of prefill's linear layers.
pub(super) const PREFILL_FLOPS: usize = 8;
/// Position of the factor of prefill's attention.
pub(super) const PREFILL_ATTENTION: usize = 9;
/// Position of the multiplier per three months of age.
pub(super) const QUARTER: usize = PARAMETERS - 1;

/// Defaults of the term factors: what engines reach of a datasheet's peaks, before any fit.
pub(super) const TERM_DEFAULTS: [f64; TERMS] = [1.4, 1.4, 1.5, 2.0, 0.004, 1.0, 0.05, 1.0, 2.0, 2.0, 1.0];

/// One sample's times, as parts that the factors multiply. Milliseconds at a factor of 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parts {
    /// Of the end to end time.
    pub e2e: [f64; TERMS],
    /// Of the time to first token.
    pub ttft: [f64; TERMS],
    /// Of the time per output token.
    pub tpot: [f64; TERMS],
    /// What each multiplier is multiplied with in the exponent.
    pub exponents: [f64; MULTIPLIERS],
}

/// Reads the parts off the prior.
pub fn parts(sample: &Sample) -> Parts {
    let mut parts =
        Parts { e2e: [0.0; TERMS], ttft: [0.0; TERMS], tpot: [0.0; TERMS], exponents: [0.0; MULTIPLIERS] };
    let nothing = from_array([0.0; PARAMETERS]);
    let situation = &sample.situation;
    for term in 0..TERMS {
        let terms = probe(sample, nothing, term);
        parts.e2e[term] = terms.e2e_ms(situation);
        parts.ttft[term] = terms.ttft_ms();
        parts.tpot[term] = terms.tpot_ms();
    }
    let neutral = from_array(std::array::from_fn(|p| if p < TERMS { 1.0 } else { 0.0 }));
    let base = e2e(sample, &neutral, situation);
    for (multiplier, exponent) in parts.exponents.iter_mut().enumerate() {
        *exponent = (probe(sample, neutral, TERMS + multiplier).e2e_ms(situation) / base).ln();
    }
    parts
}

fn probe(sample: &Sample, mut factors: PriorFactors, parameter: usize) -> Terms {
    *fields(&mut factors)[parameter] = 1.0;
    Prior::new(&sample.deployment, &factors).terms(&sample.situation)
}

fn e2e(sample: &Sample, factors: &PriorFactors, situation: &Situation) -> f64 {
    Prior::new(&sample.deployment, factors).terms(situation).e2e_ms(situation)
}

/// The factors that parameters stand for.
pub(super) fn factors(parameters: &Parameters) -> PriorFactors {
    from_array(std::array::from_fn(|p| if p < TERMS { parameters[p].exp() } else { parameters[p] }))
}

fn from_array(values: [f64; PARAMETERS]) -> PriorFactors {
    let mut factors = PriorFactors::default();
    for (field, value) in fields(&mut factors).into_iter().zip(values) {
        *field = value;
    }
    factors
}

fn fields(factors: &mut PriorFactors) -> [&mut f64; PARAMETERS] {
    let PriorFactors {
        dense,
        experts,
        kv_cache,
        decode_flops,
        all_reduce_ms,
        decode_volume,
        layer_ms,
        step_ms,
        prefill_flops,
        prefill_attention,
        prefill_volume,
        ln_vllm,
        ln_sglang,
        ln_data_parallel,
        ln_expert_parallel,
        ln_hopper,
        ln_quarter,
    } = factors;
    [
        dense,
        experts,
        kv_cache,
        decode_flops,
        all_reduce_ms,
        decode_volume,
        layer_ms,
        step_ms,
        prefill_flops,
        prefill_attention,
        prefill_volume,
        ln_vllm,
        ln_sglang,
        ln_data_parallel,
        ln_expert_parallel,
        ln_hopper,
        ln_quarter,
    ]
}
