//! The simulated engine's time behind a real clock.

use std::time::Duration;

use tokio::time::Instant;

use crate::sim::Moment;

/// The wall clock as simulated time: `scale` simulated seconds pass in each real one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
    scale: f64,
}

impl Clock {
    /// A clock that reads 0 now.
    pub(super) fn new(scale: f64) -> Self {
        Self { start: Instant::now(), scale }
    }

    /// Simulated time.
    pub(super) fn now(self) -> Moment {
        Moment::default().after_seconds(self.start.elapsed().as_secs_f64() * self.scale)
    }

    /// When the wall clock gets to `moment`.
    pub(super) fn instant(self, moment: Moment) -> Instant {
        self.start + self.real(moment.seconds_since(Moment::default()))
    }

    /// How long `seconds` of simulated time take.
    pub(super) fn real(self, seconds: f64) -> Duration {
        Duration::try_from_secs_f64(seconds / self.scale).unwrap_or(Duration::MAX / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn scaled_time_passes_faster() {
        let clock = Clock::new(20.0);
        tokio::time::advance(Duration::from_secs(3)).await;
        let minute = Moment(60_000_000_000);
        assert_eq!((clock.now(), clock.instant(minute)), (minute, Instant::now()));
        assert_eq!(clock.real(5.0), Duration::from_millis(250));
    }
}
