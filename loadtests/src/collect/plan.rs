//! What is measured, as a YAML file says it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use gearshift_config::{Catalog, HardwareFacts, Knobs, ModelFacts};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::Error;

/// A plan.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The rows' data set.
    pub dataset: String,
    /// How an engine is started.
    pub engine: Engine,
    /// What it runs on.
    pub hardware: Hardware,
    /// Models, by the name that rows give them.
    pub models: IndexMap<String, Model>,
    /// Knobs of all profiles that do not set them otherwise.
    #[serde(default)]
    pub knobs: Knobs,
    /// Profiles, by name.
    pub profiles: IndexMap<String, Profile>,
    /// The profile with everything off: whose answers are right, and whose times are what gains are gains over.
    pub reference: String,
    /// The profile with the engine's defaults, where there is one.
    pub defaults: Option<String>,
    /// Workloads, by name.
    pub workloads: IndexMap<String, Workload>,
    /// What greedy answers are asked for, one at a time.
    pub greedy: Greedy,
    /// How often each workload is measured on a profile's engine.
    pub repeats: u32,
    /// Seed of prompts.
    pub seed: u64,
}

/// How an engine is started.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// Program and arguments; `{model}` is the model's path, `{name}` its name, `{port}` where to listen. The profile's
    /// arguments follow.
    pub command: Vec<String>,
    /// Environment variables. vLLM opens the endpoint that empties the prefix cache with `VLLM_SERVER_DEV_MODE=1`.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Release date in months since July 2025, where known.
    pub months: Option<f64>,
    /// How long a start may take, seconds.
    #[serde(default = "patience")]
    pub start_within_s: u64,
}

fn patience() -> u64 {
    900
}

/// What engines run on: an entry of the catalog, or one with other numbers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hardware {
    /// The name that rows give it.
    pub name: String,
    /// How many; 1 where absent.
    pub count: Option<u32>,
    /// The catalog's entry that gives the numbers not stated here; `name` where absent.
    pub like: Option<String>,
    /// One or two sentences.
    pub description: Option<String>,
    /// Dense BF16 peak, TFLOP/s.
    pub bf16_tflops: Option<f64>,
    /// Dense FP8 (else INT8) peak, TFLOP/s.
    pub fp8_tflops: Option<f64>,
    /// Memory bandwidth, GB/s.
    pub memory_gb_per_s: Option<f64>,
    /// Memory, GiB.
    pub memory_gib: Option<f64>,
    /// Price of one, US dollars an hour.
    pub price_usd_per_hour: Option<f64>,
    /// Power limit, W.
    pub tdp_w: Option<f64>,
    /// Power when idle, W.
    pub idle_w: Option<f64>,
}

impl Hardware {
    /// Its numbers.
    ///
    /// # Errors
    /// Where the catalog has no such entry.
    pub fn facts(&self) -> Result<HardwareFacts, Error> {
        let like = self.like.as_ref().unwrap_or(&self.name);
        let known = Catalog::shipped().hardware(like);
        let known = known.ok_or_else(|| Error::Failed(format!("hardware {like} is not in the catalog")))?;
        Ok(HardwareFacts {
            description: self.description.clone().unwrap_or_else(|| known.description.clone()),
            bf16_tflops: self.bf16_tflops.unwrap_or(known.bf16_tflops),
            fp8_tflops: self.fp8_tflops.or(known.fp8_tflops),
            memory_gb_per_s: self.memory_gb_per_s.unwrap_or(known.memory_gb_per_s),
            memory_gib: self.memory_gib.unwrap_or(known.memory_gib),
            price_usd_per_hour: self.price_usd_per_hour.unwrap_or(known.price_usd_per_hour),
            tdp_w: self.tdp_w.unwrap_or(known.tdp_w),
            idle_w: self.idle_w.unwrap_or(known.idle_w),
            ..HardwareFacts::clone(known)
        })
    }
}

/// A model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its directory, in Hugging Face's form.
    pub path: PathBuf,
    /// The catalog's entry with its numbers; else they are read from its `config.json`.
    pub catalog: Option<String>,
    /// One or two sentences, where the catalog has none.
    pub description: Option<String>,
    /// Its family, as rows give it; its name where absent.
    pub family: Option<String>,
    /// This many times as many requests as workloads say, for a fast model: what is over in no time cannot be timed.
    #[serde(default = "once")]
    pub requests_times: u32,
}

fn once() -> u32 {
    1
}

impl Model {
    /// Its numbers.
    ///
    /// # Errors
    /// Where the catalog has no such entry, or its `config.json` cannot be read.
    pub fn facts(&self) -> Result<ModelFacts, Error> {
        let mut facts = match &self.catalog {
            Some(name) => {
                let known = Catalog::shipped().model(name);
                let known = known.ok_or_else(|| Error::Failed(format!("model {name} is not in the catalog")));
                ModelFacts::clone(known?)
            }
            None => ModelFacts::from_hf_config(&self.config_json()?)
                .map_err(|error| Error::Failed(format!("{}: {error}", self.path.display())))?,
        };
        if let Some(description) = &self.description {
            facts.description.clone_from(description);
        }
        Ok(facts)
    }

