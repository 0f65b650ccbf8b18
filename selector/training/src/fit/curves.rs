//! Learning curves.

use gearshift_loadtests::report::{Axis, Chart};

/// How the losses went.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// The phase.
    pub name: String,
    /// By epoch.
    pub points: Vec<Point>,
}

/// Losses after an epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// From 1.
    pub epoch: usize,
    /// Mean over the batches, dropout and all.
    pub trained: f64,
    /// On hardware left out.
    pub left_out: Option<f64>,
}

impl Curve {
    /// The epoch around which the loss on what was left out was least, averaged over `window` epochs; its last.
    pub fn best_epoch(&self, window: usize) -> usize {
        let window = window.clamp(1, self.points.len().max(1));
        let mean = |points: &[Point]| points.iter().filter_map(|point| point.left_out).sum::<f64>();
        self.points
            .windows(window)
            .min_by(|a, b| mean(a).total_cmp(&mean(b)))
            .and_then(|points| points.last())
            .map_or(self.points.len(), |point| point.epoch)
    }
}

/// The curves as a plot: loss by epoch, on what was trained on and on what was left out.
pub fn chart(curves: &[Curve]) -> Chart {
    let mut chart = Chart::new("Learning curves", Axis::linear("epoch"), Axis::linear("loss"));
    for curve in curves {
        let epoch = |point: &Point| point.epoch as f64;
        chart = chart.line(
            &format!("{}: trained on", curve.name),
            curve.points.iter().map(|point| (epoch(point), point.trained)),
        );
        let left_out: Vec<(f64, f64)> =
            curve.points.iter().filter_map(|point| Some((epoch(point), point.left_out?))).collect();
        if !left_out.is_empty() {
            chart = chart.line(&format!("{}: unseen hardware", curve.name), left_out);
        }
    }
    chart
}

#[cfg(test)]
mod tests {
    use super::{Curve, Point};

    #[test]
    fn the_best_epoch_is_of_an_average() {
        let losses = [5.0, 4.0, 0.9, 4.0, 2.0, 2.0, 2.0, 3.0, 3.0];
        let points = losses.iter().enumerate().map(|(at, &loss)| Point {
            epoch: at + 1,
            trained: 0.0,
            left_out: Some(loss),
        });
        let curve = Curve { name: String::new(), points: points.collect() };
        assert_eq!(curve.best_epoch(1), 3, "one lucky epoch");
        assert_eq!(curve.best_epoch(3), 7);
    }
}
