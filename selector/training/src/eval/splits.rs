//! Which contexts are held out together.

use crate::dataset::{Context, Dataset};

/// A part of a dataset that is held out, and what may then be learned from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name: `hardware:h200_sxm`.
    pub name: String,
    /// The splits it is part of, its own one included where it has one.
    pub splits: Vec<String>,
    /// Contexts that are asked about, by position.
    pub test: Vec<usize>,
    /// Contexts that are learned from, by position.
    pub train: Vec<usize>,
    /// Values of the key that is held out: nothing with one of them may be learned from, of whatever data set.
    held_out: Vec<String>,
    axis: Axis,
}

impl Part {
    /// The contexts of another dataset that may be learned from.
    pub fn allowed(&self, other: &Dataset) -> Dataset {
        other.of_contexts(|context| {
            let key = self.axis.key(other, context);
            key.iter().zip(&self.held_out).all(|(value, held_out)| value != held_out)
        })
    }
}

const RANDOM_PARTS: usize = 5;

/// What contexts differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// Nothing that counts: five random parts.
    Random,
    /// The accelerator.
    Hardware,
    /// The model family.
    Family,
    /// Both: a family on an architecture, learned from other families on other architectures.
    FamilyAndArchitecture,
    /// The workload.
    Workload,
    /// The H200, and every kind of hardware that is unlike the rest: CPUs, TPUs, Gaudi.
    Kind,
}

impl Axis {
    /// The split over all its parts.
    pub fn union(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Hardware => "unseen_gpu",
            Self::Family => "unseen_family",
            Self::FamilyAndArchitecture => "unseen_family_and_architecture",
            Self::Workload => "unseen_workload",
            Self::Kind => "unseen_kind",
        }
    }

    /// What is held out of a context; nothing where that is drawn.
    fn key(self, dataset: &Dataset, context: &Context) -> Vec<String> {
        match self {
            Self::Random => Vec::new(),
            Self::Hardware => vec![context.hardware.clone()],
            Self::Family => vec![context.family.clone()],
            Self::FamilyAndArchitecture => vec![context.family.clone(), architecture(dataset, context)],
            Self::Workload => vec![workload(dataset, context)],
            Self::Kind => vec![kind(&context.hardware, &architecture(dataset, context)).to_owned()],
        }
    }

    /// What names of parts begin with.
    fn prefix(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Hardware | Self::Kind => "hardware",
            Self::Family => "family",
            Self::FamilyAndArchitecture => "both",
            Self::Workload => "workload",
        }
    }

    /// The parts of a dataset that have something to learn from.
    pub fn parts(self, dataset: &Dataset, seed: u64) -> Vec<Part> {
        let parts = match self {
            Self::Random => random(dataset, seed),
            Self::Hardware | Self::Family | Self::FamilyAndArchitecture | Self::Workload => {
                held_out(dataset, self)
            }
            Self::Kind => {
                let mut parts = held_out(dataset, self);
                parts.retain(|part| part.held_out.iter().any(|kind| HELD_OUT_KINDS.contains(&kind.as_str())));
                parts
            }
        };
        let mut parts: Vec<Part> =
            parts.into_iter().filter(|part| !part.train.is_empty() && !part.test.is_empty()).collect();
        for part in &mut parts {
            part.splits.push(self.union().to_owned());
        }
        parts
    }
}

/// Kinds of [`Axis::Kind`] that are held out.
const HELD_OUT_KINDS: [&str; 4] = ["h200_sxm", "cpu", "tpu", "gaudi"];

/// Hardware of which others of its kind say much, under one name; other hardware under its own.
fn kind<'a>(hardware: &'a str, architecture: &str) -> &'a str {
    match architecture {
        "sapphire_rapids" | "granite_rapids" | "zen4" | "zen5" => "cpu",
        "tpu_v5e" | "tpu_v5p" | "trillium" | "ironwood" => "tpu",
        "gaudi2" | "gaudi3" => "gaudi",
        _ => hardware,
    }
}

fn architecture(dataset: &Dataset, context: &Context) -> String {
    let first = context.samples.first().map(|&at| &dataset.samples[at]);
    first.map_or_else(String::new, |sample| sample.deployment.hardware.architecture.clone())
}

fn workload(dataset: &Dataset, context: &Context) -> String {
    let first = context.samples.first().map(|&at| &dataset.samples[at]);
    first.map_or_else(String::new, |sample| sample.row.workload.name.clone())
}

/// One part for each value of the key; a context is learned from where it differs in all of the key.
fn held_out(dataset: &Dataset, axis: Axis) -> Vec<Part> {
    let keys: Vec<Vec<String>> = dataset.contexts.iter().map(|context| axis.key(dataset, context)).collect();
    let mut distinct = keys.clone();
    distinct.sort();
    distinct.dedup();
    let part = |value: Vec<String>| {
        let name = format!("{}:{}", axis.prefix(), value.join("+"));
        let differs = |other: &Vec<String>| other.iter().zip(&value).all(|(a, b)| a != b);
        let test = (0..keys.len()).filter(|&at| keys[at] == value).collect();
        let train = (0..keys.len()).filter(|&at| differs(&keys[at])).collect();
        let splits = if value.len() == 1 { vec![name.clone()] } else { Vec::new() };
        Part { name, splits, test, train, held_out: value, axis }
    };
    distinct.into_iter().map(part).collect()
}

fn random(dataset: &Dataset, seed: u64) -> Vec<Part> {
    let mut order: Vec<usize> = (0..dataset.contexts.len()).collect();
    fastrand::Rng::with_seed(seed).shuffle(&mut order);
    let part = |number: usize| {
        let is_test = |place: usize| place % RANDOM_PARTS == number;
        let of = |wanted: bool| {
            let mut contexts: Vec<usize> = (0..order.len())
                .filter(|&place| is_test(place) == wanted)
                .map(|place| order[place])
                .collect();
            contexts.sort_unstable();
            contexts
        };
        let (name, axis) = (format!("random:{number}"), Axis::Random);
        let (test, train) = (of(true), of(false));
        Part { name, splits: Vec::new(), test, train, held_out: Vec::new(), axis }
    };
    (0..RANDOM_PARTS).map(part).collect()
}
