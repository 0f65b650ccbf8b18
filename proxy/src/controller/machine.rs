//! One switch of one backend, as a state machine: events in, actions out. Pure: time is an argument.
//!
//! ```text
//!  Draining ─▶ Stopping ─▶ Releasing ─▶ Starting ─▶ Verifying ─▶ Warming ─▶ SlowStart ─▶ done
//!     │ takes too long ▲       └────────────┴───────────┴───────────┴───────────┴─▶ back, into the profile before
//!     ▼                └──────────────────────────────────────────────────────────────┘   │ fails three times
//!  given up, in service                                                                   ▼
//!                                                                                       failed
//! ```
//!
//! The way back from the slow start begins with draining: clients' requests are there.
//!
//! Every step may be begun anew: each action, done twice, has done no harm. So a journal that names the step is all that a
//! crash needs to leave behind.

use std::time::Duration;

use gearshift_selector::Moment;
use serde::{Deserialize, Serialize};

pub use super::outcome::Outcome;
use crate::clock::between;

/// Nothing may be under way for this long before a drained engine is ended: a request that was being routed when the
/// backend was taken out has arrived by then.
const CALM: Duration = Duration::from_millis(500);
/// Tries to get back into the profile before.
const BACK_TRIES: u32 = 3;
/// The least share of requests in a slow start, of a thousand.
const FIRST_SHARE: u32 = 50;

/// How far a switch has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Takes no new requests; those under way finish.
    Draining,
    /// The engine ends, or falls asleep.
    Stopping,
    /// Its memory and its port become free.
    Releasing,
    /// The engine of the other profile starts, or wakes.
    Starting,
    /// It answers; whether it is in the profile is looked at.
    Verifying,
    /// It answers requests of Gearshift's own.
    Warming,
    /// Clients' requests come, more and more.
    SlowStart,
}

impl Step {
    /// In order.
    pub const ALL: [Self; 7] = [
        Self::Draining,
        Self::Stopping,
        Self::Releasing,
        Self::Starting,
        Self::Verifying,
        Self::Warming,
        Self::SlowStart,
    ];

    /// Its name in metrics, the journal and the admin API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Releasing => "releasing",
            Self::Starting => "starting",
            Self::Verifying => "verifying",
            Self::Warming => "warming",
            Self::SlowStart => "slow_start",
        }
    }
}

/// A switch, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Switch {
    /// Tells it from others; an operator's system sees the same order twice by it.
    pub id: String,
    /// The profile before.
    pub from: String,
    /// The profile wanted.
    pub to: String,
    /// Why.
    pub reason: String,
    /// Whether the planner wished for it, and no operator.
    #[serde(default)]
    pub planned: bool,
    /// When it began, seconds since 1970.
    pub began: u64,
    /// How far it has come.
    pub step: Step,
    /// Why it is on its way back into the profile before, where it is.
    pub back: Option<String>,
    /// Tries to get back that failed.
    pub failed_back: u32,
    /// Whether the engine has been seen away since it was told to become another: what answers then is the new one.
    #[serde(default)]
    pub was_away: bool,
}

impl Switch {
    /// The profile it is on its way into.
    pub(super) fn target(&self) -> &str {
        if self.back.is_some() { &self.from } else { &self.to }
    }

    /// The profile it is on its way out of.
    pub(super) fn leaving(&self) -> &str {
        if self.back.is_some() { &self.to } else { &self.from }
    }

    /// The profile that the backend is to be taken for now.
    pub(super) fn profile(&self) -> &str {
        match self.step {
            // The way back has come as far as the slow start before: it is that engine which is drained.
            Step::Draining if self.failed_back > 0 => self.target(),
            Step::Draining | Step::Stopping | Step::Releasing => self.leaving(),
            Step::Starting | Step::Verifying | Step::Warming | Step::SlowStart => self.target(),
        }
    }

    /// Whether clients' requests may not go there.
    pub(super) fn holds(&self) -> bool {
        self.step != Step::SlowStart
    }
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// For requests under way to finish.
    pub drain: Duration,
    /// For the engine to answer and prove its profile.
    pub start: Duration,
    /// For an engine that answers to agree with its profile. As long as `start`, where the engine before may still answer.
    pub agree: Duration,
    /// Over which the share grows.
    pub slow_start: Duration,
}

