//! What one scrape of vLLM's `/metrics` says (names as of vLLM 0.32).

use gearshift_config::KvCacheDtype;
use gearshift_selector::{Moment, ScrapedLoad};

use super::exposition::{Sample, samples};

/// The used part of a scrape. Families that are missing, or hold no usable number, are `None`.
///
/// Counts are summed over the `engine` (data-parallel rank) and `model_name` labels; KV use is the fullest engine's.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Scrape {
    /// Requests in the running batch.
    pub(super) running: Option<f64>,
    /// Requests queued.
    pub(super) waiting: Option<f64>,
    /// KV-cache use, 0–1.
    pub(super) kv_usage: Option<f64>,
    /// Prompt tokens processed since the engine started.
    pub(super) prompt_tokens: Option<f64>,
    /// Tokens generated since the engine started.
    pub(super) generation_tokens: Option<f64>,
    /// Tokens looked up in the prefix cache.
    pub(super) prefix_queries: Option<f64>,
    /// Tokens found there.
    pub(super) prefix_hits: Option<f64>,
    /// Whether any engine sleeps.
    pub(super) asleep: Option<bool>,
    /// The engine's KV-cache settings.
    pub(super) cache: Option<CacheConfig>,
}

/// KV-cache settings that vLLM publishes as labels of `vllm:cache_config_info`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct CacheConfig {
    pub(super) prefix_caching: Option<bool>,
    pub(super) dtype: Option<KvCacheDtype>,
    /// Capacity in tokens, summed over engines.
    pub(super) kv_tokens: Option<u64>,
    pub(super) gpu_memory_utilization: Option<f64>,
}

impl Scrape {
    /// Reads a metrics page; `None` when it holds nothing of vLLM's.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut scrape = None;
        for sample in samples(text, "vllm:") {
            scrape.get_or_insert_with(Self::default).take(&sample);
        }
        let mut scrape = scrape?;
        for sum in [
            &mut scrape.running,
            &mut scrape.waiting,
            &mut scrape.prompt_tokens,
            &mut scrape.generation_tokens,
            &mut scrape.prefix_queries,
            &mut scrape.prefix_hits,
        ] {
            *sum = sum.filter(|value| usable(*value));
        }
        Some(scrape)
    }

    /// The load, when the page gave every part of it.
    pub(super) fn load(&self, at: Moment) -> Option<ScrapedLoad> {
        Some(ScrapedLoad {
            at,
            running: count(self.running?),
            waiting: count(self.waiting?),
            kv_usage: self.kv_usage?.min(1.0),
        })
    }

    /// Tokens processed since the engine started, prompt and output.
    pub(super) fn tokens(&self) -> Option<f64> {
        Some(self.prompt_tokens? + self.generation_tokens?)
    }

    /// Requests the engine says it has.
    pub(super) fn busy(&self) -> bool {
        self.running.unwrap_or(0.0) + self.waiting.unwrap_or(0.0) > 0.0
    }

    fn take(&mut self, sample: &Sample<'_>) {
        match sample.name {
            "vllm:num_requests_running" => add(&mut self.running, sample.value),
            "vllm:num_requests_waiting" => add(&mut self.waiting, sample.value),
            "vllm:prompt_tokens_total" => add(&mut self.prompt_tokens, sample.value),
            "vllm:generation_tokens_total" => add(&mut self.generation_tokens, sample.value),
            "vllm:prefix_cache_queries_total" => add(&mut self.prefix_queries, sample.value),
            "vllm:prefix_cache_hits_total" => add(&mut self.prefix_hits, sample.value),
            "vllm:kv_cache_usage_perc" if usable(sample.value) => {
                self.kv_usage = Some(self.kv_usage.unwrap_or(0.0).max(sample.value));
            }
            "vllm:engine_sleep_state" if sample.label("sleep_state").as_deref() == Some("awake") => {
                // Routing to a half-asleep engine group hangs as surely as to a sleeping one.
                self.asleep = Some(self.asleep == Some(true) || sample.value == 0.0);
            }
            "vllm:cache_config_info" => self.cache.get_or_insert_default().take(sample),
            _ => {}
        }
    }
}

impl CacheConfig {
    fn take(&mut self, sample: &Sample<'_>) {
        let number = |name: &str| sample.label(name)?.parse::<u64>().ok();
        self.prefix_caching = match sample.label("enable_prefix_caching").as_deref() {
            Some("True") => Some(true),
            Some("False") => Some(false),
            _ => self.prefix_caching,
        };
        self.dtype = sample.label("cache_dtype").and_then(|name| kv_dtype(&name)).or(self.dtype);
        self.gpu_memory_utilization = sample
            .label("gpu_memory_utilization")
            .and_then(|share| share.parse().ok())
            .filter(|share: &f64| usable(*share))
            .or(self.gpu_memory_utilization);
        // Exact where vLLM says it (hybrid models waste part of their blocks), else blocks × block size.
        let tokens = number("kv_cache_size_tokens")
            .or_else(|| number("num_gpu_blocks")?.checked_mul(number("block_size")?));
        if let Some(tokens) = tokens.filter(|&tokens| tokens > 0) {
            self.kv_tokens = Some(self.kv_tokens.unwrap_or(0).saturating_add(tokens));
        }
    }
}

/// vLLM's name of a KV-cache type as the two widths that matter; other widths are not told apart yet.
pub(super) fn kv_dtype(name: &str) -> Option<KvCacheDtype> {
    match name {
        "auto" => Some(KvCacheDtype::Auto),
        "bfloat16" | "float16" => Some(KvCacheDtype::Bfloat16),
        name if name.starts_with("fp8") => Some(KvCacheDtype::Fp8),
        _ => None,
    }
}

