//! The roofline prior: times from the numbers of model, hardware and knobs alone, for one request at a load.
//!
//! The fitted recipe (see [`constants`]) says of `conc` equal requests in a closed loop
//! `e2e = osl · step(conc) + conc · prefill(isl)`. Here it is taken apart for one request at an engine that already
//! has others:
//!
//! - **TTFT** = waiting for a slot + prefill of what is queued + own prefill + the decode steps its chunks ride on;
//! - **TPOT** = step of the batch it joins + prefill that newcomers push between the steps.
//!
//! For a burst of equal requests, and for a closed loop in its steady state, the sum is the recipe's (a test holds
//! this). Beyond the fitted data, and therefore for calibration to correct: waiting for slots, chunk counts,
//! per-backend queues of unequal prompts, pipeline parallelism, dense models under data parallelism, speculation.

mod constants;
mod engine;
mod reach;
mod terms;

use constants as c;
pub use constants::{MIDDLE_MONTH, NEWEST_MONTH, PriorFactors};
pub(crate) use engine::Engine;
use gearshift_config::{ModelFacts, Speculative};
pub(crate) use reach::Reach;
pub use terms::Terms;

use crate::{
    deployment::{Deployment, EngineKind, Software},
    features::Situation,
    inputs::EngineNumbers,
};

/// The constants of one backend, so that one prediction is some forty multiplications. Milliseconds; every field is
/// already scaled by the engine-wide factor.
#[derive(Debug, Clone)]
pub struct Prior {
    dense: f64,
    /// All experts read; scaled by the share that the batch is routed to.
    all_experts: f64,
    /// ln(1 − active/total experts); 0 for a dense model.
    ln_expert_missed: f64,
    kv_per_token: f64,
    arithmetic_per_sequence: f64,
    collectives: f64,
    collectives_per_sequence: f64,
    overhead: f64,
    /// Share of a step that making the drafts costs again.
    drafts: f64,
    /// Tokens a step yields for a sequence.
    pub(crate) tokens_per_step: f64,

    /// Of queued prompts: spread over the whole group.
    queued_per_token: f64,
    /// Of one prompt: dense layers run on its own tensor group.
    own_per_token: f64,
    /// Per token squared, as far as layers look back.
    attention: f64,

    /// Sequences in one step at most.
    pub(crate) slots: f64,
    /// What its KV cache has room for.
    pub(crate) kv: KvRoom,
    reach: Reach,
    /// Tokens in one step at most; infinite without chunked prefill.
    pub(crate) step_tokens: f64,

    /// What the learner is given of the engine.
    pub(crate) numbers: EngineNumbers,
}

impl Prior {
    /// Works out one engine's constants.
    pub fn new(deployment: &Deployment, f: &PriorFactors) -> Self {
        let Deployment { hardware, count, model, knobs, kv_tokens, .. } = deployment;
        let e = Engine::new(hardware, *count, model, knobs);
        let scale = scale(deployment, &e, f);
        let layers = f64::from(model.layers);
        let speculation = Speculation::new(knobs.speculative.as_ref(), layers);
        let flops_per_token = 2.0 * model.active_parameters_b * 1e9 / e.flops_per_ms;
        let experts = model.experts.filter(|x| x.total > 0);
        // Dense models run as replicas under data parallelism: only a mixture's experts span the group.
        let own_group = if experts.is_some() { e.group } else { e.tensor };
        let all_reduce = all_reduce_ms_per_token(&e, model, own_group);
        // Two a layer, each in half as many rounds as the group doubles.
        let all_reduces = layers * own_group.log2();
        let per_token =
            |group: f64| f.prefill_flops * flops_per_token / group + f.prefill_volume * all_reduce;
        let head_width = f64::from(model.heads) * f64::from(model.head_dim);
        let attention_flops = 2.0 * head_width * layers;
        Self {
            dense: scale * f.dense * e.dense_bytes / e.tensor / e.bytes_per_ms,
            all_experts: scale * f.experts * e.expert_bytes / e.group / e.bytes_per_ms,
            ln_expert_missed: experts.map_or(0.0, |x| ln_missed(x.active, x.total)),
            kv_per_token: scale * f.kv_cache * e.kv_bytes / e.kv_shard / e.bytes_per_ms,
            arithmetic_per_sequence: scale * f.decode_flops * flops_per_token / e.group
                * speculation.verified,
            collectives: scale * f.all_reduce_ms * all_reduces,
            collectives_per_sequence: scale * f.decode_volume * all_reduce * speculation.verified,
            overhead: scale * (f.layer_ms * layers + f.step_ms),
            drafts: speculation.drafts,
            tokens_per_step: speculation.accepted,
            queued_per_token: scale * per_token(e.group),
            own_per_token: scale * per_token(own_group),
            attention: scale * f.prefill_attention * attention_flops / own_group / e.bf16_flops_per_ms,
            slots: e.slots,
            kv: KvRoom::new(*kv_tokens, &e),
            reach: e.reach,
            step_tokens: e.step_tokens,
            numbers: EngineNumbers::new(deployment, &e),
        }
    }

