//! The controller's loop: gives orders, as planned or as operators wish, and has one shifter for each backend.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use gearshift_config::{Backend, BackendId, Config, ControllerMode, Declared};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Asked, Change, Order, Wish,
    actuate::{Hand, running_profile},
    board::Board,
    desk::Desk,
    journal::{Journal, Record},
    machine::Outcome,
    planning::{Thinker, Workload},
    shifter::{Ended, Shifter, WHOLE_SHARE},
    shifts,
    verify::{self, Proof},
};
use crate::{
    clock,
    fleet::{Member, Roster},
    metrics::ControllerMetrics,
};

/// How often the journal is asked for while another Gearshift has it.
const RETRY: Duration = Duration::from_secs(1);
const NOTHING_TO_SHIFT: &str = "no backend lists `profiles` that it may be shifted into";

/// Whether some backend may be shifted.
pub(super) fn is_needed(config: &Config) -> bool {
    config.backends.iter().any(|backend| !backend.profiles.is_empty())
}

/// The controller before it has a journal.
pub(super) struct Office {
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) changes: mpsc::Sender<Change>,
    pub(super) roster: Roster,
    pub(super) metrics: ControllerMetrics,
    pub(super) board: Arc<Board>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    pub(super) end: CancellationToken,
}

impl Office {
    /// Runs until told to end.
    pub(super) async fn run(mut self, mut asked: mpsc::Receiver<Asked>, workload: Workload) {
        let end = self.end.clone();
        let Some(Some(journal)) = end.run_until_cancelled(self.open(&mut asked)).await else { return };
        self.board.set_off(None);
        let desk = Desk::new(journal, self.changes, self.roster, self.metrics, self.board);
        let (ended, ends) = mpsc::unbounded_channel();
        let thinker = Thinker::new(&self.config.borrow(), &desk.book(), workload);
        let clerk = Clerk {
            desk,
            thinker,
            config: self.config,
            tasks: self.tasks,
            stop: self.stop,
            end: end.clone(),
            shifters: HashMap::new(),
            busy: HashSet::new(),
            ended,
        };
        end.run_until_cancelled(Box::pin(clerk.run(asked, ends))).await;
    }

    /// Waits until there is something to shift, and until the journal is this process's own.
    async fn open(&mut self, asked: &mut mpsc::Receiver<Asked>) -> Option<Journal> {
        loop {
            let config = self.config.borrow_and_update().clone();
            let (why, wait) = if is_needed(&config) {
                match Journal::open(&config.controller.state) {
                    Ok(journal) => return Some(journal),
                    Err(error) => (error.to_string(), RETRY),
                }
            } else {
                (NOTHING_TO_SHIFT.to_owned(), Duration::MAX)
            };
            if self.board.off().is_none_or(|before| *before != why) && wait == RETRY {
                tracing::error!(why, "the profile controller waits");
            }
            self.board.set_off(Some(why.clone()));
            tokio::select! {
                changed = self.config.changed() => changed.ok()?,
                Some((_, answer)) = asked.recv() => drop(answer.send(Err(why))),
                () = sleep(wait.min(Duration::from_secs(3600))) => {}
            }
        }
    }
}

/// The controller at work.
struct Clerk {
    desk: Desk,
    thinker: Thinker,
    config: watch::Receiver<Arc<Config>>,
    tasks: TaskTracker,
    /// No switch begins any more.
    stop: CancellationToken,
    end: CancellationToken,
    shifters: HashMap<BackendId, Post>,
    /// Backends with an order.
    busy: HashSet<BackendId>,
    ended: mpsc::UnboundedSender<Ended>,
}

/// The way to a shifter.
struct Post {
    orders: mpsc::Sender<Order>,
    kind: &'static str,
    end: CancellationToken,
    task: JoinHandle<()>,
}

impl Post {
    /// Tells the shifter to end, and waits until it has: it may be about to write something down.
    async fn close(self) {
        self.end.cancel();
        // One that panicked has ended too.
        let _ = self.task.await;
    }
}

impl Clerk {
    async fn run(mut self, mut asked: mpsc::Receiver<Asked>, mut ends: mpsc::UnboundedReceiver<Ended>) {
        self.take_config().await;
        let mut due = Instant::now() + self.config.borrow().controller.every;
        loop {
            tokio::select! {
                changed = self.config.changed() => match changed {
                    Ok(()) => self.take_config().await,
                    Err(_) => return,
                },
                Some((wish, answer)) = asked.recv() => {
                    // Whoever asked may have gone.
                    let _ = answer.send(self.fulfil(wish));
                }
                Some(ended) = ends.recv() => {
                    self.busy.remove(&ended.backend);
                    self.thinker.ended(&ended, &self.desk);
                }
                () = sleep_until(due), if !self.stop.is_cancelled() => {
                    self.plan().await;
                    due = Instant::now() + self.config.borrow().controller.every;
                }
            }
        }
    }