fn usable(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

/// Adds a sample to a sum; one unusable sample makes the whole sum unusable, lest half an engine group pass for it.
fn add(sum: &mut Option<f64>, value: f64) {
    let value = if usable(value) { value } else { f64::NAN };
    *sum = Some(sum.unwrap_or(0.0) + value);
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float casts saturate, and the value is finite and positive"
)]
fn count(requests: f64) -> u32 {
    requests as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: &str = include_str!("fixtures/metrics.txt");

    fn parse(text: &str) -> Scrape {
        Scrape::parse(text).unwrap()
    }

    #[test]
    fn reads_what_vllm_0_32_publishes() {
        let scrape = parse(PAGE);
        assert_eq!(
            scrape.load(Moment(7)),
            Some(ScrapedLoad { at: Moment(7), running: 0, waiting: 0, kv_usage: 0.0 })
        );
        assert_eq!((scrape.prompt_tokens, scrape.generation_tokens), (Some(1122.0), Some(24.0)));
        assert_eq!((scrape.prefix_queries, scrape.prefix_hits), (Some(1122.0), Some(512.0)));
        assert_eq!(scrape.asleep, Some(false));
        let cache = CacheConfig {
            prefix_caching: Some(true),
            dtype: Some(KvCacheDtype::Auto),
            kv_tokens: Some(2_097_152),
            gpu_memory_utilization: Some(0.92),
        };
        assert_eq!(scrape.cache, Some(cache));
    }

    #[test]
    fn sums_over_engines_and_models_and_takes_the_fullest_cache() {
        let scrape = parse(
            "vllm:num_requests_running{engine=\"0\",model_name=\"a\"} 2\n\
             vllm:num_requests_running{engine=\"1\",model_name=\"a\"} 3\n\
             vllm:num_requests_waiting{engine=\"0\"} 1\nvllm:num_requests_waiting{engine=\"1\"} 0\n\
             vllm:kv_cache_usage_perc{engine=\"0\"} 0.25\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.75\n\
             vllm:cache_config_info{engine=\"0\",block_size=\"16\",num_gpu_blocks=\"100\"} 1\n\
             vllm:cache_config_info{engine=\"1\",block_size=\"16\",num_gpu_blocks=\"50\"} 1\n",
        );
        let load = scrape.load(Moment(1)).unwrap();
        assert_eq!((load.running, load.waiting, load.kv_usage), (5, 1, 0.75));
        assert_eq!(scrape.cache.unwrap().kv_tokens, Some(2400));
    }

    #[test]
    fn one_sleeping_engine_makes_the_backend_sleep() {
        let state = |engine: u8, awake: u8| {
            format!("vllm:engine_sleep_state{{engine=\"{engine}\",sleep_state=\"awake\"}} {awake}.0\n")
        };
        assert_eq!(parse(&(state(0, 1) + &state(1, 0))).asleep, Some(true));
        assert_eq!(parse(&(state(0, 0) + &state(1, 1))).asleep, Some(true));
        assert_eq!(parse(&(state(0, 1) + &state(1, 1))).asleep, Some(false));
    }

    #[test]
    fn numbers_that_are_none_are_missing_not_zero() {
        for bad in ["NaN", "+Inf", "-1", "-Inf"] {
            let scrape = parse(&format!(
                "vllm:num_requests_running 1\nvllm:num_requests_running {bad}\nvllm:num_requests_waiting 0\n\
                 vllm:kv_cache_usage_perc {bad}\n"
            ));
            assert_eq!((scrape.running, scrape.kv_usage), (None, None), "{bad}");
            assert_eq!(scrape.waiting, Some(0.0));
            assert_eq!(scrape.load(Moment(1)), None);
        }
    }

    #[test]
    fn huge_numbers_saturate() {
        let load = parse(
            "vllm:num_requests_running 1e300\nvllm:num_requests_waiting 5\nvllm:kv_cache_usage_perc 1.5\n\
             vllm:cache_config_info{block_size=\"99999999999\",num_gpu_blocks=\"99999999999\"} 1\n",
        );
        assert_eq!(
            load.load(Moment(1)).unwrap(),
            ScrapedLoad { at: Moment(1), running: u32::MAX, waiting: 5, kv_usage: 1.0 }
        );
        assert_eq!(load.cache.unwrap().kv_tokens, None);
    }

    #[test]
    fn other_engines_pages_and_no_pages_are_none() {
        for text in ["", "llamacpp:prompt_tokens_total 5\n", "<html>502</html>", "{\"error\":\"vllm:x\"}\n"] {
            assert_eq!(Scrape::parse(text), None, "{text}");
        }
    }

    proptest! {
        /// Whatever byte the page breaks off at, no number is read that the whole page does not hold.
        #[test]
        fn half_a_page_gives_only_whole_numbers(cut in 0..PAGE.len()) {
            let whole = parse(PAGE);
            let half = Scrape::parse(&PAGE[..cut]).unwrap_or_default();
            for (half, whole) in [
                (half.prompt_tokens, whole.prompt_tokens),
                (half.generation_tokens, whole.generation_tokens),
                (half.prefix_hits, whole.prefix_hits),
            ] {
                prop_assert!(half.is_none() || half == whole);
            }
            prop_assert!(half.cache.is_none() || half.cache == whole.cache);
        }
    }
}