/// What a look at the backend shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sight {
    /// Requests under way: the router's own, or the engine's count where that is more.
    pub under_way: u32,
    /// When the engine's own count was last read; `None` where it keeps none, or does not answer.
    pub counted: Option<Moment>,
    /// Why the engine is known to have ended, where it is.
    pub ended: Option<String>,
    /// Whether it answers.
    pub answers: bool,
    /// Whether it is known not to.
    pub away: bool,
    /// Whether it is in the profile it should be in.
    pub agreement: Agreement,
}

/// Whether an engine is in the profile it should be in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Agreement {
    /// It has not said yet.
    Unknown,
    /// All that can be seen agrees.
    Agrees,
    /// This does not.
    Differs(String),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// The backend was looked at.
    Seen(Sight),
    /// The action was carried out.
    Done,
    /// It could not be.
    Failed(String),
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Look at the backend, a little later.
    Look,
    /// End the engine of [`Switch::leaving`].
    Stop,
    /// Wait until memory and port are free.
    Release,
    /// Start the engine of [`Switch::target`].
    Start,
    /// Ask it something.
    WarmUp,
    /// Give it this share of requests, of a thousand, and look.
    Share(u32),
}

/// An ended switch: how, and why not as wanted.
pub(super) type End = (Outcome, Option<String>);

/// A switch under way.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    switch: Switch,
    limits: Limits,
    /// When the step began, or was begun anew.
    since: Moment,
    /// Whether the step's action, where it is not to be repeated, has been carried out.
    acted: bool,
    calm_since: Option<Moment>,
    differs_since: Option<Moment>,
}

impl Machine {
    /// A new switch, or one that the journal kept.
    pub(super) fn new(switch: Switch, limits: Limits, now: Moment) -> Self {
        Self { switch, limits, since: now, acted: false, calm_since: None, differs_since: None }
    }

    /// The switch as it stands.
    pub(super) fn switch(&self) -> &Switch {
        &self.switch
    }

    /// When the step began.
    pub(super) fn since(&self) -> Moment {
        self.since
    }

    /// What is to be done at `now`.
    pub(super) fn action(&self, now: Moment) -> Action {
        match self.switch.step {
            Step::Draining | Step::Verifying => Action::Look,
            Step::Stopping => Action::Stop,
            Step::Releasing => Action::Release,
            Step::Starting if self.acted => Action::Look,
            Step::Starting => Action::Start,
            Step::Warming => Action::WarmUp,
            Step::SlowStart => Action::Share(self.share(now)),
        }
    }

    /// The engine is seen away while its start is ordered: who takes the order may answer once it is back.
    pub(super) fn saw_away(&mut self) {
        self.switch.was_away |= self.switch.step == Step::Starting;
    }

    /// Takes what happened; how the switch ended, where it did.
    pub(super) fn on(&mut self, event: Event, now: Moment) -> Option<End> {
        if let Event::Seen(sight) = &event {
            let told = matches!(self.switch.step, Step::Starting | Step::Verifying);
            self.switch.was_away |= told && sight.away;
        }
        match (self.switch.step, event) {
            (Step::Draining, Event::Seen(sight)) => return self.drained(&sight, now),
            (Step::Stopping, Event::Done) => self.enter(Step::Releasing, now),
            // What cannot be ended is left as it is; starting finds out whether it still runs.
            (Step::Stopping, Event::Failed(why)) if self.switch.back.is_none() => {
                (self.switch.back, self.switch.was_away) = (Some(why), false);
                self.enter(Step::Starting, now);
            }
            // An engine that finds too little memory ends, or takes that of its neighbour: none is started on a guess.
            (Step::Stopping | Step::Releasing | Step::Starting | Step::Warming, Event::Failed(why)) => {
                return self.turn_back(why, now);
            }
            (Step::Releasing, Event::Done) => self.enter(Step::Starting, now),
            (Step::Starting, Event::Done) => self.acted = true,
            (Step::Starting, Event::Seen(sight)) => return self.started(sight, now),
            (Step::Verifying, Event::Seen(sight)) => return self.verified(sight, now),
            (Step::Warming, Event::Done) => self.enter(Step::SlowStart, now),
            (Step::SlowStart, Event::Seen(sight)) => return self.grown(sight, now),
            // An answer to what is no longer asked.
            (
                Step::Draining
                | Step::Stopping
                | Step::Releasing
                | Step::Warming
                | Step::SlowStart
                | Step::Verifying,
                _,
            ) => {}
        }
        None
    }

