//! Telling a hung engine from a busy one.
//!
//! A hung vLLM answers `/health` with 200 for as long as it hangs; what gives it away is work without tokens. So
//! this watches signs of life: bytes of our own responses, and the engine's token counters and KV use. Pure:
//! time is an argument.
//!
//! An engine without vLLM's metrics shows only our own bytes: there, `hang_after` must exceed the longest answer that
//! is not streamed.

use std::time::Duration;

use gearshift_selector::Moment;

use crate::clock::between;

/// What this router itself has on a backend.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Own {
    /// Requests in flight.
    pub(super) requests: u32,
    /// When output last came.
    pub(super) last_output: Moment,
}

/// What the engine's own metrics say of its work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct EngineWork {
    /// Whether it has requests, whoever sent them.
    pub(super) busy: bool,
    /// Prompt and output tokens processed since its start.
    pub(super) tokens: f64,
    /// KV-cache use: it moves through a long chunked prefill, when the counters do not.
    pub(super) kv_usage: f64,
}

/// Watches one backend for work without progress.
#[derive(Debug)]
pub(super) struct HangWatch {
    /// The last reading of the engine's metrics, and when.
    engine: Option<(Moment, EngineWork)>,
    /// When the engine's metrics last moved.
    engine_moved: Option<Moment>,
    /// When there was last nothing to do.
    idle: Moment,
    /// When the engine was last known to have done all it was given.
    done: Moment,
    hung_since: Option<Moment>,
}

impl HangWatch {
    pub(super) fn new(now: Moment) -> Self {
        Self { engine: None, engine_moved: None, idle: now, done: now, hung_since: None }
    }

    /// Starts the clock anew, as after an outage or a sleep.
    pub(super) fn reset(&mut self, now: Moment) {
        *self = Self::new(now);
    }

    /// Takes a reading of the engine's metrics.
    pub(super) fn scraped(&mut self, now: Moment, work: EngineWork) {
        let moved =
            self.engine.is_some_and(|(_, last)| last.tokens != work.tokens || last.kv_usage != work.kv_usage);
        if moved {
            self.engine_moved = Some(now);
        }
        self.engine = Some((now, work));
    }

    /// When the engine's metrics last moved.
    pub(super) fn engine_moved(&self) -> Option<Moment> {
        self.engine_moved
    }

