//! Training that goes on from a bundle's weights.

use super::{
    Fitted, Prepared, Progress, Recipe, Schedule,
    train::{Run, check},
};
use crate::{
    Error,
    net::{Part, Scale, Scaling, Shape},
    onnx::Restored,
};

/// Where training begins, and how it goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct WarmStart {
    /// The network so far.
    pub from: Restored,
    /// How it is trained from there; its sizes are the network's, and inputs that it leaves out say nothing unless they did before.
    pub recipe: Recipe,
}

impl WarmStart {
    /// Of these weights, by the recipe for rows of a fleet: few epochs at a third of the usual rate. The numbers of models and
    /// accelerators that a bundle for everybody does not look at, because it would know them by heart, are looked at here: of a
    /// fleet they may be known by heart. What is relative to a context stays out, for rows of live traffic are grouped otherwise than candidates.
    pub fn new(from: Restored) -> Self {
        let recipe = Recipe {
            shape: from.shape,
            ignore: ["centred.", "context."].map(str::to_owned).to_vec(),
            training: Schedule { epochs: 12, batch: 256, rate: 2e-3 },
            weight_decay: 0.1,
            window: 3,
            ..Recipe::default()
        };
        Self { from, recipe }
    }
}

/// Trains a network further. The same rows, start and seed give the same weights.
///
/// # Errors
/// Where the rows' arrays do not fit each other or the network, or there are none.
pub fn refit(
    train: &Prepared,
    start: &WarmStart,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Fitted, Error> {
    check(train)?;
    let WarmStart { from, recipe } = start;
    let recipe = Recipe { shape: from.shape, ..recipe.clone() };
    if from.shape.text > 0 && train.texts.width != from.shape.text {
        return Err(Error::Failed("the bundle takes texts: name its --encoder".to_owned()));
    }
    let mut weights = from.weights.clone();
    let fresh = Scaling::new(&[train], &recipe.ignore);
    let shape = &from.shape;
    let mut open = |part: Part, old: &Scale, new: &Scale| {
        let values = &mut weights.0[part as usize];
        opened(shape, part, values, old, new)
    };
    let scaling = Scaling {
        model: open(Part::Model, &from.scaling.model, &fresh.model),
        hardware: open(Part::Hardware, &from.scaling.hardware, &fresh.hardware),
        profile: open(Part::Profile, &from.scaling.profile, &fresh.profile),
        query: open(Part::Query, &from.scaling.query, &fresh.query),
    };
    let mut random = fastrand::Rng::with_seed(seed);
    let mut run = Run::new(train, &scaling, &recipe, &recipe.training, &mut random);
    let epochs = recipe.training.epochs;
    let (weights, curve) = run.train("live", weights, epochs, progress)?;
    Fitted::new(Recipe { relative_share: 1.0, ..recipe }, scaling, weights, vec![curve], epochs, train)
}

/// The scale of a layer's inputs: what said something is scaled as it was, for its weights are for that. What said nothing is
/// scaled by the new rows, and begins at weight 0, so that the network says at first what it said before.
fn opened(shape: &Shape, part: Part, values: &mut [f32], old: &Scale, new: &Scale) -> Scale {
    let [inputs, outputs] = part.size(shape);
    let mut scale = old.clone();
    for input in (0..inputs).filter(|&input| old.factor[input] == 0.0) {
        scale.mean[input] = new.mean[input];
        scale.factor[input] = new.factor[input];
        scale.low[input] = new.low[input];
        scale.high[input] = new.high[input];
        for of_member in values.chunks_exact_mut(inputs * outputs) {
            of_member[input * outputs..(input + 1) * outputs].fill(0.0);
        }
    }
    scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::{Silent, TARGETS, fit, sample::sample};

    fn start(ignore: &[&str]) -> (Fitted, WarmStart) {
        let shape = Shape {
            members: 2,
            width: 8,
            heads: 2,
            encoder: 8,
            hidden: 16,
            combine: 8,
            text_rank: 2,
            text: 0,
        };
        let training = Schedule { epochs: 4, batch: 32, rate: 0.02 };
        let ignore = ignore.iter().map(|&name| name.to_owned()).collect();
        let recipe = Recipe {
            shape,
            training,
            ignore,
            early_stop: false,
            window: 1,
            weight_decay: 0.0,
            ..Recipe::default()
        };
        let fitted = fit(&sample(30, 0, 1), None, &recipe, 7, &Silent).unwrap();
        let graphs = fitted.graphs();
        let mut warm = WarmStart::new(crate::onnx::restore(&graphs.context, &graphs.regressor).unwrap());
        warm.recipe.ignore = Vec::new();
        (fitted, warm)
    }

    #[test]
    fn it_begins_where_the_bundle_is() {
        let (fitted, mut warm) = start(&["hardware.", "model."]);
        warm.recipe.training = Schedule { epochs: 1, batch: 32, rate: 0.0 };
        warm.recipe.weight_decay = 0.0;
        let rows = sample(10, 0, 2);
        let again = refit(&rows, &warm, 1, &Silent).unwrap();
        for (a, b) in fitted.predict(&rows).unwrap().iter().zip(again.predict(&rows).unwrap()) {
            assert!((a.tpot - b.tpot).abs() < 1e-4, "{} {}", a.tpot, b.tpot);
        }
    }

    #[test]
    fn it_learns_what_is_new_and_only_of_whom_it_is() {
        let (fitted, mut warm) = start(&["hardware."]);
        // One kind of hardware takes twice as long as it did.
        let slower = |seed| {
            let mut rows = sample(60, 0, seed);
            for context in (0..rows.contexts()).filter(|context| context % 3 == 2) {
                for row in rows.offsets[context]..rows.offsets[context + 1] {
                    rows.targets[row * TARGETS..][..TARGETS].iter_mut().for_each(|target| *target += 0.7);
                }
            }
            rows
        };
        warm.recipe.training = Schedule { epochs: 12, batch: 32, rate: 0.02 };
        let again = refit(&slower(3), &warm, 1, &Silent).unwrap();
        let rows = slower(4);
        let error = |fitted: &Fitted, of_slow: bool| {
            let said = fitted.predict(&rows).unwrap();
            let errors = (0..rows.len()).filter(|row| (row / 4 % 3 == 2) == of_slow);
            let errors: Vec<f64> = errors
                .map(|row| f64::from((said[row].tpot - rows.targets[row * TARGETS + 2]).abs()))
                .collect();
            errors.iter().sum::<f64>() / errors.len() as f64
        };
        assert!(
            error(&again, true) < 0.5 * error(&fitted, true),
            "{} {}",
            error(&again, true),
            error(&fitted, true)
        );
        assert!(error(&again, false) < 1.25 * error(&fitted, false));
        assert_eq!(again, refit(&slower(3), &warm, 1, &Silent).unwrap());
    }
}
