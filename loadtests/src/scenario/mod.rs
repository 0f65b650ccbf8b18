//! Fleets of simulated engines, described as Gearshift itself sees them: by a configuration file.
//!
//! A [`Scenario`] is a valid `gearshift.yaml` and, optionally, its *truth*: a JSON file that says where the engines
//! are not what the configuration declares ([`Truth`]). The same scenario serves both clocks: studies take the
//! specifications, `gearshift-loadtest engines` gives each a port.

mod defaults;
mod shipped;
mod truth;

use std::{path::Path, sync::Arc};

use gearshift_config::{Backend, Catalog, Config, Declared, Errors, Hardware, Knobs, ModelFacts};

pub use defaults::{ACCELERATOR_BLOCK_TOKENS, CPU_BLOCK_TOKENS, block_tokens, times};
pub use truth::{EngineTruth, TrueHardware, Truth};

use crate::sim::{EngineSpec, Scheduling};

/// A fleet: what Gearshift is told of it, and what it is.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name: of a shipped one, or the file's.
    pub name: String,
    /// What Gearshift is told.
    pub config: Config,
    /// The same as text.
    pub text: String,
    /// The engines, in the order of the configuration's backends.
    pub engines: Vec<PlannedEngine>,
}

/// One engine of a scenario, before it runs.
#[derive(Debug, Clone)]
pub struct PlannedEngine {
    /// The backend that it is declared as: its URL, its price.
    pub backend: Arc<Backend>,
    /// What it really is.
    pub spec: EngineSpec,
    /// Every step takes this many times as long; 1 for an honest engine.
    pub slow: f64,
    /// Network round trip to it beyond the machine's own, seconds.
    pub round_trip_s: f64,
    /// Share of packets that the network loses.
    pub loss: f64,
    /// What it computes.
    pub runner: Runner,
}

/// What an engine computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Runner {
    /// Answers.
    #[default]
    Generate,
    /// Embeddings, scores and classes (`--runner pooling`).
    Pooling,
}

/// Why a scenario cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The configuration is not valid.
    #[error("{0}")]
    Config(Box<Errors>),
    /// A file cannot be read.
    #[error("{file}: {source}")]
    Read {
        /// Its name.
        file: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The truth file is no valid JSON of the expected shape.
    #[error("{file}: {source}")]
    Truth {
        /// Its name.
        file: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A backend leaves something open that a simulated engine has to know, or refers to what is not there.
    #[error("{scenario}: {engine}: {what}")]
    Engine {
        /// The scenario's name.
        scenario: String,
        /// The backend's name.
        engine: String,
        /// What is missing.
        what: String,
    },
    /// No shipped scenario has that name.
    #[error("no shipped scenario is called {0}; there are: {names}", names = shipped::names().collect::<Vec<_>>().join(", "))]
    Unknown(String),
}

impl Scenario {
    /// The names of the shipped scenarios.
    pub fn shipped_names() -> impl Iterator<Item = &'static str> {
        shipped::names()
    }

    /// A scenario that ships with the program.
    ///
    /// # Errors
    /// Where none has that name.
    pub fn shipped(name: &str) -> Result<Self, ScenarioError> {
        let (text, truth) = shipped::find(name).ok_or_else(|| ScenarioError::Unknown(name.to_owned()))?;
        Self::parse(name, text, truth)
    }

    /// Reads a configuration file and, where given, its truth.
    ///
    /// # Errors
    /// Where a file cannot be read or is not valid, or leaves open what an engine has to know.
    pub fn load(path: &Path, truth: Option<&Path>) -> Result<Self, ScenarioError> {
        let read = |path: &Path| {
            let file = path.display().to_string();
            std::fs::read_to_string(path).map_err(|source| ScenarioError::Read { file, source })
        };
        let config =
            gearshift_config::load(path).map_err(|errors| ScenarioError::Config(Box::new(errors)))?;
        let text = read(path)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let truth = match truth {
            None => Truth::default(),
            Some(path) => {
                let file = path.display().to_string();
                Truth::parse(&read(path)?).map_err(|source| ScenarioError::Truth { file, source })?
            }
        };
        Self::assemble(name, config, text, &truth)
    }

    /// As [`Self::load`], from texts. The configuration may refer to no files.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(name: &str, config: &str, truth: Option<&str>) -> Result<Self, ScenarioError> {
        let text = config.to_owned();
        let config = gearshift_config::parse(name, config, Path::new(""))
            .map_err(|errors| ScenarioError::Config(Box::new(errors)))?;
        let truth = truth
            .map(Truth::parse)
            .transpose()
            .map_err(|source| ScenarioError::Truth { file: format!("{name}.truth.json"), source })?;
        Self::assemble(name.to_owned(), config, text, &truth.unwrap_or_default())
    }

    fn assemble(name: String, config: Config, text: String, truth: &Truth) -> Result<Self, ScenarioError> {
        let failed = |engine: &str, what: String| ScenarioError::Engine {
            scenario: name.clone(),
            engine: engine.to_owned(),
            what,
        };
        let declared = |engine: &str| config.backends.iter().any(|backend| backend.id.as_str() == engine);
        if let Some(stranger) = truth.engines.keys().find(|engine| !declared(engine)) {
            return Err(failed(stranger, "the truth names an engine that the configuration does not".into()));
        }
        let plan = |backend: &Arc<Backend>| {
            let truth = truth.engines.get(backend.id.as_str());
            plan(&config, backend, truth).map_err(|what| failed(backend.id.as_str(), what))
        };
        let engines = config.backends.iter().map(plan).collect::<Result<_, _>>()?;
        Ok(Self { name, config, text, engines })
    }
}