    fn drained(&mut self, sight: &Sight, now: Moment) -> Option<End> {
        if sight.under_way > 0 {
            self.calm_since = None;
        } else {
            let since = *self.calm_since.get_or_insert(now);
            // What the engine said before is no word on those that came over other ways meanwhile.
            let seen = sight.counted.is_none_or(|at| at >= since);
            if seen && between(since, now) >= CALM {
                self.enter(Step::Stopping, now);
                return None;
            }
        }
        let given_up = between(self.since, now) > self.limits.drain;
        if self.switch.back.is_some() {
            // It cannot stay: what has ended, or was not done in time, is lost.
            if given_up || sight.ended.is_some() {
                self.enter(Step::Stopping, now);
            }
            return None;
        }
        given_up.then(|| {
            let what = match sight.under_way {
                0 => "the engine's own count has not been read".to_owned(),
                requests => format!("{requests} requests are still under way"),
            };
            let why = format!("{what} after {:?}", self.limits.drain);
            (Outcome::Abandoned, Some(why))
        })
    }

    fn started(&mut self, sight: Sight, now: Moment) -> Option<End> {
        match sight.ended {
            Some(why) => self.turn_back(why, now),
            None if sight.answers => {
                self.enter(Step::Verifying, now);
                None
            }
            None => self.late(now),
        }
    }

    fn verified(&mut self, sight: Sight, now: Moment) -> Option<End> {
        if let Some(why) = sight.ended {
            return self.turn_back(why, now);
        }
        match sight.agreement {
            Agreement::Agrees if sight.answers => self.enter(Step::Warming, now),
            Agreement::Differs(what) => {
                let since = *self.differs_since.get_or_insert(now);
                if between(since, now) > self.limits.agree {
                    return self.turn_back(format!("the engine is not in the profile: {what}"), now);
                }
            }
            Agreement::Agrees | Agreement::Unknown => self.differs_since = None,
        }
        self.late(now)
    }

    fn grown(&mut self, sight: Sight, now: Moment) -> Option<End> {
        if let Some(why) = sight.ended {
            return self.turn_back(why, now);
        }
        if between(self.since, now) < self.limits.slow_start {
            return None;
        }
        let outcome = if self.switch.back.is_some() { Outcome::RolledBack } else { Outcome::Done };
        Some((outcome, self.switch.back.clone()))
    }

    fn late(&mut self, now: Moment) -> Option<End> {
        let step = self.switch.step;
        if !matches!(step, Step::Starting | Step::Verifying) || between(self.since, now) <= self.limits.start
        {
            return None;
        }
        let does_not = if step == Step::Starting { "answer" } else { "say its profile" };
        self.turn_back(format!("the engine does not {does_not} after {:?}", self.limits.start), now)
    }

    /// Back into the profile before; or, where this is the way back already, once more, but not for ever.
    fn turn_back(&mut self, why: String, now: Moment) -> Option<End> {
        let step = if self.switch.step == Step::SlowStart { Step::Draining } else { Step::Stopping };
        if self.switch.back.is_some() {
            self.switch.failed_back += 1;
            if self.switch.failed_back >= BACK_TRIES {
                return Some((Outcome::Failed, Some(why)));
            }
        } else {
            (self.switch.back, self.switch.was_away) = (Some(why), false);
        }
        self.enter(step, now);
        None
    }

    fn enter(&mut self, step: Step, now: Moment) {
        self.switch.step = step;
        (self.since, self.acted) = (now, false);
        (self.calm_since, self.differs_since) = (None, None);
    }

    fn share(&self, now: Moment) -> u32 {
        let (passed, whole) = (between(self.since, now).as_millis(), self.limits.slow_start.as_millis());
        let share = (passed * 1000).checked_div(whole).and_then(|share| u32::try_from(share).ok());
        share.unwrap_or(1000).clamp(FIRST_SHARE, 1000)
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
