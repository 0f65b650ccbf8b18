//! What the controller's tasks share: the journal, the way to the next snapshot.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use gearshift_config::BackendId;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::{
    Change,
    board::Board,
    gears::Gear,
    journal::{Book, Entry, Journal, JournalError},
};
use crate::{
    fleet::{Member, Roster},
    metrics::ControllerMetrics,
};

/// Why nobody takes a gear any more.
const ENDING: &str = "Gearshift is ending";

/// Shared by the controller's tasks, which all run on the control runtime's thread.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    journal: Rc<RefCell<Journal>>,
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
        changes: mpsc::Sender<Change>,
        roster: Roster,
        metrics: ControllerMetrics,
        board: Arc<Board>,
    ) -> Self {
        board.takes(journal.book());
        Self {
            journal: Rc::new(RefCell::new(journal)),
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

    /// Puts the backend into the gear that the journal says; returns when requests see it. Whoever keeps the gears knows whether
    /// that is news: nothing is remembered here, so that what was cut off, or refused, can be asked for again.
    pub(super) async fn shift_gear(&self, backend: &BackendId) -> Result<(), String> {
        let room = self.changes.reserve().await.map_err(|_| ENDING.to_owned())?;
        // What the journal says once it is this change's turn: of two, the later one is not the older.
        let (backend, gear) = (backend.clone(), Gear::of(&self.entry(backend)));
        let (done, seen) = oneshot::channel();
        room.send(Change { backend, gear, done });
        seen.await.map_err(|_| ENDING.to_owned())?
    }

    /// The backend as the fleet has it.
    pub(super) fn member(&self, backend: &BackendId) -> Option<Arc<Member>> {
        self.roster.members().iter().find(|member| member.id() == backend).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use tokio::time::timeout;

    use super::*;
    use crate::metrics::Metrics;

    /// A desk, and who takes its changes.
    fn desk(folder: &Path) -> (Desk, mpsc::Receiver<Change>) {
        let journal = Journal::open(&folder.join("journal.json")).unwrap();
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let (changes, taken) = mpsc::channel(1);
        (Desk::new(journal, changes, Roster::default(), metrics.controller, Board::new()), taken)
    }

    fn note(desk: &Desk, profile: &str) -> BackendId {
        let backend = BackendId::new("x");
        desk.note(&backend, |entry| entry.profile = profile.to_owned()).unwrap();
        backend
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_was_cut_off_or_refused_is_asked_for_again() {
        let folder = tempfile::tempdir().unwrap();
        let (desk, mut taken) = desk(folder.path());
        let backend = note(&desk, "b");
        let waits = Duration::from_secs(1);

        // Cut off while its change waits to be taken, then while it waits for room.
        assert!(timeout(waits, desk.shift_gear(&backend)).await.is_err());
        assert!(timeout(waits, desk.shift_gear(&backend)).await.is_err());
        assert_eq!(taken.try_recv().unwrap().gear.profile, "b");
        assert!(taken.try_recv().is_err(), "what waited for room was never given away");

        let refuse = async {
            let change = taken.recv().await.unwrap();
            change.done.send(Err("no such engine".to_owned())).unwrap();
        };
        let (refused, ()) = tokio::join!(desk.shift_gear(&backend), refuse);
        assert_eq!(refused, Err("no such engine".to_owned()));

        let take = async { taken.recv().await.unwrap().done.send(Ok(())).unwrap() };
        let (done, ()) = tokio::join!(desk.shift_gear(&backend), take);
        assert_eq!(done, Ok(()));
        drop(taken);
        assert_eq!(desk.shift_gear(&backend).await, Err(ENDING.to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_later_change_of_two_has_the_later_word() {
        let folder = tempfile::tempdir().unwrap();
        let (desk, mut taken) = desk(folder.path());
        let backend = note(&desk, "b");
        let (first, second) = (desk.shift_gear(&backend), desk.shift_gear(&backend));
        let take = async {
            // By then the first one is on its way, and the second one waits for room.
            note(&desk, "c");
            let mut seen = Vec::new();
            for _ in 0..2 {
                let change = taken.recv().await.unwrap();
                seen.push(change.gear.profile);
                change.done.send(Ok(())).unwrap();
            }
            seen
        };
        let (first, second, seen) = tokio::join!(first, second, take);
        assert_eq!((first, second), (Ok(()), Ok(())));
        assert_eq!(seen, ["b", "c"]);
    }
}
