//! Gearshift's selector: the code that serves, with its own live state.

use std::sync::Arc;

use gearshift_config::{BackendId, Objective, Slo};
use gearshift_selector::{
    Availability, BackendSpec, BackendState, Flight, Group, Index, ModelState, OutputLengths, RoutePolicy,
    choose,
};
use smallvec::SmallVec;

use super::{Fleet, News, Policy, Signal, Ticket, Trip, View};
use crate::{sim::Moment, study::Member};

/// Routes as `gearshift serve` does for one route.
#[derive(Debug)]
pub struct Gearshift {
    objective: Objective,
    slo: Slo,
    seed: u64,
    rng: fastrand::Rng,
    group: Group,
    policy: RoutePolicy,
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
            flights: Vec::new(),
        }
    }

    /// The backends with their live state, for looking into.
    pub fn group(&self) -> &Group {
        &self.group
    }
}

fn route(objective: Objective, slo: Slo) -> RoutePolicy {
    RoutePolicy { objective, slo, allow_lossy: true, output_lengths: Arc::new(OutputLengths::default()) }
}

/// The group as the proxy builds it once every engine has said what it is.
fn group(fleet: &Fleet, kv_tokens: &[u64]) -> Group {
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
            lossless: claim.lossless,
            price_usd_per_hour: Some(member.price_usd_per_hour),
            state: Arc::new(state),
            model_state: Arc::clone(&model_state),
        }
    };
    Group::new(fleet.members.iter().zip(kv_tokens).map(spec).collect())
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
        self.group = group(fleet, kv_tokens);
        self.policy = route(self.objective, self.slo);
    }

    fn send(&mut self, ticket: Ticket, trip: &Trip, tried: &[Index], view: &View<'_>) -> Option<Index> {
        let tried = SmallVec::from_slice(tried);
        let decision =
            choose(&self.group, &self.policy, &trip.facts, &tried, view.now, &mut self.rng).ok()?;
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