    /// Follows the configuration: shifters for those with actuators, gears for all.
    async fn take_config(&mut self) {
        let config = self.config.borrow_and_update().clone();
        let book = self.desk.book();
        self.desk.metrics.paused(book.paused);
        self.thinker.configured(&config);
        self.desk.board.set_acts(config.controller.mode == ControllerMode::Act);
        let stays = |id: &BackendId, post: &Post| {
            let mut kept = config.backends.iter().filter(|backend| backend.id == *id);
            kept.any(|it| it.actuator.as_ref().is_some_and(|actuator| actuator.kind() == post.kind))
        };
        let leaving: Vec<_> = self.shifters.extract_if(|id, post| !stays(id, post)).collect();
        for (id, post) in leaving {
            post.close().await;
            self.busy.remove(&id);
            self.desk.metrics.left(id.as_str());
        }
        let left = book.backends.keys().filter(|name| !self.shifters.contains_key(name.as_str()));
        for name in left.filter(|name| !shifts(&config, &BackendId::new(name.as_str()))) {
            self.forsake(&BackendId::new(name.as_str())).await;
        }
        for backend in config.backends.iter().filter(|backend| !backend.profiles.is_empty()) {
            if let Err(why) = self.know(backend) {
                tracing::error!(backend = %backend.id, why, "the backend is left alone");
                continue;
            }
            self.shift_gear(&backend.id).await;
            if !self.shifters.contains_key(&backend.id) {
                self.post(backend);
            }
        }
    }

    /// Sees to it that the journal knows the backend's profile, and one that it may be in.
    fn know(&self, backend: &Backend) -> Result<(), String> {
        let entry = self.desk.entry(&backend.id);
        let listed = |name: &str| backend.profiles.iter().any(|profile| profile.id.as_str() == name);
        if entry.switch.is_some() || listed(&entry.profile) {
            return Ok(());
        }
        let Declared::Is(own) = &backend.profile else { return Err("its profile is not stated".to_owned()) };
        let running = running_profile(backend).filter(|name| listed(name));
        let profile = running.unwrap_or_else(|| own.id.as_str().to_owned());
        self.desk.note(&backend.id, |entry| entry.profile = profile)
    }

    /// Nobody shifts this backend any more: a switch that was under way is over, wherever it stood.
    async fn forsake(&self, id: &BackendId) {
        let Some(switch) = self.desk.entry(id).switch else { return };
        let problem = "its actuator was taken out of the configuration".to_owned();
        tracing::warn!(backend = %id, step = switch.step.as_str(), to = switch.to, problem, "switch not done");
        let record = Record::of(id, &switch, Outcome::Failed, Some(problem), Proof::default());
        let noted = self.desk.change(|book| {
            let entry = book.backends.entry(id.to_string()).or_default();
            (entry.profile, entry.since) = (switch.profile().to_owned(), clock::unix_seconds());
            entry.switch = None;
            book.history.push(record);
        });
        if let Err(why) = noted {
            tracing::error!(backend = %id, why, "the switch is not over in the journal");
        }
        self.shift_gear(id).await;
        if let Some(member) = self.desk.member(id) {
            member.state().set_share(WHOLE_SHARE);
        }
        let took = Duration::from_secs(clock::unix_seconds().saturating_sub(switch.began));
        self.desk.metrics.ended(Outcome::Failed, took);
    }

    /// As [`Desk::shift_gear`]; what is refused is tried again with the next configuration.
    async fn shift_gear(&self, id: &BackendId) {
        if let Err(why) = self.desk.shift_gear(id).await {
            tracing::error!(backend = %id, why, "the backend's profile cannot be taken over");
        }
    }

    fn post(&mut self, backend: &Backend) {
        let Some(hand) = Hand::of(backend, &self.desk) else { return };
        let (orders, inbox) = mpsc::channel(1);
        let end = self.end.child_token();
        let kind = backend.actuator.as_ref().map_or("", |actuator| actuator.kind());
        if self.desk.entry(&backend.id).switch.is_some() {
            self.busy.insert(backend.id.clone());
        }
        let shifter = Shifter::new(
            backend.id.clone(),
            self.desk.clone(),
            self.config.clone(),
            hand,
            self.ended.clone(),
        );
        let task = self.tasks.spawn_local(shifter.run(inbox, end.clone()));
        self.shifters.insert(backend.id.clone(), Post { orders, kind, end, task });
    }

