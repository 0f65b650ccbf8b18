//! Time as an argument: the real clock and a virtual one drive the same code.

use std::time::Duration;

use crate::num;

/// A moment: nanoseconds since an epoch the caller fixes once (process start; 0 in virtual time).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub u64);

impl Moment {
    /// Seconds since `earlier`; 0 where `earlier` is later, as cores may read the clock in either order.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 * 1e-9
    }

    /// This moment and `duration` more.
    pub fn after(self, duration: Duration) -> Self {
        self.after_seconds(duration.as_secs_f64())
    }

    /// This moment and `seconds` more; negative and NaN count as none.
    pub fn after_seconds(self, seconds: f64) -> Self {
        Self(self.0.saturating_add(num::nanos(seconds)))
    }
}
