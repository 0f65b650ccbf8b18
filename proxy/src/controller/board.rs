//! What operators see of the controller.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use gearshift_config::BackendId;
use serde_json::{Value, json};

use super::{journal::Book, planning::Thought};
use crate::clock::unix_seconds;

/// A backend that waits, until this is dropped: also where whoever waits is cut off.
#[derive(Debug)]
pub(super) struct Waiting {
    board: Arc<Board>,
    backend: BackendId,
}

impl Waiting {
    /// It waits for this now.
    pub(super) fn says(&self, why: &str) {
        self.board.waits(&self.backend, Some(why));
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.board.waits(&self.backend, None);
    }
}

/// The controller, as last seen.
#[derive(Debug, Default)]
pub struct Board {
    acts: AtomicBool,
    off: ArcSwapOption<String>,
    book: ArcSwap<Book>,
    thought: ArcSwap<Thought>,
    /// What backends wait for, by name.
    waits: ArcSwap<BTreeMap<String, String>>,
}

impl Board {
    /// Before anything was looked at.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Why the controller does nothing at all.
    pub fn off(&self) -> Option<Arc<String>> {
        self.off.load_full()
    }

    pub(super) fn set_off(&self, why: Option<String>) {
        self.off.store(why.map(Arc::new));
    }

    pub(super) fn set_acts(&self, acts: bool) {
        self.acts.store(acts, Relaxed);
    }

    pub(super) fn takes(&self, book: &Book) {
        self.book.store(Arc::new(book.clone()));
    }

    /// Shows what a backend waits for, for as long as what is given is kept.
    pub(super) fn waiting(self: &Arc<Self>, backend: &BackendId) -> Waiting {
        Waiting { board: self.clone(), backend: backend.clone() }
    }

    fn waits(&self, backend: &BackendId, why: Option<&str>) {
        let mut waits = BTreeMap::clone(&self.waits.load());
        match why {
            Some(why) => waits.insert(backend.to_string(), why.to_owned()),
            None => waits.remove(backend.as_str()),
        };
        self.waits.store(Arc::new(waits));
    }

    pub(super) fn thinks(&self, thought: Thought) {
        self.thought.store(Arc::new(thought));
    }

    /// As JSON.
    pub fn view(&self) -> Value {
        let (book, waits, now) = (self.book.load(), self.waits.load(), unix_seconds());
        let backends = book.backends.iter().map(|(name, entry)| {
            json!({
                "backend": name,
                "profile": entry.profile,
                "in_profile_seconds": (entry.since > 0).then(|| now.saturating_sub(entry.since)),
                "engine_pid": entry.engine.map(|engine| engine.pid),
                "waits_for": waits.get(name),
                "switch": entry.switch.as_ref().map(|switch| json!({
                    "id": switch.id,
                    "from": switch.from,
                    "to": switch.to,
                    "reason": switch.reason,
                    "step": switch.step,
                    "seconds": now.saturating_sub(switch.began),
                    "rolling_back": switch.back,
                })),
            })
        });
        json!({
            "mode": if self.acts.load(Relaxed) { "act" } else { "advisory" },
            "off": self.off.load().as_deref(),
            "paused": book.paused,
            "backends": backends.collect::<Vec<_>>(),
            "plan": self.thought.load().as_ref(),
            "history": book.history,
        })
    }
}
