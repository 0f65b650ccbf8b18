//! Training that goes on from a bundle's weights.

use std::ops::Range;

use super::{
    Fitted, Learned, Near, Prepared, Progress, Recipe, Schedule,
    train::{Run, check},
};
use crate::{
    Error,
    net::{Gate, Part, Scale, Scaling, Shape, Weights},
    onnx::Restored,
};

/// Members behind the gate learn nothing of engines for which it is open by less.
const LEAST_OPEN: f32 = 0.05;

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
    /// Members behind the gate are held as loosely as they were trained, and for as long as the others.
    pub fn new(from: Restored) -> Self {
        let recipe = Recipe {
            shape: from.shape,
            ignore: ["centred.", "context."].map(str::to_owned).to_vec(),
            training: Schedule { epochs: 12, batch: 256, rate: 2e-3 },
            weight_decay: 0.1,
            window: 3,
            near: Some(Near { members: from.shape.near, ..Near::default() }),
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
        let has = train.texts.width;
        let problem =
            format!("the bundle takes texts of {} numbers, its vectors.json has {has}", from.shape.text);
        return Err(Error::Failed(problem));
    }
    let mut weights = from.weights.clone();
    let scaling = opened(from, &mut weights, &Scaling::new(&[train], &recipe.ignore));
    let Shape { members, near, .. } = from.shape;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut go_on = |name: &str, rows: &Prepared, scaling: &Scaling, recipe: &Recipe, of: Range<usize>| {
        let epochs = recipe.training.epochs;
        let mut run = Run::new(rows, scaling, recipe, &recipe.training, &mut random);
        run.train(name, weights.only(of, members), epochs, progress)
    };
    let of_far = Recipe { shape: Shape { members: members - near, near: 0, ..from.shape }, ..recipe.clone() };
    let (mut trained, curve) = go_on("live", train, &scaling, &of_far, 0..members - near)?;
    let mut curves = vec![curve];
    let known = known(&from.gate, train);
    match of_far.of_near().filter(|_| !known.is_empty()) {
        Some(of_near) => {
            let shape = Shape { members: near, ..of_near.shape };
            let of_near = Recipe { shape, training: recipe.training, ..of_near };
            let seen = scaling.clone().without(&of_near.ignore);
            let (of_known, curve) = go_on("live, known", &known, &seen, &of_near, members - near..members)?;
            trained = trained.and(of_known);
            curves.push(curve);
        }
        None => trained = trained.and(weights.only(members - near..members, members)),
    }
    let learned = Learned { scaling, weights: trained, curves, epochs: recipe.training.epochs };
    // The gate stays where it is: a few epochs make nobody known by heart, and what engines that are new to the bundle teach, the other
    // members learn.
    Fitted::new(Recipe { relative_share: 1.0, near: None, ..recipe }, learned, from.gate.clone(), train)
}

/// Rows as members behind the gate see them where they serve, weighed by what these members count for there: what engines do that
/// they say nothing of, they must not take for the nearest known one's doing.
fn known(gate: &Gate, rows: &Prepared) -> Prepared {
    let open = gate.open(rows);
    let mut known = gate.nearest_known(rows);
    known.weights.iter_mut().zip(&open).for_each(|(weight, open)| *weight *= open);
    known.only(|rows| open[rows].iter().any(|&open| open >= LEAST_OPEN))
}

/// Scales of all inputs, those opened that said nothing so far; `weights` are made to fit.
fn opened(from: &Restored, weights: &mut Weights, fresh: &Scaling) -> Scaling {
    let mut open = |part: Part, old: &Scale, new: &Scale| {
        let values = &mut weights.0[part as usize];
        opened_layer(&from.shape, part, values, old, new)
    };
    Scaling {
        model: open(Part::Model, &from.scaling.model, &fresh.model),
        hardware: open(Part::Hardware, &from.scaling.hardware, &fresh.hardware),
        profile: open(Part::Profile, &from.scaling.profile, &fresh.profile),
        query: open(Part::Query, &from.scaling.query, &fresh.query),
    }
}