    /// Since when the engine hangs, if it does: it has work, and nothing moved for `hang_after`. A reading of its metrics older
    /// than `stale_after` says nothing about whether it has work.
    pub(super) fn observe(
        &mut self,
        now: Moment,
        own: Own,
        hang_after: Duration,
        stale_after: Duration,
    ) -> Option<Moment> {
        let fresh = self.engine.filter(|(at, _)| between(*at, now) <= stale_after).map(|(_, work)| work);
        let engine_busy = fresh.is_some_and(|work| work.busy);
        let moved = self.engine_moved.unwrap_or_default();
        // It worked since there was nothing to do, and has nothing left: what is still in flight waits for a slow
        // client. Without the work, "nothing left" may be what its frozen gauges said before the request came.
        let engine_done = fresh.is_some_and(|work| !work.busy) && moved > self.idle;
        if !engine_busy && (own.requests == 0 || engine_done) {
            self.done = now;
            if own.requests == 0 {
                self.idle = now;
            }
            self.hung_since = None;
            return None;
        }
        let sign_of_life = self.done.max(own.last_output).max(moved);
        self.hung_since = match self.hung_since {
            Some(since) if sign_of_life <= since => Some(since),
            _ if between(sign_of_life, now) >= hang_after => Some(now),
            _ => None,
        };
        self.hung_since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANG_AFTER: Duration = Duration::from_secs(60);
    const STALE_AFTER: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Moment {
        Moment((1000 + seconds) * 1_000_000_000)
    }

    fn own(requests: u32, last_output: u64) -> Own {
        Own { requests, last_output: at(last_output) }
    }

    fn work(busy: bool, tokens: f64) -> EngineWork {
        EngineWork { busy, tokens, kv_usage: 0.5 }
    }

    struct Bench(HangWatch);

    impl Bench {
        fn new() -> Self {
            Self(HangWatch::new(at(0)))
        }

        fn hangs(&mut self, now: u64, own: Own) -> bool {
            self.0.observe(at(now), own, HANG_AFTER, STALE_AFTER).is_some()
        }
    }

    #[test]
    fn idle_is_never_hung() {
        let mut bench = Bench::new();
        assert!(!bench.hangs(0, own(0, 0)));
        assert!(!bench.hangs(10_000, own(0, 0)));
    }

    #[test]
    fn own_work_without_bytes_hangs_at_the_limit_not_before() {
        let mut bench = Bench::new();
        assert!(!bench.hangs(100, own(0, 0)));
        assert!(!bench.hangs(159, own(1, 100)));
        assert!(bench.hangs(160, own(1, 100)));
    }

    #[test]
    fn own_bytes_are_progress_though_the_metrics_stand_still() {
        let mut bench = Bench::new();
        for second in 0..200 {
            bench.0.scraped(at(second), work(true, 5.0));
            assert!(!bench.hangs(second, own(1, second)));
        }
    }

    #[test]
    fn the_engines_tokens_are_progress_though_ours_wait() {
        let mut bench = Bench::new();
        for second in 0..200_u32 {
            bench.0.scraped(at(second.into()), work(true, f64::from(second)));
            assert!(!bench.hangs(second.into(), own(1, 0)));
        }
    }

    #[test]
    fn a_long_prefill_moves_only_kv_use_and_is_no_hang() {
        let mut bench = Bench::new();
        for second in 0..200_u32 {
            let kv_usage = f64::from(second) / 1000.0;
            bench.0.scraped(at(second.into()), EngineWork { busy: true, tokens: 5.0, kv_usage });
            assert!(!bench.hangs(second.into(), own(1, 0)));
        }
    }

    #[test]
    fn others_work_without_tokens_hangs_too() {
        let mut bench = Bench::new();
        for second in 0..60 {
            bench.0.scraped(at(second), work(true, 5.0));
            assert!(!bench.hangs(second, own(0, 0)));
        }
        bench.0.scraped(at(60), work(true, 5.0));
        assert!(bench.hangs(60, own(0, 0)));
    }

    #[test]
    fn stale_metrics_say_nothing_of_others_work() {
        let mut bench = Bench::new();
        bench.0.scraped(at(0), work(true, 5.0));
        assert!(!bench.hangs(500, own(0, 0)));
    }

    #[test]
    fn hung_ends_with_progress() {
        let mut bench = Bench::new();
        assert!(bench.hangs(60, own(2, 0)));
        assert!(bench.hangs(90, own(2, 0)), "stays hung while nothing moves");
        assert!(!bench.hangs(91, own(2, 91)));
        assert!(!bench.hangs(150, own(2, 91)));
        assert!(bench.hangs(151, own(2, 91)), "and hangs again");
    }

    #[test]
    fn hung_ends_when_the_work_drained() {
        let mut bench = Bench::new();
        assert!(bench.hangs(60, own(1, 0)));
        assert!(!bench.hangs(70, own(0, 0)));
        assert!(!bench.hangs(129, own(1, 70)), "the clock started anew");
    }

    #[test]
    fn hung_stays_while_the_engine_claims_work_it_does_not_do() {
        let mut bench = Bench::new();
        bench.0.scraped(at(0), work(true, 5.0));
        assert!(bench.hangs(60, own(1, 0)));
        bench.0.scraped(at(70), work(true, 5.0));
        assert!(bench.hangs(70, own(0, 0)), "clients gave up, the engine still holds their requests");
    }

    #[test]
    fn a_client_that_does_not_read_hangs_no_engine() {
        let mut bench = Bench::new();
        bench.0.scraped(at(0), work(false, 5.0));
        assert!(!bench.hangs(0, own(0, 0)));
        bench.0.scraped(at(2), work(false, 9.0));
        for second in 2..500 {
            bench.0.scraped(at(second), work(false, 9.0));
            assert!(!bench.hangs(second, own(1, 1)), "the engine answered, the client reads slowly");
        }
        bench.0.scraped(at(500), work(true, 9.0));
        assert!(!bench.hangs(500, own(2, 1)), "a second request has its own time");
        bench.0.scraped(at(559), work(true, 9.0));
        assert!(bench.hangs(559, own(2, 1)));
    }

    #[test]
    fn gauges_frozen_while_idle_excuse_nothing() {
        let mut bench = Bench::new();
        for second in 0..60 {
            bench.0.scraped(at(second), work(false, 5.0));
            assert!(!bench.hangs(second, own(u32::from(second > 0), 0)));
        }
        bench.0.scraped(at(60), work(false, 5.0));
        assert!(bench.hangs(60, own(1, 0)));
    }

    #[test]
    fn a_restarted_engines_lower_counters_count_as_movement() {
        let mut bench = Bench::new();
        bench.0.scraped(at(0), work(true, 500.0));
        bench.0.scraped(at(59), work(true, 1.0));
        assert!(!bench.hangs(60, own(1, 0)));
    }

    #[test]
    fn progress_stamped_after_now_does_not_underflow() {
        assert!(!Bench::new().hangs(1, own(1, 2)));
    }
}
