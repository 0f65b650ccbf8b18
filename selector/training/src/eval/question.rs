//! What is evaluated: rows of one source and data set, under one protocol, with one set of actions.

use std::collections::{BTreeMap, BTreeSet};

use gearshift_perfdb::{Grain, Observation, Source};
use gearshift_selector::{PriorFactors, inputs};
use sha2::{Digest as _, Sha256};

use super::{profiles, splits::Axis};
use crate::{
    baselines::{Target, View},
    dataset::{Context, Dataset, Protocol, Sample},
};

/// The data set of simulators fitted to measurements; see `perfdb/data/README.md`.
const FITTED: &str = "simulated_engines";

/// One dataset and how it is cut.
#[derive(Debug, Clone)]
pub struct Question {
    /// Where its rows come from.
    pub source: Source,
    /// The collection.
    pub dataset: String,
    /// How rows become contexts.
    pub protocol: Protocol,
    /// Which actions compete: `all`, or `metainf` for the paper's eight.
    pub actions: &'static str,
    /// Along what it is cut.
    pub axes: Vec<Axis>,
    /// The rows.
    pub data: Dataset,
    /// The same rows by era, where `data` compares across them: what the learner compares in training.
    pub eras: Option<Dataset>,
    /// SHA-256 over all that selectors see of it, hexadecimal.
    pub hash: String,
}

/// All questions that rows can answer; sources and data sets apart.
///
/// Measured rows of several accelerators are cut at random, by hardware, by family and by both, under both protocols;
/// those of one are cut by workload. Of simulated rows, that are many, the H200 is held out, and hardware unlike all
/// others; with all actions, and with the paper's eight. Rows of single requests have no choice in them: they are not asked
/// about.
pub fn questions(rows: Vec<Observation>) -> Vec<Question> {
    let mut apart: BTreeMap<(Source, String), Vec<Observation>> = BTreeMap::new();
    for row in rows.into_iter().filter(|row| row.grain == Grain::Window) {
        apart.entry((row.source, row.dataset.clone())).or_default().push(row);
    }
    let mut questions = Vec::new();
    for ((source, name), rows) in apart {
        let several = rows.iter().any(|row| row.facts.hardware != rows[0].facts.hardware);
        let mut add = |rows: Vec<Observation>, protocol, actions, axes| {
            let eras = (several && protocol == Protocol::Clean && source == Source::Measured)
                .then(|| Dataset::new(rows.clone(), Protocol::Era));
            let data = Dataset::new(rows, protocol);
            if data.contexts.iter().any(|context| context.samples.len() > 1) {
                let hash = hash(std::iter::once(&data).chain(&eras));
                questions.push(Question {
                    source,
                    dataset: name.clone(),
                    protocol,
                    actions,
                    axes,
                    data,
                    eras,
                    hash,
                });
            }
        };
        match source {
            Source::Measured | Source::Live if several => {
                let axes = vec![Axis::Random, Axis::Hardware, Axis::Family, Axis::FamilyAndArchitecture];
                add(rows.clone(), Protocol::Clean, "all", axes.clone());
                add(rows, Protocol::Era, "all", axes);
            }
            Source::Measured | Source::Live => {
                let eight = profiles::of_eight(&rows);
                add(rows, Protocol::Clean, "all", vec![Axis::Workload]);
                add(eight, Protocol::Clean, "metainf", vec![Axis::Workload]);
            }
            Source::SimulatedKernel => add(rows, Protocol::Clean, "all", vec![Axis::Hardware]),
            Source::Simulated => {
                let eight = profiles::of_eight(&rows);
                add(rows, Protocol::Clean, "all", vec![Axis::Kind]);
                add(eight, Protocol::Clean, "metainf", vec![Axis::Kind]);
            }
        }
    }
    questions
}

/// Rows that may be learned from before measured ones are asked about: none that was measured, and none of simulators that were fitted
/// to measurements, for what those have in common was fitted to what is held out as well.
pub fn not_measured(rows: &[Observation]) -> Vec<Observation> {
    let may = |row: &&Observation| row.source != Source::Measured && row.dataset != FITTED;
    rows.iter().filter(may).cloned().collect()
}

impl Question {
    /// The eras of the contexts at these positions.
    pub(super) fn eras_of(&self, contexts: &[usize]) -> Option<Dataset> {
        let names: BTreeSet<&str> = contexts.iter().map(|&at| self.data.contexts[at].name.as_str()).collect();
        let eras = self.eras.as_ref()?;
        let whole = |context: &Context| {
            context.samples.first().is_some_and(|&at| names.contains(eras.samples[at].row.context.as_str()))
        };
        Some(eras.of_contexts(whole))
    }

    /// Its source in words.
    pub fn source_name(&self) -> &'static str {
        match self.source {
            Source::Simulated => "simulated",
            Source::SimulatedKernel => "simulated_kernel",
            Source::Measured => "measured",
            Source::Live => "live",
        }
    }

    /// Its protocol in words.
    pub fn protocol_name(&self) -> &'static str {
        match self.protocol {
            Protocol::Clean => "clean",
            Protocol::Era => "era",
        }
    }

    /// All that tells it from others.
    pub fn title(&self) -> String {
        let (source, protocol) = (self.source_name(), self.protocol_name());
        format!("{source}/{}/{protocol}/{}", self.dataset, self.actions)
    }

    /// Targets on which its samples differ. Where a context's actions all take the same accelerators, cost is latency.
    pub fn targets(&self) -> Vec<Target> {
        let data = &self.data;
        let count = |at: usize| data.samples[at].accelerators;
        let differs =
            data.contexts.iter().any(|c| c.samples.windows(2).any(|pair| count(pair[0]) != count(pair[1])));
        let measured = |target: Target| data.samples.iter().any(|sample| target.ln(sample).is_some());
        let asked = |target: &Target| match target {
            Target::Latency => true,
            Target::Cost | Target::CostLatency => differs,
            Target::Energy => measured(*target),
        };
        Target::ALL.into_iter().filter(asked).collect()
    }
}

/// Over names and times, and over what the learner sees under the shipped prior: a change of either makes results anew.
pub(super) fn hash<'a>(sets: impl IntoIterator<Item = &'a Dataset>) -> String {
    let mut hasher = Sha256::new();
    hasher.update(inputs::schema_hash());
    for data in sets {
        hasher.update("set\n");
        add(&mut hasher, data);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn add(hasher: &mut Sha256, data: &Dataset) {
    let view = View::new(data, &PriorFactors::default());
    for (at, sample) in data.samples.iter().enumerate() {
        let Sample { row, statics, accelerators, ttft_ms, tpot_ms, .. } = sample;
        let outcome = &row.outcome;
        let context = &data.contexts[sample.context];
        hasher.update(format!(
            "{}|{}|{}|{}|{accelerators:?}|{ttft_ms:?}|{tpot_ms:?}|{:?}|{:?}|{:?}|{:?}|{:?}\n",
            context.name,
            context.family,
            context.hardware,
            row.action,
            outcome.joules_per_token,
            outcome.reference_e2e_s,
            view.ln_prior[at],
            view.query[at],
            statics,
        ));
    }
}
