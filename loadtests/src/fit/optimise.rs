//! Robust least squares without derivatives: Nelder and Mead's simplex on soft-L1 losses. Deterministic.

/// Residual, in units of `scale`, from which a row counts by its size rather than by its square.
pub(crate) fn soft_l1(residual: f64, scale: f64) -> f64 {
    let ratio = residual / scale;
    2.0 * (ratio.mul_add(ratio, 1.0).sqrt() - 1.0)
}

/// Where `loss` is least, from `start` with first steps of `step`, after at most `evaluations` of it. `seen` is told each one.
pub(crate) fn simplex(
    start: &[f64],
    step: f64,
    evaluations: usize,
    mut loss: impl FnMut(&[f64]) -> f64,
) -> Vec<f64> {
    let mut points = vec![Point::new(start.to_vec(), &mut loss)];
    for index in 0..start.len() {
        let mut at = start.to_vec();
        if let Some(value) = at.get_mut(index) {
            *value += step;
        }
        points.push(Point::new(at, &mut loss));
    }
    let mut left = evaluations.saturating_sub(points.len());
    while left > 0 {
        points.sort_by(|left, right| left.loss.total_cmp(&right.loss));
        let spread =
            points.last().map_or(0.0, |worst| worst.loss) - points.first().map_or(0.0, |best| best.loss);
        if spread < 1e-9 {
            break;
        }
        left = left.saturating_sub(turn(&mut points, &mut loss));
    }
    points.sort_by(|left, right| left.loss.total_cmp(&right.loss));
    points.into_iter().next().map_or_else(|| start.to_vec(), |best| best.at)
}

struct Point {
    at: Vec<f64>,
    loss: f64,
}

impl Point {
    fn new(at: Vec<f64>, loss: &mut impl FnMut(&[f64]) -> f64) -> Self {
        let value = loss(&at);
        Self { at, loss: if value.is_finite() { value } else { f64::MAX } }
    }
}

/// One move of the simplex, sorted by loss; returns how often the loss was worked out.
fn turn(points: &mut [Point], loss: &mut impl FnMut(&[f64]) -> f64) -> usize {
    let Some((worst, rest)) = points.split_last_mut() else { return 1 };
    let (Some(best), Some(second)) =
        (rest.first().map(|point| point.loss), rest.last().map(|point| point.loss))
    else {
        return 1;
    };
    let center: Vec<f64> = (0..worst.at.len())
        .map(|index| rest.iter().filter_map(|point| point.at.get(index)).sum::<f64>() / rest.len() as f64)
        .collect();
    let along = |worst: &Point, factor: f64| -> Vec<f64> {
        center.iter().zip(&worst.at).map(|(center, worst)| center + factor * (center - worst)).collect()
    };
    let reflected = Point::new(along(worst, 1.0), loss);
    if reflected.loss < best {
        let further = Point::new(along(worst, 2.0), loss);
        *worst = if further.loss < reflected.loss { further } else { reflected };
        return 2;
    }
    if reflected.loss < second {
        *worst = reflected;
        return 1;
    }
    let nearer = Point::new(along(worst, if reflected.loss < worst.loss { 0.5 } else { -0.5 }), loss);
    if nearer.loss < worst.loss.min(reflected.loss) {
        *worst = nearer;
        return 2;
    }
    shrink(points, loss) + 2
}

/// Draws all points half the way to the best.
fn shrink(points: &mut [Point], loss: &mut impl FnMut(&[f64]) -> f64) -> usize {
    let Some((best, rest)) = points.split_first_mut() else { return 1 };
    for point in rest.iter_mut() {
        let at = point.at.iter().zip(&best.at).map(|(at, best)| f64::midpoint(*at, *best)).collect();
        *point = Point::new(at, loss);
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_finds_the_bottom_of_a_bent_valley() {
        let loss = |at: &[f64]| {
            let (x, y) = (at[0], at[1]);
            100.0 * (y - x * x).powi(2) + (1.0 - x).powi(2)
        };
        let found = simplex(&[-1.2, 1.0], 0.3, 2000, loss);
        assert!((found[0] - 1.0).abs() < 1e-3 && (found[1] - 1.0).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn one_outlier_does_not_move_a_soft_fit_far() {
        let measured = [1.0, 1.01, 0.99, 1.0, 9.0];
        let loss = |at: &[f64]| measured.iter().map(|value| soft_l1(value - at[0], 0.1)).sum();
        let found = simplex(&[3.0], 0.5, 500, loss);
        assert!((found[0] - 1.0).abs() < 0.2, "{found:?}");
    }

    proptest! {
        #[test]
        fn it_never_ends_above_its_start(start in prop::collection::vec(-5.0_f64..5.0, 1..5), seed in -3.0_f64..3.0) {
            let loss = |at: &[f64]| at.iter().map(|x| (x - seed).abs() + (3.0 * x).sin()).sum::<f64>();
            let found = simplex(&start, 0.5, 300, loss);
            prop_assert!(loss(&found) <= loss(&start) + 1e-12);
        }
    }
}