    fn fulfil(&mut self, wish: Wish) -> Result<Value, String> {
        match wish {
            Wish::Shift { backend, profile, force } => {
                let reason = "an operator's wish".to_owned();
                let from =
                    self.order(&backend, Order { to: profile.clone(), reason, planned: false }, force)?;
                Ok(json!({"backend": backend, "from": from, "to": profile}))
            }
            Wish::Pause => self.pause(true),
            Wish::Resume => self.pause(false),
        }
    }

    /// Thinks, and acts where it may.
    async fn plan(&mut self) {
        let config = self.config.borrow().clone();
        let thought = self.thinker.think(&config, &self.desk, &self.busy).await;
        let gains = thought.advice.iter();
        let gains = gains.filter_map(|one| Some((one.backend.as_str(), one.profile.as_str(), one.gain?)));
        self.desk.metrics.planned(gains);
        self.desk.board.thinks(thought.clone());
        if config.controller.mode != ControllerMode::Act || self.desk.book().paused {
            return;
        }
        for shift in thought.shifts {
            let order =
                Order { to: shift.to.as_str().to_owned(), reason: shift.reason.clone(), planned: true };
            if let Err(why) = self.order(&shift.backend, order, false) {
                tracing::warn!(backend = %shift.backend, to = %shift.to, why, "a planned switch waits");
            }
        }
    }

    fn pause(&self, paused: bool) -> Result<Value, String> {
        self.desk.change(|book| book.paused = paused)?;
        self.desk.metrics.paused(paused);
        Ok(json!({"paused": paused}))
    }

    /// Gives an order, where it can be carried out; the profile that the backend is in.
    fn order(&mut self, id: &BackendId, order: Order, force: bool) -> Result<String, String> {
        if self.stop.is_cancelled() {
            return Err("Gearshift is ending".to_owned());
        }
        let config = self.config.borrow().clone();
        let backend = config.backends.iter().find(|backend| backend.id == *id);
        let backend = backend.ok_or_else(|| format!("no backend is called {:?}", id.as_str()))?;
        if !backend.profiles.iter().any(|profile| profile.id.as_str() == order.to) {
            let listed: Vec<&str> = backend.profiles.iter().map(|profile| profile.id.as_str()).collect();
            return Err(format!(
                "{id} may not be shifted into {:?}, but into: {}",
                order.to,
                listed.join(", ")
            ));
        }
        let from = self.desk.entry(id).profile;
        if self.busy.contains(id) {
            return Err(format!("{id} is being shifted already"));
        }
        if from == order.to {
            return Err(format!("{id} is in profile {from} already"));
        }
        if !force {
            self.others_serve(id, config.controller.max_unavailable)?;
        }
        let post = self
            .shifters
            .get(id)
            .ok_or_else(|| format!("{id} has no `actuator`: put it into {} yourself", order.to))?;
        post.orders.try_send(order).map_err(|_| format!("{id} is being shifted already"))?;
        self.busy.insert(id.clone());
        Ok(from)
    }

    /// Whether the others of its model can do without this one for a while.
    fn others_serve(&self, id: &BackendId, max_unavailable: u32) -> Result<(), String> {
        let members = self.desk.roster.members();
        let model = members.iter().find(|member| member.id() == id).and_then(|member| model_of(member));
        let others = members.iter().filter(|member| member.id() != id && model_of(member) == model);
        let (away, here): (Vec<_>, Vec<_>) =
            others.partition(|member| self.busy.contains(member.id()) || !verify::answers(member));
        let shifting = away.iter().filter(|member| self.busy.contains(member.id())).count();
        if u32::try_from(shifting).is_ok_and(|shifting| shifting >= max_unavailable) {
            return Err(format!(
                "{shifting} backends of the model are being shifted, as many as `max_unavailable` allows"
            ));
        }
        if here.is_empty() {
            return Err(
                "no other backend would serve its model meanwhile; `force` shifts it all the same".to_owned()
            );
        }
        Ok(())
    }
}

/// The model a backend serves, by the file's word or its own.
fn model_of(member: &Member) -> Option<String> {
    match &member.backend().model {
        Declared::Is(model) => Some(model.as_str().to_owned()),
        Declared::Detect => member.detected()?.models().next().map(|served| served.id.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use tokio::task::{LocalSet, yield_now};

    use super::*;

    #[tokio::test]
    async fn a_shifter_that_leaves_writes_down_what_it_is_about_to_before_others_do() {
        let (written, end) = (Rc::new(Cell::new(false)), CancellationToken::new());
        let (told, note) = (end.clone(), written.clone());
        let closed = async {
            let task = tokio::task::spawn_local(async move {
                told.cancelled().await;
                yield_now().await;
                note.set(true);
            });
            Post { orders: mpsc::channel(1).0, kind: "process", end, task }.close().await;
        };
        LocalSet::new().run_until(closed).await;
        assert!(written.get());
    }
}
