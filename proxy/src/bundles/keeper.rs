//! Keeps the right bundle active: looks, loads, tries beside the active one, hands over.

use std::{path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use gearshift_selector::{LoadOptions, OnnxRuntime};
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinHandle, spawn_blocking},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Learner, Learners, Shadow,
    load::{Lasts, Refusal, load},
    pin::Pin,
    plan::{Plan, Version},
    shelf::{self, Found},
    state::State,
    watch::FolderWatch,
};
use crate::{metrics::BundleMetrics, snapshot::Snapshot};

/// What looks like a copy under way is looked at again after this time.
const SETTLE: Duration = Duration::from_secs(2);
/// What was too slow is timed again after this time: the machine may be less busy.
const TIME_AGAIN: Duration = Duration::from_mins(5);

/// The bundles of the next snapshot.
#[derive(Debug)]
pub struct Change {
    /// Which.
    pub learners: Learners,
    /// Told when requests see them.
    pub done: oneshot::Sender<()>,
}

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// This bundle and no other.
    Activate(String),
    /// The one that was active before.
    RollBack,
    /// The newest, from now on.
    Newest,
}

/// An operator's wish, and where the answer goes: the active bundle's name, or why not.
pub type Asked = (Wish, oneshot::Sender<Result<String, String>>);

/// How bundles are kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where bundles are dropped.
    pub folder: PathBuf,
    /// How they are loaded.
    pub options: LoadOptions,
    /// Request cores; each gets a session of its own.
    pub cores: usize,
    /// Requests over which a new one is compared before it decides.
    pub shadow_requests: u32,
}

/// Looks after the folder. Runs on the control runtime's `LocalSet`.
pub struct Keeper {
    settings: Settings,
    runtime: Arc<OnnxRuntime>,
    live: Arc<ArcSwap<Snapshot>>,
    metrics: BundleMetrics,
    state: Arc<State>,
    changes: mpsc::Sender<Change>,
    plan: Plan,
    /// When the plan was asked last.
    looked: Instant,
    pin: Pin,
    active: Option<Arc<Learner>>,
    trial: Option<Arc<Shadow>>,
    /// Held until no request has them any more, so that no request core has to take sessions down.
    retired: Vec<Arc<Learner>>,
    /// The history, on its way to the disk.
    writing: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Takes up an operator's earlier wish, where one was kept. `live` is what a bundle must be able to encode.
    pub fn new(
        settings: Settings,
        runtime: Arc<OnnxRuntime>,
        live: Arc<ArcSwap<Snapshot>>,
        metrics: BundleMetrics,
        state: Arc<State>,
        changes: mpsc::Sender<Change>,
    ) -> Self {
        let pin = Pin::of(&settings.folder);
        let plan = Plan::new(pin.read());
        let (active, trial, retired, writing) = (None, None, Vec::new(), None);
        let looked = Instant::now();
        Self {
            settings,
            runtime,
            live,
            metrics,
            state,
            changes,
            plan,
            looked,
            pin,
            active,
            trial,
            retired,
            writing,
        }
    }

    /// Follows the folder and operators until told to end.
    pub async fn run(mut self, mut asked: mpsc::Receiver<Asked>, end: CancellationToken) {
        let mut folder = FolderWatch::new(&self.settings.folder);
        while !end.is_cancelled() {
            // A wish that came meanwhile is heard between two steps.
            if asked.is_empty() && self.step(false).await {
                continue;
            }
            tokio::select! {
                biased;
                () = end.cancelled() => {}
                Some((wish, answer)) = asked.recv() => {
                    // Whoever asked may have gone.
                    let _ = answer.send(self.fulfil(wish).await);
                }
                () = fails(self.active.as_deref()) => self.drop_active().await,
                () = compared(self.trial.as_deref()) => self.conclude().await,
                () = folder.heard(self.plan.look_again(self.looked)) => {}
            }
        }
    }

