//! Every transition, then the stories that operators of vLLM fleets tell.

use std::time::Duration;

use Availability::{Asleep, Down, Hung, Probation, Ready, Unknown};

use super::*;

fn settings() -> Settings {
    Settings {
        health_interval: Duration::from_secs(2),
        health_timeout: Duration::from_secs(5),
        unhealthy_after: 3,
        scrape_interval: Duration::from_secs(1),
        hang_after: Duration::from_secs(60),
        detect_interval: Duration::from_secs(30),
    }
}

/// A backend under watch, with a clock in seconds.
struct Watched {
    condition: Condition,
    settings: Settings,
    second: u64,
    own: Own,
}

impl Watched {
    fn new() -> Self {
        let second = 1000;
        Self { condition: Condition::new(at(second)), settings: settings(), second, own: Own::default() }
    }

    fn ready() -> Self {
        let mut watched = Self::new();
        assert_eq!(watched.check(Check::Alive), Ready);
        watched
    }

    fn now(&self) -> Moment {
        at(self.second)
    }

    fn check(&mut self, check: Check) -> Availability {
        self.condition.checked(self.now(), check, self.own, &self.settings);
        self.conclude()
    }

    fn scrape(&mut self, busy: bool, tokens: f64) -> Availability {
        self.condition.working(self.now(), EngineWork { busy, tokens, kv_usage: 0.0 });
        self.conclude()
    }

    fn sleeping(&mut self, asleep: bool) -> Availability {
        self.condition.sleeping(self.now(), asleep);
        self.conclude()
    }

    fn conclude(&mut self) -> Availability {
        self.condition.conclude(self.now(), self.own, &self.settings);
        self.condition.availability().0
    }

    fn after(&mut self, seconds: u64) -> &mut Self {
        self.second += seconds;
        self
    }

    /// Our requests in flight; output came just now.
    fn output(&mut self, requests: u32) -> &mut Self {
        self.own = Own { requests, last_output: self.now() };
        self
    }
}

fn at(seconds: u64) -> Moment {
    Moment(seconds * 1_000_000_000)
}

#[test]
fn starts_unknown_and_becomes_ready_with_the_first_answer() {
    let mut watched = Watched::new();
    assert_eq!(watched.conclude(), Unknown);
    assert_eq!(watched.after(1).check(Check::Alive), Ready);
    assert_eq!(watched.condition.availability().1, watched.now());
}

#[test]
fn a_change_is_told_once() {
    let mut watched = Watched::new();
    watched.condition.checked(watched.now(), Check::Alive, watched.own, &watched.settings);
    let change = watched.condition.conclude(watched.now(), watched.own, &watched.settings);
    assert_eq!(change, Some(Change { from: Unknown, to: Ready }));
    assert_eq!(watched.condition.conclude(watched.now(), watched.own, &watched.settings), None);
}

#[test]
fn failures_in_a_row_take_it_down_and_a_pass_between_forgives() {
    let mut watched = Watched::ready();
    assert_eq!(watched.check(Check::Failed), Ready);
    assert_eq!(watched.check(Check::Failed), Ready);
    assert_eq!(watched.check(Check::Alive), Ready);
    assert_eq!(watched.check(Check::Failed), Ready);
    assert_eq!(watched.check(Check::Timeout), Ready);
    assert_eq!(watched.condition.failures(), 2);
    assert_eq!(watched.check(Check::Failed), Down);
}

#[test]
fn refused_and_dead_are_down_at_once() {
    for check in [Check::Refused, Check::Dead] {
        assert_eq!(Watched::ready().check(check), Down);
        assert_eq!(Watched::new().check(check), Down);
    }
}

#[test]
fn recovery_goes_through_probation_until_tokens_flow() {
    let mut watched = Watched::ready();
    watched.check(Check::Refused);
    assert_eq!(watched.after(2).check(Check::Alive), Probation);
    assert_eq!(watched.after(2).check(Check::Alive), Probation, "answering /health proves little");
    watched.own.requests = 1;
    assert_eq!(watched.after(1).conclude(), Probation, "nor does taking a request");
    assert_eq!(watched.after(1).output(1).conclude(), Ready);
}

#[test]
fn anothers_tokens_end_probation_too() {
    let mut watched = Watched::ready();
    watched.check(Check::Refused);
    watched.check(Check::Alive);
    assert_eq!(watched.after(1).scrape(true, 10.0), Probation, "a first reading shows no movement");
    assert_eq!(watched.after(1).scrape(true, 11.0), Ready);
}

#[test]
fn output_from_before_the_outage_does_not_end_probation() {
    let mut watched = Watched::ready();
    watched.output(1);
    watched.after(1).check(Check::Refused);
    assert_eq!(watched.after(1).check(Check::Alive), Probation);
}

