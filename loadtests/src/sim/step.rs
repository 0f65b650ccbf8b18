//! How long a step takes: a roofline over the work it really does.

use std::sync::Arc;

use gearshift_config::ModelFacts;

use self::{
    layout::Layout,
    pass::{Busy, Pass, PassWork, Site},
};
use super::EngineSpec;

mod factors;
mod layout;
mod memory;
mod pass;

pub use factors::{FactorEntry, FactorSource, FactorTable, Factors};
pub(crate) use pass::{EXPERT_PASSES, TILE_ROWS};

/// What one forward pass computes, summed over the sequences in it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepWork {
    /// Sequences that decode.
    pub decodes: u32,
    /// Tokens computed for each of them: 1, and the drafts that are verified.
    pub decode_width: u32,
    /// Context tokens of all decoding sequences: the KV that attention reads.
    pub decode_context: u64,
    /// Prompts, or chunks of them, that are prefilled.
    pub prefills: u32,
    /// Their tokens.
    pub prefill_tokens: u64,
    /// Pairs of a prefilled token and a token it attends to: for a chunk of n after c computed ones n·c + n²/2.
    pub prefill_pairs: f64,
    /// Computed tokens before the chunks, whose KV is read.
    pub prefill_context: u64,
    /// Rows that reach the output layer: decoding tokens, and prompts whose prefill ends here.
    pub sampled: u32,
}

impl StepWork {
    /// Tokens that go through the linear layers.
    pub fn tokens(&self) -> u64 {
        u64::from(self.decodes) * u64::from(self.decode_width) + self.prefill_tokens
    }
}

/// What a step costs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepCost {
    /// Its duration, seconds.
    pub seconds: f64,
    /// Share of it in which arithmetic is busy, 0–1.
    pub compute: f64,
    /// Share of it in which memory is busy, 0–1.
    pub memory: f64,
    /// Energy over all accelerators, joules. Modelled from the shares, not measured.
    pub joules: f64,
}

/// A step of decoding sequences only, as a line over their context: n steps in a row are summed in closed form.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DecodeLine {
    /// Seconds at no context.
    pub base_s: f64,
    /// Seconds for each token of context over the batch.
    pub per_context_s: f64,
    /// Power over all accelerators while it runs at a thousand tokens of context a sequence, W.
    pub watts: f64,
    /// Energy at no context, joules.
    pub base_j: f64,
    /// Energy for each token of context over the batch, joules.
    pub per_context_j: f64,
}

/// Context a sequence has where [`DecodeLine::watts`] is taken.
const TYPICAL_CONTEXT: f64 = 1024.0;

/// How drafts are made.
#[derive(Debug, Clone, Copy)]
enum Drafting {
    /// By lookup, on the host: seconds a sequence.
    Lookup(f64),
    /// By a model that runs once for each draft token.
    Model(Pass),
}

/// Step times of one engine. Built once; a step is tens of multiplications.
#[derive(Debug, Clone)]
pub struct StepModel {
    target: Pass,
    drafting: Option<Drafting>,
    layout: Layout,
    factors: Factors,
    idle_w: f64,
    range_w: f64,
    kv_tokens: u64,
}

impl StepModel {
    /// Works out the constants of an engine, with the factors the spec states or the shipped table has for its hardware.
    pub fn new(spec: &EngineSpec) -> Self {
        let factors = spec
            .factors
            .as_deref()
            .unwrap_or_else(|| &FactorTable::shipped().entry(&spec.hardware_id, &spec.hardware).factors);
        Self::with_factors(spec, factors)
    }

    /// As [`Self::new`], with factors of the caller's.
    pub fn with_factors(spec: &EngineSpec, factors: &Factors) -> Self {
        let layout = Layout::new(spec.count, &spec.knobs);
        let site = Site {
            hardware: &spec.hardware,
            hardware_id: &spec.hardware_id,
            layout,
            knobs: &spec.knobs,
            factors,
        };
        let accelerators = layout.accelerators();
        Self {
            target: Pass::new(&spec.model, &site),
            drafting: drafting(spec, &site),
            layout,
            factors: *factors,
            idle_w: accelerators * spec.hardware.idle_w,
            range_w: accelerators * (spec.hardware.tdp_w - spec.hardware.idle_w).max(0.0),
            kv_tokens: memory::kv_tokens(&spec.model, spec.draft.as_deref(), &site),
        }
    }

    /// What a step costs. One without tokens costs nothing.
    pub fn step(&self, work: &StepWork) -> StepCost {
        if work.tokens() == 0 {
            return StepCost::default();
        }
        let context = self.context(work.decodes, work.decode_width).times(work.decode_context as f64);
        self.cost(self.without_context(work).plus(context))
    }

    /// A step in which `batch` sequences decode, `width` tokens each, and nothing is prefilled. Agrees with
    /// [`Self::step`] at every context.
    pub fn decode_line(&self, batch: u32, width: u32) -> DecodeLine {
        let work = StepWork {
            decodes: batch,
            decode_width: width,
            sampled: batch.saturating_mul(width),
            ..StepWork::default()
        };
        if work.tokens() == 0 {
            return DecodeLine::default();
        }
        let base = self.without_context(&work);
        let each = self.context(batch, width);
        let typical = self.cost(base.plus(each.times(TYPICAL_CONTEXT * f64::from(batch))));
        DecodeLine {
            base_s: base.seconds,
            per_context_s: each.seconds,
            watts: typical.joules / typical.seconds,
            base_j: self.joules(&base),
            per_context_j: self.joules(&each),
        }
    }