    /// Every term of the prediction for one request.
    pub fn terms(&self, s: &Situation) -> Terms {
        let load = &s.load;
        let joined = load.sequences + s.sequences;
        let mean_context = mean_context(s);
        let slots = self.slots(s);
        let concurrency = if s.generates { joined.min(slots) } else { s.sequences.min(slots) };

        let mut terms = self.step(concurrency, mean_context);
        let step = terms.step_ms();
        terms.own_prefill = self.prefill(self.own_per_token, s.cached_tokens, s.prompt_tokens);
        let typical = s.typical;
        let typical_cached = typical.prompt_tokens - typical.uncached_tokens;
        let others_prefill = self.prefill(self.queued_per_token, typical_cached, typical.prompt_tokens);
        let queued_prompts = load.prefill_tokens / typical.uncached_tokens.max(1.0);
        terms.queued_prefill = queued_prompts * others_prefill;
        let chunks = if self.step_tokens.is_finite() {
            ((load.prefill_tokens + s.uncached_tokens()) / self.step_tokens).ceil()
        } else {
            queued_prompts.ceil() + 1.0
        };
        terms.first_steps = chunks.max(1.0) * step;
        if s.generates {
            // In a steady state each sequence that ends is followed by one that is prefilled.
            let others = load.decoding.min(concurrency);
            terms.interference = others / typical.output_tokens.max(1.0) * others_prefill;
            terms.slot_wait = self.slot_wait(s, joined, slots, step + terms.interference);
        }
        terms.imposed = self.imposed(s, &terms, slots, queued_prompts);
        terms
    }

    /// Sequences the engine can run at once; 1 at least.
    pub(crate) fn slots(&self, s: &Situation) -> f64 {
        let full_at = s.load.full_at.unwrap_or(f64::INFINITY);
        self.slots.min(self.kv.sequences(mean_context(s))).min(full_at).max(1.0)
    }

    /// Share of the experts that a batch is routed to; 0 for a dense model.
    pub(crate) fn routed(&self, batch: f64) -> f64 {
        if self.ln_expert_missed < 0.0 { -(self.ln_expert_missed * batch).exp_m1() } else { 0.0 }
    }

    /// What the request delays others by, added up over them: those that decode stand still while it is prefilled, and
    /// share every step with it; those behind it wait for its prefill and for its place. Sequences that end are
    /// followed by others, so as many as there are now are delayed for as long as it is there.
    fn imposed(&self, s: &Situation, terms: &Terms, slots: f64, queued_prompts: f64) -> f64 {
        let prefill = terms.own_prefill;
        if !s.generates {
            return (s.load.decoding + queued_prompts) * prefill;
        }
        let joined = s.load.sequences + s.sequences;
        let mean_context = s.load.context_tokens / s.load.sequences.max(1.0);
        let without = self.step((terms.concurrency - s.sequences).max(0.0), mean_context);
        let steps = s.output_tokens / self.tokens_per_step;
        let slower = (terms.step_ms() - without.step_ms()).max(0.0);
        let decoding = s.load.decoding.min(terms.concurrency);
        let places = (joined - slots).max(0.0) * s.sequences / slots * (prefill + steps * terms.step_ms());
        decoding * (prefill + steps * slower) + queued_prompts * prefill + places
    }