    /// One step towards what should be active; whether there may be another. What an operator `asked` for is not tried
    /// beside the active one, and gets no second look.
    async fn step(&mut self, asked: bool) -> bool {
        self.retired.retain(|learner| Arc::strong_count(learner) > 1);
        let found = self.look().await;
        self.plan.forget_what_left(&found);
        self.looked = Instant::now();
        let next = self.plan.next(&found, self.looked).cloned();
        let on_trial = |shadow: &Arc<Shadow>| {
            next.as_ref().is_some_and(|next| shadow.learner.version == Version::from(next))
        };
        match &self.trial {
            Some(shadow) if !on_trial(shadow) => self.end_trial().await,
            Some(shadow) if asked => {
                let learner = shadow.learner.clone();
                self.hand_over(learner).await;
                return true;
            }
            // It goes on.
            Some(_) => return self.show(&found),
            None => {}
        }
        let Some(next) = next else { return self.show(&found) };
        let version = Version::from(&next);
        match self.load(next).await {
            Ok(learner) => self.take(Arc::new(learner), asked).await,
            Err(refusal) => self.refuse(version, refusal, asked),
        }
        true
    }

    /// False: there is nothing more to do.
    fn show(&self, found: &[Found]) -> bool {
        self.state.found(&self.plan, found);
        false
    }

    /// Not on this thread: a network file system may take its time.
    async fn look(&self) -> Vec<Found> {
        let folder = self.settings.folder.clone();
        let scanned = spawn_blocking(move || shelf::scan(&folder)).await;
        scanned.map_err(std::io::Error::other).flatten().unwrap_or_else(|error| {
            tracing::warn!(folder = %self.settings.folder.display(), %error, "the folder of bundles cannot be read");
            Vec::new()
        })
    }

    async fn load(&self, found: Found) -> Result<Learner, Refusal> {
        let Settings { options, cores, .. } = &self.settings;
        load(found, self.runtime.clone(), options.clone(), *cores, self.live.load_full()).await
    }

    fn refuse(&mut self, version: Version, refusal: Refusal, asked: bool) {
        let Refusal { reason, lasts } = refusal;
        let now = Instant::now();
        // Others than the one that was asked for have their time.
        let asked = asked && self.plan.pinned().is_none_or(|pinned| pinned == version.name);
        if lasts == Lasts::UntilCopied && !asked && self.plan.doubt(&version, &reason, now + SETTLE) {
            tracing::info!(bundle = %version.name, reason, "bundle not complete (yet)");
            return;
        }
        tracing::error!(bundle = %version.name, reason, "bundle refused; what decided before decides on");
        self.metrics.refused();
        self.plan.refuse(version, reason, (lasts == Lasts::ForAWhile).then(|| now + TIME_AGAIN));
    }

    /// It decides, or is compared with the one that does.
    async fn take(&mut self, learner: Arc<Learner>, asked: bool) {
        let requests = self.settings.shadow_requests;
        if requests == 0 || asked || self.active.is_none() || self.plan.pinned().is_some() {
            return self.hand_over(learner).await;
        }
        tracing::info!(bundle = %learner.version.name, requests, "bundle in shadow");
        self.trial = Some(Arc::new(Shadow::new(learner, requests, self.metrics.clone())));
        self.publish().await;
    }

    /// Enough requests were compared.
    async fn conclude(&mut self) {
        let Some(shadow) = self.trial.clone() else { return };
        let counts = shadow.counts();
        tracing::info!(bundle = %shadow.learner.version.name, ?counts, "bundle out of shadow");
        match counts.verdict() {
            Ok(()) => self.hand_over(shadow.learner.clone()).await,
            Err(reason) => {
                self.refuse(shadow.learner.version.clone(), Refusal::for_good(reason), false);
                self.end_trial().await;
            }
        }
    }

