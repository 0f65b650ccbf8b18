//! What the meta-learner is given: every number's name, order and scale, defined here (`list.rs`) and nowhere else.
//!
//! A candidate is four tokens. *Model*, *hardware* and *profile* change only with the configuration
//! ([`StaticInputs`]) and are encoded once; the *query* ([`QueryInputs`]) is the request at the candidate's load. Query
//! numbers are dimensionless but for a few: shares of the prior's estimate and log₂ of ratios, so that what is learned
//! on one accelerator says something about another. There are no ids.
//!
//! A query has three parts: the numbers themselves; *centred* copies of the first [`CENTRED`] of them, of which the mean
//! over the candidates that are compared has been taken away; and by how much the prior is above the cheapest of these.
//! The last two are filled by [`centre`]; a candidate that is looked at alone has zeros there. Scaling to unit variance
//! is inside the graphs of a bundle. [`schema_hash`] is over all names in their order: a bundle that was made for others
//! is refused.

mod list;
mod scale;

use std::fmt::Write;

pub(crate) use list::EngineNumbers;
pub use list::{CENTRED, HARDWARE, MODEL, PROFILE, QUERY};
use sha2::{Digest, Sha256};

use crate::{
    deployment::Deployment,
    features::Situation,
    learner::OUTPUTS,
    prior::{Engine, Prior, Terms},
};

/// The query's last number: log₂ of the prior's end to end time over the least of the candidates compared.
pub const OVER_CHEAPEST: &str = "context.log2_prior_over_cheapest";

/// Width of a whole query: its numbers, the centred copies, [`OVER_CHEAPEST`].
pub const QUERY_WIDTH: usize = QUERY.len() + CENTRED + 1;

/// What the learner is given of a candidate's engine; order as in [`MODEL`], [`HARDWARE`], [`PROFILE`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StaticInputs {
    /// The model token.
    pub model: [f32; MODEL.len()],
    /// The hardware token.
    pub hardware: [f32; HARDWARE.len()],
    /// The profile token.
    pub profile: [f32; PROFILE.len()],
}

/// What the learner is given of one request at one candidate; [`query_names`] says which number is which.
pub type QueryInputs = [f32; QUERY_WIDTH];

impl StaticInputs {
    /// Reads an engine's facts.
    pub fn new(deployment: &Deployment) -> Self {
        let Deployment { hardware, count, model, knobs, .. } = deployment;
        let engine = Engine::new(hardware, *count, model, knobs);
        Self {
            model: list::model_token(model),
            hardware: list::hardware_token(hardware, *count),
            profile: list::profile_token(deployment, &engine),
        }
    }
}

/// One request at one candidate, not yet compared with others. `prior` and `terms` are the candidate's own, `terms` at
/// this situation.
pub fn query(prior: &Prior, terms: &Terms, situation: &Situation) -> QueryInputs {
    let mut inputs = [0.0; QUERY_WIDTH];
    inputs[..QUERY.len()].copy_from_slice(&list::query_token(prior, terms, situation));
    inputs
}

/// Fills what is relative to the candidates that are compared with each other. May be called again for other ones.
pub fn centre(candidates: &mut [QueryInputs]) {
    let mut mean = [0.0f32; CENTRED];
    let mut cheapest = f32::INFINITY;
    let share = 1.0 / len_f32(candidates.len());
    for candidate in &*candidates {
        for (mean, x) in mean.iter_mut().zip(candidate) {
            *mean += x * share;
        }
        cheapest = cheapest.min(candidate[list::PRIOR_E2E]);
    }
    for candidate in candidates {
        let (numbers, relative) = candidate.split_at_mut(QUERY.len());
        for ((centred, x), mean) in relative.iter_mut().zip(&*numbers).zip(&mean) {
            *centred = x - mean;
        }
        relative[CENTRED] = numbers[list::PRIOR_E2E] - cheapest;
    }
}

fn len_f32(len: usize) -> f32 {
    crate::num::to_f32(u32::try_from(len).map_or(f64::INFINITY, f64::from))
}

/// Names of a whole query in order: [`QUERY`], then the centred copies with `centred.` before theirs, then
/// [`OVER_CHEAPEST`].
pub fn query_names() -> impl Iterator<Item = String> {
    let centred = QUERY[..CENTRED].iter().map(|name| format!("centred.{name}"));
    QUERY.iter().map(|&name| name.to_owned()).chain(centred).chain([OVER_CHEAPEST.to_owned()])
}

/// SHA-256 over the names of all inputs in their order, and of the outputs; hexadecimal.
pub fn schema_hash() -> String {
    let mut hash = Sha256::new();
    let statics = MODEL.iter().chain(&HARDWARE).chain(&PROFILE).map(|&name| name.to_owned());
    let outputs = OUTPUTS.iter().map(|&name| format!("output.{name}"));
    for name in statics.chain(query_names()).chain(outputs) {
        hash.update(name);
        hash.update("\n");
    }
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
