//! The control runtime: one thread apart from the request cores. It watches the configuration file and the fleet,
//! builds snapshots, answers operators, and begins shutdown.

pub mod admin;
pub mod signals;
pub mod watch;

use std::{collections::HashSet, path::PathBuf, sync::Arc, time::Duration};

use gearshift_config::{AccessLog, Config, Observations, RouteId, Telemetry, Tracing};
use tokio::{
    sync::{mpsc, watch as channel},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use self::{signals::Signals, watch::FileWatch};
use crate::{
    bundles::{Learners, keeper::Change},
    clock,
    controller::{self, Gears},
    fleet::{Fleet, FleetError},
    metrics::Metrics,
    snapshot::{Builder, Snapshot},
    worker::Shared,
};

/// What changes at run time, and what it is made from.
pub struct Control {
    path: PathBuf,
    file: FileWatch,
    /// As the file has it.
    written: Arc<Config>,
    /// With every backend in its gear.
    config: Arc<Config>,
    gears: Gears,
    /// Tells the controller what the file says.
    configs: channel::Sender<Arc<Config>>,
    builder: Builder,
    fleet: Fleet,
    shared: Arc<Shared>,
    state: Arc<admin::State>,
    learners: Learners,
    /// Held until no request has them any more: one whose body was long under way may be the first of its route, and makes metrics
    /// that the route had none of when it left.
    retired: Vec<Arc<Snapshot>>,
}

/// How often retired snapshots are looked at: as often as idle cores let go of theirs.
const LET_GO: Duration = Duration::from_secs(1);

/// What the control runtime follows.
pub struct Followed {
    /// New bundles.
    pub bundles: mpsc::Receiver<Change>,
    /// Backends in other profiles.
    pub gears: mpsc::Receiver<controller::Change>,
}

/// Why a reload was refused.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error("{0}")]
    Config(#[from] gearshift_config::Errors),
    #[error("{0}")]
    Fleet(#[from] FleetError),
}

impl Control {
    /// Takes over what startup made.
    pub fn new(
        path: PathBuf,
        file: FileWatch,
        (configs, gears): (channel::Sender<Arc<Config>>, Gears),
        builder: Builder,
        fleet: Fleet,
        shared: Arc<Shared>,
        state: Arc<admin::State>,
    ) -> Self {
        let learners = Learners::default();
        let written = configs.borrow().clone();
        let config = gears.apply(&written);
        let retired = Vec::new();
        Self { path, file, written, config, gears, configs, builder, fleet, shared, state, learners, retired }
    }

    /// Follows file, fleet, bundles and signals until told to end; then cancels `stop`, and `abort` at the second word.
    pub async fn run(
        mut self,
        mut signals: Signals,
        mut followed: Followed,
        stop: CancellationToken,
        abort: CancellationToken,
    ) {
        let mut news = self.fleet.changes();
        let mut let_go = interval(LET_GO);
        let_go.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.file.changed() => self.reload(),
                _ = news.changed() => self.rebuild(),
                Some(change) = followed.bundles.recv() => self.learn(change),
                Some(change) = followed.gears.recv() => self.shift(change),
                _ = let_go.tick(), if !self.retired.is_empty() => self.let_go(),
                signal = signals.next() => match signal {
                    signals::Signal::Reload => self.reload(),
                    signals::Signal::End => break,
                },
            }
        }
        // Nobody waits for an answer then.
        drop(followed.bundles);
        tracing::info!("shutting down: open streams may finish; interrupt again to cut them");
        self.shared.drain();
        stop.cancel();
        loop {
            tokio::select! {
                // What finishes may still be routed: a switch under way goes on.
                Some(change) = followed.gears.recv() => self.shift(change),
                signal = signals.next() => match signal {
                    signals::Signal::End => break,
                    signals::Signal::Reload => {}
                },
            }
        }
        abort.cancel();
        while let Some(change) = followed.gears.recv().await {
            self.shift(change);
        }
    }

    /// Reads the file; a bad one changes nothing but a metric and the log.
    fn reload(&mut self) {
        match self.try_reload() {
            Ok(()) => {
                self.shared.metrics.reload(true);
                self.state.reloaded(None);
                tracing::info!(file = %self.path.display(), "configuration reloaded");
            }
            Err(error) => {
                self.shared.metrics.reload(false);
                tracing::error!(file = %self.path.display(), "configuration refused, the old one serves on:\n{error}");
                self.state.reloaded(Some(error.to_string()));
            }
        }
    }

    fn try_reload(&mut self) -> Result<(), ReloadError> {
        let written = Arc::new(gearshift_config::load(&self.path)?);
        warn_of_fixed_parts(&self.written, &written);
        self.apply(written)?;
        self.state.configured(self.config.clone());
        self.configs.send_replace(self.written.clone());
        Ok(())
    }

    /// Takes over a configuration, every backend in its gear.
    fn apply(&mut self, written: Arc<Config>) -> Result<(), FleetError> {
        let config = self.gears.apply(&written);
        self.fleet.apply(&config)?;
        self.fleet.hold(|backend| self.gears.holds(backend) && controller::shifts(&config, backend));
        (self.written, self.config) = (written, config);
        self.rebuild();
        Ok(())
    }

    /// Puts a backend into another gear; where that cannot be, all stay as they are.
    fn shift(&mut self, change: controller::Change) {
        let mut gears = self.gears.clone();
        let taken = if gears.set(&change.backend, change.gear) { self.take_gears(gears) } else { Ok(()) };
        // Whoever asked may have ended.
        let _ = change.done.send(taken.map_err(|error| error.to_string()));
    }

    fn take_gears(&mut self, gears: Gears) -> Result<(), FleetError> {
        let before = std::mem::replace(&mut self.gears, gears);
        let taken = self.apply(self.written.clone());
        match &taken {
            Ok(()) => self.state.shifted(self.config.clone()),
            Err(_) => self.gears = before,
        }
        taken
    }

    /// Takes over a bundle, or what is on trial.
    fn learn(&mut self, change: Change) {
        self.learners = change.learners;
        self.rebuild();
        // The keeper may have ended.
        let _ = change.done.send(());
    }

    /// Takes in what the fleet says of itself.
    fn rebuild(&mut self) {
        let snapshot =
            build(&mut self.builder, &self.config, &self.fleet, &self.learners, &self.shared.metrics);
        let old = self.shared.live.load_full();
        self.shared.swap(snapshot);
        forget_what_left(&self.shared.metrics, &old, &self.shared.live.load());
        self.retired.push(old);
        self.let_go();
    }

    /// Lets go of snapshots that nobody else has, and forgets once more what has left with them.
    fn let_go(&mut self) {
        let live = self.shared.live.load();
        for old in self.retired.extract_if(.., |old| Arc::strong_count(old) == 1) {
            forget_what_left(&self.shared.metrics, &old, &live);
        }
    }
}

