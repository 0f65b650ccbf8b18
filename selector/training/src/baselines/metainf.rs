//! The meta-learner itself, trained anew in every fold, and its ablations.

use std::sync::Arc;

use gearshift_selector::Correction;
use sha2::{Digest as _, Sha256};

use super::{
    features::View,
    fold::{Effort, Fold, Scores, Selector},
    target::Target,
};
use crate::{
    bundle::Vectors,
    dataset::{Dataset, Sample},
    fit::{Fitted, Prepared, Recipe, Silent, TARGETS, fit_known},
    net::Gate,
    prepare::prepare,
};

/// A gate open so far is shut: it moves no time by more than a millionth.
const SHUT: f32 = 1e-6;

/// The learner as it ships, or what an ablation makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// As it ships: numbers, over the prior, pre-trained, centred.
    Shipped,
    /// Without the prior: times themselves are learned.
    WithoutPrior,
    /// Without training on simulated rows first.
    WithoutPretraining,
    /// Without comparing within contexts: times are ranked as they are foretold.
    WithoutCentring,
    /// With descriptions beside the numbers.
    WithTexts,
    /// With descriptions in place of the numbers of model, hardware and profile.
    TextsOnly,
}

/// The transformer over model, hardware, profile and workload.
#[derive(Debug, Clone)]
pub struct MetaInf {
    /// As it ships, or which ablation.
    pub variant: Variant,
    /// How it is trained.
    pub settings: Recipe,
    /// Vectors of all descriptions, for the variants that read them; empty where there is no encoder.
    pub vectors: Arc<Vectors>,
}

impl MetaInf {
    fn recipe_of(&self, effort: Effort) -> Recipe {
        let mut recipe = self.settings.clone();
        match self.variant {
            Variant::WithoutPretraining => recipe.pretraining.epochs = 0,
            Variant::WithoutPrior => recipe.leave_out(&["share.", "query.log2_prior_e2e_ms"]),
            Variant::TextsOnly => recipe.leave_out(&["model.", "hardware.", "profile."]),
            Variant::Shipped | Variant::WithoutCentring | Variant::WithTexts => {}
        }
        if effort == Effort::Quick {
            recipe.shape.members = 2;
            if let Some(near) = &mut recipe.near {
                near.members = 2;
                near.training.epochs /= 4;
            }
            recipe.early_stop = false;
        }
        recipe
    }

    fn reads_texts(&self) -> bool {
        matches!(self.variant, Variant::WithTexts | Variant::TextsOnly)
    }

    fn train(
        &self,
        fold: &Fold,
        asked: &Prepared,
        effort: Effort,
        seed: u64,
    ) -> Result<Fitted, crate::Error> {
        let known = self.prepared(fold, &fold.train, &fold.train_view);
        let eras = fold.eras.as_ref();
        let eras = eras.map(|eras| self.prepared(fold, eras, &View::new(eras, &fold.factors)));
        let rows = eras.as_ref().unwrap_or(&known);
        let before = fold.pretrain.as_ref().map(|set| self.prepared(fold, &set.0, &set.1));
        let mut recipe = self.recipe_of(effort);
        // Members that would have no say need not be trained.
        if Gate::new(&known).open(asked).iter().all(|&open| open < SHUT) {
            recipe.near = None;
        }
        fit_known(rows, &known, before.as_ref(), &recipe, seed, &Silent)
    }

    fn prepared(&self, fold: &Fold, dataset: &Dataset, view: &View) -> Prepared {
        let none = Vectors::default();
        let vectors = if self.reads_texts() { &self.vectors } else { &none };
        let mut rows = prepare(dataset, &fold.factors, vectors);
        if self.variant == Variant::WithoutPrior {
            over_pace(&mut rows, dataset, view);
        }
        rows
    }
}

impl MetaInf {
    /// The learner, and its ablations.
    pub fn with_ablations(settings: &Recipe, vectors: &Arc<Vectors>) -> Vec<Box<dyn Selector>> {
        [
            Variant::Shipped,
            Variant::WithoutPrior,
            Variant::WithoutPretraining,
            Variant::WithoutCentring,
            Variant::WithTexts,
            Variant::TextsOnly,
        ]
        .into_iter()
        .map(|variant| {
            let (settings, vectors) = (settings.clone(), Arc::clone(vectors));
            Box::new(Self { variant, settings, vectors }) as Box<dyn Selector>
        })
        .collect()
    }
}

impl Selector for MetaInf {
    fn name(&self) -> String {
        let variant = match self.variant {
            Variant::Shipped => "",
            Variant::WithoutPrior => "_without_prior",
            Variant::WithoutPretraining => "_without_pretraining",
            Variant::WithoutCentring => "_without_centring",
            Variant::WithTexts => "_with_texts",
            Variant::TextsOnly => "_text_only",
        };
        format!("metainf{variant}")
    }

