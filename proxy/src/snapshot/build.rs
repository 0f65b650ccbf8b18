//! Building a snapshot from a configuration and what the fleet says of itself.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

use gearshift_config::{Backend, BackendId, Catalog, Config, Declared, ModelFacts, Route, RouteId};
use gearshift_perfdb::Facts;
use gearshift_selector::{
    BackendSpec, Exploration, Group, ModelState, OutputLengths, RoutePolicy, window::SeenPrefixes,
};
use http::HeaderValue;

use super::{Card, Model, RouteEntry, Snapshot, Target, Upstream};
use crate::{
    bundles::{Learner, Learners},
    fleet::{Detected, Member, Served},
    live::{Engine, Subject},
    metrics::Metrics,
};

/// Builds snapshots, and keeps what outlives them.
#[derive(Debug, Default)]
pub struct Builder {
    upstreams: HashMap<BackendId, (Arc<Backend>, Arc<Upstream>)>,
    tokens: HashMap<String, Arc<ModelState>>,
    outputs: HashMap<(RouteId, String), Arc<OutputLengths>>,
    /// One for all models: hashes of prompts are seeded with the model's name.
    seen: Arc<SeenPrefixes>,
    next_key: u64,
}

/// A model under construction.
#[derive(Default)]
struct Draft {
    served_name: String,
    names: Vec<String>,
    card: Card,
    specs: Vec<BackendSpec>,
    upstreams: Vec<Arc<Upstream>>,
    engines: Vec<Arc<Engine>>,
}

impl Builder {
    /// Builds a snapshot.
    pub fn build(
        &mut self,
        config: &Arc<Config>,
        members: &[Arc<Member>],
        learners: &Learners,
        metrics: &Metrics,
        created: u64,
    ) -> Snapshot {
        let mut drafts: BTreeMap<String, Draft> = BTreeMap::new();
        let mut undetected = 0;
        for member in members {
            let upstream = self.upstream(member);
            let detected = member.detected();
            let offers = offers(config, &member.backend(), detected.as_deref());
            undetected += usize::from(offers.is_empty());
            for offer in offers {
                let spec = self.spec(config, member, detected.as_deref(), &offer);
                let engine = engine(member, detected.as_deref(), &offer, &spec);
                let draft = drafts.entry(offer.label().to_owned()).or_default();
                draft.engines.push(Arc::new(engine));
                draft.served_name = offer.served_name;
                draft.names.extend(offer.names);
                draft.card = merge(&draft.card, offer.card);
                draft.specs.push(spec);
                draft.upstreams.push(upstream.clone());
            }
        }
        self.upstreams.retain(|id, _| members.iter().any(|member| member.id() == id));
        self.tokens.retain(|label, _| drafts.contains_key(label));
        self.outputs.retain(|(_, label), _| drafts.contains_key(label));
        let mut names = HashMap::new();
        for (label, draft) in drafts {
            let (aliases, model) = self.model(config, learners, label, draft);
            let model = Arc::new(model);
            names.extend(aliases.into_iter().map(|name| (name, model.clone())));
        }
        let routes = config.routes.iter().map(|route| RouteEntry {
            route: route.clone(),
            decisions: metrics.decisions(route.id.as_str()),
        });
        Snapshot {
            config: config.clone(),
            routes: routes.collect(),
            names,
            undetected,
            learners: learners.clone(),
            created,
        }
    }

    fn model(
        &mut self,
        config: &Config,
        learners: &Learners,
        label: String,
        draft: Draft,
    ) -> (Vec<String>, Model) {
        let routes = config.routes.len();
        let policies = config.routes.iter().map(|route| RoutePolicy {
            objective: route.objective,
            slo: route.slo,
            allow_lossy: route.allow_lossy,
            output_lengths: self.outputs.entry((route.id.clone(), label.clone())).or_default().clone(),
        });
        let policies = policies.collect();
        let subject = |route: &Arc<Route>| Subject {
            model: label.clone(),
            route: route.id.clone(),
            objective: route.objective,
            slo: route.slo,
            seen: self.seen.clone(),
        };
        let subjects = config.routes.iter().map(|route| Arc::new(subject(route))).collect();
        let observations = &config.observations;
        let exploration = Exploration {
            share: observations.explore,
            max_loss: observations.explore_max_loss,
            introduce: Exploration::INTRODUCE,
        };
        let shadow = learners.shadow.as_ref().and_then(|shadow| encoded(&draft.specs, &shadow.learner));
        let model = Model {
            policies,
            subjects,
            engines: draft.engines.into(),
            bundle: learners.active.as_ref().map(|active| active.version.name.as_str().into()),
            errors: (0..routes).map(|_| OnceLock::new()).collect(),
            label,
            served_name: draft.served_name,
            card: draft.card,
            shadow: shadow.map(|group| group.exploring(exploration)),
            group: group(draft.specs, learners.active.as_deref()).exploring(exploration),
            targets: draft.upstreams.into_iter().map(|upstream| Target::new(upstream, routes)).collect(),
        };
        (draft.names, model)
    }

    fn spec(
        &mut self,
        config: &Config,
        member: &Member,
        detected: Option<&Detected>,
        offer: &Offer,
    ) -> BackendSpec {
        let backend = member.backend();
        let observed = detected.map(|detected| detected.knobs.clone()).unwrap_or_default();
        let (lossless, knobs) = match &backend.profile {
            Declared::Is(profile) => (profile.lossless, profile.knobs.or(&observed)),
            Declared::Detect => (observed.lossless(), observed),
        };
        BackendSpec {
            id: backend.id.clone(),
            hardware: backend.hardware.as_ref().map(|hardware| (hardware.facts.clone(), hardware.count)),
            model: facts(config, offer),
            knobs,
            software: detected.map(Detected::software).unwrap_or_default(),
            lossless,
            price_usd_per_hour: backend.price_usd_per_hour,
            state: member.state().clone(),
            model_state: self.tokens.entry(offer.label().to_owned()).or_default().clone(),
        }
    }

