//! The table's columns: one line each, from which schema, writer and documentation follow.

mod live;

use crate::{Cell, Kind, Named, Observation};

/// One column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name; what has a unit ends with it.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether every row has a value. Columns that need none may be missing from a file altogether.
    pub required: bool,
    /// What it means.
    pub meaning: &'static str,
    of: for<'a> fn(&'a Observation) -> Cell<'a>,
}

impl Column {
    /// Its value in a row.
    pub fn cell<'a>(&self, row: &'a Observation) -> Cell<'a> {
        (self.of)(row)
    }
}

/// All columns, in order.
pub fn columns() -> impl Iterator<Item = &'static Column> + Clone {
    everywhere().chain(live::LIVE)
}

/// Those that rows of every source may have.
fn everywhere() -> impl Iterator<Item = &'static Column> + Clone {
    [ABOUT, MODEL, HARDWARE, PROFILE, ASKED, CAME].into_iter().flatten()
}

/// Those of a file with these rows: all, where one is of a request that Gearshift served. Other files do without the columns
/// that are about nothing else.
pub(crate) fn columns_of(rows: &[Observation]) -> Vec<&'static Column> {
    if rows.iter().any(|row| row.live.is_some()) { columns().collect() } else { everywhere().collect() }
}

const fn required(
    name: &'static str,
    kind: Kind,
    meaning: &'static str,
    of: for<'a> fn(&'a Observation) -> Cell<'a>,
) -> Column {
    Column { name, kind, required: true, meaning, of }
}

const fn optional(
    name: &'static str,
    kind: Kind,
    meaning: &'static str,
    of: for<'a> fn(&'a Observation) -> Cell<'a>,
) -> Column {
    Column { name, kind, required: false, meaning, of }
}

/// What the row is.
const ABOUT: &[Column] = &[
    required(
        "source",
        Kind::Text,
        "How it came to be: `simulated`, `simulated-kernel`, `measured`, `live`",
        |row| Cell::from(row.source.word()),
    ),
    required(
        "grain",
        Kind::Text,
        "What it stands for: a `request`, or a `window` of many at a constant number in flight",
        |row| Cell::from(row.grain.word()),
    ),
    required("dataset", Kind::Text, "The collection it belongs to", |row| Cell::from(&row.dataset)),
    required("provenance", Kind::Text, "File, tool, version, date, row id", |row| {
        Cell::from(&row.provenance)
    }),
    required(
        "context",
        Kind::Text,
        "Rows of one data set with equal context answer the same question by different actions",
        |row| Cell::from(&row.context),
    ),
    required("action", Kind::Text, "What was chosen: a profile, or an engine and its parallelism", |row| {
        Cell::from(&row.action)
    }),
    required("repeat", Kind::Whole, "Repetition of the same context and action, from 0", |row| {
        Cell::from(row.repeat)
    }),
    optional("measured_at_unix_s", Kind::Whole, "When, seconds since 1970", |row| Cell::from(row.at_unix_s)),
];