    fn recipe(&self) -> String {
        let texts = if self.reads_texts() { hash(&self.vectors) } else { String::new() };
        format!("{}|{}|{texts}", self.name(), serde_json::to_string(&self.settings).unwrap_or_default())
    }

    fn seeded(&self) -> bool {
        true
    }

    fn joins(&self, part: &str) -> bool {
        let texts = !self.vectors.vectors.is_empty();
        match self.variant {
            Variant::Shipped => true,
            Variant::WithTexts | Variant::TextsOnly => texts && is_ablated(part),
            Variant::WithoutPrior | Variant::WithoutPretraining | Variant::WithoutCentring => {
                is_ablated(part)
            }
        }
    }

    fn scores(&self, fold: &Fold, targets: &[Target], effort: Effort, seed: u64) -> Scores {
        let rows = self.prepared(fold, &fold.test, &fold.test_view);
        let trained = self.train(fold, &rows, effort, seed);
        let Ok((fitted, corrections)) =
            trained.and_then(|fitted| fitted.predict(&rows).map(|corrections| (fitted, corrections)))
        else {
            return Scores::default();
        };
        let base = |at: usize| match self.variant {
            Variant::WithoutPrior => pace(&fold.test.samples[at]),
            Variant::Shipped
            | Variant::WithoutPretraining
            | Variant::WithoutCentring
            | Variant::WithTexts
            | Variant::TextsOnly => {
                let [ttft, tpot] = fold.test_view.ln_parts[at];
                [fold.test_view.ln_prior[at], ttft, tpot]
            }
        };
        let absolute: Vec<f64> = (0..corrections.len())
            .map(|at| end_to_end(&fold.test.samples[at], base(at), &corrections[at]))
            .collect();
        let relative = corrections.iter().enumerate().map(|(at, correction)| {
            // What serving makes of it: less where the members disagree.
            base(at)[0] + trust(correction, &fitted) * f64::from(correction.relative)
        });
        let relative: Vec<f64> = relative.collect();
        let ranked = if self.variant == Variant::WithoutCentring { &absolute } else { &relative };
        let spread = corrections.iter().map(|correction| f64::from(correction.spread)).collect();
        // How long it takes is said twice: by the heads over the prior that ranks, and by the level prior.
        let middle = |(heads, prior): (&f64, &f64)| f64::midpoint(*heads, *prior);
        let level = match self.variant {
            Variant::WithoutPrior => absolute.clone(),
            Variant::Shipped
            | Variant::WithoutPretraining
            | Variant::WithoutCentring
            | Variant::WithTexts
            | Variant::TextsOnly => absolute.iter().zip(&fold.test_level).map(middle).collect(),
        };
        let scores = Scores { spread: Some(spread), ..Scores::of_times(fold, ranked, targets) };
        scores.with_level(fold, ranked, &level)
    }
}

/// Where what is left without a part is measured: on measured rows, clean, with families held out.
fn is_ablated(part: &str) -> bool {
    part.starts_with("measured/") && part.contains("/clean/") && part.contains("/family:")
}

/// What a correction counts for.
fn trust(correction: &Correction, fitted: &Fitted) -> f64 {
    1.0 / (1.0 + f64::from(correction.spread / fitted.spread_scale).powi(2))
}

fn end_to_end(sample: &Sample, [_, ttft, tpot]: [f64; 3], correction: &Correction) -> f64 {
    let ttft = (ttft + f64::from(correction.ttft)).exp();
    let tpot = (tpot + f64::from(correction.tpot)).exp();
    (ttft + (sample.situation.output_tokens - 1.0).max(0.0) * tpot).ln()
}

/// In place of the prior, natural logs of end to end time, TTFT and TPOT: a millisecond a token, whatever the engine.
fn pace(sample: &Sample) -> [f64; 3] {
    let s = &sample.situation;
    [(s.prompt_tokens + s.output_tokens).ln(), s.prompt_tokens.ln(), 0.0]
}

/// Targets against the prior become targets against [`pace`].
fn over_pace(rows: &mut Prepared, dataset: &Dataset, view: &View) {
    for (at, sample) in dataset.samples.iter().enumerate() {
        let ([ttft, tpot], [pace_e2e, pace_ttft, pace_tpot]) = (view.ln_parts[at], pace(sample));
        let more = [view.ln_prior[at] - pace_e2e, ttft - pace_ttft, tpot - pace_tpot];
        // Means, then the same for nine of ten.
        for (column, more) in [more[0], more[1], more[2], more[1], more[2]].into_iter().enumerate() {
            #[expect(clippy::cast_possible_truncation, reason = "as precise as the targets")]
            let more = more as f32;
            rows.targets[at * TARGETS + column] += more;
        }
    }
}

/// Over texts and what the encoder makes of them: another encoder gives others of the same number.
fn hash(vectors: &Vectors) -> String {
    let mut hasher = Sha256::new();
    for (text, vector) in &vectors.vectors {
        hasher.update(text.len().to_le_bytes());
        hasher.update(text);
        vector.iter().for_each(|number| hasher.update(number.to_le_bytes()));
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
