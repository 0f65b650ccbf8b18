//! Axes: from values to places, and where the ticks are.

use super::super::number::significant;

/// One axis of a plot: what it shows, in which unit, on which scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    pub(super) label: String,
    kind: Kind,
    range: Option<(f64, f64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Linear,
    Log,
    Share,
}

impl Axis {
    /// A linear axis; it begins at 0 where no value is negative.
    pub fn linear(label: &str) -> Self {
        Self::new(label, Kind::Linear)
    }

    /// A logarithmic axis; values that are not positive are left out.
    pub fn log(label: &str) -> Self {
        Self::new(label, Kind::Log)
    }

    /// From 0 to 1, ticks in percent.
    pub fn share(label: &str) -> Self {
        Self { range: Some((0.0, 1.0)), ..Self::new(label, Kind::Share) }
    }

    fn new(label: &str, kind: Kind) -> Self {
        Self { label: label.to_owned(), kind, range: None }
    }

    /// Shows this range whatever the values are; those outside it are left out.
    #[must_use]
    pub fn range(self, low: f64, high: f64) -> Self {
        Self { range: Some((low, high)), ..self }
    }

    /// Whether it can show a value at all.
    pub(super) fn takes(&self, value: f64) -> bool {
        let size = value.abs();
        size <= LARGEST && (self.kind != Kind::Log || (value > 0.0 && size >= 1.0 / LARGEST))
    }

    /// The scale that shows `values`, as far as the axis takes them.
    pub(super) fn scale(&self, values: impl IntoIterator<Item = f64>) -> Scale {
        let taken = values.into_iter().filter(|&value| self.takes(value));
        let found = taken.fold(None, |range: Option<(f64, f64)>, value| {
            Some(range.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
        });
        let (low, high) = self.range.or(found).unwrap_or((1.0, 10.0));
        let usable =
            low.is_finite() && high.is_finite() && low <= high && (self.kind != Kind::Log || low > 0.0);
        let (low, high) = if usable { (low, high) } else { (1.0, 10.0) };
        match self.kind {
            Kind::Log if self.range.is_some() => Scale::log(low, high, (low, high)),
            Kind::Log => Scale::log(low, high, (low / 1.12, high * 1.12)),
            Kind::Linear if self.range.is_none() => Scale::linear(low.min(0.0), high, 1.0),
            Kind::Linear => Scale { fixed: Some((low, high)), ..Scale::linear(low, high, 1.0) }.clipped(),
            Kind::Share => Scale { fixed: Some((low, high)), ..Scale::linear(low, high, 100.0) }.clipped(),
        }
    }
}

/// Larger values are no measurements.
const LARGEST: f64 = 1e15;

/// An axis with its range.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    log: bool,
    /// Where lines are drawn, and what stands there.
    pub(super) ticks: Vec<(f64, String)>,
    fixed: Option<(f64, f64)>,
}

