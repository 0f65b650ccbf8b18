//! Training on made-up rows.

use super::{Prepared, Recipe, Schedule, Silent, TARGETS, fit, sample::sample};
use crate::net::Shape;

fn small(epochs: usize) -> Recipe {
    let shape =
        Shape { members: 2, width: 8, heads: 2, encoder: 8, hidden: 16, combine: 8, text_rank: 2, text: 0 };
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
        ..Recipe::default()
    }
}

/// Mean absolute error of `tpot`, and that of leaving the prior as it is.
fn errors(rows: &Prepared, predicted: &[gearshift_selector::Correction]) -> (f32, f32) {
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
