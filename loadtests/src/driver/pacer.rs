//! Waiting to the microsecond.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::{io::unix::AsyncFd, time::Instant};

/// A timer finer than the runtime's own, which counts milliseconds: the kernel's, woken through epoll.
#[derive(Debug)]
pub struct Pacer {
    timer: AsyncFd<OwnedFd>,
}

impl Pacer {
    /// Makes the timer; needs a running runtime.
    ///
    /// # Errors
    /// Where the system has no file descriptor left.
    #[expect(
        deprecated,
        reason = "its successor is unsafe because a descriptor may change under it; an OwnedFd's cannot"
    )]
    pub fn new() -> io::Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self { timer: AsyncFd::new(timer)? })
    }

    /// Waits until `due`; returns at once where that has passed.
    ///
    /// # Errors
    /// Where the system refuses the timer.
    pub async fn sleep_until(&self, due: Instant) -> io::Result<()> {
        let wait = due.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return Ok(());
        }
        let once = Itimerspec { it_interval: timespec(Duration::ZERO), it_value: timespec(wait) };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.timer.readable().await?;
            let mut expirations = [0; 8];
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut expirations)?));
            if let Ok(read) = read {
                return read.map(drop);
            }
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn never_wakes_early_and_not_at_all_late_for_what_has_passed() {
        let pacer = Pacer::new().unwrap();
        let start = Instant::now();
        pacer.sleep_until(start).await.unwrap();
        for milliseconds in [1, 2, 3] {
            let due = start + Duration::from_millis(milliseconds);
            pacer.sleep_until(due).await.unwrap();
            assert!(Instant::now() >= due);
        }
    }
}