    /// The same upstream as before where it is reached in the same way, so that pools are kept.
    fn upstream(&mut self, member: &Arc<Member>) -> Arc<Upstream> {
        let backend = member.backend();
        if let Some((before, upstream)) = self.upstreams.get(&backend.id)
            && before.same_connection(&backend)
            && Arc::ptr_eq(&upstream.member, member)
        {
            return upstream.clone();
        }
        let authorization = backend.api_key.as_ref().and_then(|key| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose())).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        let connector = member.connector();
        self.next_key += 1;
        let upstream = Arc::new(Upstream {
            key: self.next_key,
            id: backend.id.clone(),
            // An authority is visible ASCII, which a header takes.
            host: HeaderValue::from_str(connector.authority().as_str())
                .unwrap_or(HeaderValue::from_static("")),
            connector,
            path: backend.url.path.clone(),
            authorization,
            member: member.clone(),
        });
        self.upstreams.insert(backend.id.clone(), (backend, upstream.clone()));
        upstream
    }
}

/// A backend as rows name it.
fn engine(member: &Member, detected: Option<&Detected>, offer: &Offer, spec: &BackendSpec) -> Engine {
    let backend = member.backend();
    let profile = backend.profile_name().to_owned();
    let facts = |((hardware_facts, count), model_facts): (&(Arc<_>, u32), &Arc<ModelFacts>)| Facts {
        model: offer.served_name.clone(),
        family: offer.served_name.clone(),
        model_facts: ModelFacts::clone(model_facts),
        hardware: backend.hardware.as_ref().map_or_else(String::new, |one| one.id.as_str().to_owned()),
        hardware_facts: gearshift_config::HardwareFacts::clone(hardware_facts),
        count: *count,
        knobs: spec.knobs.clone(),
        lossless: spec.lossless,
        software: spec.software,
        engine_version: detected.and_then(|detected| detected.version.clone()),
        kv_tokens: spec.state.kv_tokens(),
    };
    Engine {
        backend: spec.id.clone(),
        profile,
        facts: spec.hardware.as_ref().zip(spec.model.as_ref()).map(facts),
    }
}

/// With the bundle's memory of the engines, or without a bundle.
fn group(specs: Vec<BackendSpec>, learner: Option<&Learner>) -> Group {
    learner.and_then(|learner| encoded(&specs, learner)).unwrap_or_else(|| Group::new(specs))
}

/// `None` where the bundle cannot encode these engines: the prior decides for them.
fn encoded(specs: &[BackendSpec], learner: &Learner) -> Option<Group> {
    Group::with_bundle(specs.to_vec(), &learner.bundle)
        .inspect_err(|error| {
            tracing::error!(bundle = %learner.version.name, %error, "the bundle cannot encode the fleet; the prior decides");
        })
        .ok()
}

/// A model as one backend offers it.
struct Offer {
    served_name: String,
    /// Names clients may use; the first is the label.
    names: Vec<String>,
    card: Card,
}

impl Offer {
    /// What tells this model from others. Two models may be served under one name, by different backends.
    fn label(&self) -> &str {
        self.names.first().unwrap_or(&self.served_name)
    }
}

fn offers(config: &Config, backend: &Backend, detected: Option<&Detected>) -> Vec<Offer> {
    let said = detected.map_or(&[][..], |detected| &detected.served);
    match &backend.model {
        Declared::Is(id) => {
            let served_name = declared(config, id.as_str()).map_or(id.as_str(), |model| &model.served_name);
            let card =
                said.iter().find(|served| served.id == served_name).map(Card::from).unwrap_or_default();
            let adapters = said.iter().filter(|served| served.parent.as_deref() == Some(served_name));
            std::iter::once(offer(config, served_name, Some(id.as_str()), card))
                .chain(adapters.map(|served| offer(config, &served.id, None, Card::from(served))))
                .collect()
        }
        Declared::Detect => {
            said.iter().map(|served| offer(config, &served.id, None, Card::from(served))).collect()
        }
    }
}

impl From<&Served> for Card {
    fn from(served: &Served) -> Self {
        Self { max_model_len: served.max_model_len, parent: served.parent.clone() }
    }
}

fn offer(config: &Config, served_name: &str, id: Option<&str>, card: Card) -> Offer {
    let mut names = Vec::new();
    let of_config = config.models.iter().filter(|model| model.served_name == served_name);
    for model in of_config.filter(|model| id.is_none_or(|id| id == model.id.as_str())) {
        names.push(model.id.as_str().to_owned());
        names.extend(model.aliases.iter().cloned());
    }
    if names.is_empty() {
        names.push(served_name.to_owned());
    }
    Offer { served_name: served_name.to_owned(), names, card }
}

fn declared<'c>(config: &'c Config, id: &str) -> Option<&'c gearshift_config::Model> {
    config.models.iter().find(|model| model.id.as_str() == id)
}

/// A model's numbers: from the configuration, or from the catalog by the name it is served under.
fn facts(config: &Config, offer: &Offer) -> Option<Arc<ModelFacts>> {
    match declared(config, offer.label()).and_then(|model| model.facts.clone()) {
        Some(facts) => Some(facts),
        None => Catalog::shipped().model(&offer.served_name).cloned(),
    }
}

fn merge(one: &Card, other: Card) -> Card {
    Card {
        max_model_len: one.max_model_len.into_iter().chain(other.max_model_len).min(),
        parent: other.parent.or_else(|| one.parent.clone()),
    }
}