    /// The active one keeps failing: the prior decides until another bundle is loaded.
    async fn drop_active(&mut self) {
        let Some(learner) = self.active.take() else { return };
        let (name, reason) = (&learner.version.name, learner.failing.reason().await);
        tracing::error!(bundle = %name, reason, "bundle dropped; the newest of the others decides, or the prior");
        self.metrics.dropped(name);
        self.plan.drop_active(reason.to_owned());
        self.retired.push(learner);
        self.publish().await;
    }

    async fn end_trial(&mut self) {
        if let Some(shadow) = self.trial.take() {
            tracing::info!(bundle = %shadow.learner.version.name, "bundle no longer in shadow");
            self.retired.push(shadow.learner.clone());
            self.publish().await;
        }
    }

    async fn hand_over(&mut self, learner: Arc<Learner>) {
        self.trial = None;
        self.retired.extend(self.active.replace(learner.clone()));
        self.publish().await;
        let (version, cost) = (learner.version.clone(), learner.bundle.cost());
        tracing::info!(bundle = %version.name, created = %version.created, candidates = cost.candidates, "bundle activated");
        let before = self.plan.active().map(|old| old.name.as_str());
        self.metrics.activated(&version.name, &version.created, cost.candidates, before);
        self.plan.activated(version);
    }

    /// Waits until requests see what is active and what is on trial.
    async fn publish(&mut self) {
        let learners = Learners { active: self.active.clone(), shadow: self.trial.clone() };
        let (done, seen) = oneshot::channel();
        // Nobody listens, or answers, only when the process ends.
        if self.changes.send(Change { learners: learners.clone(), done }).await.is_ok() {
            let _ = seen.await;
        }
        // Operators are told what requests see.
        if self.state.decides(&learners) {
            self.write_history().await;
        }
    }

    /// Begins to, once what was begun before is done: the older must not be written last. The end of the process waits for it.
    async fn write_history(&mut self) {
        if let Some(before) = self.writing.take() {
            let _ = before.await;
        }
        let state = self.state.clone();
        self.writing = Some(spawn_blocking(move || state.keep_history()));
    }

    /// A disk may take its time, as in [`look`](Self::look).
    async fn keep_pin(&self, wish: Option<String>) {
        let pin = self.pin.clone();
        // What goes wrong is in the log.
        let _ = spawn_blocking(move || pin.keep(wish.as_deref())).await;
    }

    async fn fulfil(&mut self, wish: Wish) -> Result<String, String> {
        let found = self.look().await;
        let before = self.plan.pinned().map(str::to_owned);
        let wanted = match wish {
            Wish::Activate(name) => self.plan.pin(&name, &found).map(|()| Some(name)),
            Wish::RollBack => self.plan.roll_back(&found).map(Some),
            Wish::Newest => {
                self.plan.unpin();
                Ok(None)
            }
        };
        let wanted = wanted.map_err(|unmet| unmet.to_string())?;
        while self.step(true).await {}
        let active = self.plan.active().map(|active| active.name.clone());
        let Some(wanted) = wanted else {
            self.keep_pin(None).await;
            return active.ok_or_else(|| "there is no bundle that can be used".to_owned());
        };
        if active.as_ref() == Some(&wanted) {
            self.keep_pin(Some(wanted.clone())).await;
            return Ok(wanted);
        }
        // The wish cannot be met, so the one before stands.
        self.plan.wish(before);
        let found = self.look().await;
        self.show(&found);
        let refusal =
            found.iter().find(|found| found.name == wanted).and_then(|found| self.plan.refusal(found));
        Err(match refusal {
            Some(reason) => format!("bundle {wanted:?} was refused: {reason}"),
            None => format!("bundle {wanted:?} has gone"),
        })
    }
}

/// Never, where none decides.
async fn fails(active: Option<&Learner>) {
    match active {
        Some(learner) => drop(learner.failing.reason().await),
        None => std::future::pending().await,
    }
}

/// Never, where nothing is on trial.
async fn compared(trial: Option<&Shadow>) {
    match trial {
        Some(shadow) => shadow.compared().await,
        None => std::future::pending().await,
    }
}
