//! Which profile to run: an offline search over the knobs of an engine for a model, a hardware and a workload.
//!
//! The workload is a closed loop: so many equal requests in flight, held constant. Equal replicas on some or all of the
//! accelerators share them. For each combination of the discrete knobs (`space.rs`) the continuous ones are searched on
//! a coarse grid and then ever closer around its best; the best of all combinations are ranked, by the prior alone or
//! by what a [`Corrector`] makes of it.

mod rank;
mod space;

use std::sync::Arc;

use gearshift_config::{HardwareFacts, Knobs, ModelFacts, Objective, Slo, Speculative};

use crate::{
    deployment::{Deployment, Software},
    features::Situation,
    learner::Correction,
    prior::{Prior, PriorFactors, Terms},
};

/// What is to be run, on what, for what.
#[derive(Debug, Clone)]
pub struct Question {
    /// The model.
    pub model: Arc<ModelFacts>,
    /// One accelerator.
    pub hardware: Arc<HardwareFacts>,
    /// How many there are.
    pub count: u32,
    /// The engine's software.
    pub software: Software,
    /// What is asked of it.
    pub workload: ClosedLoop,
    /// What is to be best.
    pub objective: Objective,
    /// Limits; what is predicted to miss one comes after all that is not.
    pub slo: Slo,
    /// Whether profiles that change the model's outputs are looked at too.
    pub allow_lossy: bool,
    /// Ways to draft that there are for the model: profiles with each are looked at beside those without, and how many
    /// tokens are drafted in a step is searched.
    pub drafts: Vec<Speculative>,
    /// Knobs that are settled; the rest is searched.
    pub fixed: Knobs,
    /// The prior's factors.
    pub factors: PriorFactors,
    /// Those of a prior that says how long profiles take on average, where there is one: limits are held against times.
    pub level: Option<PriorFactors>,
}

/// So many equal requests in flight, held constant.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ClosedLoop {
    /// Requests in flight over all accelerators; at least 1.
    pub concurrency: f64,
    /// Prompt tokens.
    pub prompt_tokens: f64,
    /// Leading prompt tokens that requests share, and that prefix caching saves.
    pub cached_tokens: f64,
    /// Output tokens.
    pub output_tokens: f64,
}

/// A profile that was looked at.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// One replica.
    pub deployment: Deployment,
    /// How many replicas.
    pub replicas: u32,
    /// One request at its replica.
    pub situation: Situation,
    /// The replica's prior.
    pub prior: Prior,
    /// What it says of the situation.
    pub terms: Terms,
}

/// What a learner says of candidates that are compared with each other: a correction for each, and how far to trust it,
/// 0–1, by which the correction is not yet shrunk. `None` where it has nothing to say.
pub type Corrector<'a> = &'a mut dyn FnMut(&[Candidate]) -> Option<Vec<(Correction, f64)>>;

/// One profile with what is predicted of it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Advice {
    /// Its knobs.
    pub knobs: Knobs,
    /// Whether it leaves the model's outputs as they are.
    pub lossless: bool,
    /// How many engines run it side by side.
    pub replicas: u32,
    /// Accelerators of all of them.
    pub accelerators: u32,
    /// Time to first token, seconds.
    pub ttft_s: f64,
    /// Time per output token after the first, seconds.
    pub tpot_s: f64,
    /// End to end, seconds.
    pub e2e_s: f64,
    /// Output tokens a second of all replicas.
    pub output_tokens_per_s: f64,
    /// US dollars per million output tokens, prompts included, where the hardware has a price.
    pub usd_per_million: Option<f64>,
    /// Modelled joules per output token, where the hardware has its power.
    pub joules_per_token: Option<f64>,
    /// How far the learner is trusted, 0–1; `None` where only the prior spoke.
    pub confidence: Option<f64>,
    /// Whether it is predicted to meet all limits, with a margin.
    pub meets_slo: bool,
    /// What the prior adds up.
    pub terms: Terms,
}

/// Candidates that are corrected together, and so the most that is returned.
const SHORT_LIST: usize = 64;

/// Profiles for `question`, best first; none where the model does not fit. `corrector` corrects the prior's short list.
pub fn advise(question: &Question, corrector: Option<Corrector<'_>>) -> Vec<Advice> {
    let mut short = short_list(question, 0.0);
    let mut level = rank::level(question, &short);
    if level != 0.0 && question.slo != Slo::default() {
        // Which profiles keep the limits depends on how long all take, and that was not known before they were found.
        short = short_list(question, level);
        level = rank::level(question, &short);
    }
    let corrections = corrector.and_then(|correct| correct(&short)).filter(|c| c.len() == short.len());
    let mut advice = rank::advice(question, &short, corrections.as_deref(), level);
    advice.sort_by(|a, b| rank::order(question, a, b));
    advice
}

/// The best profiles by the prior, best first, where all take longer than it says by `level`, natural log.
fn short_list(question: &Question, level: f64) -> Vec<Candidate> {
    let best = |knobs: Knobs| {
        let best = |replicas| space::best_of(question, &knobs, replicas, level);
        space::replicas(question, &knobs).into_iter().filter_map(best).collect::<Vec<_>>()
    };
    let mut found: Vec<_> = space::combinations(question).into_iter().flat_map(best).collect();
    // The sort keeps the order of combinations among equals. A profile stands once, at its best number of replicas.
    found.sort_by(|(_, a), (_, b)| rank::order(question, a, b));
    let mut short: Vec<Candidate> = Vec::new();
    for (candidate, _) in found {
        if short.len() < SHORT_LIST && !short.iter().any(|c| c.deployment.knobs == candidate.deployment.knobs)
        {
            short.push(candidate);
        }
    }
    short
}

#[cfg(test)]
mod tests;
