//! Looks after one backend: carries out its switches, and between them sees to it that its engine runs.

use std::{sync::Arc, time::Duration};

use gearshift_config::{Actuator as Settings, Backend, BackendId, Config, OnExit, ProfileId};
use gearshift_selector::{Availability, Moment};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    actuate::{Actuator as _, Hand},
    desk::Desk,
    journal::Record,
    machine::{Action, Agreement, End, Event, Limits, Machine, Outcome, Sight, Step, Switch},
    supervise::{SUPERVISE, Supervision},
    verify::{self, Proof},
    warm::warm_up,
};
use crate::{
    clock::{self, between},
    fleet::Member,
};

/// Between two looks at a backend in a switch.
const LOOK: Duration = Duration::from_millis(200);
/// An engine's own load counts while it is no older than this.
const FRESH: Duration = Duration::from_secs(5);
/// An engine that publishes metrics has been scraped by then, unless reading them takes long.
const SCRAPED: Duration = Duration::from_secs(10);
/// How long an engine of Gearshift's own may contradict its profile: what it says comes in several pieces.
const AGREE: Duration = Duration::from_secs(30);

/// All of the requests that may come, of a thousand.
pub(super) const WHOLE_SHARE: u32 = 1000;

/// What one switch is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) to: String,
    pub(super) reason: String,
    /// Whether the planner wishes for it, and no operator.
    pub(super) planned: bool,
}

/// A switch has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) backend: BackendId,
    /// The profile before, and the one wanted.
    pub(super) shift: (ProfileId, ProfileId),
    pub(super) planned: bool,
    pub(super) outcome: Outcome,
    /// Since it began, or since Gearshift went on with it.
    pub(super) took: Duration,
}

impl From<&Record> for Ended {
    fn from(record: &Record) -> Self {
        Self {
            backend: BackendId::new(record.backend.as_str()),
            shift: (ProfileId::new(record.from.as_str()), ProfileId::new(record.to.as_str())),
            planned: record.planned,
            outcome: record.outcome,
            took: Duration::from_secs(record.seconds),
        }
    }
}

/// Looks after one backend.
pub(super) struct Shifter {
    pub(super) id: BackendId,
    pub(super) desk: Desk,
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) hand: Hand,
    ended: mpsc::UnboundedSender<Ended>,
    pub(super) supervision: Supervision,
    proof: Proof,
}

impl Shifter {
    pub(super) fn new(
        id: BackendId,
        desk: Desk,
        config: watch::Receiver<Arc<Config>>,
        hand: Hand,
        ended: mpsc::UnboundedSender<Ended>,
    ) -> Self {
        let supervision = Supervision::new();
        Self { id, desk, config, hand, ended, supervision, proof: Proof::default() }
    }