    /// Milliseconds until an engine that has nothing but the load and this request could be done with both, at the
    /// rate it reaches when it is full.
    pub(crate) fn drain_ms(&self, s: &Situation) -> f64 {
        let prefill = s.load.prefill_tokens * self.queued_per_token
            + self.prefill(self.own_per_token, s.cached_tokens, s.prompt_tokens);
        let tokens = if s.generates { s.load.decode_tokens + s.sequences * s.output_tokens } else { 0.0 };
        prefill + tokens * self.saturated_ms_per_token()
    }

    fn saturated_ms_per_token(&self) -> f64 {
        let batch = self.slots.min(self.kv.sequences(c::SATURATED_CONTEXT)).clamp(1.0, c::SATURATED_BATCH);
        let step = self.step(batch, c::SATURATED_CONTEXT);
        step.step_ms() / (batch * step.tokens_per_step)
    }

    /// The terms of a decode step of `batch` sequences with `context` tokens each.
    pub(crate) fn step(&self, batch: f64, context: f64) -> Terms {
        let mut terms = Terms {
            dense_weights: self.dense,
            experts: self.all_experts * self.routed(batch),
            kv_cache: self.kv_per_token * batch * self.reach.tokens(context),
            arithmetic: self.arithmetic_per_sequence * batch,
            collectives: self.collectives + self.collectives_per_sequence * batch,
            overhead: self.overhead,
            concurrency: batch,
            tokens_per_step: self.tokens_per_step,
            ..Terms::default()
        };
        terms.drafts = self.drafts * terms.step_ms();
        terms
    }

    /// Share of attention, quadratic in the prompt, in the request's own prefill.
    pub(crate) fn attention_share(&self, s: &Situation) -> f64 {
        let linear = self.own_per_token * s.uncached_tokens();
        let quadratic = self.attention * self.pairs(s.cached_tokens, s.prompt_tokens);
        quadratic / (linear + quadratic)
    }

    /// Prefill of one prompt, milliseconds: as its request waits for it, and as the engine's time that it takes up.
    pub(crate) fn prefill_ms(&self, cached: f64, prompt: f64) -> (f64, f64) {
        (
            self.prefill(self.own_per_token, cached, prompt),
            self.prefill(self.queued_per_token, cached, prompt),
        )
    }

    /// Prefill of the tokens from `cached` to `prompt`; attention of each looks back over all before it.
    fn prefill(&self, per_token: f64, cached: f64, prompt: f64) -> f64 {
        per_token * (prompt - cached) + self.attention * self.pairs(cached, prompt)
    }

    fn pairs(&self, cached: f64, prompt: f64) -> f64 {
        self.reach.pairs(prompt) - self.reach.pairs(cached)
    }

    /// Time until enough sequences end: `slots` of them end evenly over the length of one, a step taking `step`.
    fn slot_wait(&self, s: &Situation, joined: f64, slots: f64, step: f64) -> f64 {
        let excess = joined - slots;
        if excess <= 0.0 {
            return 0.0;
        }
        // What is outstanding is on average half of what a sequence yields in all.
        let length = 2.0 * s.load.decode_tokens / s.load.sequences.max(1.0);
        let length = if length > 0.0 { length } else { s.output_tokens };
        excess / slots * length * step / self.tokens_per_step
    }
}

/// What the KV cache has room for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KvRoom {
    tokens: f64,
    /// How much of a context counts against it.
    reach: Reach,
}

