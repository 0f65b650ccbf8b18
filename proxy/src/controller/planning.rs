//! From the traffic to a plan: what the planner of the selector is told, and what becomes of what it says.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use gearshift_config::{
    Actuator, Backend, BackendId, Catalog, Config, ControllerMode, Declared, Knobs, ModelFacts, ModelId,
    ProfileId,
};
use gearshift_selector::{
    Availability, Deployment, Moment, Software,
    controller::{
        Advice, Condition, Engine, Plan, Planner, ProfileOption, Served, Settings, Shift, Traffic, Wants,
    },
};
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::{
    desk::Desk,
    journal::{Book, Entry},
    machine::Outcome,
    shifter::Ended,
    wants::{asked_as, wants},
};
use crate::{clock, fleet::Member};

/// Seconds a switch takes, until one was seen.
const PROCESS_S: f64 = 120.0;
const SLEEP_S: f64 = 10.0;
/// Outcomes after which a calibration says something of its engine.
const CALIBRATED: u64 = 10;

/// Requests a second, by the route's name.
pub type RatesByRoute = BTreeMap<String, f64>;

/// What requests tell.
pub struct Workload {
    /// What is asked of every model now.
    pub traffic: Box<dyn Fn() -> Vec<Traffic>>,
    /// How many requests for a model come by each route, by its name, a second.
    pub routes: Box<dyn Fn(&ModelId) -> RatesByRoute>,
    /// How the last requests that ended after a moment were served, and when they ended; of many, a part.
    pub served: Box<dyn Fn(Moment) -> Vec<(Moment, Served)>>,
}

/// The last plan, for operators.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Thought {
    /// When, seconds since 1970; 0 for never.
    pub(super) at: u64,
    /// What would be, or is, carried out.
    pub(super) shifts: Vec<Shift>,
    /// What is thought of every backend × profile.
    pub(super) advice: Vec<Advice>,
}

/// The planner, and what it is told.
pub(super) struct Thinker {
    planner: Planner,
    workload: Workload,
    /// When the last request ended that the planner was told of.
    heard: Moment,
    /// Actual over predicted of engines in the profiles they were in, TTFT and TPOT.
    calibrations: HashMap<(BackendId, String), (f64, f64)>,
}

impl Thinker {
    /// Remembers since when the backends are in their profiles, and what became of earlier plans: a restart makes nobody eager.
    pub(super) fn new(config: &Config, book: &Book, workload: Workload) -> Self {
        let mut planner = Planner::new(settings(config));
        for (backend, entry) in book.backends.iter().filter(|(_, entry)| entry.since > 0) {
            planner.remember(&BackendId::new(backend.as_str()), moment_of(entry.since));
        }
        for record in &book.history {
            tell(&mut planner, &Ended::from(record), moment_of(record.ended()));
        }
        for (backend, entry) in &book.backends {
            planner.set_patience(&BackendId::new(backend.as_str()), entry.patience);
        }
        Self { planner, workload, heard: Moment::default(), calibrations: HashMap::new() }
    }

    /// Follows the file.
    pub(super) fn configured(&mut self, config: &Config) {
        self.planner.set_settings(settings(config));
    }

    /// Tells the planner how requests were served since it was told last.
    fn listen(&mut self) {
        for (at, served) in (self.workload.served)(self.heard) {
            self.heard = self.heard.max(at);
            self.planner.served(&served);
        }
    }

    /// Makes a plan; beside this thread, which has operators to answer. `busy` are backends with an order.
    pub(super) async fn think(&mut self, config: &Config, desk: &Desk, busy: &HashSet<BackendId>) -> Thought {
        self.listen();
        let (now, book) = (clock::now(), desk.book());
        let members = &desk.roster.members();
        let engines: Vec<Engine> = members
            .iter()
            .filter_map(|member| {
                let written = config.backends.iter().find(|backend| backend.id == *member.id())?;
                let entry = book.backends.get(member.id().as_str());
                self.engine(config, written, member, entry, &book, busy.contains(member.id()))
            })
            .collect();
        let traffic = (self.workload.traffic)();
        let mut planner = self.planner.clone();
        planner.set_settings(Settings { models: self.wants(config, members), ..planner.settings().clone() });
        let planned = spawn_blocking(move || {
            let plan = planner.plan(now, &engines, &traffic);
            (planner, plan)
        });
        let plan = match planned.await {
            Ok((planner, plan)) => {
                self.planner = planner;
                plan
            }
            Err(error) => {
                tracing::error!(%error, "no plan was made");
                Plan::default()
            }
        };
        self.write_down(desk);
        Thought { at: clock::unix_seconds(), shifts: plan.shifts, advice: plan.advice }
    }

