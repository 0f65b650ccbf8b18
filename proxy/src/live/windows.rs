//! Workload windows by model, and by model and route.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use gearshift_selector::{
    Moment,
    controller::{ClassCounts, RequestClass},
    window::{Arrival, WindowTracker, WorkloadWindow},
};
use serde::Serialize;

use super::{Ended, Subject, event::Event};
use crate::snapshot::Snapshot;

/// The windows of all models by name.
pub type Windows = BTreeMap<String, ModelView>;

/// The windows of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelView {
    /// Over all routes.
    #[serde(flatten)]
    pub window: WorkloadWindow,
    /// What its requests are like, as a mixture: what the profile controller plans for.
    pub classes: Vec<RequestClass>,
    /// By route.
    pub routes: BTreeMap<String, WorkloadWindow>,
}

/// Follows all of them.
#[derive(Debug)]
pub(super) struct Trackers {
    half_life_s: f64,
    models: HashMap<String, ModelTrackers>,
}

#[derive(Debug)]
struct ModelTrackers {
    all: WindowTracker,
    classes: ClassCounts,
    routes: HashMap<String, WindowTracker>,
}

impl Trackers {
    pub(super) fn new(half_life_s: f64) -> Self {
        Self { half_life_s, models: HashMap::new() }
    }

    /// Takes in what happened. A backend that failed is no end of a request: another may be tried, or its end comes next.
    pub(super) fn take(&mut self, event: &Event) {
        match event {
            Event::Arrived { subject, arrival, at } => self.arrived(subject, arrival, *at),
            Event::Ended(ended) => self.departed(ended),
            Event::Failed(_) => {}
        }
    }

    fn arrived(&mut self, subject: &Subject, arrival: &Arrival, at: Moment) {
        self.each(subject, at, |tracker| tracker.arrived(arrival, at));
    }

    fn departed(&mut self, ended: &Ended) {
        let (subject, departure, at) = (&ended.subject, ended.departure(), ended.end.at);
        self.each(subject, at, |tracker| tracker.departed(&departure, at));
        let whole = departure.prompt_tokens.zip(departure.output_tokens);
        if let Some(((prompt, output), model)) = whole.zip(self.models.get_mut(&subject.model)) {
            model.classes.record(prompt, ended.repeated_tokens, output, at);
        }
    }

    fn each(&mut self, subject: &Subject, at: Moment, mut tell: impl FnMut(&mut WindowTracker)) {
        let new = || WindowTracker::new(self.half_life_s, at);
        if !self.models.contains_key(&subject.model) {
            let classes = ClassCounts::new(Duration::from_secs_f64(self.half_life_s));
            self.models
                .insert(subject.model.clone(), ModelTrackers { all: new(), classes, routes: HashMap::new() });
        }
        let Some(model) = self.models.get_mut(&subject.model) else { return };
        tell(&mut model.all);
        let route = subject.route.as_str();
        match model.routes.get_mut(route) {
            Some(tracker) => tell(tracker),
            None => tell(model.routes.entry(route.to_owned()).or_insert_with(new)),
        }
    }

    /// Forgets models and routes that are no more.
    pub(super) fn keep(&mut self, snapshot: &Snapshot) {
        let labels: Vec<_> = snapshot.models().into_iter().map(|(_, model)| model.label.as_str()).collect();
        let routes: Vec<_> = snapshot.routes.iter().map(|entry| entry.route.id.as_str()).collect();
        self.models.retain(|label, _| labels.contains(&label.as_str()));
        for model in self.models.values_mut() {
            model.routes.retain(|route, _| routes.contains(&route.as_str()));
        }
    }

    /// All of them now.
    pub(super) fn windows(&self, now: Moment) -> Windows {
        let view = |model: &ModelTrackers| ModelView {
            window: model.all.snapshot(now),
            classes: model.classes.classes(),
            routes: model.routes.iter().map(|(route, one)| (route.clone(), one.snapshot(now))).collect(),
        };
        self.models.iter().map(|(label, model)| (label.clone(), view(model))).collect()
    }
}
