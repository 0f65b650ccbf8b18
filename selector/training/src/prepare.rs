//! Samples as flat arrays, residual on a prior.

use std::collections::BTreeMap;

use gearshift_selector::{
    Prior, PriorFactors, Situation, Terms,
    inputs::{self, QueryInputs, StaticInputs},
};

use crate::{
    bundle::Vectors,
    dataset::{Context, Dataset, Sample},
    fit::{Prepared, Texts},
};

/// Samples as training takes them. Targets are against the prior with these factors; descriptions that `vectors` does
/// not have count as none. Rows are in the order of the contexts, and within them of the samples: that of
/// [`Dataset::samples`].
pub fn prepare(dataset: &Dataset, factors: &PriorFactors, vectors: &Vectors) -> Prepared {
    let mut rows = Prepared { offsets: vec![0], ..Prepared::default() };
    let mut texts = Numbered::new(vectors);
    let mut groups = BTreeMap::new();
    for context in &dataset.contexts {
        let count = groups.len();
        let group = *groups.entry(context.hardware.as_str()).or_insert(count);
        rows.groups.push(u32::try_from(group).unwrap_or(u32::MAX));
        push(&mut rows, &mut texts, dataset, context, factors);
        rows.offsets.push(rows.weights.len());
    }
    rows.texts.width = vectors.width;
    rows.texts.vectors = texts.vectors;
    rows.texts.names = texts.names;
    rows
}

/// Adds the rows of one context.
fn push(
    rows: &mut Prepared,
    texts: &mut Numbered<'_>,
    dataset: &Dataset,
    context: &Context,
    factors: &PriorFactors,
) {
    let least = |cost: fn(&Sample) -> f64| dataset.of(context).map(cost).fold(f64::INFINITY, f64::min);
    let (fastest, cheapest) = (least(time), least(cost));
    let mut queries: Vec<QueryInputs> = Vec::with_capacity(context.samples.len());
    for sample in dataset.of(context) {
        let prior = Prior::new(&sample.deployment, factors);
        let terms = prior.terms(&sample.situation);
        queries.push(inputs::query(&prior, &terms, &sample.situation));
        let StaticInputs { model, hardware, profile } = sample.statics;
        rows.model.extend(model);
        rows.hardware.extend(hardware);
        rows.profile.extend(profile);
        let facts = &sample.row.facts;
        let Texts { model, hardware, workload, .. } = &mut rows.texts;
        model.push(texts.number(&facts.model_facts.description));
        hardware.push(texts.number(&facts.hardware_facts.description));
        workload.push(texts.number(&sample.row.workload.description));
        for target in targets(sample, &terms, &sample.situation) {
            let known = target.filter(|target| target.is_finite());
            rows.targets.push(single(known.unwrap_or(0.0)));
            rows.masks.push(if known.is_some() { 1.0 } else { 0.0 });
        }
        let regret = (time(sample) / fastest).ln().min((cost(sample) / cheapest).ln());
        rows.regrets.push(single(regret.max(0.0)));
        rows.weights.push(1.0);
    }
    inputs::centre(&mut queries);
    rows.query.extend(queries.iter().flatten());
}

fn time(sample: &Sample) -> f64 {
    sample.e2e_ms
}

fn cost(sample: &Sample) -> f64 {
    sample.e2e_ms * sample.accelerators
}

/// Natural logs of what was measured over the prior's, in the order of [`gearshift_selector::OUTPUTS`]; `None` where
/// it was not measured.
fn targets(sample: &Sample, terms: &Terms, situation: &Situation) -> [Option<f64>; crate::fit::TARGETS] {
    let outcome = &sample.row.outcome;
    let (ttft, tpot, e2e) = (terms.ttft_ms(), terms.tpot_ms(), terms.e2e_ms(situation));
    // An engine says what it yields when it is full only while it is.
    let load = &sample.row.load;
    let full = load.full_at.is_some_and(|full_at| load.sequences + 1.0 >= full_at);
    let yields = (load.sequences + 1.0) * situation.output_tokens / e2e * 1e3;
    [
        Some((sample.e2e_ms / e2e).ln()),
        Some((sample.ttft_ms / ttft).ln()),
        Some((sample.tpot_ms / tpot).ln()),
        outcome.ttft_p90_s.map(|p90| (1e3 * p90 / ttft).ln()),
        outcome.tpot_p90_s.map(|p90| (1e3 * p90 / tpot).ln()),
        outcome.output_tokens_per_s.filter(|_| full).map(|measured| (measured / yields).ln()),
    ]
}

/// Numbers texts as they come; 0 is none.
struct Numbered<'a> {
    known: &'a Vectors,
    numbers: BTreeMap<String, u32>,
    vectors: Vec<f32>,
    names: Vec<String>,
}

impl<'a> Numbered<'a> {
    fn new(known: &'a Vectors) -> Self {
        Self { known, numbers: BTreeMap::new(), vectors: vec![0.0; known.width], names: vec![String::new()] }
    }

    fn number(&mut self, text: &str) -> u32 {
        let Some(vector) = self.known.vectors.get(text) else { return 0 };
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = u32::try_from(self.numbers.len() + 1).unwrap_or(0);
        self.numbers.insert(text.to_owned(), number);
        self.vectors.extend(vector);
        self.names.push(text.to_owned());
        number
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the network is single precision")]
fn single(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests;