/// Removes the metrics of routes, models and backends that are no more: nobody else would, and fleets come and go.
fn forget_what_left(metrics: &Metrics, old: &Snapshot, new: &Snapshot) {
    let kept = new.rides();
    let (mut left, still) = (HashSet::new(), by_model(&kept));
    for (route, model, backend) in old.rides().difference(&kept) {
        metrics.forget(route, model, backend);
        left.insert((*route, *model));
    }
    for (route, model) in left.difference(&still) {
        metrics.forget_errors(route, model);
    }
    for (model, backend) in old.offers().difference(&new.offers()) {
        metrics.forget_offer(model, backend);
    }
    let is_kept = |id: &RouteId| new.routes.iter().any(|entry| entry.route.id == *id);
    for route in old.routes.iter().map(|entry| &entry.route.id).filter(|id| !is_kept(id)) {
        metrics.forget_decisions(route.as_str());
    }
}

/// Routes with the models that they lead to.
fn by_model<'s>(rides: &HashSet<(&'s str, &'s str, &'s str)>) -> HashSet<(&'s str, &'s str)> {
    rides.iter().map(|(route, model, _)| (*route, *model)).collect()
}

/// Builds a snapshot from a configuration and the fleet's present word.
pub fn build(
    builder: &mut Builder,
    config: &Arc<Config>,
    fleet: &Fleet,
    learners: &Learners,
    metrics: &Metrics,
) -> Snapshot {
    builder.build(config, &fleet.members(), learners, metrics, clock::unix_seconds())
}

/// What of the section is read once; the rest comes with the snapshot.
fn fixed(settings: &Observations) -> Observations {
    Observations { sample: 1.0, explore: 0.0, explore_max_loss: 0.0, ..settings.clone() }
}

/// As [`fixed`]: where spans and lines go.
fn told(settings: &Telemetry) -> Telemetry {
    let tracing = settings.tracing.clone().map(|tracing| Tracing { sample: 1.0, ..tracing });
    let access_log = settings.access_log.clone().map(|log| AccessLog { sample: 1.0, errors: true, ..log });
    Telemetry { tracing, access_log, ..Telemetry::default() }
}

/// Some settings are read once.
fn warn_of_fixed_parts(old: &Config, new: &Config) {
    for (part, changed) in [
        ("listen", old.listeners != new.listeners),
        ("admin", old.admin != new.admin),
        ("workers", old.workers != new.workers),
        ("learner", old.learner != new.learner),
        ("controller.state", old.controller.state != new.controller.state),
        ("observations", fixed(&old.observations) != fixed(&new.observations)),
        ("telemetry", told(&old.telemetry) != told(&new.telemetry)),
        ("paths", old.paths != new.paths),
    ] {
        if changed {
            tracing::warn!("`{part}` changed; it takes effect when Gearshift is restarted");
        }
    }
}
