//! The profile controller: puts backends into the profile that their traffic wants, without losing a request.
//!
//! ```text
//!  traffic ─▶ planner (selector) ─▶ orders ─┐
//!  operators ─ POST /controller/shift ──────┤
//!                                           ▼
//!                       a shifter for each backend: machine (pure) ─▶ actuator ─▶ engine
//!                                           │ every step first
//!                                           ▼
//!                                        journal ─▶ gears ─▶ next snapshot
//! ```
//!
//! **Invariants.** Every step is in the journal, on the disk, before it is acted upon, and may be acted upon twice: after a
//! crash at any moment the next Gearshift goes on, or back. An engine is ended only when nothing was under way there for a
//! while. No request is routed to an engine that is being ended, started or woken, whatever happens to the others.

mod actuate;
mod board;
mod desk;
mod gears;
mod journal;
mod machine;
mod office;
mod outcome;
mod planning;
mod shifter;
mod supervise;
mod verify;
mod wants;
mod warm;

use std::sync::Arc;

use gearshift_config::{BackendId, Config};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    board::Board,
    gears::{Gear, Gears},
    machine::{Outcome, Step},
    planning::{RatesByRoute, Workload},
};
use self::{office::Office, shifter::Order};
use crate::{fleet::Roster, metrics::ControllerMetrics};

/// A backend's gear from the next snapshot on.
#[derive(Debug)]
pub struct Change {
    /// Which backend.
    pub backend: BackendId,
    /// Into which gear.
    pub gear: Gear,
    /// Told when requests see it, or why they never will.
    pub done: oneshot::Sender<Result<(), String>>,
}

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// This backend into this profile.
    Shift {
        /// Which backend.
        backend: BackendId,
        /// Which profile.
        profile: String,
        /// Also where nobody else serves its model meanwhile.
        force: bool,
    },
    /// No planned switches, until told otherwise; also after a restart.
    Pause,
    /// Planned switches again.
    Resume,
}

/// An operator's wish, and where the answer goes.
pub type Asked = (Wish, oneshot::Sender<Result<Value, String>>);

/// How operators reach the controller.
#[derive(Debug)]
pub struct Operators {
    /// What there is.
    pub board: Arc<Board>,
    /// Wishes.
    pub wishes: mpsc::Sender<Asked>,
}

/// The running controller's ends.
#[derive(Debug)]
pub struct Controller {
    /// For the admin listener.
    pub operators: Operators,
    /// For the control runtime.
    pub changes: mpsc::Receiver<Change>,
    /// For the control runtime: the configuration as the file has it.
    pub configs: watch::Sender<Arc<Config>>,
    /// Its tasks, which outlive `end` by what they must do first.
    pub tasks: TaskTracker,
}

/// The gears that the journal knows of, for the first snapshot: a backend in the middle of a switch takes no request from
/// the start.
pub fn first_gears(config: &Config) -> Gears {
    let mut gears = Gears::default();
    if office::is_needed(config) {
        for (backend, entry) in journal::read(&config.controller.state).backends {
            gears.set(&BackendId::new(backend), Gear::of(&entry));
        }
    }
    gears
}

/// Whether anything shifts this backend: one whose actuator was taken out of the file in the middle of a switch belongs to
/// whoever took it out.
pub fn shifts(config: &Config, backend: &BackendId) -> bool {
    config.backends.iter().any(|other| other.id == *backend && other.actuator.is_some())
}

impl Controller {
    /// Starts the controller on this thread's `LocalSet`, until `end`. It waits where no backend may be shifted. It plans for
    /// what `workload` says is asked. From `stop` on, when the process takes no more connections, no switch begins.
    pub fn start(
        config: &Arc<Config>,
        roster: Roster,
        metrics: ControllerMetrics,
        workload: Workload,
        (stop, end): (CancellationToken, CancellationToken),
    ) -> Self {
        let (to_control, changes) = mpsc::channel(1);
        let (wishes, asked) = mpsc::channel(1);
        let configs = watch::Sender::new(config.clone());
        let (board, tasks) = (Board::new(), TaskTracker::new());
        let office = Office {
            config: configs.subscribe(),
            changes: to_control,
            roster,
            metrics,
            board: board.clone(),
            tasks: tasks.clone(),
            stop,
            end,
        };
        tasks.spawn_local(office.run(asked, workload));
        tasks.close();
        Self { operators: Operators { board, wishes }, changes, configs, tasks }
    }
}
