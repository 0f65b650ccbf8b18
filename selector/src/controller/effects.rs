//! What is learned of engines, and of speculation, from the requests that they served.
//!
//! The prior knows from numbers alone what most knobs do. What drafts looked up in the text gain, or those of a draft model,
//! depends on the text, and the prior takes them as neutral. So that is learned: for each class of requests, and for all
//! engines of a model at once, since the text is the same on every hardware.

use std::collections::BTreeMap;

use gearshift_config::{BackendId, Knobs, ModelId, ProfileId};

use super::traffic::{CELLS, RequestClass, cell};

/// Weight of one outcome in what is known of an engine.
const ENGINE_GAIN: f64 = 0.02;
/// Largest error one outcome counts with, natural log.
const BOUND: f64 = 1.0;
/// Outcomes of a class that weigh as much as what is known of the profile's others.
const FEW: f64 = 20.0;
/// Outcomes of a class that are remembered, the rest being forgotten exponentially.
const MEMORY: f64 = 500.0;

/// How a request was served.
#[derive(Debug, Clone, PartialEq)]
pub struct Served {
    /// The model.
    pub model: ModelId,
    /// The engine.
    pub backend: BackendId,
    /// The profile it ran.
    pub profile: ProfileId,
    /// Whether it speculates in a way whose gain depends on the text; see [`speculates_unmodelled`].
    pub speculates: bool,
    /// What the request was like; its share is not looked at.
    pub class: RequestClass,
    /// Actual over the prior's time to first token, where it was seen.
    pub ttft_ratio: Option<f64>,
    /// Actual over the prior's time per output token, where enough tokens came.
    pub tpot_ratio: Option<f64>,
}

/// Whether the prior takes a profile's speculation as neutral because its gain depends on the text.
pub fn speculates_unmodelled(knobs: &Knobs) -> bool {
    let modelled = |method: &str| method.contains("mtp") || method.starts_with("eagle");
    knobs.speculative.as_ref().is_some_and(|speculative| !modelled(&speculative.method))
}

/// What was learned so far. Natural logs of actual over prior.
#[derive(Debug, Clone, Default)]
pub(super) struct Effects {
    /// Of TTFT and TPOT, in profiles that the prior models.
    engines: BTreeMap<BackendId, (f64, f64)>,
    /// Of TPOT beyond the engine's own, by class; in the other profiles.
    profiles: BTreeMap<(ModelId, ProfileId), Vec<Mean>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    count: f64,
    sum: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        let kept = if self.count >= MEMORY { (MEMORY - 1.0) / self.count } else { 1.0 };
        self.count = self.count * kept + 1.0;
        self.sum = self.sum * kept + value;
    }

    /// Towards `other` where little is known.
    fn shrunk(&self, other: f64) -> f64 {
        (self.sum + FEW * other) / (self.count + FEW)
    }
}

impl Effects {
    /// Takes in one outcome.
    pub(super) fn learn(&mut self, served: &Served) {
        let ln = |ratio: Option<f64>| ratio.map(f64::ln).filter(|ln| ln.is_finite());
        let (ttft, tpot) = (ln(served.ttft_ratio), ln(served.tpot_ratio));
        if served.speculates {
            let own = self.engine(&served.backend).or_else(|| self.others()).map_or(0.0, |(_, tpot)| tpot);
            let key = (served.model.clone(), served.profile.clone());
            let cells = self.profiles.entry(key).or_insert_with(|| vec![Mean::default(); CELLS]);
            if let Some((cell, tpot)) = cells.get_mut(cell_of(&served.class)).zip(tpot) {
                cell.add((tpot - own).clamp(-BOUND, BOUND));
            }
            return;
        }
        let first = (ttft.unwrap_or(0.0).clamp(-BOUND, BOUND), tpot.unwrap_or(0.0).clamp(-BOUND, BOUND));
        let own = self.engines.entry(served.backend.clone()).or_insert(first);
        let learn = |known: &mut f64, seen: Option<f64>| {
            *known += ENGINE_GAIN * (seen.unwrap_or(*known) - *known).clamp(-BOUND, BOUND);
        };
        learn(&mut own.0, ttft);
        learn(&mut own.1, tpot);
    }

    /// Of an engine: TTFT and TPOT; `None` where it never ran a profile that the prior models.
    pub(super) fn engine(&self, backend: &BackendId) -> Option<(f64, f64)> {
        self.engines.get(backend).copied()
    }

    /// Mean of the engines that are known.
    pub(super) fn others(&self) -> Option<(f64, f64)> {
        let count = self.engines.len() as f64;
        let sum = self.engines.values().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (count > 0.0).then(|| (sum.0 / count, sum.1 / count))
    }

    /// Of a profile for a class, and on how many of its outcomes that rests.
    pub(super) fn profile(&self, model: &ModelId, profile: &ProfileId, class: &RequestClass) -> (f64, f64) {
        let Some(cells) = self.profiles.get(&(model.clone(), profile.clone())) else { return (0.0, 0.0) };
        let mut all = Mean::default();
        for cell in cells {
            all.count += cell.count;
            all.sum += cell.sum;
        }
        let cell = cells.get(cell_of(class)).copied().unwrap_or_default();
        (cell.shrunk(all.shrunk(0.0)), cell.count)
    }
}

fn cell_of(class: &RequestClass) -> usize {
    let prompt = class.prompt_tokens.max(1.0);
    cell(prompt - class.shared_tokens, class.output_tokens, class.shared_tokens / prompt)
}
