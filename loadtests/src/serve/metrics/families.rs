//! vLLM's families, in its order.

use gearshift_config::KvCacheDtype;

use super::{Meter, http::HttpMeter, page::Page};
use crate::sim::{EngineSpec, Gauges, Totals};

/// Everything a page is made of.
#[derive(Debug)]
pub(in crate::serve) struct Reading<'a> {
    pub(in crate::serve) spec: &'a EngineSpec,
    pub(in crate::serve) kv_tokens: u64,
    pub(in crate::serve) context: u32,
    pub(in crate::serve) gauges: Gauges,
    pub(in crate::serve) totals: &'a Totals,
    pub(in crate::serve) meter: &'a Meter,
    pub(in crate::serve) http: &'a HttpMeter,
    /// Sleep level, while asleep.
    pub(in crate::serve) asleep: Option<u8>,
    /// When the process started, seconds since 1970.
    pub(in crate::serve) started: f64,
    pub(in crate::serve) nan_gauges: bool,
}

/// What was counted between two readings, as far as the page shows it.
pub(in crate::serve) fn since(now: &Totals, before: &Totals) -> Totals {
    Totals {
        prompt_tokens: now.prompt_tokens - before.prompt_tokens,
        generation_tokens: now.generation_tokens - before.generation_tokens,
        prefix_queries: now.prefix_queries - before.prefix_queries,
        prefix_hits: now.prefix_hits - before.prefix_hits,
        preemptions: now.preemptions - before.preemptions,
        drafts: now.drafts - before.drafts,
        draft_tokens: now.draft_tokens - before.draft_tokens,
        accepted_tokens: now.accepted_tokens - before.accepted_tokens,
        ..*now
    }
}

/// Renders the page.
pub(in crate::serve) fn page(reading: &Reading<'_>) -> String {
    let mut page = Page::new(reading.started, reading.nan_gauges);
    let labels = [("engine", "0"), ("model_name", reading.spec.model_name.as_str())];
    let writer = &mut Writer { page: &mut page, labels };
    estimates(writer);
    gauges(writer, reading);
    caches(writer, reading.totals);
    tokens(writer, reading);
    endings(writer, reading.meter);
    histograms(writer, reading.meter);
    cache_config(writer.page, reading);
    if reading.spec.knobs.speculative.is_some() {
        speculation(writer, reading.totals);
    }
    reading.http.render(writer.page);
    tools(writer.page, reading);
    sleep(writer.page, reading.meter);
    page.into_text()
}

struct Writer<'p, 'l> {
    page: &'p mut Page,
    /// Those that nearly every family has.
    labels: [(&'l str, &'l str); 2],
}

impl Writer<'_, '_> {
    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.page.gauge(name, help, &[(&self.labels, value)]);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.page.counter(name, help, &[(&self.labels, value as f64)]);
    }

    /// A counter with one more label.
    fn counter_by(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) {
        let [engine, model] = self.labels;
        let children: Vec<_> =
            values.iter().map(|(value, count)| ([engine, model, (label, *value)], *count as f64)).collect();
        let children: Vec<_> = children.iter().map(|(labels, value)| (labels.as_slice(), *value)).collect();
        self.page.counter(name, help, &children);
    }

    /// A gauge with one more label.
    fn gauge_by(&mut self, name: &str, help: &str, label: &str, values: &[(&str, f64)]) {
        let [engine, model] = self.labels;
        let children: Vec<_> =
            values.iter().map(|(value, number)| ([engine, model, (label, *value)], *number)).collect();
        let children: Vec<_> = children.iter().map(|(labels, value)| (labels.as_slice(), *value)).collect();
        self.page.gauge(name, help, &children);
    }
}

fn estimates(writer: &mut Writer<'_, '_>) {
    let help = "Estimated work of the engine; not simulated.";
    for name in ["flops", "read_bytes", "write_bytes"] {
        writer.counter(&format!("vllm:estimated_{name}_per_gpu"), help, 0);
    }
}

fn gauges(writer: &mut Writer<'_, '_>, reading: &Reading<'_>) {
    let Gauges { running, waiting, kv_usage } = reading.gauges;
    let waiting = f64::from(waiting);
    writer.gauge("vllm:num_requests_running", "Requests in the running batch.", f64::from(running));
    writer.gauge("vllm:num_requests_waiting", "Requests that wait.", waiting);
    writer.gauge_by(
        "vllm:num_requests_waiting_by_reason",
        "Requests that wait, by why.",
        "reason",
        &[("capacity", waiting), ("deferred", 0.0)],
    );
    let state = |level: Option<u8>| f64::from(u8::from(reading.asleep == level));
    writer.gauge_by(
        "vllm:engine_sleep_state",
        "Which state the engine is in: 1 for that one.",
        "sleep_state",
        &[("awake", state(None)), ("weights_offloaded", state(Some(1))), ("discard_all", state(Some(2)))],
    );
    writer.gauge("vllm:kv_cache_usage_perc", "KV blocks in use; 1 is all.", kv_usage);
}

