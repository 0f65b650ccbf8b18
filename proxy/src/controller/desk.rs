//! What the controller's tasks share: the journal, the gears, the way to the next snapshot.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use gearshift_config::BackendId;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::{
    Change,
    board::Board,
    gears::{Gear, Gears},
    journal::{Book, Entry, Journal, JournalError},
};
use crate::{
    fleet::{Member, Roster},
    metrics::ControllerMetrics,
};

/// Shared by the controller's tasks, which all run on the control runtime's thread.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    journal: Rc<RefCell<Journal>>,
    gears: Rc<RefCell<Gears>>,
    changes: mpsc::Sender<Change>,
    /// For what HTTP/2 needs beside an exchange.
    pub(super) tasks: TaskTracker,
    /// The backends as the fleet has them.
    pub(super) roster: Roster,
    pub(super) metrics: ControllerMetrics,
    /// What operators see.
    pub(super) board: Arc<Board>,
}

impl Desk {
    pub(super) fn new(
        journal: Journal,
        gears: Gears,
        changes: mpsc::Sender<Change>,
        roster: Roster,
        metrics: ControllerMetrics,
        board: Arc<Board>,
    ) -> Self {
        board.takes(journal.book());
        Self {
            journal: Rc::new(RefCell::new(journal)),
            gears: Rc::new(RefCell::new(gears)),
            changes,
            tasks: TaskTracker::new(),
            roster,
            metrics,
            board,
        }
    }

    /// What the journal says of a backend.
    pub(super) fn entry(&self, backend: &BackendId) -> Entry {
        self.journal.borrow().entry(backend.as_str())
    }

    /// All of the journal.
    pub(super) fn book(&self) -> Book {
        self.journal.borrow().book().clone()
    }

    /// Changes what the journal says of a backend, on the disk first.
    pub(super) fn note(&self, backend: &BackendId, change: impl FnOnce(&mut Entry)) -> Result<(), String> {
        self.write(|journal| journal.note(backend.as_str(), change))
    }

    /// Changes the journal, on the disk first.
    pub(super) fn change(&self, change: impl FnOnce(&mut Book)) -> Result<(), String> {
        self.write(|journal| journal.change(change))
    }

    fn write(&self, write: impl FnOnce(&mut Journal) -> Result<(), JournalError>) -> Result<(), String> {
        let mut journal = self.journal.borrow_mut();
        write(&mut journal).map_err(|error| format!("the journal cannot be written: {error}"))?;
        self.board.takes(journal.book());
        Ok(())
    }

    /// Puts the backend into the gear that the journal says; returns when requests see it.
    pub(super) async fn shift_gear(&self, backend: &BackendId) {
        let gear = Gear::of(&self.entry(backend));
        if !self.gears.borrow_mut().set(backend, gear) {
            return;
        }
        let gears = self.gears.borrow().clone();
        let (done, seen) = oneshot::channel();
        // Nobody listens, or answers, only when the process ends.
        if self.changes.send(Change { gears, done }).await.is_ok() {
            let _ = seen.await;
        }
    }

    /// The backend as the fleet has it.
    pub(super) fn member(&self, backend: &BackendId) -> Option<Arc<Member>> {
        self.roster.members().iter().find(|member| member.id() == backend).cloned()
    }
}
