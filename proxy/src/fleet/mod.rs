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

mod condition;
mod detect;
mod exposition;
mod hang;
mod member;
mod metrics;
mod mismatch;
pub(crate) mod probe;
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
use self::{member::Assignment, metrics::FleetCollector, probe::Target};
use crate::{
    clock,
    upstream::connect::{Connector, ConnectorError},
};

/// The fleet's owner: starts and stops watchers as the configuration says.
#[derive(Debug)]
pub struct Fleet {
    entries: HashMap<BackendId, Entry>,
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

/// The members of the fleet, for whoever wants to look. Clones see the same fleet.
#[derive(Debug, Clone, Default)]
pub struct Roster(Arc<ArcSwap<Vec<Arc<Member>>>>);

impl Roster {
    /// The members, in the configuration's order.
    pub fn members(&self) -> Arc<Vec<Arc<Member>>> {
        self.0.load_full()
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
    /// An empty fleet. Its tasks run in `tasks` until `stop`; its metrics are registered in `registry`.
    ///
    /// # Errors
    /// When the registry has metrics of these names already.
    pub fn new(
        tasks: TaskTracker,
        stop: CancellationToken,
        registry: &prometheus::Registry,
    ) -> prometheus::Result<Self> {
        let roster = Roster::default();
        registry.register(Box::new(FleetCollector::new(roster.clone())?))?;
        let changes = channel::Sender::new(0);
        Ok(Self { entries: HashMap::new(), roster, changes, tasks, stop })
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
            let kept = before.remove(&id).and_then(|entry| entry.keep(&assignment.backend));
            let entry = match kept {
                Some(entry) => {
                    entry.member.assign(assignment);
                    entry
                }
                None => self.start(assignment),
            };
            members.push(entry.member.clone());
            self.entries.insert(id, entry);
        }
        before.into_values().for_each(Entry::let_go);
        self.roster.0.store(Arc::new(members));
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

    fn start(&self, assignment: Assignment) -> Entry {
        let member = Arc::new(Member::new(assignment, Arc::new(BackendState::new(None)), clock::now()));
        let stop = self.stop.child_token();
        let (tasks, changes) = (self.tasks.clone(), self.changes.clone());
        self.tasks.spawn(watch::watch(member.clone(), tasks, changes, stop.clone()));
        Entry { member, stop }
    }
}

impl Entry {
    /// The entry, if `backend` is the engine it is for; else it is let go.
    fn keep(self, backend: &Backend) -> Option<Self> {
        if same_engine(&self.member.backend(), backend) {
            return Some(self);
        }
        self.let_go();
        None
    }

    fn let_go(self) {
        self.stop.cancel();
    }
}

/// Whether two backends are the same engine: what was learned of one holds for the other.
fn same_engine(a: &Backend, b: &Backend) -> bool {
    let same_hardware = match (&a.hardware, &b.hardware) {
        (Some(a), Some(b)) => a.id == b.id && a.count == b.count && a.facts == b.facts,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    same_hardware
        && a.id == b.id
        && a.url == b.url
        && a.model == b.model
        && a.profile == b.profile
        && a.api_key == b.api_key
}

/// Whether connections to one are connections to the other.
fn reached_alike(a: &Backend, b: &Backend) -> bool {
    a.url == b.url && a.protocol == b.protocol && a.ca_file == b.ca_file
}

#[cfg(test)]
mod tests;