fn caches(writer: &mut Writer<'_, '_>, totals: &Totals) {
    for (prefix, queries, hits) in [("", totals.prefix_queries, totals.prefix_hits), ("external_", 0, 0)] {
        let name = |what: &str| format!("vllm:{prefix}prefix_cache_{what}");
        writer.counter(&name("queries"), "Tokens looked up in the prefix cache.", queries);
        writer.counter(&name("hits"), "Tokens found in the prefix cache.", hits);
    }
    writer.counter("vllm:mm_cache_queries", "Items looked up in the multi-modal cache.", 0);
    writer.counter("vllm:mm_cache_hits", "Items found in the multi-modal cache.", 0);
    writer.counter("vllm:num_preemptions", "Preemptions.", totals.preemptions);
}

fn tokens(writer: &mut Writer<'_, '_>, reading: &Reading<'_>) {
    let totals = reading.totals;
    let hits = totals.prefix_hits.min(totals.prompt_tokens);
    writer.counter("vllm:prompt_tokens", "Prompt tokens processed.", totals.prompt_tokens);
    writer.counter_by(
        "vllm:prompt_tokens_by_source",
        "Prompt tokens by where their KV came from.",
        "source",
        &[
            ("local_compute", totals.prompt_tokens - hits),
            ("local_cache_hit", hits),
            ("external_kv_transfer", 0),
        ],
    );
    writer.counter("vllm:prompt_tokens_cached", "Prompt tokens found in a cache.", hits);
    writer.counter_by(
        "vllm:prompt_tokens_cached_by_source",
        "Prompt tokens found in a cache, by which.",
        "source",
        &[("device", hits), ("host", 0), ("p2p", 0), ("disk", 0), ("external_unspecified", 0)],
    );
    writer.counter("vllm:generation_tokens", "Tokens generated.", totals.generation_tokens);
}

fn endings(writer: &mut Writer<'_, '_>, meter: &Meter) {
    writer.counter_by(
        "vllm:request_success",
        "Requests ended, by why.",
        "finished_reason",
        &[
            ("stop", meter.stopped),
            ("length", meter.lengthy),
            ("abort", meter.aborted),
            ("error", 0),
            ("repetition", 0),
        ],
    );
    let model = writer.labels[1];
    writer.page.counter(
        "vllm:admission_rejections",
        "Requests refused, by which limit.",
        &[
            (&[model, ("reason", "max_num_queued_reqs")], meter.rejected as f64),
            (&[model, ("reason", "max_num_queued_tokens")], 0.0),
        ],
    );
}

fn histograms(writer: &mut Writer<'_, '_>, meter: &Meter) {
    for (name, help, histogram) in [
        ("request_prompt_tokens", "Prompt tokens of a request.", &meter.prompt_tokens),
        ("request_generation_tokens", "Tokens generated for a request.", &meter.generation_tokens),
        ("iteration_tokens_total", "Tokens of a step.", &meter.step_tokens),
        (
            "request_max_num_generation_tokens",
            "Tokens of a request's longest choice.",
            &meter.max_generation_tokens,
        ),
        ("request_params_n", "Choices asked for.", &meter.choices),
        ("request_params_max_tokens", "Caps on output tokens.", &meter.max_tokens),
        ("time_to_first_token_seconds", "Time to the first token.", &meter.first_token),
        ("inter_token_latency_seconds", "Time between two outputs of a request.", &meter.inter_token),
        (
            "request_time_per_output_token_seconds",
            "A request's mean time per token after the first.",
            &meter.output_token,
        ),
        ("e2e_request_latency_seconds", "Time from arrival to the last token.", &meter.end_to_end),
        ("request_queue_time_seconds", "Time in the queue.", &meter.queue),
        ("request_inference_time_seconds", "Time in the running batch.", &meter.inference),
        ("request_prefill_time_seconds", "Time in prefill.", &meter.prefill),
        ("request_decode_time_seconds", "Time in decode.", &meter.decode),
        ("request_num_preemptions", "Preemptions of a request.", &meter.preemptions),
        (
            "request_prefill_kv_computed_tokens",
            "Prompt tokens computed, not found in a cache.",
            &meter.computed_tokens,
        ),
    ] {
        writer.page.histogram(&format!("vllm:{name}"), help, &[(&writer.labels, histogram)]);
    }
}

fn speculation(writer: &mut Writer<'_, '_>, totals: &Totals) {
    writer.counter("vllm:spec_decode_num_drafts", "Drafts made.", totals.drafts);
    writer.counter("vllm:spec_decode_num_draft_tokens", "Tokens in drafts.", totals.draft_tokens);
    writer.counter("vllm:spec_decode_num_accepted_tokens", "Draft tokens accepted.", totals.accepted_tokens);
}