    /// Has the journal know how patient the planner has become.
    fn write_down(&self, desk: &Desk) {
        let noted = desk.change(|book| {
            for (backend, entry) in &mut book.backends {
                entry.patience = self.planner.patience(&BackendId::new(backend.as_str()));
            }
        });
        if let Err(why) = noted {
            tracing::error!(why, "what the planner learned would not outlive a crash");
        }
    }

    /// What the requests for the members' models ask for.
    fn wants(&self, config: &Config, members: &[Arc<Member>]) -> BTreeMap<ModelId, Wants> {
        let mut names: BTreeMap<ModelId, BTreeSet<String>> = BTreeMap::new();
        for member in members {
            let Some((model, _)) = model(config, member) else { continue };
            let asked = names.entry(model.clone()).or_default();
            asked.extend(asked_as(config, &model, member.detected().as_deref()));
        }
        let of = |(model, names): (ModelId, BTreeSet<String>)| {
            let wants = wants(config, names, &(self.workload.routes)(&model));
            Some((model, wants?))
        };
        names.into_iter().filter_map(of).collect()
    }

    /// What became of an order.
    pub(super) fn ended(&mut self, ended: &Ended, desk: &Desk) {
        tell(&mut self.planner, ended, clock::now());
        self.write_down(desk);
    }

    fn engine(
        &mut self,
        config: &Config,
        written: &Backend,
        member: &Member,
        entry: Option<&Entry>,
        book: &Book,
        busy: bool,
    ) -> Option<Engine> {
        let (model, facts) = model(config, member)?;
        let backend = member.backend();
        let said = member.detected();
        let observed = said.as_ref().map(|said| said.knobs.clone()).unwrap_or_default();
        let software = said.map(|said| said.software()).unwrap_or_default();
        let (name, in_use) = match &backend.profile {
            Declared::Is(profile) => (profile.id.clone(), profile.knobs.or(&observed)),
            Declared::Detect => (ProfileId::new("detect"), observed),
        };
        let (ttft, tpot, samples) = member.state().calibration();
        if samples >= CALIBRATED {
            self.calibrations.insert((written.id.clone(), name.as_str().to_owned()), (ttft, tpot));
        }
        let option = |id: &ProfileId, knobs: Knobs, lossless: bool| ProfileOption {
            id: id.clone(),
            deployment: deployment(
                &backend,
                facts.as_ref(),
                &knobs,
                software,
                &in_use,
                member.state().kv_tokens(),
            ),
            lossless,
            calibration: self.calibrations.get(&(written.id.clone(), id.as_str().to_owned())).copied(),
        };
        let mut profiles: Vec<ProfileOption> = written
            .profiles
            .iter()
            .map(|profile| option(&profile.id, profile.knobs.clone(), profile.lossless))
            .collect();
        let switch = entry.and_then(|entry| entry.switch.as_ref());
        let current = switch.map_or(name, |switch| ProfileId::new(switch.target()));
        if !profiles.iter().any(|profile| profile.id == current) {
            profiles = vec![option(&current, in_use.clone(), in_use.lossless())];
        }
        let available =
            matches!(member.state().availability(), Availability::Ready | Availability::Probation);
        Some(Engine {
            id: written.id.clone(),
            model,
            current,
            profiles,
            condition: match (switch.is_some() || busy, available) {
                (true, _) => Condition::Switching,
                (false, true) => Condition::Available,
                (false, false) => Condition::Unavailable,
            },
            price_usd_per_hour: written.price_usd_per_hour,
            round_trip_s: member.state().round_trip_s(),
            switch_s: switch_seconds(written, book),
        })
    }
}