/// The model.
const MODEL: &[Column] = &[
    required("model", Kind::Text, "Its name: the catalog's where it has one", |row| {
        Cell::from(&row.facts.model)
    }),
    required("model_family", Kind::Text, "Models of one architecture and size, held out together", |row| {
        Cell::from(&row.facts.family)
    }),
    required("model_description", Kind::Text, "One or two sentences", |row| {
        Cell::from(&row.facts.model_facts.description)
    }),
    required("model_parameters_b", Kind::Number, "Parameters, billions", |row| {
        Cell::from(row.facts.model_facts.parameters_b)
    }),
    required("model_active_parameters_b", Kind::Number, "Parameters active per token, billions", |row| {
        Cell::from(row.facts.model_facts.active_parameters_b)
    }),
    required("model_layers", Kind::Whole, "Transformer layers", |row| {
        Cell::from(row.facts.model_facts.layers)
    }),
    required("model_hidden", Kind::Whole, "Hidden size", |row| Cell::from(row.facts.model_facts.hidden)),
    required("model_heads", Kind::Whole, "Query heads", |row| Cell::from(row.facts.model_facts.heads)),
    required("model_kv_heads", Kind::Whole, "Key/value heads", |row| {
        Cell::from(row.facts.model_facts.kv_heads)
    }),
    required("model_head_dim", Kind::Whole, "Dimension of one head", |row| {
        Cell::from(row.facts.model_facts.head_dim)
    }),
    optional(
        "model_mla_kv_width",
        Kind::Whole,
        "Elements of KV cache per token and layer of multi-head latent attention",
        |row| Cell::from(row.facts.model_facts.mla_kv_width),
    ),
    optional(
        "model_sliding_window_layers",
        Kind::Whole,
        "Layers whose attention sees only the last tokens",
        |row| Cell::from(row.facts.model_facts.sliding_window.map(|window| window.layers)),
    ),
    optional("model_sliding_window_tokens", Kind::Whole, "How many tokens these see", |row| {
        Cell::from(row.facts.model_facts.sliding_window.map(|window| window.tokens))
    }),
    required("model_weight_bytes", Kind::Number, "Bytes per weight as published", |row| {
        Cell::from(row.facts.model_facts.weight_bytes)
    }),
    required("model_context_tokens", Kind::Whole, "Longest context, tokens", |row| {
        Cell::from(row.facts.model_facts.context)
    }),
    optional("model_experts", Kind::Whole, "Routed experts per layer of a mixture", |row| {
        Cell::from(row.facts.model_facts.experts.map(|experts| experts.total))
    }),
    optional("model_experts_active", Kind::Whole, "Experts a token is routed to", |row| {
        Cell::from(row.facts.model_facts.experts.map(|experts| experts.active))
    }),
    optional(
        "model_experts_parameters_b",
        Kind::Number,
        "Parameters in all routed experts, billions",
        |row| Cell::from(row.facts.model_facts.experts.map(|experts| experts.parameters_b)),
    ),
];

/// One accelerator, and how many.
const HARDWARE: &[Column] = &[
    required("hardware", Kind::Text, "The accelerator: the catalog's key where it has one", |row| {
        Cell::from(&row.facts.hardware)
    }),
    required("hardware_count", Kind::Whole, "Accelerators", |row| Cell::from(row.facts.count)),
    required("hardware_description", Kind::Text, "One or two sentences", |row| {
        Cell::from(&row.facts.hardware_facts.description)
    }),
    required("hardware_vendor", Kind::Text, "Vendor, lower case", |row| {
        Cell::from(&row.facts.hardware_facts.vendor)
    }),
    required("hardware_architecture", Kind::Text, "Architecture, lower case", |row| {
        Cell::from(&row.facts.hardware_facts.architecture)
    }),
    required("hardware_bf16_tflops", Kind::Number, "Dense BF16 peak, TFLOP/s", |row| {
        Cell::from(row.facts.hardware_facts.bf16_tflops)
    }),
    optional("hardware_fp8_tflops", Kind::Number, "Dense FP8 (or INT8) peak, TFLOP/s", |row| {
        Cell::from(row.facts.hardware_facts.fp8_tflops)
    }),
    optional("hardware_fp4_tflops", Kind::Number, "Dense FP4 peak, TFLOP/s", |row| {
        Cell::from(row.facts.hardware_facts.fp4_tflops)
    }),
    required("hardware_memory_gb_per_s", Kind::Number, "Memory bandwidth, GB/s", |row| {
        Cell::from(row.facts.hardware_facts.memory_gb_per_s)
    }),
    required("hardware_memory_gib", Kind::Number, "Memory, GiB", |row| {
        Cell::from(row.facts.hardware_facts.memory_gib)
    }),
    required(
        "hardware_interconnect_gb_per_s",
        Kind::Number,
        "Bandwidth to a peer, one direction, GB/s",
        |row| Cell::from(row.facts.hardware_facts.interconnect_gb_per_s),
    ),
    required(
        "hardware_price_usd_per_hour",
        Kind::Number,
        "Price of renting one, US dollars an hour",
        |row| Cell::from(row.facts.hardware_facts.price_usd_per_hour),
    ),
    required("hardware_tdp_w", Kind::Number, "Board power limit, W", |row| {
        Cell::from(row.facts.hardware_facts.tdp_w)
    }),
    required("hardware_idle_w", Kind::Number, "Power when idle with a model loaded, W", |row| {
        Cell::from(row.facts.hardware_facts.idle_w)
    }),
];