fn cache_config(page: &mut Page, reading: &Reading<'_>) {
    let (spec, knobs) = (reading.spec, &reading.spec.knobs);
    let python = |flag: bool| if flag { "True" } else { "False" };
    let dtype = match knobs.kv_cache_dtype {
        None | Some(KvCacheDtype::Auto) => "auto",
        Some(KvCacheDtype::Bfloat16) => "bfloat16",
        Some(KvCacheDtype::Fp8) => "fp8",
    };
    let block = spec.block_tokens.to_string();
    let blocks = (reading.kv_tokens / u64::from(spec.block_tokens.max(1))).to_string();
    let kv_tokens = reading.kv_tokens.to_string();
    let concurrency = format!("{:?}", reading.kv_tokens as f64 / f64::from(reading.context));
    let override_blocks = spec.blocks.map_or_else(|| "None".to_owned(), |blocks| blocks.to_string());
    let memory = format!("{:?}", knobs.gpu_memory_utilization.unwrap_or(0.92));
    let stated = [
        ("block_size", block.as_str()),
        ("cache_dtype", dtype),
        ("effective_attention_block_size", &block),
        ("enable_prefix_caching", python(knobs.prefix_caching.unwrap_or(true))),
        ("engine", "0"),
        ("gpu_memory_utilization", &memory),
        ("kv_cache_max_concurrency", &concurrency),
        ("kv_cache_size_tokens", &kv_tokens),
        ("num_gpu_blocks", &blocks),
        ("num_gpu_blocks_override", &override_blocks),
    ];
    let labels: Vec<_> = stated.into_iter().chain(OTHER_CACHE_SETTINGS).collect();
    page.info("vllm:cache_config_info", "How the KV cache is set up.", &labels);
}

/// Settings of the cache that the simulation has no part in, as vLLM 0.32 defaults them.
const OTHER_CACHE_SETTINGS: [(&str, &str); 27] = [
    ("_block_size_resolved", "True"),
    ("cache_hit_alignment_tokens", "None"),
    ("enable_mamba_shared_prefix_checkpoint", "False"),
    ("hash_block_size", "None"),
    ("is_attention_free", "False"),
    ("kv_cache_dtype_skip_layers", "[]"),
    ("kv_cache_layout", "None"),
    ("kv_cache_memory_bytes", "None"),
    ("kv_offloading_backend", "native"),
    ("kv_offloading_size", "None"),
    ("kv_sharing_fast_prefill", "False"),
    ("mamba_block_size", "None"),
    ("mamba_cache_dtype", "auto"),
    ("mamba_cache_mode", "none"),
    ("mamba_page_size_padded", "None"),
    ("mamba_ssm_cache_dtype", "float32"),
    ("num_cpu_blocks", "None"),
    ("prefix_cache_retention_interval", "0"),
    ("prefix_caching_hash_algo", "sha256"),
    ("prefix_match_unit", "None"),
    ("replayssm_buffer_len", "16"),
    ("skip_page_size_padded", "None"),
    ("sliding_window", "None"),
    ("swa_bounded_replay", "True"),
    ("use_kda_recoverssm", "False"),
    ("use_replayssm", "False"),
    ("user_specified_block_size", "False"),
];

fn tools(page: &mut Page, reading: &Reading<'_>) {
    let model = ("model_name", reading.spec.model_name.as_str());
    let mut children = Vec::with_capacity(12);
    for mode in ["streaming", "non_streaming"] {
        for outcome in ["tool_call", "no_tool_call"] {
            for kind in ["chat_completions", "responses", "other"] {
                children.push([("mode", mode), model, ("outcome", outcome), ("request_type", kind)]);
            }
        }
    }
    let children: Vec<_> = children.iter().map(|labels| (labels.as_slice(), 0.0)).collect();
    page.counter("vllm:tool_call_parser_invocations", "Answers parsed for tool calls.", &children);
}

fn sleep(page: &mut Page, meter: &Meter) {
    let (asleep, awake) = ([("operation", "sleep")], [("operation", "wake")]);
    let children = [(asleep.as_slice(), &meter.sleep), (awake.as_slice(), &meter.wake)];
    let used: Vec<_> = children.into_iter().filter(|(_, histogram)| histogram.count() > 0).collect();
    page.histogram(
        "vllm:sleep_mode_operation_duration_seconds",
        "Time that falling asleep and waking up take.",
        &used,
    );
    page.gauge(
        "vllm:sleep_mode_operations_in_flight",
        "Sleep operations under way.",
        &[(&asleep, 0.0), (&awake, 0.0)],
    );
}
