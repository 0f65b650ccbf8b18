//! What knobs and hardware come to: the limits the scheduler works within, with vLLM's defaults where knobs are silent.

use gearshift_config::Knobs;

use super::{EngineSpec, Scheduling, SpecError};

const GIB: f64 = (1u64 << 30) as f64;

/// The scheduler's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Tokens of one step: `max_num_batched_tokens`.
    pub budget: u32,
    /// Running sequences: `max_num_seqs`.
    pub sequences: u32,
    /// Tokens of a prompt and its answer: `max_model_len`.
    pub context: u32,
    /// Requests in flight, waiting or running, before more are refused: `max_num_queued_reqs`.
    pub in_flight: u32,
    /// Whether prompts are prefilled in chunks.
    pub chunked: bool,
    /// Whether blocks are kept for prompts that begin alike.
    pub caching: bool,
    /// Order of waiting requests.
    pub order: Scheduling,
    /// Tokens of a KV block.
    pub block: u32,
    /// KV blocks.
    pub blocks: u32,
    /// Draft tokens verified with each decoding token.
    pub drafts: u32,
    /// KV slots a drafter needs beyond the tokens of the step.
    pub lookahead: u32,
    /// Input slots a drafter takes from the budget for each sequence.
    pub draft_slots: u32,
    /// Whether a step is scheduled while the one before it still runs (`async_scheduling`): what arrives or ends
    /// during a step counts from the step after the next.
    pub overlapped: bool,
}

impl Limits {
    /// The limits of `spec`, where `kv_tokens` fit beside the weights.
    pub(super) fn new(spec: &EngineSpec, kv_tokens: u64) -> Result<Self, SpecError> {
        let block = spec.block_tokens.max(1);
        // One block is vLLM's null block, which nothing is stored in.
        let blocks = spec.blocks.unwrap_or(kv_tokens / u64::from(block)).saturating_sub(1);
        let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
        if blocks == 0 {
            return Err(too_large(spec));
        }
        let context = context(spec, u64::from(blocks) * u64::from(block))?;
        let defaults = BatchDefaults::of(spec);
        let chunked = spec.knobs.chunked_prefill.unwrap_or(true);
        let ranks = spec.knobs.data_parallel.unwrap_or(1).max(1);
        let budget = spec.knobs.max_num_batched_tokens.unwrap_or_else(|| {
            let floor = if chunked { 0 } else { context };
            let most = spec.knobs.max_num_seqs.unwrap_or(defaults.sequences).saturating_mul(context);
            defaults.budget.max(floor).min(most)
        });
        let sequences = spec.knobs.max_num_seqs.unwrap_or(defaults.sequences.min(budget));
        check(spec, budget, sequences, context, chunked)?;
        let drafter = Drafter::of(&spec.knobs);
        // A prompt that leaves no room for its drafter would wait for ever to fit whole.
        let context = if chunked { context } else { context.min(budget - drafter.slots) };
        Ok(Self {
            budget: budget.saturating_mul(ranks),
            sequences: sequences.saturating_mul(ranks),
            context,
            in_flight: spec.max_queued.unwrap_or(u32::MAX),
            chunked,
            caching: spec.knobs.prefix_caching.unwrap_or(true),
            order: spec.scheduling,
            block,
            blocks,
            drafts: drafter.drafts,
            lookahead: drafter.lookahead,
            draft_slots: drafter.slots,
            overlapped: drafter.overlaps && !spec.hardware.is_cpu(),
        })
    }

    /// Tokens computed for each decoding sequence in a step.
    pub(super) fn width(&self) -> u32 {
        1 + self.drafts
    }

    /// Blocks that hold `tokens`.
    pub(super) fn blocks_for(&self, tokens: u32) -> u32 {
        tokens.div_ceil(self.block)
    }

    /// Blocks a sequence with `computed` tokens needs for a step of `tokens` more.
    pub(super) fn blocks_for_step(&self, computed: u32, tokens: u32) -> u32 {
        self.blocks_for(self.tokens_for_step(computed, tokens))
    }

    /// Of these, how many it lacks if it holds `held`.
    pub(super) fn lacking(&self, held: u32, computed: u32, tokens: u32) -> u32 {
        // Asked of every sequence at every change of the batch, and mostly none: no division for that.
        let slots = self.tokens_for_step(computed, tokens);
        if u64::from(slots) <= u64::from(held) * u64::from(self.block) {
            0
        } else {
            self.blocks_for(slots) - held
        }
    }

    /// Blocks a decoding sequence lacks for one step at most.
    pub(super) fn lacking_at_most(&self) -> u32 {
        1 + self.blocks_for(self.width() + self.lookahead)
    }

