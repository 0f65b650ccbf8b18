//! What operators see of bundles.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Learner, Learners, Shadow, history::History, plan::Plan, shelf::Found};
use crate::clock::unix_seconds;

/// The folder and the active bundle, as last seen.
#[derive(Debug, Default)]
pub struct State {
    runtime: Option<String>,
    /// Why bundles are not used.
    off: Option<&'static str>,
    active: ArcSwapOption<Learner>,
    shadow: ArcSwapOption<Shadow>,
    listed: ArcSwap<Vec<Listed>>,
    pinned: ArcSwapOption<String>,
    history: History,
}

/// One bundle of the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed {
    /// Its name.
    pub id: String,
    /// When it was made.
    pub created: String,
    /// How it stands.
    pub status: Status,
    /// Why it was refused, or cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a bundle stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It decides.
    Active,
    /// It decided before; a rollback goes here.
    Previous,
    /// It was refused.
    Refused,
    /// It could be activated.
    Available,
    /// It cannot be used yet; it may be a copy under way.
    Incomplete,
}

impl State {
    /// Before anything was looked at. `runtime` is ONNX Runtime's version, where it is loaded; `off` says why bundles are
    /// not used; `history` is what is known of before.
    pub(super) fn new(runtime: Option<String>, off: Option<&'static str>, history: History) -> Arc<Self> {
        Arc::new(Self { runtime, off, history, ..Self::default() })
    }

    /// Takes in what lies in the folder.
    pub fn found(&self, plan: &Plan, found: &[Found]) {
        self.listed.store(Arc::new(found.iter().map(|found| list(plan, found)).collect()));
        self.pinned.store(plan.pinned().map(|name| Arc::new(name.to_owned())));
    }

    /// These decide, and are on trial, from now on. Whether that is news for the history, which is to be written then.
    pub fn decides(&self, learners: &Learners) -> bool {
        let version = |learner: &Option<Arc<Learner>>| learner.as_ref().map(|it| it.version.clone());
        let news = version(&self.active.load_full()) != version(&learners.active);
        if news {
            self.history.decides(learners.active.as_ref().map(|it| &it.version), unix_seconds());
        }
        self.active.store(learners.active.clone());
        self.shadow.store(learners.shadow.clone());
        news
    }

    /// Writes down which bundle decided from when on, and waits for the disk. One call after the other.
    pub fn keep_history(&self) {
        self.history.keep();
    }

    /// Why bundles are not used.
    pub fn off(&self) -> Option<&'static str> {
        self.off
    }

    /// As JSON.
    pub fn view(&self) -> Value {
        let active = self.active.load_full().map(|learner| {
            let cost = learner.bundle.cost();
            let medians =
                cost.medians.iter().map(|(size, time)| (size.to_string(), json!(time.as_secs_f64() * 1e6)));
            json!({
                "id": learner.version.name,
                "created": learner.version.created,
                "candidates": cost.candidates,
                "head_us_by_candidates": medians.collect::<serde_json::Map<_, _>>(),
                "descriptions_without_vector": learner.bundle.missing_texts(),
                "training": learner.bundle.manifest().training,
                "evaluation": learner.bundle.manifest().evaluation,
            })
        });
        let shadow = self
            .shadow
            .load_full()
            .map(|shadow| json!({"id": shadow.learner.version.name, "decisions": shadow.counts()}));
        json!({
            "onnxruntime": self.runtime,
            "off": self.off,
            "active": active,
            "shadow": shadow,
            "pinned": self.pinned.load().as_deref(),
            "history": self.history.turns(),
            "bundles": self.listed.load().as_ref(),
        })
    }
}

fn list(plan: &Plan, found: &Found) -> Listed {
    let refusal = plan.refusal(found).map(str::to_owned);
    let status = if plan.active().is_some_and(|active| active.name == found.name) {
        // It decides on even where what lies there now was refused; the reason says so.
        Status::Active
    } else if plan.is_unfinished(found) {
        Status::Incomplete
    } else if refusal.is_some() {
        Status::Refused
    } else if plan.previous() == Some(found.name.as_str()) {
        Status::Previous
    } else {
        Status::Available
    };
    Listed { id: found.name.clone(), created: found.created().to_owned(), status, reason: refusal }
}
