//! Training on made-up rows.

use gearshift_selector::{
    Correction,
    inputs::{MODEL, PROFILE},
};

use super::{
    Near, Prepared, Recipe, Schedule, Silent, TARGETS, fit,
    sample::{sample, small_shape},
};
use crate::net::Shape;

fn small(epochs: usize) -> Recipe {
    let shape = Shape { text_rank: 2, ..small_shape() };
    let training = Schedule { epochs, batch: 32, rate: 0.02 };
    let pretraining = Schedule { epochs: 2, ..training };
    Recipe {
        shape,
        training,
        pretraining,
        ignore: Vec::new(),
        relative_share: 1.0,
        early_stop: true,
        window: 2,
        weight_decay: 0.0,
        query_dropout: 0.0,
        hidden_dropout: 0.0,
        near: None,
        ..Recipe::default()
    }
}

/// Mean absolute error of `tpot`, and that of leaving the prior as it is.
fn errors(rows: &Prepared, predicted: &[Correction]) -> (f32, f32) {
    let target = |row: usize| rows.targets[row * TARGETS + 2];
    let count = rows.len() as f32;
    let error = predicted.iter().enumerate().map(|(row, said)| (said.tpot - target(row)).abs()).sum::<f32>();
    (error / count, (0..rows.len()).map(|row| target(row).abs()).sum::<f32>() / count)
}

#[test]
fn learns_and_generalises() {
    let recipe = small(16);
    let fitted = fit(&sample(60, 0, 1), None, &recipe, 7, &Silent).unwrap();
    let unseen = sample(20, 0, 2);
    let (error, of_prior) = errors(&unseen, &fitted.predict(&unseen).unwrap());
    assert!(error < 0.75 * of_prior, "{error} against {of_prior} of the prior alone");
    assert!(fitted.epochs <= 16 && fitted.spread_scale > 0.0);
    assert_eq!(fitted.curves.len(), 2);
    assert!(super::chart(&fitted.curves).svg().contains("unseen hardware"));
}

/// With members that know by heart beside those that do not look at the model.
fn with_near() -> Recipe {
    let training = Schedule { epochs: 30, batch: 32, rate: 0.02 };
    let near = Near { members: 2, ignore: Vec::new(), training, ..Near::default() };
    let ignore = vec!["model.".to_owned()];
    Recipe { near: Some(near), ignore, early_stop: false, ..small(8) }
}

#[test]
fn what_was_not_trained_on_is_not_read() {
    let rows = sample(20, 0, 1);
    let fitted = fit(&rows, None, &with_near(), 7, &Silent).unwrap();
    let far = fit(&rows, None, &Recipe { near: None, ..with_near() }, 7, &Silent).unwrap();
    assert_eq!((fitted.recipe.shape.members, fitted.recipe.shape.near), (4, 2));
    assert!((fitted.spread_scale - far.spread_scale).abs() < 1e-6);
    // Two models that nobody knows: what is said is the same, and what is said without those who know.
    let unknown = |by: f32| {
        let mut rows = rows.clone();
        rows.model.iter_mut().for_each(|value| *value += by);
        rows
    };
    let said = fitted.predict(&unknown(20.0)).unwrap();
    let of_far = far.predict(&unknown(20.0)).unwrap();
    for (said, other) in
        fitted.predict(&unknown(-7.0)).unwrap().iter().zip(&of_far).chain(said.iter().zip(&of_far))
    {
        assert!((said.tpot - other.tpot).abs() < 1e-5 && (said.relative - other.relative).abs() < 1e-5);
        assert!((said.spread - other.spread).abs() < 1e-5);
    }
    assert_ne!(fitted.predict(&rows).unwrap(), far.predict(&rows).unwrap());
}