/// The scale of a layer's inputs: what said something is scaled as it was, for its weights are for that. What said nothing is
/// scaled by the new rows, and begins at weight 0, so that the network says at first what it said before.
fn opened_layer(shape: &Shape, part: Part, values: &mut [f32], old: &Scale, new: &Scale) -> Scale {
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
    use gearshift_selector::inputs::MODEL;

    use super::*;
    use crate::fit::{
        Near, Silent, TARGETS, fit,
        sample::{sample, small_shape},
    };

    fn start(ignore: &[&str]) -> (Fitted, WarmStart) {
        let shape = Shape { text_rank: 2, ..small_shape() };
        let training = Schedule { epochs: 4, batch: 32, rate: 0.02 };
        let ignore = ignore.iter().map(|&name| name.to_owned()).collect();
        let recipe = Recipe {
            shape,
            training,
            ignore,
            early_stop: false,
            window: 1,
            weight_decay: 0.0,
            near: Some(Near { members: 1, training, ..Near::default() }),
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
        let rows = sample(10, 0, 1);
        let again = refit(&rows, &warm, 1, &Silent).unwrap();
        assert_eq!((&again.gate, again.recipe.shape.near), (&fitted.gate, 1));
        let names: Vec<&str> = again.curves.iter().map(|curve| curve.name.as_str()).collect();
        assert_eq!(names, ["live", "live, known"]);
        for rows in [sample(10, 0, 2), sample(30, 0, 1)] {
            for (a, b) in fitted.predict(&rows).unwrap().iter().zip(again.predict(&rows).unwrap()) {
                assert!((a.tpot - b.tpot).abs() < 1e-4, "{} {}", a.tpot, b.tpot);
            }
        }
    }

    #[test]
    fn members_behind_the_gate_go_on_by_their_own_recipe() {
        let (_, mut warm) = start(&["hardware."]);
        warm.recipe.training = Schedule { epochs: 2, batch: 32, rate: 0.02 };
        let rows = sample(30, 0, 1);
        let near = |warm: &WarmStart| {
            let again = refit(&rows, warm, 1, &Silent).unwrap();
            again.weights.only(2..3, 3)
        };
        let usual = near(&warm);
        assert_eq!(warm.recipe.near, Some(Near { members: 1, ..Near::default() }));
        // What holds the others more or less does nothing to them, and the other way about.
        warm.recipe.weight_decay = 0.9;
        assert_eq!(near(&warm), usual);
        warm.recipe.near = Some(Near { members: 1, centring: 1.0, ..Near::default() });
        assert_ne!(near(&warm), usual);
    }

    #[test]
    fn members_behind_the_gate_learn_nothing_of_engines_they_say_nothing_of() {
        let (fitted, mut warm) = start(&["hardware."]);
        warm.recipe.training = Schedule { epochs: 8, batch: 32, rate: 0.02 };
        // Other models, on the same accelerators, take twice as long.
        let mut rows = sample(30, 0, 1);
        let (strangers, known) = (40..rows.len(), 0..40);
        rows.model[strangers.start * MODEL.len()..].iter_mut().for_each(|number| *number += 3.0);
        rows.targets[strangers.start * TARGETS..].iter_mut().for_each(|target| *target += 0.7);

        let of_strangers = rows.only(|context| strangers.contains(&context.start));
        let again = refit(&of_strangers, &warm, 1, &Silent).unwrap();
        assert_eq!(again.weights.only(2..3, 3), warm.from.weights.only(2..3, 3));
        assert_eq!(again.curves.len(), 1);

        let again = refit(&rows, &warm, 1, &Silent).unwrap();
        let level = |fitted: &Fitted| {
            let said = fitted.predict(&rows).unwrap();
            known.clone().map(|row| f64::from(said[row].tpot)).sum::<f64>() / known.len() as f64
        };
        assert!((level(&again) - level(&fitted)).abs() < 0.1, "{} {}", level(&again), level(&fitted));
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