#[test]
fn down_outweighs_asleep_and_asleep_outweighs_hung() {
    let mut watched = Watched::ready();
    watched.own.requests = 1;
    assert_eq!(watched.after(60).conclude(), Hung);
    assert_eq!(watched.sleeping(true), Asleep);
    assert_eq!(watched.check(Check::Refused), Down);
}

#[test]
fn a_restart_wakes_the_sleeping() {
    let mut watched = Watched::ready();
    watched.sleeping(true);
    watched.check(Check::Refused);
    assert_eq!(watched.check(Check::Alive), Probation);
}

#[test]
fn an_outage_starts_the_hang_clock_anew() {
    let mut watched = Watched::ready();
    watched.own.requests = 1;
    watched.after(59).check(Check::Refused);
    assert_eq!(watched.after(30).check(Check::Alive), Probation);
    assert_eq!(watched.after(59).conclude(), Probation);
    assert_eq!(watched.after(1).conclude(), Hung);
}

#[test]
fn hung_recovers_by_progress() {
    let mut watched = Watched::ready();
    watched.own.requests = 2;
    assert_eq!(watched.after(60).conclude(), Hung);
    assert_eq!(watched.after(30).conclude(), Hung);
    assert_eq!(watched.after(5).output(2).conclude(), Ready);
}

#[test]
fn hung_recovers_over_probation_when_drained() {
    let mut watched = Watched::ready();
    watched.own.requests = 1;
    assert_eq!(watched.after(60).conclude(), Hung);
    watched.own.requests = 0;
    assert_eq!(watched.after(1).conclude(), Probation);
    watched.own.requests = 1;
    assert_eq!(watched.after(60).conclude(), Hung, "the one request that tried it hangs as well");
}

/// "`/health` 200 on a dead engine: 85 min of traffic to it."
#[test]
fn story_health_is_200_while_the_engine_hangs_for_85_minutes() {
    let mut watched = Watched::ready();
    watched.output(4);
    let mut served_until = None;
    for second in 0..85 * 60 {
        watched.after(1).scrape(true, 500.0);
        if watched.check(Check::Alive) != Ready {
            served_until.get_or_insert(second);
            assert_eq!(watched.conclude(), Hung);
        }
    }
    assert_eq!(served_until, Some(59), "out after hang_after, and for as long as nothing moves");
}

/// "`/health` can take 30–40 s under load": the checks time out, the tokens flow.
#[test]
fn story_slow_health_under_load_is_not_down() {
    let mut watched = Watched::ready();
    for second in 0..600_u32 {
        watched.after(1).scrape(true, f64::from(second));
        assert_eq!(watched.check(Check::Timeout), Ready);
    }
}

/// The same, where `/metrics` is as slow as `/health`: our own responses speak for the engine.
#[test]
fn story_slow_health_and_metrics_under_load_is_not_down() {
    let mut watched = Watched::ready();
    for _ in 0..100 {
        assert_eq!(watched.after(6).output(3).check(Check::Timeout), Ready);
    }
}

/// A timeout without tokens is a failure like any other.
#[test]
fn story_slow_health_without_tokens_is_down() {
    let mut watched = Watched::ready();
    watched.scrape(true, 5.0);
    let seen = [0; 3].map(|_| {
        watched.after(7).scrape(true, 5.0);
        watched.check(Check::Timeout)
    });
    assert_eq!(seen, [Ready, Ready, Down]);
}

/// "While asleep `/health` stays 200 and requests hang": asleep is neither ready nor hung, and waking is no outage.
#[test]
fn story_asleep_answers_health_and_lets_requests_hang() {
    let mut watched = Watched::ready();
    watched.own.requests = 1;
    assert_eq!(watched.sleeping(true), Asleep);
    for _ in 0..300 {
        watched.after(1).scrape(true, 5.0);
        assert_eq!(watched.check(Check::Alive), Asleep);
    }
    assert_eq!(watched.sleeping(false), Ready);
    assert_eq!(watched.after(59).conclude(), Ready, "the hang clock starts at waking");
}

/// "Stale metrics block dispatch": metrics that stand still, or stop, take no working backend out.
#[test]
fn story_stale_metrics_do_not_stop_a_backend_that_answers() {
    let mut frozen = Watched::ready();
    for _ in 0..300 {
        frozen.after(1).output(2).scrape(true, 5.0);
        assert_eq!(frozen.check(Check::Alive), Ready);
    }
    let mut silent = Watched::ready();
    silent.scrape(true, 5.0);
    assert_eq!(silent.after(3600).check(Check::Alive), Ready);
}
