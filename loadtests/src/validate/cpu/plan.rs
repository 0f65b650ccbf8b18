//! What is measured: profiles, loads and seeds. Fixed before the first measurement for the record; a measurement
//! carries the plan's [`fingerprint`], so that one made under another plan is not taken for one of this.

use std::time::Duration;

use gearshift_config::Knobs;

use super::{
    load::{self, Load},
    probes::Probe,
};

/// The catalog's key of the model.
pub const MODEL: &str = "smollm2-135m";
/// The longest context served, tokens. Above the smaller chunk budget, which needs chunked prefill.
pub const MODEL_LEN: u32 = 2048;
/// Tokens of a KV block: vLLM's default on CPUs.
pub const BLOCK_TOKENS: u32 = 128;
/// KV blocks (`--num-gpu-blocks-override`): few, so that the prefix cache evicts and full batches meet the limit.
pub const BLOCKS: u32 = 64;
/// Element type of weights, activations and KV cache.
pub const DTYPE: &str = "bfloat16";

/// Knobs of one engine of the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Profile {
    /// Automatic prefix caching.
    pub prefix_caching: bool,
    /// Token budget of a step.
    pub budget: u32,
    /// Sequences in a step at most.
    pub seqs: u32,
}

impl Profile {
    /// The grid, in the order in which it is measured.
    pub fn grid() -> impl Iterator<Item = Self> {
        [false, true].into_iter().flat_map(|prefix_caching| {
            [2048, 256].into_iter().flat_map(move |budget| {
                [32, 4].into_iter().map(move |seqs| Self { prefix_caching, budget, seqs })
            })
        })
    }

    /// The one that step times are fitted on.
    pub const FITTED: Self = Self { prefix_caching: false, budget: 2048, seqs: 32 };
    /// The one that chunks with context before them are fitted on.
    pub const FITTED_CHUNKS: Self = Self { prefix_caching: false, budget: 256, seqs: 32 };

    /// Its name in reports and files.
    pub fn name(self) -> String {
        let Self { prefix_caching, budget, seqs } = self;
        format!("{}-{budget}-{seqs}", if prefix_caching { "cache" } else { "plain" })
    }

    /// Its knobs, for the simulated engine.
    pub fn knobs(self) -> Knobs {
        Knobs {
            prefix_caching: Some(self.prefix_caching),
            chunked_prefill: Some(true),
            max_num_batched_tokens: Some(self.budget),
            max_num_seqs: Some(self.seqs),
            max_model_len: Some(MODEL_LEN),
            ..Knobs::default()
        }
    }

    /// Its flags, for the real engine.
    pub fn flags(self) -> Vec<String> {
        let caching =
            if self.prefix_caching { "--enable-prefix-caching" } else { "--no-enable-prefix-caching" };
        vec![
            caching.to_owned(),
            "--enable-chunked-prefill".to_owned(),
            format!("--max-num-batched-tokens={}", self.budget),
            format!("--max-num-seqs={}", self.seqs),
        ]
    }
}

/// The two loads that every profile gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Poisson arrivals, near what the slower profiles can take: latencies under queueing and batching.
    Open,
    /// All requests at once: throughput.
    Burst,
}

impl Phase {
    /// In the order of measurement.
    pub const ALL: [Self; 2] = [Self::Open, Self::Burst];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Burst => "burst",
        }
    }

    /// Its load.
    pub fn load(self) -> Load {
        match self {
            Self::Open => Load {
                seed: 20_261_122,
                arrivals_per_s: Some(0.9),
                duration: Duration::from_secs(50),
                requests: usize::MAX,
            },
            Self::Burst => Load { seed: 4_157, arrivals_per_s: None, duration: Duration::ZERO, requests: 24 },
        }
    }
}

/// Identifies the plan: changes where the grid, the loads or what they are made of change.
pub fn fingerprint() -> String {
    let mut hash = Fnv::default();
    hash.feed(&(MODEL, MODEL_LEN, BLOCK_TOKENS, BLOCKS, DTYPE));
    Profile::grid().for_each(|profile| hash.feed(&profile.flags()));
    for phase in Phase::ALL {
        for request in load::requests(&phase.load()) {
            hash.feed(&(
                request.at.as_nanos(),
                load::token_ids(&request.content),
                request.content.output_tokens(),
            ));
        }
    }
    Probe::whole().chain(Probe::chunked()).for_each(|probe| hash.feed(&probe));
    format!("{:016x}", hash.0)
}

/// FNV-1a: the same for the same plan under any compiler.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn feed(&mut self, part: &impl std::fmt::Debug) {
        for byte in format!("{part:?}").bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
