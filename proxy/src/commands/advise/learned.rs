//! What a bundle makes of profiles.

use std::path::Path;

use gearshift_selector::{
    Bundle, Correction, Head, LoadOptions, OnnxRuntime, PriorFactors, Texts,
    advise::{Advice, Candidate},
    inputs,
};

use crate::commands::bundle;

/// A loaded bundle, asked offline.
pub(super) struct Learned {
    bundle: Bundle,
    head: Head,
    failure: Option<String>,
}

impl Learned {
    pub(super) fn open(directory: &Path, library: Option<&Path>) -> Result<Self, String> {
        let library = library.ok_or(bundle::NO_LIBRARY)?;
        let runtime = OnnxRuntime::load(library).map_err(|error| error.to_string())?;
        let options =
            LoadOptions { encoders: bundle::options(directory).encoders, ..LoadOptions::unhurried() };
        let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", directory.display());
        let bundle = Bundle::load(directory, &runtime, &options).map_err(|error| wrong(&error))?;
        let head = bundle.head().map_err(|error| wrong(&error))?;
        Ok(Self { bundle, head, failure: None })
    }

    /// Of the prior that it corrects.
    pub(super) fn factors(&self) -> PriorFactors {
        self.bundle.manifest().prior
    }

    /// Of the prior that says how long profiles take.
    pub(super) fn level(&self) -> Option<PriorFactors> {
        self.bundle.manifest().level
    }

    /// For each its correction, and how far it is to be trusted.
    pub(super) fn correct(&mut self, candidates: &[Candidate]) -> Option<Vec<(Correction, f64)>> {
        self.try_correct(candidates).map_err(|failure| self.failure = Some(failure)).ok()
    }

    /// Why it had nothing to say, where it failed.
    pub(super) fn failure(&mut self) -> Option<String> {
        self.failure.take()
    }

    fn try_correct(&mut self, candidates: &[Candidate]) -> Result<Vec<(Correction, f64)>, String> {
        let engines: Vec<_> =
            candidates.iter().map(|one| (&one.deployment, Texts::of(&one.deployment))).collect();
        let memories = self.bundle.remember(&engines).map_err(|error| error.to_string())?;
        let query = |one: &Candidate| inputs::query(&one.prior, &one.terms, &one.situation);
        let mut queries: Vec<_> = candidates.iter().map(query).collect();
        inputs::centre(&mut queries);
        let mut corrections = Vec::new();
        let memories: Vec<_> = memories.iter().collect();
        self.head.correct(&memories, &queries, &mut corrections).map_err(|error| error.to_string())?;
        let scale = f64::from(self.bundle.manifest().spread_scale);
        // As in a decision.
        let weight = |correction: &Correction| 1.0 / (1.0 + (f64::from(correction.spread) / scale).powi(2));
        Ok(corrections.into_iter().map(|correction| (correction, weight(&correction))).collect())
    }

    /// How much it had to say.
    pub(super) fn say(&self, profiles: &[Advice]) -> String {
        let confidences: Vec<_> = profiles.iter().filter_map(|profile| profile.confidence).collect();
        let mean = confidences.iter().sum::<f64>() / confidences.len().max(1) as f64;
        let missing = self.bundle.missing_texts();
        let words = if missing > 0 {
            "; it has no vectors of these descriptions, only the numbers count"
        } else {
            ""
        };
        format!("by the prior and bundle {}, mean confidence {mean:.2}{words}", self.bundle.manifest().id)
    }
}
