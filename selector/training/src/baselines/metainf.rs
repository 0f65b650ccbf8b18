//! The meta-learner itself, trained anew in every fold, and what is left of it without one of its parts.

use std::sync::Arc;

use gearshift_selector::Correction;

use super::{
    features::View,
    fold::{Effort, Fold, Scores, Selector},
    target::Target,
};
use crate::{
    bundle::Vectors,
    dataset::{Dataset, Sample},
    fit::{Fitted, Prepared, Recipe, Silent, TARGETS, fit},
    prepare::prepare,
};

/// Which part is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Without {
    /// None.
    Nothing,
    /// The prior: times themselves are learned.
    Prior,
    /// Training on simulated rows first.
    Pretraining,
    /// Comparing within contexts: times are ranked as they are foretold.
    Centring,
    /// Descriptions.
    Texts,
    /// The numbers of model, hardware and profile: descriptions alone say what they are.
    Numbers,
}

/// The transformer over model, hardware, profile and workload.
#[derive(Debug, Clone)]
pub struct MetaInf {
    /// What is left out.
    pub without: Without,
    /// How it is trained.
    pub settings: Recipe,
    /// Vectors of all descriptions; empty where there is no encoder.
    pub vectors: Arc<Vectors>,
}

impl MetaInf {
    fn recipe_of(&self, effort: Effort) -> Recipe {
        let mut recipe = self.settings.clone();
        match self.without {
            Without::Pretraining => recipe.pretraining.epochs = 0,
            Without::Prior => {
                recipe.ignore.extend(["share.", "query.log2_prior_e2e_ms"].map(str::to_owned));
            }
            Without::Numbers => recipe.ignore.extend(["model.", "hardware.", "profile."].map(str::to_owned)),
            Without::Nothing | Without::Centring | Without::Texts => {}
        }
        if effort == Effort::Quick {
            recipe.shape.members = 2;
            recipe.early_stop = false;
        }
        recipe
    }

    fn train(&self, fold: &Fold, effort: Effort, seed: u64) -> Result<Fitted, crate::Error> {
        let rows = match &fold.eras {
            Some(eras) => self.prepared(fold, eras, &View::new(eras, &fold.factors)),
            None => self.prepared(fold, &fold.train, &fold.train_view),
        };
        let before = fold.pretrain.as_ref().map(|set| self.prepared(fold, &set.0, &set.1));
        fit(&rows, before.as_ref(), &self.recipe_of(effort), seed, &Silent)
    }

    fn prepared(&self, fold: &Fold, dataset: &Dataset, view: &View) -> Prepared {
        let none = Vectors::default();
        let vectors = if self.without == Without::Texts { &none } else { &self.vectors };
        let mut rows = prepare(dataset, &fold.factors, vectors);
        if self.without == Without::Prior {
            over_pace(&mut rows, dataset, view);
        }
        rows
    }
}

impl MetaInf {
    /// The learner, and what is left of it without each of its parts.
    pub fn with_ablations(settings: &Recipe, vectors: &Arc<Vectors>) -> Vec<Box<dyn Selector>> {
        [
            Without::Nothing,
            Without::Prior,
            Without::Pretraining,
            Without::Centring,
            Without::Texts,
            Without::Numbers,
        ]
        .into_iter()
        .map(|without| {
            let (settings, vectors) = (settings.clone(), Arc::clone(vectors));
            Box::new(Self { without, settings, vectors }) as Box<dyn Selector>
        })
        .collect()
    }
}

impl Selector for MetaInf {
    fn name(&self) -> String {
        let without = match self.without {
            Without::Nothing => "",
            Without::Prior => "_without_prior",
            Without::Pretraining => "_without_pretraining",
            Without::Centring => "_without_centring",
            Without::Texts => "_numbers_only",
            Without::Numbers => "_text_only",
        };
        format!("metainf{without}")
    }

    fn recipe(&self) -> String {
        let texts = self.vectors.vectors.len();
        format!("{}|{}|{texts}", self.name(), serde_json::to_string(&self.settings).unwrap_or_default())
    }

    fn seeded(&self) -> bool {
        true
    }

    fn joins(&self, part: &str) -> bool {
        let texts = !self.vectors.vectors.is_empty();
        match self.without {
            Without::Nothing => true,
            Without::Texts | Without::Numbers => texts && is_ablated(part),
            Without::Prior | Without::Pretraining | Without::Centring => is_ablated(part),
        }
    }

    fn scores(&self, fold: &Fold, targets: &[Target], effort: Effort, seed: u64) -> Scores {
        let rows = self.prepared(fold, &fold.test, &fold.test_view);
        let trained = self.train(fold, effort, seed);
        let Ok((fitted, corrections)) =
            trained.and_then(|fitted| fitted.predict(&rows).map(|corrections| (fitted, corrections)))
        else {
            return Scores::default();
        };
        let base = |at: usize| match self.without {
            Without::Prior => pace(&fold.test.samples[at]),
            Without::Nothing
            | Without::Pretraining
            | Without::Centring
            | Without::Texts
            | Without::Numbers => {
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
        let ranked = if self.without == Without::Centring { &absolute } else { &relative };
        let spread = corrections.iter().map(|correction| f64::from(correction.spread)).collect();
        // How long it takes is said twice: by the heads over the prior that ranks, and by the level prior.
        let middle = |(heads, prior): (&f64, &f64)| f64::midpoint(*heads, *prior);
        let level = match self.without {
            Without::Prior => absolute.clone(),
            Without::Nothing
            | Without::Pretraining
            | Without::Centring
            | Without::Texts
            | Without::Numbers => absolute.iter().zip(&fold.test_level).map(middle).collect(),
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
