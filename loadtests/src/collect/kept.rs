//! What was measured, as it is kept: one file for each part.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::plan::{Plan, Profile, Workload};
use crate::{Error, bench::conditions};

/// Which measurement.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    pub(super) model: String,
    pub(super) profile: String,
    pub(super) workload: String,
    pub(super) concurrency: u32,
    pub(super) repeat: u32,
}

impl Key {
    /// Its name in files and rows.
    pub(super) fn name(&self) -> String {
        let Self { model, profile, workload, concurrency, repeat } = self;
        format!("{model}--{profile}--{workload}-{concurrency}--{repeat}")
    }

    fn file(&self) -> String {
        self.name() + ".json"
    }
}

/// One workload in one profile.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cell {
    /// Of what it was measured under: another plan's cell is none of this.
    pub(super) fingerprint: String,
    pub(super) key: Key,
    /// When it began, seconds since 1970.
    pub(super) at_unix_s: i64,
    /// Of the engine.
    pub(super) version: String,
    pub(super) kv_tokens: Option<u64>,
    /// Prompt tokens of each request, and those of them that a router would predict to be cached.
    pub(super) prompt_tokens: Vec<u32>,
    pub(super) predicted_cached: Vec<usize>,
    /// In the order of requests; failed ones are left out.
    pub(super) answers: Vec<Answered>,
    pub(super) failed: u32,
    /// From the first request to the last answer, seconds.
    pub(super) wall_s: f64,
    /// Prompt tokens that the prefix cache had, over all requests.
    pub(super) prefix_hits: u64,
    pub(super) preemptions: u64,
    /// Draft tokens, and those accepted.
    pub(super) drafted: u64,
    pub(super) accepted: u64,
    /// Cores that the engine, this driver, and everything else kept busy.
    pub(super) engine_cores: f64,
    pub(super) driver_cores: f64,
    pub(super) other_cores: f64,
    /// Of engine and driver.
    pub(super) niceness: i32,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answered {
    /// Which request.
    pub(super) request: usize,
    pub(super) ttft_s: f64,
    pub(super) e2e_s: f64,
    /// Token ids.
    pub(super) tokens: Vec<u32>,
}

/// Greedy answers of one profile, each asked for twice: the second time, the prompt is in the cache of profiles that have
/// one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Greedily {
    pub(super) fingerprint: String,
    pub(super) model: String,
    pub(super) profile: String,
    pub(super) repeat: u32,
    pub(super) first: Vec<Vec<u32>>,
    pub(super) second: Vec<Vec<u32>>,
}

/// What was measured on, or at least driven from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: usize,
}

/// Where parts are kept.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// A measurement, where it was made under this plan.
    pub(super) fn cell(&self, plan: &Plan, key: &Key) -> Result<Option<Cell>, Error> {
        let cell: Option<Cell> = read(&self.root.join("cells").join(key.file()))?;
        let wanted = fingerprint(plan, &key.model, &key.profile, Some(&key.workload));
        Ok(cell.filter(|cell| cell.fingerprint == wanted))
    }

    pub(super) fn keep_cell(&self, cell: &Cell) -> Result<(), Error> {
        write(&self.root.join("cells").join(cell.key.file()), cell)
    }

    /// Greedy answers, where they were asked for under this plan.
    pub(super) fn greedily(
        &self,
        plan: &Plan,
        model: &str,
        profile: &str,
        repeat: u32,
    ) -> Result<Option<Greedily>, Error> {
        let kept: Option<Greedily> = read(&self.greedily_file(model, profile, repeat))?;
        let wanted = fingerprint(plan, model, profile, None);
        Ok(kept.filter(|kept| kept.fingerprint == wanted))
    }

    pub(super) fn keep_greedily(&self, kept: &Greedily) -> Result<(), Error> {
        write(&self.greedily_file(&kept.model, &kept.profile, kept.repeat), kept)
    }

    fn greedily_file(&self, model: &str, profile: &str, repeat: u32) -> PathBuf {
        self.root.join("answers").join(format!("{model}--{profile}--{repeat}.json"))
    }

    /// What the machine is, as it was when the first part was kept.
    pub(super) fn machine(&self) -> Result<Machine, Error> {
        let file = self.root.join("machine.json");
        if let Some(machine) = read(&file)? {
            return Ok(machine);
        }
        let machine =
            Machine { cpu: conditions::cpu_model(), cores: std::thread::available_parallelism()?.get() };
        write(&file, &machine)?;
        Ok(machine)
    }

    /// Where an engine's log goes.
    pub(super) fn log(&self, model: &str, profile: &str, repeat: u32) -> Result<PathBuf, Error> {
        let folder = self.root.join("logs");
        std::fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        Ok(folder.join(format!("{model}--{profile}--{repeat}.log")))
    }
}

/// Identifies what a part is measured under: the engine, the model, the profile, and the workload or the greedy prompts.
pub(super) fn fingerprint(plan: &Plan, model: &str, profile: &str, workload: Option<&str>) -> String {
    let Plan { engine, seed, greedy, .. } = plan;
    let profile = plan.profiles.get(profile).map(|profile: &Profile| plan.arguments(profile));
    let made_of = workload.and_then(|name| plan.workload(model, name)).map(|workload| {
        let Workload { prompt, output, requests, description: _, concurrency: _ } = &workload;
        format!("{prompt:?} {output:?} {requests}")
    });
    let model = plan.models.get(model).map(|model| &model.path);
    let (command, environment) = (&engine.command, &engine.environment);
    let made_of = made_of.unwrap_or_else(|| format!("{greedy:?}"));
    let text = format!("{command:?} {environment:?} {model:?} {profile:?} {made_of} {seed}");
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text.as_bytes()))
}

/// Reads a file of this form; `None` where there is none.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    crate::validate::cpu::outcome::read(path)
}

/// Writes it, whole or not at all.
fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    crate::validate::cpu::outcome::write(path, value)
}