/// What a model takes more has nothing to do with its numbers, and models stand in several contexts. They ran in one profile.
fn by_name(seed: u64) -> Prepared {
    let mut rows = sample(40, 0, seed);
    for context in 0..40 {
        let model = context % 5;
        for row in rows.offsets[context]..rows.offsets[context + 1] {
            rows.model[row * MODEL.len()..][..MODEL.len()].fill((model * 3 % 5) as f32);
            rows.profile[row * PROFILE.len()..][..PROFILE.len()].fill(1.0);
            let more = if model % 2 == 0 { 0.5 } else { -0.5 };
            rows.targets[row * TARGETS..][..TARGETS].iter_mut().for_each(|target| *target += more);
        }
    }
    rows
}

/// A profile that nobody ran, or a model a little beside those that are known, is compared with what is known by heart: only what it makes
/// may tell them apart, and no level.
#[test]
fn what_is_known_and_what_is_not_can_be_compared() {
    let rows = by_name(1);
    let fitted = fit(&rows, None, &with_near(), 7, &Silent).unwrap();
    let known = fitted.predict(&rows).unwrap();
    for number in 0..PROFILE.len() {
        let mut other = rows.clone();
        other.profile.iter_mut().skip(number).step_by(PROFILE.len()).for_each(|value| *value += 0.6);
        assert_eq!(fitted.predict(&other).unwrap(), known, "{number}");
    }
    for (by, least) in [(0.03, 0.5), (5.0, 0.0)] {
        let mut other = rows.clone();
        other.model.iter_mut().for_each(|value| *value += by);
        let open = fitted.gate.open(&other);
        assert!(open.iter().all(|&open| open >= least && open < 0.7), "{open:?}");
        let said = fitted.predict(&other).unwrap();
        for model in 0..5 {
            let level = |said: &[Correction]| {
                let contexts = said.chunks(4).skip(model).step_by(5);
                contexts.map(|rows| rows.iter().map(|row| row.relative).sum::<f32>() / 4.0).sum::<f32>() / 8.0
            };
            let (known, other) = (level(&known), level(&said));
            // Half a level apart they are in what they take.
            assert!((known - other).abs() < 0.25, "model {model}: {known} {other}");
        }
    }
}

#[test]
fn what_was_trained_on_is_known_by_heart() {
    let error = |recipe: &Recipe| {
        let fitted = fit(&by_name(1), None, recipe, 7, &Silent).unwrap();
        let rows = by_name(2);
        errors(&rows, &fitted.predict(&rows).unwrap()).0
    };
    let (near, far) = (error(&with_near()), error(&Recipe { near: None, ..with_near() }));
    assert!(near < 0.7 * far, "{near} against {far}");
}

#[test]
fn same_rows_and_seed_same_weights() {
    let (rows, before) = (sample(9, 4, 1), sample(9, 4, 3));
    let run = |seed| fit(&rows, Some(&before), &small(2), seed, &Silent).unwrap();
    let first = run(7);
    assert_eq!(first, run(7));
    assert_ne!(first.weights, run(8).weights);
    assert_eq!(first.recipe.shape.text, 4);
}

#[test]
fn refuses_rows_that_do_not_fit() {
    let mut rows = sample(3, 0, 1);
    rows.query.pop();
    let error = fit(&rows, None, &small(1), 1, &Silent).unwrap_err().to_string();
    assert!(error.contains("query"), "{error}");
    assert!(fit(&Prepared::default(), None, &small(1), 1, &Silent).is_err());
}

#[test]
fn relative_is_learned_up_to_a_constant_per_context() {
    let rows = sample(6, 0, 5);
    let mut shifted = rows.clone();
    for (row, target) in shifted.targets.chunks_exact_mut(TARGETS).enumerate() {
        target[0] += (row / 4) as f32;
    }
    let recipe = Recipe { early_stop: false, ..small(2) };
    let said = |rows: &Prepared| fit(rows, None, &recipe, 1, &Silent).unwrap().predict(rows).unwrap();
    for (a, b) in said(&rows).iter().zip(said(&shifted)) {
        assert!((a.relative - b.relative).abs() < 1e-4);
    }
}