/// The profile's knobs (absent: the engine's default) and the engine.
const PROFILE: &[Column] = &[
    optional("knob_prefix_caching", Kind::Flag, "Automatic prefix caching", |row| {
        Cell::from(row.facts.knobs.prefix_caching)
    }),
    optional("knob_chunked_prefill", Kind::Flag, "Chunked prefill", |row| {
        Cell::from(row.facts.knobs.chunked_prefill)
    }),
    optional("knob_max_num_batched_tokens", Kind::Whole, "Token budget of one step", |row| {
        Cell::from(row.facts.knobs.max_num_batched_tokens)
    }),
    optional("knob_max_num_seqs", Kind::Whole, "Sequences in one step at most", |row| {
        Cell::from(row.facts.knobs.max_num_seqs)
    }),
    optional("knob_max_model_len", Kind::Whole, "Longest context served, tokens", |row| {
        Cell::from(row.facts.knobs.max_model_len)
    }),
    optional("knob_speculative_method", Kind::Text, "How drafts are made", |row| {
        Cell::from(row.facts.knobs.speculative.as_ref().map(|spec| &spec.method))
    }),
    optional("knob_speculative_tokens", Kind::Whole, "Draft tokens per step", |row| {
        Cell::from(row.facts.knobs.speculative.as_ref().map(|spec| spec.num_speculative_tokens))
    }),
    optional("knob_speculative_model", Kind::Text, "The draft model", |row| {
        Cell::from(row.facts.knobs.speculative.as_ref().and_then(|spec| spec.model.as_ref()))
    }),
    optional("knob_kv_cache_dtype", Kind::Text, "`auto`, `bfloat16`, `fp8`", |row| {
        Cell::from(row.facts.knobs.kv_cache_dtype.map(Named::word))
    }),
    optional(
        "knob_quantization",
        Kind::Text,
        "Weights: `none` (as published), `fp8`, `int8`, `int4`, `fp4`",
        |row| Cell::from(row.facts.knobs.quantization.map(Named::word)),
    ),
    optional("knob_tensor_parallel", Kind::Whole, "Tensor-parallel size", |row| {
        Cell::from(row.facts.knobs.tensor_parallel)
    }),
    optional("knob_pipeline_parallel", Kind::Whole, "Pipeline-parallel size", |row| {
        Cell::from(row.facts.knobs.pipeline_parallel)
    }),
    optional("knob_data_parallel", Kind::Whole, "Data-parallel size", |row| {
        Cell::from(row.facts.knobs.data_parallel)
    }),
    optional("knob_expert_parallel", Kind::Flag, "Whether experts stand whole on accelerators", |row| {
        Cell::from(row.facts.knobs.expert_parallel)
    }),
    optional("knob_gpu_memory_utilization", Kind::Number, "Share of memory the engine may take", |row| {
        Cell::from(row.facts.knobs.gpu_memory_utilization)
    }),
    required("lossless", Kind::Flag, "Whether the profile is declared to leave outputs as they are", |row| {
        Cell::from(row.facts.lossless)
    }),
    required("engine", Kind::Text, "`vllm`, `sglang`, `trtllm`", |row| {
        Cell::from(row.facts.software.engine.word())
    }),
    optional("engine_months", Kind::Number, "Age of its release, months since July 2025", |row| {
        Cell::from(row.facts.software.months)
    }),
    optional("engine_version", Kind::Text, "Its version as it says", |row| {
        Cell::from(row.facts.engine_version.as_ref())
    }),
    optional("engine_kv_tokens", Kind::Whole, "Tokens its KV cache holds, where it said", |row| {
        Cell::from(row.facts.kv_tokens)
    }),
];