    fn tokens_for_step(&self, computed: u32, tokens: u32) -> u32 {
        computed.saturating_add(tokens + self.lookahead).min(self.context)
    }
}

/// The longest context: as asked for, or what the model and the KV cache allow (`--max-model-len auto`).
fn context(spec: &EngineSpec, kv_tokens: u64) -> Result<u32, SpecError> {
    let fits = u32::try_from(kv_tokens).unwrap_or(u32::MAX);
    match spec.knobs.max_model_len {
        None => Ok(spec.model.context.min(fits)),
        Some(asked) if asked <= fits => Ok(asked),
        Some(asked) => Err(refuse(
            spec,
            format!("max_model_len ({asked}) is longer than the KV cache, which holds {fits} tokens"),
        )),
    }
}

fn check(
    spec: &EngineSpec,
    budget: u32,
    sequences: u32,
    context: u32,
    chunked: bool,
) -> Result<(), SpecError> {
    let reason = if sequences == 0 || context == 0 || budget == 0 {
        "max_num_seqs, max_num_batched_tokens and max_model_len must be positive".to_owned()
    } else if budget < context && !chunked {
        format!(
            "max_num_batched_tokens ({budget}) is smaller than max_model_len ({context}) and chunked prefill is off"
        )
    } else if budget < sequences {
        format!("max_num_batched_tokens ({budget}) must be at least max_num_seqs ({sequences})")
    } else if budget <= Drafter::of(&spec.knobs).drafts + Drafter::of(&spec.knobs).slots {
        format!("max_num_batched_tokens ({budget}) has no room for speculative tokens")
    } else {
        return Ok(());
    };
    Err(refuse(spec, reason))
}

fn refuse(spec: &EngineSpec, reason: String) -> SpecError {
    SpecError::Knobs { engine: spec.name.clone(), reason }
}

fn too_large(spec: &EngineSpec) -> SpecError {
    SpecError::TooLarge {
        engine: spec.name.clone(),
        hardware: format!("{} × {}", spec.count, spec.hardware_id),
        need_gib: spec.model.parameters_b * 1e9 * spec.model.weight_bytes / GIB,
        have_gib: spec.hardware.memory_gib
            * f64::from(spec.count)
            * spec.knobs.gpu_memory_utilization.unwrap_or(MEMORY_UTILIZATION),
    }
}

/// vLLM's default of `--gpu-memory-utilization`.
const MEMORY_UTILIZATION: f64 = 0.92;

/// vLLM's defaults for a server, by platform and device memory (0.32, `EngineArgs.get_batch_defaults`).
struct BatchDefaults {
    budget: u32,
    sequences: u32,
}

impl BatchDefaults {
    fn of(spec: &EngineSpec) -> Self {
        let hardware = &*spec.hardware;
        let (budget, sequences) = if hardware.is_cpu() {
            let world = spec.knobs.tensor_parallel.unwrap_or(spec.count).max(1);
            (2048 * world, 128 * world)
        } else {
            match hardware.architecture.as_str() {
                "trillium" => (1024, 256),
                "tpu_v5e" => (512, 256),
                _ if hardware.memory_gib >= 160.0 => (16_384, 1024),
                // An A100 loses throughput with the larger budget, whatever its memory.
                _ if hardware.memory_gib >= 70.0 && !spec.hardware_id.contains("a100") => (8192, 1024),
                _ => (2048, 256),
            }
        };
        Self { budget, sequences }
    }
}

/// The token budget of a step that vLLM takes on an engine's hardware where nobody sets one.
pub fn default_step_tokens(spec: &EngineSpec) -> u32 {
    BatchDefaults::of(spec).budget
}

/// What a method of speculation asks of the scheduler.
struct Drafter {
    drafts: u32,
    lookahead: u32,
    slots: u32,
    overlaps: bool,
}

