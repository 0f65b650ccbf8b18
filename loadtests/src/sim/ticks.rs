//! Exact simulated time.
//!
//! Step times are rounded to [`Ticks`] once, where they come from the step model; from there on time is added up in
//! integers. So a hundred steps taken at once end in the same tick as a hundred steps taken one by one, and both paces
//! of an engine agree to the last bit.

use std::ops::{Add, AddAssign, Sub};

use super::{DecodeLine, Moment};

/// Bits of a nanosecond: context is priced per token, at well under a nanosecond on small models.
const NANO_BITS: u32 = 48;
/// Bits of a token in [`Context`].
const TOKEN_BITS: u32 = 16;

/// Simulated time in units of 2⁻⁴⁸ ns: a span, or an instant as the span since moment 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Ticks(u128);

impl Ticks {
    /// The nearest to `seconds`; negative and NaN are none.
    pub(super) fn from_seconds(seconds: f64) -> Self {
        Self(nearest(seconds * 1e9 * (1u64 << NANO_BITS) as f64))
    }

    pub(super) fn seconds(self) -> f64 {
        self.0 as f64 / (1u64 << NANO_BITS) as f64 * 1e-9
    }

    /// The first moment that is not before this instant.
    pub(super) fn moment(self) -> Moment {
        Moment(u64::try_from(self.0.div_ceil(1 << NANO_BITS)).unwrap_or(u64::MAX))
    }

    pub(super) fn saturating_sub(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

impl From<Moment> for Ticks {
    fn from(moment: Moment) -> Self {
        Self(u128::from(moment.0) << NANO_BITS)
    }
}

impl Add for Ticks {
    type Output = Self;

    fn add(self, span: Self) -> Self {
        Self(self.0 + span.0)
    }
}

impl AddAssign for Ticks {
    fn add_assign(&mut self, span: Self) {
        self.0 += span.0;
    }
}

impl Sub for Ticks {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self(self.0 - earlier.0)
    }
}

/// Tokens of context, in units of 2⁻¹⁶: with speculation a sequence grows by a fraction of a token more than its share
/// in each step. Signed, since a sequence's line may cross zero before it joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Context(i64);

impl Context {
    pub(super) fn tokens(tokens: u32) -> Self {
        Self(i64::from(tokens) << TOKEN_BITS)
    }

    /// `tokens` spread evenly over `steps`, rounded down.
    pub(super) fn spread(tokens: u32, steps: u64) -> Self {
        Self((i64::from(tokens) << TOKEN_BITS) / i64::try_from(steps.max(1)).unwrap_or(i64::MAX))
    }

    /// This many times over.
    pub(super) fn times(self, steps: u64) -> Self {
        Self(self.0 * i64::try_from(steps).unwrap_or(i64::MAX))
    }

    /// Whole tokens.
    pub(super) fn whole(self) -> u64 {
        u64::try_from(self.0 >> TOKEN_BITS).unwrap_or(0)
    }

    fn units(self) -> u128 {
        u128::try_from(self.0).unwrap_or(0)
    }
}

impl Add for Context {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for Context {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Sub for Context {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

/// The pace of consecutive decoding steps of one batch: each costs a base and a little for every token of context,
/// which grows by the same amount from step to step.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pacing {
    base: u128,
    per_unit: u128,
    context: Context,
    growth: Context,
}

impl Pacing {
    /// `context` is that of the first step, over the whole batch. `slow` stretches every step.
    pub(super) fn new(line: DecodeLine, slow: f64, context: Context, growth: Context) -> Self {
        Self {
            base: Ticks::from_seconds(line.base_s * slow).0,
            per_unit: nearest(line.per_context_s * slow * 1e9 * (1u64 << (NANO_BITS - TOKEN_BITS)) as f64),
            context,
            growth,
        }
    }

    /// How long the first `steps` take: an arithmetic series.
    pub(super) fn elapsed(&self, steps: u64) -> Ticks {
        Ticks(u128::from(steps) * self.base + self.per_unit * self.units_read(steps))
    }

