//! Gearshift's selector: the code that serves, with its own live state.

use std::sync::Arc;

use gearshift_config::{BackendId, Objective, Slo};
use gearshift_selector::{
    Availability, BackendSpec, BackendState, Bundle, Decider, Flight, Group, Head, Index, ModelState,
    OutputLengths, RoutePolicy, Situation, Software, choose, situation_at,
};
use smallvec::SmallVec;

use super::{Fleet, News, Policy, Signal, Ticket, Trip, View};
use crate::{sim::Moment, study::Member};

/// A bundle and a session of it.
#[derive(Debug)]
struct Learner {
    bundle: Arc<Bundle>,
    head: Head,
}

/// Routes as `gearshift serve` does for one route.
#[derive(Debug)]
pub struct Gearshift {
    objective: Objective,
    slo: Slo,
    seed: u64,
    rng: fastrand::Rng,
    group: Group,
    policy: RoutePolicy,
    /// The meta-learner, and the session that asks it.
    learner: Option<Learner>,
    /// What is under way, by slot.
    flights: Vec<Option<Flight>>,
}

impl Gearshift {
    /// For a route with this objective and these limits; lossy profiles are allowed, as all policies use them.
    pub fn new(objective: Objective, slo: Slo, seed: u64) -> Self {
        Self {
            objective,
            slo,
            seed,
            rng: fastrand::Rng::with_seed(seed),
            group: Group::new(Vec::new()),
            policy: route(objective, slo),
            learner: None,
            flights: Vec::new(),
        }
    }

    /// As [`Self::new`], with a meta-learner. Engines that it cannot encode are left to the prior, as in serving.
    pub fn with_bundle(objective: Objective, slo: Slo, bundle: Arc<Bundle>, seed: u64) -> Self {
        let learner = bundle.head().ok().map(|head| Learner { bundle, head });
        Self { learner, ..Self::new(objective, slo, seed) }
    }

    /// The backends with their live state, for looking into.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// What it would see of a request at one backend now.
    pub fn situation(&self, backend: Index, trip: &Trip, now: Moment) -> Option<Situation> {
        situation_at(&self.group, backend, &self.policy, &trip.facts, now)
    }
}

fn route(objective: Objective, slo: Slo) -> RoutePolicy {
    RoutePolicy { objective, slo, allow_lossy: true, output_lengths: Arc::new(OutputLengths::default()) }
}

/// The group as the proxy builds it once every engine has said what it is.
fn group(fleet: &Fleet, kv_tokens: &[u64], bundle: Option<&Bundle>) -> Group {
    let model_state = Arc::new(ModelState::new());
    let spec = |(member, &kv_tokens): (&Member, &u64)| {
        let state = BackendState::new(None);
        state.set_kv_tokens(Some(kv_tokens));
        state.set_availability(Availability::Ready);
        state.record_round_trip(member.round_trip);
        let (engine, claim) = (&member.engine, &member.claim);
        BackendSpec {
            id: BackendId::new(engine.name.as_str()),
            hardware: Some((Arc::clone(&claim.hardware), claim.count)),
            model: Some(Arc::clone(&engine.model)),
            knobs: claim.knobs.clone(),
            software: Software::default(),
            lossless: claim.lossless,
            price_usd_per_hour: Some(member.price_usd_per_hour),
            state: Arc::new(state),
            model_state: Arc::clone(&model_state),
        }
    };
    let backends: Vec<_> = fleet.members.iter().zip(kv_tokens).map(spec).collect();
    let learned = bundle.and_then(|bundle| Group::with_bundle(backends.clone(), bundle).ok());
    learned.unwrap_or_else(|| Group::new(backends))
}

impl Policy for Gearshift {
    fn name(&self) -> &'static str {
        "gearshift"
    }

    fn counts_tokens(&self) -> bool {
        true
    }

    fn begin(&mut self, fleet: &Fleet, kv_tokens: &[u64]) {
        self.rng = fastrand::Rng::with_seed(self.seed);
        self.flights.clear();
        self.group = group(fleet, kv_tokens, self.learner.as_ref().map(|learner| learner.bundle.as_ref()));
        self.policy = route(self.objective, self.slo);
    }

    fn send(&mut self, ticket: Ticket, trip: &Trip, tried: &[Index], view: &View<'_>) -> Option<Index> {
        let tried = SmallVec::from_slice(tried);
        let head = self.learner.as_mut().map(|learner| &mut learner.head);
        let decider = Decider { rng: &mut self.rng, head };
        let decision = choose(&self.group, &self.policy, &trip.facts, &tried, view.now, decider).ok()?;
        let chosen = decision.chosen.index;
        let backend = &self.group.backends()[chosen];
        let flight = Flight::begin(backend, &self.policy, &trip.facts, &decision, view.now);
        let slot = ticket.slot as usize;
        if self.flights.len() <= slot {
            self.flights.resize_with(slot + 1, || None);
        }
        self.flights[slot] = Some(flight);
        Some(chosen)
    }

    fn heard(&mut self, ticket: Ticket, _backend: Index, signal: Signal, now: Moment) {
        let Some(held) = self.flights.get_mut(ticket.slot as usize) else { return };
        match signal {
            Signal::FirstToken => held.iter_mut().for_each(|flight| flight.first_token(now)),
            Signal::Progress(tokens) => held.iter_mut().for_each(|flight| flight.progress(tokens, now)),
            Signal::Finished(usage) => {
                held.take().into_iter().for_each(|flight| flight.finish(Some(usage), now));
            }
            Signal::Lost => drop(held.take()),
        }
    }

    fn learned(&mut self, backend: Index, news: News, now: Moment) {
        let state = &self.group.backends()[backend].state;
        match news {
            News::Scraped(load) => state.record_scrape(load),
            News::RoundTrip(took) => state.record_round_trip(took),
            News::Failed => state.record_failure(now),
            News::Changed { from, to } => {
                state.set_availability(to);
                if from == Availability::Down {
                    state.forget_prefixes();
                }
            }
        }
    }
}

/// The same under another name, for reports that show what the meta-learner adds.
#[derive(Debug)]
pub struct WithoutLearner(pub Gearshift);

impl Policy for WithoutLearner {
    fn name(&self) -> &'static str {
        "gearshift-prior"
    }

    fn counts_tokens(&self) -> bool {
        self.0.counts_tokens()
    }

    fn begin(&mut self, fleet: &Fleet, kv_tokens: &[u64]) {
        self.0.begin(fleet, kv_tokens);
    }

    fn send(&mut self, ticket: Ticket, trip: &Trip, tried: &[Index], view: &View<'_>) -> Option<Index> {
        self.0.send(ticket, trip, tried, view)
    }

    fn heard(&mut self, ticket: Ticket, backend: Index, signal: Signal, now: Moment) {
        self.0.heard(ticket, backend, signal, now);
    }

    fn learned(&mut self, backend: Index, news: News, now: Moment) {
        self.0.learned(backend, news, now);
    }
}
