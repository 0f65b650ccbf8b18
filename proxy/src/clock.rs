//! The process's clock: monotonic time as the selector counts it.
//!
//! The selector takes time as an argument and never reads a clock; here is the one place that does.
//! Based on tokio's clock, so that paused time reaches the selector too.

use std::{
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use gearshift_selector::Moment;
use tokio::time::Instant;

/// The first moment anybody asked for; all moments count from here.
static EPOCH: OnceLock<Instant> = OnceLock::new();

/// What the clock reads at the epoch. Not zero: to the selector, zero is "never". Long, so that instants from before
/// somebody first asked (another core's, another test's; what the controller's journal tells of the last day) keep their
/// distances.
const OFFSET: Duration = Duration::from_secs(2 * 24 * 3600);

/// This moment.
pub fn now() -> Moment {
    moment(Instant::now())
}

/// `instant` as the selector counts time; instants two days or more before the epoch read as zero.
pub fn moment(instant: Instant) -> Moment {
    let since = (instant + OFFSET).saturating_duration_since(*EPOCH.get_or_init(Instant::now));
    Moment(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Time from `earlier` to `later`; zero where they are the other way round.
pub fn between(earlier: Moment, later: Moment) -> Duration {
    Duration::from_nanos(later.0.saturating_sub(earlier.0))
}

/// Wall time since 1970: for what outlives this process or is read outside of it. Nothing is timed by it.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// As [`unix`], whole seconds.
pub fn unix_seconds() -> u64 {
    unix().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn follows_tokios_clock() {
        let before = now();
        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!(between(before, now()), Duration::from_millis(250));
    }

    #[tokio::test(start_paused = true)]
    async fn instants_before_the_epoch_keep_their_distance() {
        let epoch = *EPOCH.get_or_init(Instant::now);
        let before = |ms| moment(epoch.checked_sub(Duration::from_millis(ms)).unwrap());
        assert_eq!(between(before(300), before(50)), Duration::from_millis(250));
    }

    #[tokio::test(start_paused = true)]
    async fn never_reads_zero_and_never_underflows() {
        let first = now();
        assert!(first.0 >= 1_000_000_000);
        assert_eq!(between(Moment(first.0 + 1), first), Duration::ZERO);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(3600));
        assert!(long_ago.is_none_or(|instant| moment(instant) <= first));
    }
}
