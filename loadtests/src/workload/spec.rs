//! Workloads as people write them: a name, or a JSON file.

use std::{path::Path, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Arrivals, Class, KNOWN_TRACES, Mix, Phase, Trace, TraceError, Weights, Workload};

/// A workload in a JSON file.
///
/// ```json
/// { "name": "evening", "mix": { "phases": [{ "seconds": 60, "weights": { "chat": 3, "rag": 1 } }] },
///   "arrivals": "gamma:2", "rate": 8, "context": 16384 }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadSpec {
    /// What reports call it.
    pub name: String,
    /// Requests of the generator; either this or `trace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<Mix>,
    /// A trace's name or path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceSpec>,
    /// How gaps are spread: `poisson` for a mix, `trace` for a trace unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<Arrivals>,
    /// Requests per second on average: 1 for a mix, the trace's own for a trace unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Most tokens of a prompt with its answer.
    #[serde(default = "default_context")]
    pub context: u32,
}

/// Which trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceSpec {
    /// One of [`KNOWN_TRACES`], or a file's path.
    pub file: String,
    /// What its requests are for; a known trace says so itself.
    #[serde(default = "default_class")]
    pub class: Class,
}

fn default_context() -> u32 {
    32_768
}

fn default_class() -> Class {
    Class::Chat
}

/// Why there is no workload.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// Neither a name nor a file.
    #[error("{name:?} is no workload: one of {}, or a JSON file", names().join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The file is not a workload.
    #[error("{path}: {reason}")]
    File {
        /// Which one.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The parts contradict each other.
    #[error("workload {name:?}: {reason}")]
    Invalid {
        /// The workload.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Its trace cannot be had.
    #[error("workload {name:?}: {source}")]
    Trace {
        /// The workload.
        name: String,
        /// The reason.
        source: TraceError,
    },
}

/// Shares of the classes in `steady`, and on average over `drift`. Assumed.
const MIXED: Weights =
    Weights { chat: 0.4, rag: 0.2, agent: 0.15, code: 0.15, summary: 0.05, reasoning: 0.05 };

/// All names that need no file.
pub fn names() -> Vec<&'static str> {
    let classes = Class::ALL.into_iter().map(Class::name);
    ["steady", "drift"].into_iter().chain(KNOWN_TRACES.map(|known| known.name)).chain(classes).collect()
}

impl WorkloadSpec {
    /// What is built in under `name`: `steady` (all classes), `drift` (their shares change over ten minutes), the traces, and
    /// each class alone.
    pub fn named(name: &str) -> Option<Self> {
        let spec = |mix| Self { mix, ..Self::empty(name) };
        let class = Class::ALL.into_iter().find(|class| class.name() == name);
        let trace = KNOWN_TRACES.iter().find(|known| known.name == name);
        match (name, class, trace) {
            ("steady", ..) => Some(spec(Some(Mix::steady(MIXED)))),
            ("drift", ..) => Some(spec(Some(drift()))),
            (_, Some(class), _) => Some(spec(Some(Mix::steady(Weights::only(class))))),
            (_, _, Some(known)) => {
                let trace = Some(TraceSpec { file: known.name.to_owned(), class: known.class });
                Some(Self { trace, ..Self::empty(name) })
            }
            _ => None,
        }
    }

    fn empty(name: &str) -> Self {
        let context = default_context();
        Self { name: name.to_owned(), mix: None, trace: None, arrivals: None, rate: None, context }
    }

    /// The spec in a JSON file.
    ///
    /// # Errors
    /// Where the file cannot be read or is no spec; the reason has the line.
    pub fn read(path: &Path) -> Result<Self, WorkloadError> {
        let error = |reason: String| WorkloadError::File { path: path.display().to_string(), reason };
        let text = std::fs::read_to_string(path).map_err(|source| error(source.to_string()))?;
        serde_json::from_str(&text).map_err(|source| error(source.to_string()))
    }

    /// The workload, with its trace loaded.
    ///
    /// # Errors
    /// Where the parts contradict each other or the trace cannot be had.
    pub fn build(self) -> Result<Workload, WorkloadError> {
        let Self { name, mix, trace, arrivals, rate, context } = self;
        let invalid = |reason| Err(WorkloadError::Invalid { name: name.clone(), reason });
        if rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
            return invalid("rate must be positive");
        }
        if context < LEAST_CONTEXT {
            return invalid("context must be at least 64 tokens");
        }
        match (mix, trace) {
            (Some(_), Some(_)) | (None, None) => invalid("needs either mix or trace"),
            (Some(mix), None) if !mix.is_valid() => {
                invalid("mix needs phases that last, with weights of which one is positive and none negative")
            }
            (Some(_), None) if arrivals == Some(Arrivals::Trace) => {
                invalid("arrivals \"trace\" need a trace")
            }
            (Some(mix), None) => Ok(Workload::generated(&name, mix, context)
                .with_arrivals(arrivals.unwrap_or(Arrivals::Poisson))
                .at_rate(rate.unwrap_or(1.0))),
            (None, Some(trace)) => {
                let loaded =
                    trace.load().map_err(|source| WorkloadError::Trace { name: name.clone(), source })?;
                let natural = loaded.rate();
                Ok(Workload::recorded(&name, Arc::new(loaded), context)
                    .with_arrivals(arrivals.unwrap_or(Arrivals::Trace))
                    .at_rate(rate.unwrap_or(natural)))
            }
        }
    }
}

