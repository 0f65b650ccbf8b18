//! Between switches: a backend's engine runs, and answers.

use std::time::Duration;

use gearshift_config::Backend;
use gearshift_selector::Availability;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::{
    actuate::{Hand, Supervised},
    shifter::Shifter,
    verify,
    warm::warm_up,
};

/// Between two looks at an engine that should run.
pub(super) const SUPERVISE: Duration = Duration::from_secs(1);
/// Before an engine that ended is started anew; doubled each time, up to the longest.
const BACK_OFF: Duration = Duration::from_secs(1);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(300);
/// An engine that ran for so long did not fail to start.
const RAN: Duration = Duration::from_secs(300);
/// Before an engine on probation is asked again.
const WARM_AGAIN: Duration = Duration::from_secs(10);

/// When the engine is looked at next, and how patient Gearshift has become with it.
#[derive(Debug)]
pub(super) struct Supervision {
    pub(super) due: Instant,
    back_off: Duration,
    started: Option<Instant>,
    /// The engines that are to be asleep are, and the other is awake: once, for afterwards only switches change that.
    ensured: bool,
    /// It started, and has not answered anything yet.
    cold: bool,
    /// Apart, for an engine that accepts and does not answer takes minutes, and no order waits for it; ends where it is dropped.
    warming: Option<AbortOnDropHandle<()>>,
    /// Not asked before.
    warm_at: Instant,
}

impl Supervision {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            due: now,
            back_off: BACK_OFF,
            started: None,
            ensured: false,
            cold: false,
            warming: None,
            warm_at: now,
        }
    }

    /// A switch begins: the engine is asked nothing meanwhile.
    pub(super) fn rest(&mut self) {
        self.warming = None;
    }
}

impl Shifter {
    /// Between switches: the engine runs, or is started.
    pub(super) async fn supervise(&mut self) {
        let now = Instant::now();
        self.supervision.due = now + SUPERVISE;
        let Some(backend) = self.backend() else { return };
        let profile = self.desk.entry(&self.id).profile;
        let done = match &mut self.hand {
            Hand::Process(hand) => hand.ensure(&backend, &profile).await,
            Hand::Sleep(hand) if !self.supervision.ensured => {
                let done = hand.ensure(&backend, &profile).await;
                self.supervision.ensured = done.is_ok();
                done.map(|()| Supervised::Runs)
            }
            Hand::Sleep(_) | Hand::Webhook(_) => Ok(Supervised::Runs),
        };
        let supervision = &mut self.supervision;
        let ran = supervision.started.is_none_or(|started| now.duration_since(started) > RAN);
        match done {
            Ok(Supervised::Runs) => self.warm_if_cold(&backend),
            Ok(Supervised::Started) => {
                supervision.back_off = if ran { BACK_OFF } else { longer(supervision.back_off) };
                (supervision.started, supervision.cold) = (Some(Instant::now()), true);
                supervision.due = Instant::now() + supervision.back_off;
                self.desk.metrics.started(self.id.as_str());
            }
            Err(why) => {
                supervision.back_off = longer(supervision.back_off);
                supervision.due = Instant::now() + supervision.back_off;
                tracing::error!(backend = %self.id, why, again_in = ?supervision.back_off, "the engine cannot be kept running");
            }
        }
    }

    /// Asks an engine that just came up, so that it is not a client who waits for its first answer; and one on probation, which
    /// may wait for ever for a client's.
    fn warm_if_cold(&mut self, backend: &Backend) {
        if self.supervision.warming.as_ref().is_some_and(|warming| !warming.is_finished()) {
            self.supervision.warm_at = Instant::now() + WARM_AGAIN;
            return;
        }
        let Some(member) = self.desk.member(&self.id) else { return };
        let owes = member.found() == Availability::Probation && member.state().in_flight().requests == 0;
        let due = Instant::now() >= self.supervision.warm_at && (self.supervision.cold || owes);
        if !due || !verify::answers(&member) || member.detected().is_none() {
            return;
        }
        self.supervision.cold = false;
        let requests = self.config.borrow().controller.warm_up_requests;
        let (tasks, id) = (self.desk.tasks.clone(), backend.id.clone());
        let warming = async move {
            if let Err(why) = warm_up(&tasks, &member, requests).await {
                tracing::warn!(backend = %id, why, "the engine is up, and does not answer");
            }
        };
        self.supervision.warming = Some(AbortOnDropHandle::new(self.desk.tasks.spawn_local(warming)));
        self.supervision.warm_at = Instant::now() + WARM_AGAIN;
    }
}

fn longer(back_off: Duration) -> Duration {
    (back_off * 2).min(LONGEST_BACK_OFF)
}
