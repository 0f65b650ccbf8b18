use super::*;
use crate::baselines::matrix::Matrix;

/// Friedman's first function, five of ten columns of which matter.
fn friedman(rows: usize, seed: u64) -> (Matrix, Vec<f64>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let features = Matrix::of((0..rows).map(|_| (0..10).map(|_| random.f64()).collect::<Vec<f64>>()));
    let truth = |x: &[f64]| {
        10.0 * (std::f64::consts::PI * x[0] * x[1]).sin()
            + 20.0 * (x[2] - 0.5).powi(2)
            + 10.0 * x[3]
            + 5.0 * x[4]
    };
    let targets = features.iter().map(|row| truth(row) + random.f64() - 0.5).collect();
    (features, targets)
}

fn error(predicted: &[f64], actual: &[f64]) -> f64 {
    let squares = predicted.iter().zip(actual).map(|(p, a)| (p - a).powi(2));
    (squares.sum::<f64>() / actual.len() as f64).sqrt()
}

#[test]
fn a_forest_does_as_well_as_smartcores() {
    use smartcore::{
        ensemble::random_forest_regressor::{RandomForestRegressor, RandomForestRegressorParameters},
        linalg::basic::matrix::DenseMatrix,
    };
    let ((x, y), (asked, truth)) = (friedman(300, 1), friedman(300, 2));
    let dense = |m: &Matrix| DenseMatrix::from_2d_vec(&m.iter().map(<[f64]>::to_vec).collect()).unwrap();
    let settings =
        RandomForestRegressorParameters::default().with_n_trees(30).with_m(4).with_min_samples_leaf(2);
    let theirs = RandomForestRegressor::fit(&dense(&x), &y, settings).unwrap();
    let theirs = error(&theirs.predict(&dense(&asked)).unwrap(), &truth);
    let planting = Planting { trees: 30, rows: 2, columns: 0.4 };
    let ours = Forest::fit(&x, &y, &[1.0; 300], &planting, 1);
    let ours = error(&ours.predict_all(&asked), &truth);
    assert!(ours < 1.05 * theirs, "{ours} against {theirs}");
}

const BOOST: Boost = Boost {
    rounds: 80,
    rate: 0.1,
    rows: 1.0,
    columns: 1.0,
    growth: Growth { leaves: Some(8), rows: 5, columns: 1.0, ridge: 1.0 },
};

#[test]
fn boosting_does_as_well_as_forusts() {
    let ((x, y), (asked, truth)) = (friedman(300, 1), friedman(300, 2));
    let weights: Vec<f64> = (0..300).map(|row| f64::from(row % 3)).collect();
    let by_column =
        |m: &Matrix| (0..m.width()).flat_map(|c| m.column(c).collect::<Vec<_>>()).collect::<Vec<_>>();
    let (flat, flat_asked) = (by_column(&x), by_column(&asked));
    let mut theirs = forust_ml::GradientBooster::default()
        .set_objective_type(forust_ml::objective::ObjectiveType::SquaredLoss)
        .set_iterations(80)
        .set_learning_rate(0.1)
        .set_max_leaves(8)
        .set_parallel(false);
    theirs.fit(&forust_ml::Matrix::new(&flat, 300, 10), &y, &weights, None).unwrap();
    let theirs = error(&theirs.predict(&forust_ml::Matrix::new(&flat_asked, 300, 10), false), &truth);
    let ours = Boosted::least_squares(&x, &y, &weights, &BOOST, 1);
    let ours = error(&ours.predict_all(&asked), &truth);
    assert!(ours < 1.05 * theirs, "{ours} against {theirs}");
}

#[test]
fn a_ranker_finds_the_best_of_each_group() {
    let mut random = fastrand::Rng::with_seed(5);
    // The level differs by group and says nothing; within one, the second column decides.
    let mut x = Matrix::new(2);
    let mut groups = Vec::new();
    for group in 0..60 {
        let level = random.f64();
        let mut gains = Vec::new();
        for _ in 0..5 {
            let worth = random.f64();
            x.push(&[level, worth]);
            gains.push((20.0 * worth).round());
        }
        groups.push(Group { rows: (group * 5..group * 5 + 5).collect(), gains });
    }
    let model = Boosted::fit(&x, 0.0, &BOOST, 1, lambda(&groups, 3));
    let best = |group: &&Group| {
        let score = |at: &usize| model.predict(x.row(group.rows[*at]));
        let first = (0..5).max_by(|a, b| score(a).total_cmp(&score(b))).unwrap();
        group.gains.iter().all(|gain| group.gains[first] >= gain - 1.0)
    };
    assert!(groups.iter().filter(best).count() > 55);
}

#[test]
fn the_seed_decides_all() {
    let (x, y) = friedman(80, 3);
    let planting = Planting { trees: 5, rows: 2, columns: 0.4 };
    let forest = |seed| Forest::fit(&x, &y, &[1.0; 80], &planting, seed).predict_all(&x);
    assert_eq!(forest(1), forest(1));
    assert_ne!(forest(1), forest(2));
}

#[test]
fn constant_columns_and_few_rows_do_no_harm() {
    let x = Matrix::of([[1.0, 1.0], [1.0, 2.0], [1.0, f64::NAN]]);
    let boosted = Boosted::least_squares(&x, &[1.0, 2.0, 3.0], &[1.0; 3], &BOOST, 1);
    assert!((boosted.predict(&[1.0, 1.0]) - 2.0).abs() < 1e-9, "too few rows for a split");
    let empty = Boosted::least_squares(&Matrix::new(2), &[], &[], &BOOST, 1);
    assert_eq!(empty.predict(&[0.0, 0.0]), 0.0);
}