/// Room for a prompt and an answer.
const LEAST_CONTEXT: u32 = 64;

impl TraceSpec {
    fn load(&self) -> Result<Trace, TraceError> {
        match KNOWN_TRACES.iter().find(|known| known.name == self.file) {
            Some(known) => Trace::known(known),
            None => Trace::load(Path::new(&self.file), self.class),
        }
    }
}

/// From conversations over retrieval and agents to code and long documents, and back, within ten minutes.
fn drift() -> Mix {
    let phase = |weights| Phase { seconds: 150.0, weights };
    let none = Weights::default();
    let phases = vec![
        phase(Weights { chat: 0.7, rag: 0.15, code: 0.05, summary: 0.05, reasoning: 0.05, ..none }),
        phase(Weights { chat: 0.2, rag: 0.45, agent: 0.25, summary: 0.05, reasoning: 0.05, ..none }),
        phase(Weights { chat: 0.1, rag: 0.1, agent: 0.3, code: 0.45, reasoning: 0.05, ..none }),
        phase(Weights { chat: 0.4, rag: 0.1, agent: 0.05, code: 0.1, summary: 0.15, reasoning: 0.2 }),
    ];
    Mix { phases, smooth: true }
}

impl Workload {
    /// The workload built in under a name, else the one in the file of that path.
    ///
    /// # Errors
    /// Where there is neither, or the workload cannot be built.
    pub fn find(name_or_path: &str) -> Result<Self, WorkloadError> {
        let path = Path::new(name_or_path);
        let spec = match WorkloadSpec::named(name_or_path) {
            Some(spec) => spec,
            None if path.exists() => WorkloadSpec::read(path)?,
            None => return Err(WorkloadError::Unknown { name: name_or_path.to_owned() }),
        };
        spec.build()
    }

    /// Drift over `duration` instead of the phases' own lengths; nothing changes for a trace.
    #[must_use]
    pub fn drifting_over(self, duration: Duration) -> Self {
        self.with_mix(|mix| mix.over(duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_without_data_builds() {
        for name in names() {
            let spec = WorkloadSpec::named(name).unwrap();
            let text = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<WorkloadSpec>(&text).unwrap(), spec, "{text}");
            if spec.mix.is_some() {
                assert_eq!(spec.build().unwrap().name(), name);
            }
        }
        let error = Workload::find("nothing").unwrap_err().to_string();
        assert!(error.contains("steady, drift, azure-conv"), "{error}");
    }

    #[test]
    fn the_documented_file_is_a_workload() {
        let text = r#"{ "name": "evening", "mix": { "phases": [{ "seconds": 60, "weights": { "chat": 3, "rag": 1 } }] },
            "arrivals": "gamma:2", "rate": 8, "context": 16384 }"#;
        let spec: WorkloadSpec = serde_json::from_str(text).unwrap();
        assert_eq!(spec.arrivals, Some(Arrivals::Gamma { cv: 2.0 }));
        let workload = spec.build().unwrap().limited(50);
        assert_eq!(workload.requests(1).count(), 50);
    }

    #[test]
    fn contradictions_are_named() {
        let chat = || WorkloadSpec::named("chat").unwrap();
        let trace = Some(TraceSpec { file: "none.csv".into(), class: Class::Chat });
        let none = Weights::default();
        for (spec, reason) in [
            (WorkloadSpec { mix: None, ..chat() }, "needs either"),
            (WorkloadSpec { trace: trace.clone(), ..chat() }, "needs either"),
            (WorkloadSpec { rate: Some(0.0), ..chat() }, "rate"),
            (WorkloadSpec { rate: Some(f64::NAN), ..chat() }, "rate"),
            (WorkloadSpec { context: 63, ..chat() }, "context"),
            (WorkloadSpec { arrivals: Some(Arrivals::Trace), ..chat() }, "need a trace"),
            (WorkloadSpec { mix: Some(Mix::steady(none)), ..chat() }, "weights"),
            (WorkloadSpec { mix: None, trace, ..chat() }, "none.csv"),
        ] {
            let error = spec.build().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