impl Drafter {
    fn of(knobs: &Knobs) -> Self {
        let Some(speculative) = &knobs.speculative else {
            return Self { drafts: 0, lookahead: 0, slots: 0, overlaps: true };
        };
        let drafts = speculative.num_speculative_tokens;
        match speculative.method.as_str() {
            // The drafts come from the host, from the tokens of the step before: nothing to overlap with.
            "ngram" | "suffix" | "medusa" | "mlp_speculator" => {
                Self { drafts, lookahead: 0, slots: 0, overlaps: false }
            }
            "ngram_gpu" => Self { drafts, lookahead: 0, slots: 0, overlaps: true },
            // A draft model reads one token more than the target; its KV lies beyond the step's.
            "draft_model" => Self { drafts, lookahead: drafts, slots: 1, overlaps: true },
            _ => Self { drafts, lookahead: drafts, slots: 0, overlaps: true },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gearshift_config::{Catalog, Speculative};

    use super::*;
    use crate::sim::Times;

    const PLENTY: u64 = 1 << 30;

    fn spec(hardware: &str, knobs: Knobs) -> EngineSpec {
        let catalog = Catalog::shipped();
        EngineSpec {
            name: "engine".to_owned(),
            hardware_id: hardware.to_owned(),
            hardware: Arc::clone(catalog.hardware(hardware).unwrap()),
            count: 1,
            model_name: "model".to_owned(),
            model: Arc::clone(catalog.model("llama-3.1-8b").unwrap()),
            knobs,
            draft: None,
            factors: None,
            scheduling: Scheduling::Fcfs,
            max_queued: None,
            block_tokens: 16,
            blocks: None,
            times: Times { start_s: 60.0, sleep_s: 2.0, wake_s: 3.0 },
        }
    }

    fn limits(hardware: &str, knobs: Knobs) -> Result<Limits, SpecError> {
        Limits::new(&spec(hardware, knobs), PLENTY)
    }

    #[test]
    fn defaults_go_by_hardware() {
        let batch = |hardware| {
            let limits = limits(hardware, Knobs::default()).unwrap();
            (limits.budget, limits.sequences)
        };
        assert_eq!(batch("l4"), (2048, 256));
        assert_eq!(batch("a100_sxm_80gb"), (2048, 256));
        assert_eq!(batch("h100_sxm"), (8192, 1024));
        assert_eq!(batch("b200_sxm"), (16_384, 1024));
        assert_eq!(batch("epyc_9755"), (2048, 128));
        assert_eq!(batch("tpu_v6e"), (1024, 256));
    }

    #[test]
    fn whole_prompts_need_a_budget_for_the_longest() {
        let whole = Knobs { chunked_prefill: Some(false), max_model_len: Some(20_000), ..Knobs::default() };
        assert_eq!(limits("l4", whole.clone()).unwrap().budget, 20_000);
        let small = Knobs { max_num_batched_tokens: Some(4096), ..whole };
        assert!(matches!(limits("l4", small), Err(SpecError::Knobs { .. })));
    }

    #[test]
    fn the_context_is_what_fits_unless_asked_for() {
        let fits = |knobs| Limits::new(&spec("l4", knobs), 10_016);
        let limits = fits(Knobs::default()).unwrap();
        assert_eq!((limits.blocks, limits.context), (625, 10_000));
        assert_eq!(fits(Knobs { max_model_len: Some(9000), ..Knobs::default() }).unwrap().context, 9000);
        assert!(fits(Knobs { max_model_len: Some(10_001), ..Knobs::default() }).is_err());
        assert!(matches!(Limits::new(&spec("l4", Knobs::default()), 16), Err(SpecError::TooLarge { .. })));
    }

    #[test]
    fn a_budget_below_the_sequences_is_an_error() {
        let knobs = |budget, sequences| Knobs {
            max_num_batched_tokens: Some(budget),
            max_num_seqs: sequences,
            ..Knobs::default()
        };
        assert!(limits("l4", knobs(64, Some(65))).is_err());
        assert_eq!(limits("l4", knobs(64, None)).unwrap().sequences, 64);
    }

    #[test]
    fn drafters_ask_for_room() {
        let drafter = |method: &str| {
            let speculative =
                Speculative { method: method.to_owned(), num_speculative_tokens: 3, model: None };
            let limits = limits("l4", Knobs { speculative: Some(speculative), ..Knobs::default() }).unwrap();
            (limits.width(), limits.lookahead, limits.draft_slots, limits.overlapped)
        };
        assert_eq!(drafter("ngram"), (4, 0, 0, false));
        assert_eq!(drafter("eagle3"), (4, 3, 0, true));
        assert_eq!(drafter("draft_model"), (4, 3, 1, true));
        assert!(!limits("epyc_9654", Knobs::default()).unwrap().overlapped);
    }

    #[test]
    fn what_is_lacking_is_what_is_needed_and_not_held() {
        let limits = limits("l4", Knobs { max_model_len: Some(100), ..Knobs::default() }).unwrap();
        for computed in 0..100 {
            for held in 0..8 {
                let needed = limits.blocks_for_step(computed, 1);
                assert_eq!(limits.lacking(held, computed, 1), needed.saturating_sub(held));
            }
        }
    }
}
