//! What a request sees: configuration, fleet and decision tables, whole and unchanging.
//!
//! Architecture Invariant: a request loads one `Arc<Snapshot>` and keeps it. Reloads, detections and departures
//! build a new one; state that outlives them (ledgers, calibration, learned lengths, pools) is shared by `Arc`.

mod build;
mod matching;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, OnceLock},
};

use gearshift_config::{BackendId, Config, Route};
use gearshift_selector::{Availability, Group, RoutePolicy};
use http::HeaderValue;

pub use self::build::Builder;
use crate::{
    bundles::Learners,
    fleet::Member,
    live::{Engine, Subject},
    metrics::{DecisionMetrics, ErrorMetrics, Metrics, RideMetrics},
    upstream::connect::Connector,
};

/// Configuration, fleet and decision tables.
#[derive(Debug)]
pub struct Snapshot {
    /// The configuration this was built from.
    pub config: Arc<Config>,
    /// Routes in the order they are tried.
    pub routes: Vec<RouteEntry>,
    /// By every name that clients may use.
    names: HashMap<String, Arc<Model>>,
    /// Backends that have not said yet what they serve.
    pub undetected: usize,
    /// The meta-learner, and the one on trial.
    pub learners: Learners,
    /// When it was built, seconds since 1970; what `/v1/models` gives as `created`.
    pub created: u64,
}

/// A route and its metrics.
#[derive(Debug)]
pub struct RouteEntry {
    /// The rule.
    pub route: Arc<Route>,
    /// Its decisions.
    pub decisions: DecisionMetrics,
}

/// A model and the backends that serve it.
#[derive(Debug)]
pub struct Model {
    /// The name in metrics.
    pub label: String,
    /// The name the engines know.
    pub served_name: String,
    /// For `/v1/models`.
    pub card: Card,
    /// What the decision ranks.
    pub group: Group,
    /// The same under the bundle in shadow, where there is one.
    pub shadow: Option<Group>,
    /// Where to send, in the group's order.
    pub targets: Vec<Target>,
    /// What each route asks of the decision, in the order of [`Snapshot::routes`].
    pub policies: Vec<RoutePolicy>,
    /// What is learned of its requests, by route as well.
    pub subjects: Vec<Arc<Subject>>,
    /// The backends as rows name them, in the group's order.
    pub engines: Arc<[Arc<Engine>]>,
    /// The active bundle's name.
    pub bundle: Option<Arc<str>>,
    /// Counters of errors by route, resolved when first used.
    errors: Box<[OnceLock<ErrorMetrics>]>,
}

/// What engines say of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Card {
    /// Longest context, the least over the backends.
    pub max_model_len: Option<u32>,
    /// The base model of an adapter.
    pub parent: Option<String>,
}

/// A backend as the request path needs it.
#[derive(Debug)]
pub struct Target {
    /// Connection, credentials, path; the same across snapshots while the backend's settings are.
    pub upstream: Arc<Upstream>,
    /// Metric children by route, resolved when first used.
    rides: Box<[OnceLock<Arc<RideMetrics>>]>,
}

/// How to reach a backend.
#[derive(Debug)]
pub struct Upstream {
    /// Unique for the life of the process; keys the per-core pools.
    pub key: u64,
    /// Its name.
    pub id: BackendId,
    /// Opens connections.
    pub connector: Connector,
    /// The `Host` header.
    pub host: HeaderValue,
    /// Path prefix; empty for most.
    pub path: String,
    /// Sent in place of the client's `Authorization`.
    pub authorization: Option<HeaderValue>,
    /// Its watcher, to be told when a connection fails.
    pub member: Arc<Member>,
}

impl Snapshot {
    /// The model of this name.
    pub fn model(&self, name: &str) -> Option<&Arc<Model>> {
        self.names.get(name)
    }

    /// Whether some backend of some model is not known to be out.
    pub fn can_serve(&self) -> bool {
        let open = |state: Availability| {
            matches!(state, Availability::Unknown | Availability::Ready | Availability::Probation)
        };
        self.names
            .values()
            .any(|model| model.group.backends().iter().any(|spec| open(spec.state.availability())))
    }

    /// The only model of the fleet, for requests that name none.
    pub fn only_model(&self) -> Option<&Arc<Model>> {
        let mut models = self.names.values();
        let first = models.next()?;
        models.all(|other| Arc::ptr_eq(first, other)).then_some(first)
    }

    /// Every name with its model, in the order of names.
    pub fn models(&self) -> Vec<(&str, &Arc<Model>)> {
        let mut models: Vec<_> = self.names.iter().map(|(name, model)| (name.as_str(), model)).collect();
        models.sort_unstable_by_key(|(name, _)| *name);
        models
    }

    /// Route, model and backend of every ride that can be taken: what metrics have children for.
    pub fn rides(&self) -> HashSet<(&str, &str, &str)> {
        let routes = || self.routes.iter().map(|entry| entry.route.id.as_str());
        self.offers()
            .into_iter()
            .flat_map(|(model, backend)| routes().map(move |route| (route, model, backend)))
            .collect()
    }

    /// Every model's label with each of its backends, once.
    pub fn offers(&self) -> HashSet<(&str, &str)> {
        let targets = self.names.values().flat_map(|model| {
            model.targets.iter().map(|target| (model.label.as_str(), target.upstream.id.as_str()))
        });
        targets.collect()
    }

    /// The first route that takes this request: its position in [`Snapshot::routes`].
    pub fn route(&self, model: &str, path: &str, headers: &http::HeaderMap) -> usize {
        matching::first(&self.routes, model, path, headers)
    }
}

impl Model {
    /// Resolves the counters of errors on a route, by its position.
    pub fn know_errors(&self, index: usize, route: &Route, metrics: &Metrics) {
        self.errors[index].get_or_init(|| metrics.errors(route.id.as_str(), &self.label));
    }

    /// The counters of errors on a route, by its position; `None` before its first request.
    pub fn errors(&self, index: usize) -> Option<&ErrorMetrics> {
        self.errors[index].get()
    }
}

impl Target {
    fn new(upstream: Arc<Upstream>, routes: usize) -> Self {
        Self { upstream, rides: (0..routes).map(|_| OnceLock::new()).collect() }
    }

    /// The metric children for a route, by its position.
    pub fn ride(&self, index: usize, route: &Route, model: &str, metrics: &Metrics) -> Arc<RideMetrics> {
        self.rides[index]
            .get_or_init(|| {
                Arc::new(metrics.ride(route.id.as_str(), model, self.upstream.id.as_str(), &route.slo))
            })
            .clone()
    }
}
