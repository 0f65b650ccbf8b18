//! Scales of the inputs: every number finite and of a sane size, whatever a catalog says.

use crate::num::to_f32;

/// Least magnitude that is told from nothing: 2⁻¹⁶.
const LEAST: f32 = 1.0 / 65_536.0;
/// Most, as a power of two: an hour in microseconds.
const MOST_LOG2: f32 = 32.0;

/// log₂, between −16 and 32; −16 for 0, what is negative, and NaN.
pub(super) fn log2(x: f64) -> f32 {
    to_f32(x).max(LEAST).log2().min(MOST_LOG2)
}

/// log₂ of `x`, and 0 where it is below 1: for counts and for rates of which a catalog may know nothing.
pub(super) fn log2_from_1(x: f64) -> f32 {
    log2(x.max(1.0))
}

/// log₂ of a count.
pub(super) fn log2_count(count: u32) -> f32 {
    log2_from_1(f64::from(count))
}

/// `x` between 0 and `most`; 0 for NaN.
pub(super) fn between_0_and(most: f32, x: f64) -> f32 {
    to_f32(x).max(0.0).min(most)
}

/// A share, 0–1.
pub(super) fn share(x: f64) -> f32 {
    between_0_and(1.0, x)
}

/// 1 where it is so.
pub(super) fn flag(condition: bool) -> f32 {
    f32::from(u8::from(condition))
}
