//! Grouped bars.

use plotters::style::RGBColor;

use super::{
    axis::Axis,
    canvas::{self, Canvas, INK, color},
    frame::{Area, Entry, HEIGHT, Mark, WIDTH, widest},
};

/// Bars in groups: one group for each name under the axis, one bar in it for each series.
#[derive(Debug, Clone, PartialEq)]
pub struct Bars {
    title: String,
    x_label: String,
    y: Axis,
    groups: Vec<String>,
    series: Vec<(String, Vec<Option<Bar>>)>,
}

/// One bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// Its height.
    pub value: f64,
    /// From where to where it may be, drawn as an error bar.
    pub interval: Option<(f64, f64)>,
}

impl Bar {
    /// A bar without an error bar.
    pub fn new(value: f64) -> Self {
        Self { value, interval: None }
    }

    /// A bar with one.
    pub fn between(low: f64, value: f64, high: f64) -> Self {
        Self { value, interval: Some((low, high)) }
    }

    /// Draws it from `base` to its height, which `y` says, between `left` and `left + width`.
    fn draw(
        &self,
        canvas: &mut Canvas<'_>,
        (left, width): (f64, f64),
        base: f64,
        color: RGBColor,
        y: impl Fn(f64) -> f64,
    ) {
        let height = y(self.value);
        canvas.rectangle((left + 1.0, height.min(base)), (left + width - 1.0, height.max(base)), color);
        if let Some((low, high)) = self.interval.filter(|ends| ends.0.is_finite() && ends.1.is_finite()) {
            let x = left + width / 2.0;
            canvas.line(&[(x, y(low)), (x, y(high))], INK, 1.5);
            for end in [y(low), y(high)] {
                canvas.line(&[(x - 3.5, end), (x + 3.5, end)], INK, 1.5);
            }
        }
    }
}

impl Bars {
    /// A plot with its groups; `x_label` says what these are and may be empty.
    pub fn new<N: Into<String>>(
        title: &str,
        x_label: &str,
        y: Axis,
        groups: impl IntoIterator<Item = N>,
    ) -> Self {
        let groups = groups.into_iter().map(Into::into).collect();
        Self { title: title.to_owned(), x_label: x_label.to_owned(), y, groups, series: Vec::new() }
    }

    /// A bar for each group, in their order; `None` leaves a gap.
    #[must_use]
    pub fn series(mut self, name: &str, bars: impl IntoIterator<Item = Option<Bar>>) -> Self {
        self.series.push((name.to_owned(), bars.into_iter().take(self.groups.len()).collect()));
        self
    }

    /// The plot as SVG.
    pub fn svg(&self) -> String {
        let shown = |bar: &&Bar| self.y.takes(bar.value);
        let bars: Vec<&Bar> =
            self.series.iter().flat_map(|(_, bars)| bars.iter().flatten().filter(shown)).collect();
        let ends = bars.iter().flat_map(|bar| {
            let (low, high) = bar.interval.unwrap_or((bar.value, bar.value));
            [bar.value, low, high]
        });
        let scale = self.y.scale(ends);
        let legend: Vec<Entry> = self
            .series
            .iter()
            .enumerate()
            .map(|(index, (name, _))| Entry { name: name.clone(), color: color(index), mark: Mark::Box })
            .collect();
        canvas::draw(WIDTH, HEIGHT, |canvas| {
            let area = Area::framed(canvas, &self.title, &legend, widest(&scale));
            area.y_axis(canvas, &scale, &self.y.label);
            area.x_label(canvas, &self.x_label);
            // A logarithm has no zero: its bars stand on the lower end.
            let base = area.y(&scale, 0.0_f64.clamp(scale.low, scale.high));
            let slot = (area.right - area.left) / self.groups.len().max(1) as f64;
            let width = (slot * 0.8 / self.series.len().max(1) as f64).min(48.0);
            for (group, name) in self.groups.iter().enumerate() {
                let middle = area.left + slot * (group as f64 + 0.5);
                area.name_under(canvas, name, middle, slot);
                let first = middle - width * self.series.len() as f64 / 2.0;
                for (index, (_, bars)) in self.series.iter().enumerate() {
                    let bar = bars.get(group).copied().flatten().filter(|bar| self.y.takes(bar.value));
                    if let Some(bar) = bar {
                        let y = |value: f64| area.y(&scale, value.clamp(scale.low, scale.high));
                        bar.draw(canvas, (first + width * index as f64, width), base, color(index), y);
                    }
                }
            }
            area.ground(canvas, base);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bars_stand_where_there_are_values() {
        let bars = Bars::new("Cost", "fleet", Axis::linear("US$"), ["small", "large"])
            .series("a", [Some(Bar::between(0.5, 1.0, 2.0)), None])
            .series("b", [Some(Bar::new(f64::NAN)), Some(Bar::new(3.0)), Some(Bar::new(9.0))]);
        let svg = bars.svg();
        // The ground, two boxes in the legend, two bars.
        assert_eq!(svg.matches("<rect").count(), 5);
        for text in ["Cost", "fleet", "US$", "small", "large"] {
            assert!(svg.contains(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_values_can_be_drawn(values in prop::collection::vec(prop::option::of(any::<f64>()), 0..8), log in any::<bool>()) {
            let axis = if log { Axis::log("a") } else { Axis::linear("a") };
            let groups: Vec<String> = (0..values.len()).map(|group| group.to_string()).collect();
            let bars = Bars::new("t", "", axis, groups).series("s", values.into_iter().map(|value| value.map(Bar::new)));
            prop_assert!(bars.svg().contains("</svg>"));
        }
    }
}