    /// Token ids of ordinary text in its vocabulary: special tokens and single bytes are usually first.
    ///
    /// # Errors
    /// Where its `config.json` cannot be read or does not say how many tokens there are.
    pub fn vocabulary(&self) -> Result<std::ops::Range<u32>, Error> {
        let config: serde_json::Value = serde_json::from_str(&self.config_json()?)?;
        let size = config["vocab_size"].as_u64().or_else(|| config["text_config"]["vocab_size"].as_u64());
        let size = size.and_then(|size| u32::try_from(size).ok()).filter(|size| *size >= 64);
        let size = size.ok_or_else(|| Error::Failed(format!("{}: no vocab_size", self.path.display())))?;
        Ok(size / 8..size / 8 * 7)
    }

    fn config_json(&self) -> Result<String, Error> {
        let path = self.path.join("config.json");
        std::fs::read_to_string(&path).map_err(Error::file(&path))
    }
}

/// A profile.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Its knobs.
    pub knobs: Knobs,
    /// What the engine makes of knobs left open, for the rows; it is not told.
    pub resolved: Knobs,
    /// Further arguments of the engine, that no knob stands for.
    pub arguments: Vec<String>,
    /// Whether it is declared to leave answers as they are; what its knobs say where absent.
    pub lossless: Option<bool>,
}

/// A workload.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// One sentence.
    pub description: String,
    /// Prompts.
    pub prompt: Prompts,
    /// Tokens of an answer: from, to.
    pub output: (u32, u32),
    /// How many requests; the same ones for every profile and repeat.
    pub requests: u32,
    /// Requests in flight: each number is a measurement of its own.
    pub concurrency: Vec<u32>,
}

/// Prompts of a workload. Pairs are from–to, in tokens; a length is drawn evenly, that of `unique` prompts by its logarithm.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Prompts {
    /// Prompts that begin with one of a few long prefixes.
    Shared {
        /// How many prefixes.
        prefixes: u32,
        /// Tokens of each.
        prefix_tokens: u32,
        /// Tokens of its own.
        tokens: (u32, u32),
    },
    /// Prompts that have nothing in common, short to long.
    Unique {
        /// Tokens.
        tokens: (u32, u32),
    },
    /// Conversations after a common system prompt; replies are scripted, so that prompts are the same in every profile.
    Chat {
        /// Tokens of the system prompt.
        system_tokens: u32,
        /// Conversations that go on side by side.
        sessions: u32,
        /// Turns of each.
        turns: u32,
        /// Tokens of what the user says.
        question: (u32, u32),
        /// Tokens of the reply before the next turn.
        reply: (u32, u32),
    },
    /// Texts, each time under another number.
    Texts {
        /// A JSON object of lists of texts.
        file: PathBuf,
        /// Which list.
        list: String,
    },
}

/// What greedy answers are asked for.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Greedy {
    /// A JSON object of lists of texts.
    pub file: PathBuf,
    /// Texts of each list.
    pub of_each: usize,
    /// Tokens of an answer.
    pub output: u32,
}

impl Plan {
    /// Reads and checks a plan.
    ///
    /// # Errors
    /// Where it cannot be read, is not of this form, or names what it does not have.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::file(path))?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// As [`Self::load`], from a text; `name` stands in messages.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let wrong = |what: String| Error::Failed(format!("{name}: {what}"));
        let plan: Self =
            gearshift_config::decode(name, text).map_err(|errors| Error::Failed(errors.to_string()))?;
        for profile in std::iter::once(&plan.reference).chain(&plan.defaults) {
            if !plan.profiles.contains_key(profile) {
                return Err(wrong(format!("there is no profile {profile}")));
            }
        }
        let names = plan.models.keys().chain(plan.profiles.keys()).chain(plan.workloads.keys());
        if let Some(name) = names.into_iter().find(|name| !is_file_name(name)) {
            return Err(wrong(format!("{name:?}: letters, digits, '.', '_' and '-' only: it names files")));
        }
        for (name, workload) in &plan.workloads {
            let holds = workload.requests > 0
                && !workload.concurrency.is_empty()
                && workload.concurrency.iter().all(|clients| (1..=workload.requests).contains(clients));
            if !holds || workload.output.0 < 2 || workload.output.0 > workload.output.1 {
                let what =
                    "at least one request in flight, no more than there are, and answers of two tokens";
                return Err(wrong(format!("workload {name}: {what}")));
            }
        }
        if plan.models.values().any(|model| model.requests_times == 0) {
            return Err(wrong("requests_times is at least 1".to_owned()));
        }
        if plan.repeats == 0 || plan.engine.command.is_empty() {
            return Err(wrong("an engine's command and at least one repeat".to_owned()));
        }
        plan.hardware.facts()?;
        Ok(plan)
    }

    /// A workload as a model gets it.
    pub fn workload(&self, model: &str, workload: &str) -> Option<Workload> {
        let mut made = self.workloads.get(workload)?.clone();
        made.requests = made.requests.saturating_mul(self.models.get(model)?.requests_times);
        Some(made)
    }

    /// A profile's knobs with those of all profiles.
    pub fn knobs_of(&self, profile: &Profile) -> Knobs {
        profile.knobs.or(&self.knobs)
    }

    /// Whether a profile is declared to leave answers as they are.
    pub fn declared_lossless(&self, profile: &Profile) -> bool {
        profile.lossless.unwrap_or_else(|| self.knobs_of(profile).lossless())
    }

    /// A profile's arguments.
    pub fn arguments(&self, profile: &Profile) -> Vec<String> {
        [self.knobs_of(profile).vllm_args(), profile.arguments.clone()].concat()
    }
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