impl Scale {
    /// From `low` to the first tick at or above `high`, with ticks times `factor`.
    fn linear(low: f64, high: f64, factor: f64) -> Self {
        let high = if high > low { high } else { low + low.abs().max(1.0) };
        let step = nice_step((high - low) / 6.0);
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let unit = if factor > 1.0 { " %" } else { "" };
        let tick = |index: f64| {
            let value = index * step;
            (value, format!("{}{unit}", label(value * factor, step * factor)))
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some ten steps")]
        let count = ((last - first) as u32).min(20);
        let ticks = (0..=count).map(|index| tick(first + f64::from(index))).collect();
        Self { low: first * step, high: last * step, log: false, ticks, fixed: None }
    }

    /// Shows `shown`, with ticks at powers of ten, and at 2 and 5 times them where there are few.
    fn log(low: f64, high: f64, shown: (f64, f64)) -> Self {
        let shown = if high > low { shown } else { (low / 2.0, low * 2.0) };
        let decades = (shown.1 / shown.0).log10();
        let multiples: &[f64] = if decades < 3.2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        #[expect(clippy::cast_possible_truncation, reason = "some powers of ten")]
        let (first, last) = (shown.0.log10().floor() as i32, shown.1.log10().ceil() as i32);
        let every = if decades > 12.0 { 3 } else { 1 };
        let values = (first..=last)
            .filter(|power| power % every == 0)
            .flat_map(|power| multiples.iter().map(move |multiple| multiple * 10_f64.powi(power)));
        let within = values.filter(|value| (shown.0..=shown.1).contains(value));
        let ticks: Vec<(f64, String)> = within.map(|value| (value, label(value, value))).collect();
        let ticks = if ticks.len() < 3 { even_ticks(shown) } else { ticks };
        Self { low: shown.0, high: shown.1, log: true, ticks, fixed: None }
    }

    /// Only what lies within the fixed range.
    fn clipped(mut self) -> Self {
        if let Some((low, high)) = self.fixed {
            let slack = (high - low) * 1e-9;
            self.ticks.retain(|(value, _)| (low - slack..=high + slack).contains(value));
            (self.low, self.high) = if high > low { (low, high) } else { (low, low + 1.0) };
        }
        self
    }

    /// Where a value lies: 0 at the lower end, 1 at the upper one.
    pub(super) fn place(&self, value: f64) -> f64 {
        if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }
}

/// Ticks at equal distances in value, for a logarithm over less than a decade.
fn even_ticks((low, high): (f64, f64)) -> Vec<(f64, String)> {
    let step = nice_step((high - low) / 6.0);
    #[expect(clippy::cast_possible_truncation, reason = "some ten steps, whatever the offset")]
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    let tick = |index: i64| (index as f64 * step, label(index as f64 * step, step));
    (first..=last.min(first.saturating_add(10))).map(tick).collect()
}

/// 1, 2 or 5 times a power of ten, at least `least`.
fn nice_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|digit| digit * power).find(|step| *step >= least).unwrap_or(10.0 * power)
}

/// A tick's label with as many decimals as its step needs.
fn label(value: f64, step: f64) -> String {
    if value == 0.0 || value.abs() < step * 1e-6 {
        return "0".to_owned();
    }
    #[expect(clippy::cast_possible_truncation, reason = "some powers of ten")]
    let digits = (value.abs().log10().floor() - step.log10().floor()) as i32 + 1;
    if value.abs() >= 1e6 || value.abs() < 1e-5 {
        return format!("{value:e}");
    }
    significant(value, digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(scale: &Scale) -> Vec<&str> {
        scale.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(labels(&Axis::linear("").scale([3.0, 97.0])), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(labels(&Axis::linear("").scale([-0.11, 0.2])), ["-0.2", "-0.1", "0", "0.1", "0.2"]);
        assert_eq!(
            labels(&Axis::linear("").scale([0.0, 6_000.0])),
            ["0", "1,000", "2,000", "3,000", "4,000", "5,000", "6,000"]
        );
        assert_eq!(labels(&Axis::share("").scale([])), ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]);
        assert_eq!(
            labels(&Axis::log("").scale([0.011, 1.5])),
            ["0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1"]
        );
        assert_eq!(
            labels(&Axis::log("").scale([1.0, 1e5])),
            ["1", "10", "100", "1,000", "10,000", "100,000"]
        );
        assert_eq!(labels(&Axis::linear("").range(0.0, 1.5).scale([9.0])), ["0", "0.5", "1.0", "1.5"]);
    }

    proptest! {
        #[test]
        fn values_lie_within_their_scale(values in prop::collection::vec(prop_oneof![-1e9..1e9_f64, Just(f64::NAN), Just(0.0), 1e-6..1e6_f64], 0..20), log in any::<bool>()) {
            let axis = if log { Axis::log("x") } else { Axis::linear("x") };
            let scale = axis.scale(values.iter().copied());
            prop_assert!(scale.low < scale.high);
            prop_assert!(scale.ticks.len() < 45, "{} ticks", scale.ticks.len());
            for value in values.into_iter().filter(|&value| axis.takes(value)) {
                prop_assert!((-1e-6..=1.0 + 1e-6).contains(&scale.place(value)), "{value} in {scale:?}");
            }
        }
    }
}
