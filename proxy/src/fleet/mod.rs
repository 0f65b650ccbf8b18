//! The fleet: who is there, how they are, and what they say of themselves.
//!
//! [`Fleet`] runs on the control runtime, apart from the request cores. It has one [`Member`] and one watching task
//! per backend (`watch`), so that a backend that hangs delays no other. A watcher checks `/health`, reads vLLM's
//! `/metrics` and asks what is served; pure machines (`condition`, `hang`) make of it whether requests may go
//! there, and the result goes into the backend's [`BackendState`], where the selector reads it.
//!
//! **Invariants.** A reading that fails or makes no sense changes nothing but counters and ages: the last good one
//! stays. Health checks never touch the ledger of requests in flight. A reload keeps the state, the health and all
//! that was learned of a backend that stays the same engine.

mod ask;
mod condition;
mod detect;
mod engines;
mod exposition;
mod hang;
mod member;
mod metrics;
mod mismatch;
pub(crate) mod probe;
mod round_trip;
mod scrape;
mod watch;

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use gearshift_config::{Backend, BackendId, Config, Declared};
use gearshift_selector::BackendState;
use tokio::sync::watch as channel;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    detect::{Detected, Served},
    member::{CalibrationView, ErrorView, InFlightView, LoadView, Member, MemberView, PrefixCache},
    mismatch::Mismatch,
};
use self::{
    engines::{Engines, Seen},
    member::Assignment,
    probe::Target,
};
use crate::{
    clock,
    upstream::connect::{Connector, ConnectorError},
};

/// The fleet's owner: starts and stops watchers as the configuration says.
#[derive(Debug)]
pub struct Fleet {
    entries: HashMap<BackendId, Entry>,
    /// What was learned of backends in the other profiles they were in.
    shelved: HashMap<BackendId, Vec<Shelved>>,
    roster: Roster,
    changes: channel::Sender<u64>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Entry {
    member: Arc<Member>,
    stop: CancellationToken,
}

/// An engine that a backend was before its profile changed.
#[derive(Debug)]
struct Shelved {
    backend: Arc<Backend>,
    state: Arc<BackendState>,
}

/// The members of the fleet, for whoever wants to look. Clones see the same fleet.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    members: Arc<ArcSwap<Vec<Arc<Member>>>>,
    /// Sums of the engines' own metrics.
    engines: Arc<Engines>,
}

impl Roster {
    /// The members, in the configuration's order.
    pub fn members(&self) -> Arc<Vec<Arc<Member>>> {
        self.members.load_full()
    }

    /// Writes the members' metrics onto a page.
    pub fn write_metrics(&self, page: &mut String) {
        metrics::write(&self.members(), page);
        self.engines.write(page);
    }
}

/// Why a configuration cannot be applied to the fleet.
#[derive(Debug, thiserror::Error)]
#[error("backend {backend}: {reason}")]
pub struct FleetError {
    /// The backend whose settings are at fault.
    pub backend: BackendId,
    /// What is wrong with them.
    pub reason: FleetErrorReason,
}

/// What is wrong with a backend's settings.
#[derive(Debug, thiserror::Error)]
pub enum FleetErrorReason {
    /// It cannot be connected to.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// Its key can stand in no header.
    #[error("`api_key` holds a character that no HTTP header may; remove line breaks and control characters")]
    ApiKey,
}

impl Fleet {
    /// An empty fleet. Its tasks run in `tasks` until `stop`.
    pub fn new(tasks: TaskTracker, stop: CancellationToken) -> Self {
        let changes = channel::Sender::new(0);
        let roster = Roster::default();
        Self { entries: HashMap::new(), shelved: HashMap::new(), roster, changes, tasks, stop }
    }

    /// Makes the fleet what `config` says: watches new backends, lets go of those that left, and keeps the state of
    /// those that stay. Must be called in the control runtime.
    ///
    /// # Errors
    /// When a backend's settings cannot be used. Nothing has changed then.
    pub fn apply(&mut self, config: &Config) -> Result<(), FleetError> {
        let mut assignments = Vec::with_capacity(config.backends.len());
        for backend in &config.backends {
            let assignment = self
                .assignment(config, backend)
                .map_err(|reason| FleetError { backend: backend.id.clone(), reason })?;
            assignments.push(assignment);
        }
        let mut before = std::mem::take(&mut self.entries);
        let mut members = Vec::with_capacity(assignments.len());
        for assignment in assignments {
            let id = assignment.backend.id.clone();
            let entry = match before.remove(&id) {
                Some(entry) if same_engine(&entry.member.backend(), &assignment.backend) => {
                    entry.member.assign(assignment);
                    entry
                }
                Some(entry) => {
                    let state = self.shelve(&entry.member, &assignment.backend);
                    entry.let_go();
                    self.start(assignment, state)
                }
                None => self.start(assignment, None),
            };
            members.push(entry.member.clone());
            self.entries.insert(id, entry);
        }
        before.into_values().for_each(Entry::let_go);
        self.shelved.retain(|id, _| self.entries.contains_key(id));
        self.roster.members.store(Arc::new(members));
        self.roster.engines.choose(&config.telemetry.engine_metrics);
        Ok(())
    }