/// One engine; the error is what is missing.
fn plan(
    config: &Config,
    backend: &Arc<Backend>,
    truth: Option<&EngineTruth>,
) -> Result<PlannedEngine, String> {
    let honest = EngineTruth::default();
    let truth = truth.unwrap_or(&honest);
    let hardware = hardware(backend, truth.hardware.as_ref())?;
    let (model_name, model) = model(config, backend)?;
    let knobs = knobs(config, backend, truth.profile.as_deref())?;
    let draft = knobs.speculative.as_ref().and_then(|speculative| speculative.model.as_deref());
    let draft = draft.and_then(|draft| Catalog::shipped().model(draft)).cloned();
    let spec = EngineSpec {
        name: backend.id.to_string(),
        hardware_id: hardware.id.to_string(),
        block_tokens: block_tokens(&hardware.facts),
        hardware: hardware.facts,
        count: hardware.count,
        model_name,
        model,
        knobs,
        draft,
        scheduling: if truth.priority_scheduling { Scheduling::Priority } else { Scheduling::Fcfs },
        max_queued: truth.max_queued,
        blocks: truth.blocks,
        times: times(),
        factors: None,
    };
    Ok(PlannedEngine {
        backend: Arc::clone(backend),
        spec,
        slow: truth.slow.unwrap_or(1.0),
        round_trip_s: truth.round_trip_ms.unwrap_or_default() * 1e-3,
        loss: truth.loss.unwrap_or_default().clamp(0.0, 0.9),
        runner: if truth.pooling { Runner::Pooling } else { Runner::Generate },
    })
}

fn hardware(backend: &Backend, truth: Option<&TrueHardware>) -> Result<Hardware, String> {
    match (truth, &backend.hardware) {
        (Some(TrueHardware { kind, count }), _) => {
            let facts = Catalog::shipped().hardware(kind);
            let facts = facts.ok_or_else(|| format!("the catalog has no hardware {kind}"))?;
            let id = gearshift_config::HardwareId::new(kind.as_str());
            Ok(Hardware { id, count: *count, facts: Arc::clone(facts) })
        }
        (None, Some(hardware)) => Ok(hardware.clone()),
        (None, None) => Err("its hardware has to be stated: there is nothing that could be asked".into()),
    }
}

fn model(config: &Config, backend: &Backend) -> Result<(String, Arc<ModelFacts>), String> {
    let Declared::Is(id) = &backend.model else {
        return Err("its model has to be stated: there is nothing that could be asked".into());
    };
    let model = config.models.iter().find(|model| model.id == *id);
    let facts = model.and_then(|model| Some((model.served_name.clone(), model.facts.clone()?)));
    facts.ok_or_else(|| format!("nothing is known of the model {id}"))
}

fn knobs(config: &Config, backend: &Backend, truth: Option<&str>) -> Result<Knobs, String> {
    match (truth, &backend.profile) {
        (Some(name), _) => {
            let profile = config.profiles.iter().find(|profile| profile.id.as_str() == name);
            Ok(profile.ok_or_else(|| format!("there is no profile {name}"))?.knobs.clone())
        }
        (None, Declared::Is(profile)) => Ok(profile.knobs.clone()),
        (None, Declared::Detect) => Ok(Knobs::default()),
    }
}

#[cfg(test)]
mod tests;