impl KvRoom {
    /// What the engine says goes first. It speaks of whole contexts: what windows spare is in its number.
    fn new(said: Option<u64>, e: &Engine) -> Self {
        match said.filter(|&tokens| tokens > 0) {
            Some(tokens) => Self { tokens: tokens as f64, reach: Reach::WHOLE },
            None => Self { tokens: e.kv_tokens, reach: e.reach },
        }
    }

    /// Sequences of this context that it holds.
    pub(crate) fn sequences(&self, context: f64) -> f64 {
        self.tokens / self.reach.tokens(context).max(1.0)
    }
}

/// Tokens of context of one sequence, over those there and the request's own.
fn mean_context(s: &Situation) -> f64 {
    let joined = s.load.sequences + s.sequences;
    let context = s.load.context_tokens + s.sequences * (s.prompt_tokens + s.output_tokens / 2.0);
    (context / joined).max(1.0)
}

fn scale(deployment: &Deployment, e: &Engine, f: &PriorFactors) -> f64 {
    let given = |condition: bool, ln: f64| if condition { ln } else { 0.0 };
    let engine = match deployment.software.engine {
        EngineKind::Vllm => f.ln_vllm,
        EngineKind::Sglang => f.ln_sglang,
        EngineKind::TensorrtLlm => 0.0,
    };
    let quarters = (months(&deployment.software) - MIDDLE_MONTH) / 3.0;
    (engine
        + given(e.data_parallel, f.ln_data_parallel)
        + given(e.expert_parallel, f.ln_expert_parallel)
        + given(deployment.hardware.architecture == "hopper", f.ln_hopper)
        + f.ln_quarter * quarters)
        .exp()
}

/// Software's age as the fit knows it: what is older or newer than all that was measured counts as the oldest or newest.
pub(crate) fn months(software: &Software) -> f64 {
    let known = software.months.filter(|months| months.is_finite());
    known.map_or(MIDDLE_MONTH, |months| months.clamp(0.0, NEWEST_MONTH))
}

fn ln_missed(active: u32, total: u32) -> f64 {
    // A batch of one already reaches all experts where a token is routed to each.
    (1.0 - f64::from(active.min(total)) / f64::from(total)).max(1e-12).ln()
}

/// Two all-reduces a layer over `group` accelerators, two bytes an element.
fn all_reduce_ms_per_token(e: &Engine, model: &ModelFacts, group: f64) -> f64 {
    let ring = 2.0 * (group - 1.0) / group;
    let links = if group > c::NODE { c::CROSS_NODE } else { 1.0 };
    2.0 * f64::from(model.layers) * f64::from(model.hidden) * 2.0 * ring * links / e.link_bytes_per_ms
}

/// What speculative decoding changes.
struct Speculation {
    /// Tokens a step yields.
    accepted: f64,
    /// Tokens a step verifies.
    verified: f64,
    /// Cost of the drafts, in steps.
    drafts: f64,
}

impl Speculation {
    /// Only methods whose heads draft from the model's own hidden state (MTP, EAGLE) change the arithmetic: for these
    /// acceptance was measured, and a draft costs about one layer. What n-gram, suffix and draft-model speculation
    /// gain depends on the text: they count as neutral, and calibration learns.
    fn new(speculative: Option<&Speculative>, layers: f64) -> Self {
        let measured = speculative.filter(|s| s.method.contains("mtp") || s.method.starts_with("eagle"));
        let drafts = measured.map_or(0, |s| s.num_speculative_tokens);
        let Some(last) = usize::try_from(drafts).ok().and_then(|k| k.checked_sub(1)) else {
            return Self { accepted: 1.0, verified: 1.0, drafts: 0.0 };
        };
        let k = f64::from(drafts);
        Self {
            accepted: c::ACCEPTED[last.min(c::ACCEPTED.len() - 1)],
            verified: 1.0 + k,
            drafts: k / layers.max(1.0),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