/// Tells the planner of a switch that ended then.
fn tell(planner: &mut Planner, ended: &Ended, at: Moment) {
    let Ended { backend, shift: (from, to), planned, outcome, took } = ended;
    if *planned {
        planner.recall(backend, (from, to), *took, *outcome == Outcome::Done, at);
    } else {
        // An operator's: it is not undone before its time.
        planner.remember(backend, at);
    }
}

/// When it was so many seconds since 1970.
fn moment_of(unix_seconds: u64) -> Moment {
    let ago = Duration::from_secs(clock::unix_seconds().saturating_sub(unix_seconds)).as_nanos();
    Moment(clock::now().0.saturating_sub(u64::try_from(ago).unwrap_or(u64::MAX)))
}

/// The planner's settings, as the file has them; what requests ask for is added with each plan.
fn settings(config: &Config) -> Settings {
    let controller = &config.controller;
    let default = Settings::default();
    Settings {
        every: controller.every,
        min_gain: controller.min_gain,
        min_dwell: controller.min_dwell,
        payback: controller.payback,
        max_unavailable: controller.max_unavailable,
        // A wish lasts two plans at least.
        settle: default.settle.min(controller.every * 2),
        // What is tried for its own sake is learned from only where it is tried.
        curiosity: if controller.mode == ControllerMode::Act { default.curiosity } else { 0.0 },
        ..default
    }
}

/// The model a backend serves, under the name that metrics know, and its numbers.
fn model(config: &Config, member: &Member) -> Option<(ModelId, Option<Arc<ModelFacts>>)> {
    let declared = match &member.backend().model {
        Declared::Is(id) => config.models.iter().find(|model| model.id == *id),
        Declared::Detect => None,
    };
    if let Some(model) = declared {
        return Some((model.id.clone(), model.facts.clone()));
    }
    let said = member.detected()?;
    let served = said.models().next()?;
    let known = config.models.iter().find(|model| model.served_name == served.id);
    let id = known.map_or_else(|| ModelId::new(served.id.as_str()), |model| model.id.clone());
    let facts = known.and_then(|model| model.facts.clone());
    Some((id, facts.or_else(|| Catalog::shipped().model(&served.id).cloned())))
}

/// The backend's engine in other knobs; `None` where hardware or model is not known.
fn deployment(
    backend: &Backend,
    model: Option<&Arc<ModelFacts>>,
    knobs: &Knobs,
    software: Software,
    in_use: &Knobs,
    kv_tokens: Option<u64>,
) -> Option<Deployment> {
    let hardware = backend.hardware.as_ref()?;
    Some(Deployment {
        hardware: hardware.facts.clone(),
        count: hardware.count,
        model: model?.clone(),
        knobs: knobs.clone(),
        software,
        // What it says of its cache holds for knobs that leave memory as it is.
        kv_tokens: kv_tokens.filter(|_| same_memory(knobs, in_use)),
    })
}

fn same_memory(one: &Knobs, other: &Knobs) -> bool {
    let memory = |knobs: &Knobs| {
        let Knobs { kv_cache_dtype, quantization, gpu_memory_utilization, expert_parallel, .. } = knobs;
        let Knobs { tensor_parallel, pipeline_parallel, data_parallel, .. } = knobs;
        let split = (*tensor_parallel, *pipeline_parallel, *data_parallel, *expert_parallel);
        let draft = knobs.speculative.as_ref().and_then(|speculative| speculative.model.clone());
        (*kv_cache_dtype, *quantization, *gpu_memory_utilization, split, draft)
    };
    memory(&one.or(other)) == memory(other)
}

/// How long a switch of this backend takes: as long as the last one that was done, or a guess.
fn switch_seconds(backend: &Backend, book: &Book) -> f64 {
    let of_this = |record: &&super::journal::Record| {
        record.backend == backend.id.as_str() && record.outcome == Outcome::Done
    };
    let last = book.history.iter().rev().find(of_this);
    let guess = match &backend.actuator {
        Some(Actuator::Sleep(_)) => SLEEP_S,
        Some(Actuator::Process(_) | Actuator::Webhook(_)) | None => PROCESS_S,
    };
    last.and_then(|record| u32::try_from(record.seconds).ok()).map_or(guess, f64::from)
}

#[cfg(test)]
#[path = "planning_tests.rs"]
mod tests;