    /// Context read by the first `steps`, tokens.
    pub(super) fn context_read(&self, steps: u64) -> f64 {
        self.units_read(steps) as f64 / (1u64 << TOKEN_BITS) as f64
    }

    fn units_read(&self, steps: u64) -> u128 {
        let n = u128::from(steps);
        n * self.context.units() + self.growth.units() * (n * n.saturating_sub(1) / 2)
    }

    /// How many whole steps fit into `span`, at most `limit`.
    pub(super) fn steps_within(&self, span: Ticks, limit: u64) -> u64 {
        // The root of the series' quadratic in floating point, then exact.
        let slope = self.per_unit as f64;
        let growth = self.growth.units() as f64;
        let first = self.base as f64 + slope * (self.context.units() as f64 - 0.5 * growth);
        let root = (first * first + 2.0 * slope * growth * span.0 as f64).sqrt();
        let estimate = nearest((2.0 * span.0 as f64 / (first + root)).floor());
        let mut steps = u64::try_from(estimate).unwrap_or(u64::MAX).min(limit);
        while steps < limit && self.elapsed(steps + 1) <= span {
            steps += 1;
        }
        while steps > 0 && self.elapsed(steps) > span {
            steps -= 1;
        }
        steps
    }

    /// The pace after `steps` of it.
    pub(super) fn after(&self, steps: u64) -> Self {
        Self { context: self.context + self.growth.times(steps), ..*self }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float-to-int `as` saturates and maps NaN to 0, which is what a duration wants"
)]
fn nearest(x: f64) -> u128 {
    x.round() as u128
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn seconds_and_moments_convert() {
        assert_eq!(Ticks::from_seconds(1.5).moment(), Moment(1_500_000_000));
        assert_eq!(Ticks::from(Moment(7)).moment(), Moment(7));
        assert_eq!((Ticks::from(Moment(7)) + Ticks(1)).moment(), Moment(8), "rounded up");
        assert_eq!(Ticks::from_seconds(-1.0), Ticks::default());
        assert!((Ticks::from_seconds(0.0123).seconds() - 0.0123).abs() < 1e-15);
    }

    proptest! {
        #[test]
        fn steps_taken_at_once_last_as_long_as_one_by_one(
            base in 0.0..0.1, slope in 0.0..1e-5, context in 0u32..1 << 20, growth in 1u64..70_000,
            steps in 0u64..300, cut in 0u64..300,
        ) {
            let line = DecodeLine { base_s: base, per_context_s: slope, ..DecodeLine::default() };
            let growth = Context::spread(1, 1).times(growth);
            let pacing = Pacing::new(line, 1.0, Context::tokens(context), growth);
            let one_by_one = (0..steps).map(|i| pacing.after(i).elapsed(1)).fold(Ticks::default(), Add::add);
            prop_assert_eq!(pacing.elapsed(steps), one_by_one);
            let cut = cut.min(steps);
            prop_assert_eq!(pacing.elapsed(cut) + pacing.after(cut).elapsed(steps - cut), one_by_one);
        }

        #[test]
        fn the_last_whole_step_is_found(
            base in 1e-6..0.1, slope in 0.0..1e-5, context in 0u32..1 << 20, growth in 1u64..70_000,
            span in 0.0..100.0, limit in 0u64..10_000,
        ) {
            let line = DecodeLine { base_s: base, per_context_s: slope, ..DecodeLine::default() };
            let growth = Context::spread(1, 100).times(growth);
            let pacing = Pacing::new(line, 1.0, Context::tokens(context), growth);
            let span = Ticks::from_seconds(span);
            let steps = pacing.steps_within(span, limit);
            prop_assert!(steps <= limit);
            prop_assert!(pacing.elapsed(steps) <= span);
            prop_assert!(steps == limit || pacing.elapsed(steps + 1) > span);
        }
    }
}