/// What was asked, and the load as a router would see it (without this request).
const ASKED: &[Column] = &[
    required("workload", Kind::Text, "Its name", |row| Cell::from(&row.workload.name)),
    required("workload_description", Kind::Text, "One sentence", |row| Cell::from(&row.workload.description)),
    required("prompt_tokens", Kind::Number, "Prompt tokens (mean)", |row| {
        Cell::from(row.workload.prompt_tokens)
    }),
    required("prompt_cached_tokens", Kind::Number, "Of these, predicted to be in the cache (mean)", |row| {
        Cell::from(row.workload.cached_tokens)
    }),
    required("output_tokens", Kind::Number, "Output tokens (mean)", |row| {
        Cell::from(row.workload.output_tokens)
    }),
    required("concurrency", Kind::Number, "Requests in flight, this one included", |row| {
        Cell::from(row.workload.concurrency)
    }),
    required("prompt_spread", Kind::Number, "Standard deviation over mean of prompt lengths", |row| {
        Cell::from(row.workload.prompt_spread)
    }),
    required("output_spread", Kind::Number, "The same of output lengths", |row| {
        Cell::from(row.workload.output_spread)
    }),
    required("load_sequences", Kind::Number, "Sequences there", |row| Cell::from(row.load.sequences)),
    required("load_decoding", Kind::Number, "Of these, past their prefill", |row| {
        Cell::from(row.load.decoding)
    }),
    required("load_prefill_tokens", Kind::Number, "Prompt tokens not yet prefilled", |row| {
        Cell::from(row.load.prefill_tokens)
    }),
    required("load_decode_tokens", Kind::Number, "Output tokens still to come", |row| {
        Cell::from(row.load.decode_tokens)
    }),
    required("load_context_tokens", Kind::Number, "Tokens of context of all sequences", |row| {
        Cell::from(row.load.context_tokens)
    }),
    optional("load_full_at_sequences", Kind::Number, "Sequences at which it is out of cache", |row| {
        Cell::from(row.load.full_at)
    }),
    optional("load_age_s", Kind::Number, "Age of the scraped part, s", |row| Cell::from(row.load.age_s)),
];

/// What came of it.
const CAME: &[Column] = &[
    required("requests", Kind::Whole, "Requests this rests on; 0 where the source does not say", |row| {
        Cell::from(row.outcome.requests)
    }),
    required("requests_failed", Kind::Whole, "Of these, failed; not part of the times", |row| {
        Cell::from(row.outcome.failed)
    }),
    optional("ttft_s", Kind::Number, "Time to first token (mean), s", |row| Cell::from(row.outcome.ttft_s)),
    optional("ttft_p90_s", Kind::Number, "Nine of ten are below, s", |row| {
        Cell::from(row.outcome.ttft_p90_s)
    }),
    optional("tpot_s", Kind::Number, "Time per output token after the first (mean), s", |row| {
        Cell::from(row.outcome.tpot_s)
    }),
    optional("tpot_p90_s", Kind::Number, "Nine of ten are below, s", |row| {
        Cell::from(row.outcome.tpot_p90_s)
    }),
    optional("e2e_s", Kind::Number, "End to end (mean), s", |row| Cell::from(row.outcome.e2e_s)),
    optional("output_tokens_per_s", Kind::Number, "Output tokens a second of the whole engine", |row| {
        Cell::from(row.outcome.output_tokens_per_s)
    }),
    optional("joules_per_token", Kind::Number, "Energy of the engine per output token, J", |row| {
        Cell::from(row.outcome.joules_per_token)
    }),
    optional(
        "engine_cached_tokens",
        Kind::Number,
        "Prompt tokens the engine took from its cache (mean)",
        |row| Cell::from(row.outcome.cached_tokens),
    ),
    optional(
        "agreement",
        Kind::Number,
        "Share of greedy answers equal to those with everything off, 0–1",
        |row| Cell::from(row.outcome.agreement),
    ),
    optional(
        "reference_e2e_s",
        Kind::Number,
        "AIConfigurator's estimate of the same row, end to end, s",
        |row| Cell::from(row.outcome.reference_e2e_s),
    ),
    optional("reference_tpot_s", Kind::Number, "Its time per output token, s", |row| {
        Cell::from(row.outcome.reference_tpot_s)
    }),
];