    /// Goes on with the switch that the journal has, takes orders, and keeps the engine running, until told to end.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>, end: CancellationToken) {
        let work = async {
            if let Some(switch) = self.desk.entry(&self.id).switch {
                tracing::warn!(backend = %self.id, step = switch.step.as_str(), to = switch.to, "going on with a switch that an earlier Gearshift began");
                self.carry_out(switch).await;
            }
            loop {
                tokio::select! {
                    biased;
                    order = orders.recv() => match order {
                        Some(order) => self.begin(order).await,
                        None => std::future::pending().await,
                    },
                    () = sleep_until(self.supervision.due) => self.supervise().await,
                }
            }
        };
        // A switch under way is left where it is: the journal knows, and the next Gearshift goes on with it.
        end.run_until_cancelled(Box::pin(work)).await;
        self.leave().await;
    }

    /// The backend as the file has it; `None` once it has left.
    pub(super) fn backend(&self) -> Option<Arc<Backend>> {
        self.config.borrow().backends.iter().find(|backend| backend.id == self.id).cloned()
    }

    async fn begin(&mut self, order: Order) {
        let from = self.desk.entry(&self.id).profile;
        if from == order.to {
            // It came there meanwhile, by another way: whoever waits for the order is told so.
            let shift = (ProfileId::new(from.as_str()), ProfileId::new(from));
            return self.tell(shift, false, Outcome::Done, Duration::ZERO);
        }
        let began = clock::unix_seconds();
        let switch = Switch {
            id: format!("{}-{began}-{:08x}", self.id, fastrand::u32(..)),
            from,
            to: order.to,
            reason: order.reason,
            planned: order.planned,
            began,
            step: Step::Draining,
            back: None,
            failed_back: 0,
            was_away: false,
        };
        tracing::info!(backend = %self.id, from = switch.from, to = switch.to, reason = switch.reason, "switch begins");
        self.carry_out(switch).await;
    }

    /// Carries a switch out, from the step it stands at.
    async fn carry_out(&mut self, switch: Switch) {
        let began = Instant::now();
        self.proof = Proof::default();
        self.supervision.rest();
        let mut machine = Machine::new(switch, self.limits(), clock::now());
        let (outcome, problem) = loop {
            if let Err(why) = self.enter(&machine).await {
                // What is not in the journal, or not seen by requests, is not acted upon; a full disk may have room again.
                tracing::error!(backend = %self.id, why, "the switch waits");
                sleep(SUPERVISE).await;
                continue;
            }
            if let Some(end) = self.step(&mut machine).await {
                break end;
            }
        };
        self.finish(machine.switch(), outcome, problem, began.elapsed()).await;
    }

    /// Writes down the step, and puts the backend into the gear that it means.
    async fn enter(&self, machine: &Machine) -> Result<(), String> {
        let switch = machine.switch();
        self.desk.note(&self.id, |entry| entry.switch = Some(switch.clone()))?;
        if switch.step == Step::SlowStart {
            self.give_share(1);
        }
        self.desk.shift_gear(&self.id).await
    }

    /// Acts until the step is done.
    async fn step(&mut self, machine: &mut Machine) -> Option<End> {
        let (step, began) = (machine.switch().step, machine.since());
        let before = machine.switch().clone();
        loop {
            let event = self.act(machine).await;
            if let Event::Failed(why) = &event {
                tracing::warn!(backend = %self.id, step = step.as_str(), why, "a step of the switch failed");
            }
            let now = clock::now();
            let end = machine.on(event, now);
            let left = end.is_some() || machine.since() != began;
            if left {
                self.desk.metrics.stepped(step, between(began, now));
            }
            // What was seen in a step is written down too.
            if left || *machine.switch() != before {
                return end;
            }
        }
    }

    async fn act(&mut self, machine: &mut Machine) -> Event {
        let Some(backend) = self.backend() else {
            // Steps that take no failure come back here until the shifter is told to end: not in one turn of the runtime.
            sleep(LOOK).await;
            return Event::Failed("the backend has left the configuration".to_owned());
        };
        let switch = machine.switch();
        let done = match machine.action(clock::now()) {
            Action::Look => {
                sleep(LOOK).await;
                return Event::Seen(self.look(&backend, machine));
            }
            Action::Share(permille) => {
                self.give_share(permille);
                sleep(LOOK).await;
                return Event::Seen(self.look(&backend, machine));
            }
            Action::Stop => self.stop(&backend, switch).await,
            Action::Release => self.hand.release(&backend).await,
            Action::Start => self.start(&backend, machine).await,
            Action::WarmUp => self.warm(&backend).await,
        };
        done.map_or_else(Event::Failed, |()| Event::Done)
    }

    /// An engine that serves well is ended only where it will be known when the next one may start; one that has failed in any
    /// case.
    async fn stop(&mut self, backend: &Backend, switch: &Switch) -> Result<(), String> {
        if switch.back.is_none() {
            let listed = backend.profiles.iter().any(|profile| profile.id.as_str() == switch.to);
            if !listed {
                return Err(format!("the configuration does not list profile {:?} any more", switch.to));
            }
            self.hand.vouch(backend).await?;
        }
        self.hand.stop(backend, switch.leaving()).await
    }

    /// Orders the start, and looks meanwhile: an operator's system may answer only once the engine was away and is back.
    async fn start(&mut self, backend: &Backend, machine: &mut Machine) -> Result<(), String> {
        let switch = machine.switch().clone();
        let mut started = std::pin::pin!(self.hand.start(backend, &switch));
        loop {
            tokio::select! {
                done = &mut started => return done,
                () = sleep(LOOK) => {}
            }
            let Some(member) = self.desk.member(&self.id) else { continue };
            member.check_now();
            if member.found() != Availability::Down || machine.switch().was_away {
                continue;
            }
            machine.saw_away();
            let switch = machine.switch().clone();
            if let Err(why) = self.desk.note(&self.id, |entry| entry.switch = Some(switch)) {
                // It is written down with the next step.
                tracing::error!(backend = %self.id, why, "that the engine was away would not outlive a crash");
            }
        }
    }

    async fn warm(&mut self, backend: &Backend) -> Result<(), String> {
        let Some(member) = self.desk.member(&self.id) else { return Ok(()) };
        self.proof = verify::proof(&member);
        let requests = self.config.borrow().controller.warm_up_requests;
        let warmed = warm_up(&self.desk.tasks, &member, requests).await;
        warmed.map_err(|why| self.hand.ended(backend).unwrap_or(why))
    }

    fn look(&mut self, backend: &Backend, machine: &Machine) -> Sight {
        let (switch, waited) = (machine.switch(), between(machine.since(), clock::now()));
        let Some(member) = self.desk.member(&self.id) else {
            let agreement = Agreement::Unknown;
            return Sight {
                under_way: 0,
                counted: None,
                ended: None,
                answers: false,
                away: false,
                agreement,
            };
        };
        member.check_now();
        let answers = verify::answers(&member);
        // Not one that nobody has looked at yet.
        let away = member.found() == Availability::Down;
        let mut agreement = verify::agreement(&member, waited > self.scraped_within());
        if agreement == Agreement::Agrees && !self.is_convincing(backend, &member, switch) {
            agreement = Agreement::Unknown;
        }
        // An engine elsewhere is known by its answers alone.
        let gone = switch.step == Step::SlowStart && member.found() == Availability::Down;
        let ended = match switch.step {
            Step::Draining if switch.back.is_some() => self.hand.ended(backend),
            Step::Draining | Step::Stopping | Step::Releasing => None,
            Step::Starting | Step::Verifying | Step::Warming | Step::SlowStart => self
                .hand
                .ended(backend)
                .or_else(|| gone.then(|| "the engine does not answer any more".to_owned())),
        };
        let counted = member.state().scraped().filter(|_| answers).map(|load| load.at);
        Sight { under_way: under_way(&member), counted, ended, answers, away, agreement }
    }

    /// How long metrics may take to come from an engine that answers.
    fn scraped_within(&self) -> Duration {
        let fleet = &self.config.borrow().fleet;
        SCRAPED.max(fleet.scrape_interval * 2 + fleet.health_timeout)
    }

    /// Whether the answer can be from the new engine. One that another system restarts may still be the old one: it must
    /// have been away, or say what the old one could not.
    fn is_convincing(&self, backend: &Backend, member: &Member, switch: &Switch) -> bool {
        let Hand::Webhook(_) = self.hand else { return true };
        let seen = member.detected().map(|said| said.knobs.clone()).unwrap_or_default();
        switch.was_away || verify::tells_apart(backend, &switch.from, &switch.to, &seen)
    }

    fn give_share(&self, permille: u32) {
        if let Some(member) = self.desk.member(&self.id) {
            member.state().set_share(permille);
        }
    }

    async fn finish(&mut self, switch: &Switch, outcome: Outcome, problem: Option<String>, took: Duration) {
        let profile = if outcome == Outcome::Done { &switch.to } else { &switch.from };
        let proof = std::mem::take(&mut self.proof);
        let record = Record::of(&self.id, switch, outcome, problem.clone(), proof);
        let noted = |book: &mut super::journal::Book| {
            let entry = book.backends.entry(record.backend.clone()).or_default();
            if entry.profile != *profile {
                (entry.profile, entry.since) = (profile.clone(), clock::unix_seconds());
            }
            entry.switch = None;
            book.history.push(record.clone());
        };
        while let Err(why) = self.desk.change(noted) {
            tracing::error!(backend = %self.id, why, "the switch waits for its end");
            sleep(SUPERVISE).await;
        }
        while let Err(why) = self.desk.shift_gear(&self.id).await {
            tracing::error!(backend = %self.id, why, "the engine waits for requests");
            sleep(SUPERVISE).await;
        }
        self.give_share(WHOLE_SHARE);
        self.supervision = Supervision::new();
        self.desk.metrics.ended(outcome, took);
        let (to, outcome_name) = (&switch.to, outcome.as_str());
        match outcome {
            Outcome::Done => tracing::info!(backend = %self.id, to, seconds = took.as_secs(), "switch done"),
            Outcome::Abandoned | Outcome::RolledBack | Outcome::Failed => {
                tracing::error!(backend = %self.id, to, outcome = outcome_name, problem, "switch not done");
            }
        }
        let shift = (ProfileId::new(switch.from.as_str()), ProfileId::new(switch.to.as_str()));
        self.tell(shift, switch.planned, outcome, took);
    }

    /// The order is over.
    fn tell(&self, shift: (ProfileId, ProfileId), planned: bool, outcome: Outcome, took: Duration) {
        let backend = self.id.clone();
        // The controller may have ended.
        let _ = self.ended.send(Ended { backend, shift, planned, outcome, took });
    }

    fn limits(&self) -> Limits {
        let config = self.config.borrow();
        let backend = config.backends.iter().find(|backend| backend.id == self.id);
        let (start, agree) = match backend.and_then(|backend| backend.actuator.as_ref()) {
            Some(Settings::Process(process)) => (process.start_timeout, AGREE),
            Some(Settings::Sleep(sleep)) => (sleep.timeout, AGREE),
            // The engine before answers until the other system gets to it.
            Some(Settings::Webhook(webhook)) => (webhook.start_timeout, webhook.start_timeout),
            None => (AGREE, AGREE),
        };
        let controller = &config.controller;
        Limits { drain: controller.drain, start, agree, slow_start: controller.slow_start }
    }

    /// Gearshift ends, or the backend leaves.
    async fn leave(mut self) {
        let Some(backend) = self.backend() else { return };
        let Some(Settings::Process(settings)) = &backend.actuator else { return };
        match settings.on_exit {
            OnExit::Keep => {
                tracing::info!(backend = %self.id, "the engine runs on, for the next Gearshift");
            }
            OnExit::Stop => {
                let profile = self.desk.entry(&self.id).profile;
                if let Err(why) = self.hand.stop(&backend, &profile).await {
                    tracing::error!(backend = %self.id, why, "the engine does not end");
                }
            }
        }
    }
}

/// Requests under way: ours, or by the engine's own count where that is more and fresh, for others may use it too.
fn under_way(member: &Member) -> u32 {
    let now: Moment = clock::now();
    let theirs = member.state().scraped().filter(|load| between(load.at, now) <= FRESH);
    let theirs = theirs.map_or(0, |load| load.running.saturating_add(load.waiting));
    member.state().in_flight().requests.max(theirs)
}

#[cfg(test)]
#[path = "shifter_tests.rs"]
mod tests;