    /// Time from the client to the scheduler and of the first token back, seconds: not in any step.
    pub fn front_s(&self) -> f64 {
        self.factors.front_s
    }

    /// KV tokens that fit beside the weights; 0 where these do not fit.
    pub fn kv_tokens(&self) -> u64 {
        self.kv_tokens
    }

    /// Everything of a step that does not grow with the context of decoding sequences.
    fn without_context(&self, work: &StepWork) -> Busy {
        let decodes = f64::from(work.decodes);
        // Prompts go whole to a replica each, and a replica takes its turn in the pipeline with a share of the batch.
        // Default: stages are always full, and one prompt's prefill is not overlapped with another's.
        let replicas = self.layout.data.min(f64::from(work.prefills).max(1.0));
        let share = self.decoding_share(decodes);
        let width = f64::from(work.decode_width);
        let prompts = work.prefill_tokens as f64;
        let pass = PassWork {
            tokens: decodes * share * width + prompts / replicas,
            all_tokens: (decodes / self.layout.pipeline).max(decodes.min(1.0)) * width + prompts,
            sequences: decodes * share,
            prompts: prompts / replicas,
            pairs: work.prefill_pairs / replicas,
            chunk_context: work.prefill_context as f64 / replicas,
            sampled: f64::from(work.sampled) / self.layout.data,
        };
        let host = self.factors.step_s
            + self.factors.sequence_s * decodes * share
            + self.factors.prompt_s * f64::from(work.prefills) / replicas;
        self.target.cost(&pass).plus(Busy::fixed(host)).plus(self.drafts(decodes * share, work.decode_width))
    }

    /// Share of the decoding sequences that stand in one replica and one turn of the pipeline: at least one does.
    fn decoding_share(&self, decodes: f64) -> f64 {
        let parts = self.layout.data * self.layout.pipeline;
        if decodes > parts { 1.0 / parts } else { 1.0 / decodes.max(1.0) }
    }

    /// A token of context, in the replica that has it.
    fn context(&self, decodes: u32, width: u32) -> Busy {
        let mut each = self.target.context_cost(f64::from(width));
        if let Some(Drafting::Model(draft)) = &self.drafting {
            each = each.plus(draft.context_cost(1.0).times(f64::from(width.saturating_sub(1))));
        }
        each.times(self.decoding_share(f64::from(decodes)))
    }

    /// Making the drafts that the next step verifies.
    fn drafts(&self, sequences: f64, width: u32) -> Busy {
        let drafts = f64::from(width.saturating_sub(1));
        if drafts == 0.0 || sequences == 0.0 {
            return Busy::default();
        }
        match &self.drafting {
            None => Busy::default(),
            Some(Drafting::Lookup(each_s)) => Busy::fixed(each_s * sequences),
            Some(Drafting::Model(pass)) => {
                let work = PassWork {
                    tokens: sequences,
                    sequences,
                    all_tokens: sequences * self.layout.data,
                    sampled: sequences,
                    ..PassWork::default()
                };
                pass.cost(&work).times(drafts)
            }
        }
    }

    fn cost(&self, busy: Busy) -> StepCost {
        StepCost {
            seconds: busy.seconds,
            compute: (busy.compute / busy.seconds).clamp(0.0, 1.0),
            memory: (busy.memory / busy.seconds).clamp(0.0, 1.0),
            joules: self.joules(&busy),
        }
    }

    fn joules(&self, busy: &Busy) -> f64 {
        let Factors { power_compute, power_memory, .. } = self.factors;
        // Within a kernel the squares of both times sum to the square of its duration, so this stays below the limit.
        let powered = power_compute * busy.compute + power_memory * busy.memory;
        self.idle_w * busy.seconds + self.range_w * powered
    }
}

fn drafting(spec: &EngineSpec, site: &Site<'_>) -> Option<Drafting> {
    let speculative = spec.knobs.speculative.as_ref()?;
    let method = speculative.method.as_str();
    if matches!(method, "ngram" | "ngram_gpu" | "suffix") {
        return Some(Drafting::Lookup(site.factors.lookup_s));
    }
    let model = match &spec.draft {
        Some(draft) => Arc::clone(draft),
        // A head has the shape of one layer of the target, experts included, and shares its output layer.
        None => Arc::new(head_of(&spec.model)),
    };
    Some(Drafting::Model(Pass::new(&model, site)))
}

/// One layer of a model, with its output layer.
fn head_of(model: &ModelFacts) -> ModelFacts {
    let layers = f64::from(model.layers.max(1));
    let whole = layout::Parameters::new(model);
    let around = whole.total - whole.linear - whole.experts;
    let experts = model
        .experts
        .map(|experts| gearshift_config::Experts { parameters_b: experts.parameters_b / layers, ..experts });
    let total = (around + (whole.linear + whole.experts) / layers) / 1e9;
    ModelFacts { layers: 1, parameters_b: total, active_parameters_b: total, experts, ..model.clone() }
}

#[cfg(test)]
mod tests;
