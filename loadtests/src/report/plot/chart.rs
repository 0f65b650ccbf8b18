//! Lines, distributions and scatter plots.

use plotters::style::RGBColor;

use super::{
    axis::{Axis, Scale},
    canvas::{self, Canvas, FAINT, color, repeats},
    frame::{Area, Entry, HEIGHT, Mark, WIDTH, widest},
};

/// A plot over two axes. What an axis cannot show (not finite, beyond 10¹⁵, or not positive on a logarithm) is left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    title: String,
    x: Axis,
    y: Axis,
    series: Vec<Series>,
    identity: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Series {
    name: String,
    points: Vec<(f64, f64)>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Line,
    Marked,
    Scatter,
}

impl Chart {
    /// An empty plot.
    pub fn new(title: &str, x: Axis, y: Axis) -> Self {
        Self { title: title.to_owned(), x, y, series: Vec::new(), identity: false }
    }

    /// A line through points in the order given.
    #[must_use]
    pub fn line(self, name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.with(name, points, Kind::Line)
    }

    /// A line through points, each of them marked: for few points.
    #[must_use]
    pub fn marked_line(self, name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.with(name, points, Kind::Marked)
    }

    /// Points alone.
    #[must_use]
    pub fn scatter(self, name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.with(name, points, Kind::Scatter)
    }

    /// The cumulative distribution of values, as steps; for an axis made with [`Axis::share`].
    #[must_use]
    pub fn distribution(self, name: &str, values: &[f64]) -> Self {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len() as f64;
        let steps = sorted.into_iter().enumerate().flat_map(move |(index, value)| {
            [(value, index as f64 / count), (value, (index + 1) as f64 / count)]
        });
        self.with(name, steps, Kind::Line)
    }

    /// The dashed line on which both values are equal; both axes then show the same range.
    #[must_use]
    pub fn identity(self) -> Self {
        Self { identity: true, ..self }
    }

    fn with(mut self, name: &str, points: impl IntoIterator<Item = (f64, f64)>, kind: Kind) -> Self {
        self.series.push(Series { name: name.to_owned(), points: points.into_iter().collect(), kind });
        self
    }

    /// The plot as SVG.
    pub fn svg(&self) -> String {
        let (x, y) = self.scales();
        canvas::draw(WIDTH, HEIGHT, |canvas| {
            let area = Area::framed(canvas, &self.title, &self.legend(), widest(&y));
            area.y_axis(canvas, &y, &self.y.label);
            area.x_axis(canvas, &x, &self.x.label);
            area.ground(canvas, area.bottom);
            if self.identity {
                let ends =
                    [x.low.max(y.low), x.high.min(y.high)].map(|end| (area.x(&x, end), area.y(&y, end)));
                canvas.dashes(&ends, FAINT, 1.5);
            }
            for (index, series) in self.series.iter().enumerate() {
                let visible = |value: f64, scale: &Scale| (scale.low..=scale.high).contains(&value);
                let shown = series.points.iter().filter(|(a, b)| visible(*a, &x) && visible(*b, &y));
                let places: Vec<(f64, f64)> = shown.map(|&(a, b)| (area.x(&x, a), area.y(&y, b))).collect();
                series.draw(canvas, &places, index);
            }
        })
    }

    fn scales(&self) -> (Scale, Scale) {
        let good = |(x, y): &&(f64, f64)| self.x.takes(*x) && self.y.takes(*y);
        let points: Vec<(f64, f64)> =
            self.series.iter().flat_map(|series| series.points.iter().filter(good)).copied().collect();
        let (xs, ys) = (points.iter().map(|point| point.0), points.iter().map(|point| point.1));
        if self.identity {
            let both: Vec<f64> = xs.chain(ys).collect();
            return (self.x.scale(both.iter().copied()), self.y.scale(both.iter().copied()));
        }
        (self.x.scale(xs), self.y.scale(ys))
    }

    fn legend(&self) -> Vec<Entry> {
        let entry = |(index, series): (usize, &Series)| Entry {
            name: series.name.clone(),
            color: color(index),
            mark: series.mark(index),
        };
        let mut entries: Vec<Entry> = self.series.iter().enumerate().map(entry).collect();
        if self.identity {
            entries.push(Entry { name: "equal".to_owned(), color: FAINT, mark: Mark::Dashes });
        }
        entries
    }
}

impl Series {
    fn mark(&self, index: usize) -> Mark {
        match self.kind {
            Kind::Scatter => Mark::Dot,
            Kind::Line | Kind::Marked if repeats(index) => Mark::Dashes,
            Kind::Line | Kind::Marked => Mark::Line,
        }
    }

    fn draw(&self, canvas: &mut Canvas<'_>, places: &[(f64, f64)], index: usize) {
        const LINE: f64 = 2.0;
        let color: RGBColor = color(index);
        match self.mark(index) {
            Mark::Line => canvas.line(places, color, LINE),
            Mark::Dashes => canvas.dashes(places, color, LINE),
            Mark::Dot | Mark::Box => {}
        }
        let opacity = match self.kind {
            Kind::Line => return,
            Kind::Marked => 1.0,
            Kind::Scatter => 0.65,
        };
        places.iter().for_each(|&place| canvas.dot(place, 3.5, color, opacity));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_plot_says_what_it_shows() {
        let chart = Chart::new("Time & <tokens>", Axis::log("TTFT (s)"), Axis::share("requests within"))
            .distribution("gearshift", &[0.1, 0.2, f64::NAN, 4.0])
            .scatter("dots", [(0.3, 0.5), (-1.0, 0.5)])
            .identity();
        let svg = chart.svg();
        for text in
            ["Time &amp; &lt;tokens&gt;", "TTFT (s)", "requests within", "gearshift", "equal", "system-ui"]
        {
            assert!(svg.contains(text), "{text}");
        }
        assert!(svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches("<circle").count(), 2, "one in the legend, one point");
    }

    proptest! {
        #[test]
        fn any_points_can_be_drawn(points in prop::collection::vec((any::<f64>(), any::<f64>()), 0..20), log in any::<bool>(), identity in any::<bool>()) {
            let axis = || if log { Axis::log("a") } else { Axis::linear("a") };
            let chart = Chart::new("t", axis(), axis()).marked_line("s", points);
            let chart = if identity { chart.identity() } else { chart };
            prop_assert!(chart.svg().len() < 200_000);
        }
    }
}
