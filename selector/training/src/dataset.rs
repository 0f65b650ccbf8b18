//! Rows as the learner, the baselines and the evaluation take them.

mod group;

use std::sync::Arc;

use gearshift_perfdb::Observation;
use gearshift_selector::{Deployment, Situation, inputs::StaticInputs};

pub use crate::read::read;

/// One row with what is worked out of it once. Times in milliseconds, positive and finite.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The row; of several, their first in the order of repetition, with the medians below.
    pub row: Arc<Observation>,
    /// Its engine.
    pub deployment: Deployment,
    /// Its request at its load.
    pub situation: Situation,
    /// What the learner is given of the engine.
    pub statics: StaticInputs,
    /// Position of its context in [`Dataset::contexts`].
    pub context: usize,
    /// Accelerators that are paid for.
    pub accelerators: f64,
    /// Mean time to first token.
    pub ttft_ms: f64,
    /// Mean time per output token.
    pub tpot_ms: f64,
    /// `ttft + (output − 1) · tpot`.
    pub e2e_ms: f64,
}

/// Rows that answer the same question.
#[derive(Debug, Clone)]
pub struct Context {
    /// Its name; see [`Observation::context`].
    pub name: String,
    /// The model family, held out as one.
    pub family: String,
    /// The accelerator's key, held out as one.
    pub hardware: String,
    /// Positions in [`Dataset::samples`]; one at least. A context of a single action is worth training the level on,
    /// but there is nothing to choose: see [`Context::is_choice`].
    pub samples: Vec<usize>,
}

impl Context {
    /// Whether there is more than one action: what the evaluation counts.
    pub fn is_choice(&self) -> bool {
        self.samples.len() > 1
    }
}

/// Samples of one source, by context. Both are in the order of names: that of the rows does not matter.
#[derive(Debug, Clone, Default)]
pub struct Dataset {
    /// All samples, a context's side by side.
    pub samples: Vec<Sample>,
    /// Their contexts.
    pub contexts: Vec<Context>,
}

/// How rows become contexts and actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Repetitions and versions of one action are one sample: their median. What the rows' `context` says.
    Clean,
    /// As clean, and only the same engine within the same six weeks is compared.
    Era,
}

impl Dataset {
    /// Groups rows by source, data set, context and action. A row needs a positive TTFT and TPOT, or one of them and
    /// the end to end time, of more than one output token; others are left out.
    pub fn new(rows: Vec<Observation>, protocol: Protocol) -> Self {
        group::group(rows, protocol)
    }

    /// Only the samples of these contexts, contexts numbered anew.
    #[must_use]
    pub fn of_contexts(&self, keep: impl Fn(&Context) -> bool) -> Self {
        let mut kept = Self::default();
        for context in self.contexts.iter().filter(|context| keep(context)) {
            let samples = context.samples.iter().map(|&position| &self.samples[position]);
            kept.push(context, samples.cloned());
        }
        kept
    }

    /// The contexts of both, those of `other` last.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for context in &other.contexts {
            let samples = context.samples.iter().map(|&position| other.samples[position].clone());
            self.push(context, samples);
        }
        self
    }

    /// The samples of one context.
    pub fn of(&self, context: &Context) -> impl Iterator<Item = &Sample> {
        context.samples.iter().map(|&position| &self.samples[position])
    }

    /// For every sample the mean of its context's values; `values` has one for each sample.
    pub fn context_means(&self, values: &[f64]) -> Vec<f64> {
        let mut means = values.to_vec();
        for Context { samples, .. } in &self.contexts {
            let mean = samples.iter().map(|&at| values[at]).sum::<f64>() / samples.len().max(1) as f64;
            samples.iter().for_each(|&at| means[at] = mean);
        }
        means
    }

    /// Adds a context of these samples; which ones the given context names is passed over.
    fn push(&mut self, context: &Context, samples: impl Iterator<Item = Sample>) {
        let (number, first) = (self.contexts.len(), self.samples.len());
        self.samples.extend(samples.map(|sample| Sample { context: number, ..sample }));
        let samples = (first..self.samples.len()).collect();
        self.contexts.push(Context { samples, ..context.clone() });
    }
}

#[cfg(test)]
pub(crate) mod tests;
