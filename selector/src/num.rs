//! Conversions between counts and the arithmetic of predictions.

/// A count from an estimate: rounds, saturates; negative and NaN are 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float-to-int `as` saturates and maps NaN to 0, which is what an estimate wants"
)]
pub(crate) fn to_u32(x: f64) -> u32 {
    x.round() as u32
}

/// As [`to_u32`], for token sums.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float-to-int `as` saturates and maps NaN to 0, which is what an estimate wants"
)]
pub(crate) fn to_u64(x: f64) -> u64 {
    x.round() as u64
}

/// Narrows to `f32`, for state packed in half a word.
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounds to the nearest f32; 24 bits are plenty for an average"
)]
pub(crate) fn to_f32(x: f64) -> f32 {
    x as f32
}

/// The low half of a word.
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
pub(crate) fn low(word: u64) -> u32 {
    word as u32
}

/// The high half of a word.
pub(crate) fn high(word: u64) -> u32 {
    low(word >> 32)
}

/// Two halves as one word, so that both change in one atomic store.
pub(crate) fn pack(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// Maps a hash evenly onto `0..len` by its high half, without a division. `len` must be positive and fit 32 bits.
pub(crate) fn slot(hash: u64, len: usize) -> usize {
    usize::try_from((hash >> 32).wrapping_mul(len as u64) >> 32).unwrap_or(0)
}

/// Limits `x` to what follows an `Instant`-like clock: seconds to nanoseconds, saturating.
pub(crate) fn nanos(seconds: f64) -> u64 {
    to_u64(seconds * 1e9)
}

/// Both halves of a product folded into one word.
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
pub(crate) fn fold(product: u128) -> u64 {
    (product >> 64) as u64 ^ product as u64
}