    /// The members, in the configuration's order.
    pub fn members(&self) -> Arc<Vec<Arc<Member>>> {
        self.roster.members()
    }

    /// A view of the members that follows the fleet.
    pub fn roster(&self) -> Roster {
        self.roster.clone()
    }

    /// Takes these out of routing and gives the others back: the profile controller's word, which goes before what the
    /// watchers find.
    pub fn hold(&self, is_held: impl Fn(&BackendId) -> bool) {
        for entry in self.entries.values() {
            entry.member.hold(is_held(entry.member.id()));
        }
    }

    /// Changes whenever a backend says something new of what it serves or how it is set up.
    pub fn changes(&self) -> channel::Receiver<u64> {
        self.changes.subscribe()
    }

    fn assignment(&self, config: &Config, backend: &Arc<Backend>) -> Result<Assignment, FleetErrorReason> {
        let before = self.entries.get(&backend.id).map(|entry| entry.member.assignment());
        let connector = match before {
            Some(before) if reached_alike(&before.backend, backend) => before.target.connector().clone(),
            _ => Connector::new(backend)?,
        };
        let served_name = match &backend.model {
            Declared::Is(id) => {
                let model = config.models.iter().find(|model| model.id == *id);
                Some(model.map_or_else(|| id.as_str().to_owned(), |model| model.served_name.clone()))
            }
            Declared::Detect => None,
        };
        Ok(Assignment {
            target: Target::new(backend, connector).ok_or(FleetErrorReason::ApiKey)?,
            backend: backend.clone(),
            served_name,
            settings: config.fleet.clone(),
        })
    }

    /// Keeps what was learned of a backend in the profile it leaves; what is known of it in the one it comes into, if it was there
    /// before.
    fn shelve(&mut self, leaving: &Member, coming: &Backend) -> Option<Arc<BackendState>> {
        leaving.drain(clock::now());
        let shelf = self.shelved.entry(coming.id.clone()).or_default();
        let before = Shelved { backend: leaving.backend(), state: leaving.state().clone() };
        shelf.retain(|other| !same_engine(&other.backend, &before.backend));
        shelf.push(before);
        // In a profile that it may not be in any more, or on other hardware, it does not come back.
        shelf.retain(|other| comes_back(&other.backend, coming));
        let at = shelf.iter().position(|other| same_engine(&other.backend, coming))?;
        let state = shelf.swap_remove(at).state;
        state.returns();
        Some(state)
    }

    fn start(&self, assignment: Assignment, state: Option<Arc<BackendState>>) -> Entry {
        let state = state.unwrap_or_else(|| Arc::new(BackendState::new(None)));
        let member = Arc::new(Member::new(assignment, state, clock::now()));
        let stop = self.stop.child_token();
        let (tasks, changes) = (self.tasks.clone(), self.changes.clone());
        let seen = Seen::new(self.roster.engines.clone());
        self.tasks.spawn(watch::watch(member.clone(), seen, tasks, changes, stop.clone()));
        Entry { member, stop }
    }
}

impl Entry {
    fn let_go(self) {
        self.stop.cancel();
    }
}

/// Whether a backend that is `now` so may become what it was: by its profile alone, and where it says that it may.
fn comes_back(before: &Backend, now: &Backend) -> bool {
    let listed = match &before.profile {
        Declared::Is(profile) => now.profiles.contains(profile),
        Declared::Detect => false,
    };
    listed && same_place(before, now)
}

/// Whether two backends are the same engine: what was learned of one holds for the other.
fn same_engine(a: &Backend, b: &Backend) -> bool {
    a.url == b.url && a.profile == b.profile && same_place(a, b)
}

/// Whether two backends are the same model on the same hardware.
fn same_place(a: &Backend, b: &Backend) -> bool {
    let same_hardware = match (&a.hardware, &b.hardware) {
        (Some(a), Some(b)) => a.id == b.id && a.count == b.count && a.facts == b.facts,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    same_hardware && a.id == b.id && a.model == b.model && a.api_key == b.api_key
}

/// Whether connections to one are connections to the other.
fn reached_alike(a: &Backend, b: &Backend) -> bool {
    a.url == b.url && a.protocol == b.protocol && a.ca_file == b.ca_file
}

#[cfg(test)]
mod tests;
