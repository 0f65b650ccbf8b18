//! Gearshift's selector: the code that serves, with its own live state.

use std::sync::Arc;

use gearshift_config::{BackendId, Knobs, Objective, Slo};
use gearshift_selector::{
    Availability, BackendSpec, BackendState, Bundle, Decider, Exploration, Flight, Group, Head, Index,
    ModelState, OutputLengths, Prediction, RoutePolicy, Situation, Software, choose_on_record, situation_at,
};
use smallvec::SmallVec;

use super::{Accuracy, Fleet, Logbook, News, Policy, Signal, Ticket, Trip, View};
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
    /// What was predicted of it, by slot.
    predicted: Vec<Option<Predicted>>,
    accuracy: Accuracy,
    /// What the prior said of it, by slot; kept when it is over.
    expected: Vec<Option<(f64, f64)>>,
    /// The live state of each backend in each profile it has run: what was learned of one is there again when it comes back.
    states: Vec<Vec<(Knobs, Arc<BackendState>)>>,
    /// What is sent elsewhere on purpose.
    exploration: Exploration,
    /// Rows of what was decided and what came of it, where they are wanted.
    logbook: Option<Logbook>,
}

/// What was predicted of a request.
#[derive(Debug, Clone, Copy)]
struct Predicted {
    prediction: Prediction,
    round_trip_s: f64,
    sent: Moment,
    first: Option<Moment>,
}

/// Tokens from which an answer tells the time per token, as the selector takes it.
const MEASURABLE_TOKENS: u32 = 8;

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
            predicted: Vec::new(),
            accuracy: Accuracy::default(),
            expected: Vec::new(),
            states: Vec::new(),
            exploration: Exploration { introduce: Exploration::INTRODUCE, ..Exploration::default() },
            logbook: None,
        }
    }

    /// Keeps rows of source `live`, as the proxy writes them, and explores. Simulated ones: whoever stores them says so.
    #[must_use]
    pub fn logging(self, logbook: Logbook, exploration: Exploration) -> Self {
        Self { exploration, logbook: Some(logbook), ..self }
    }

    /// The rows of the last run.
    pub fn into_rows(self) -> Vec<gearshift_perfdb::Observation> {
        self.logbook.map(Logbook::into_rows).unwrap_or_default()
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

    /// What an answer in `slot` says of its prediction.
    fn compare(&mut self, slot: usize, signal: Signal, now: Moment) {
        let Some(Some(predicted)) = self.predicted.get_mut(slot) else { return };
        match signal {
            Signal::FirstToken => predicted.first = Some(now),
            Signal::Progress(_) => {}
            Signal::Lost => self.predicted[slot] = None,
            Signal::Finished(usage) => {
                let &mut Predicted { prediction, round_trip_s, sent, first } = predicted;
                if let Some(first) = first {
                    let tokens = usage.completion_tokens;
                    let tpot_s = now.seconds_since(first) / f64::from(tokens.max(2) - 1);
                    let tpot_s = (tokens >= MEASURABLE_TOKENS).then_some(tpot_s);
                    self.accuracy.take(&prediction, round_trip_s, first.seconds_since(sent), tpot_s);
                }
                self.predicted[slot] = None;
            }
        }
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
        self.predicted.clear();
        self.expected.clear();
        self.accuracy = Accuracy::default();
        let group = group(fleet, kv_tokens, self.learner.as_ref().map(|learner| learner.bundle.as_ref()));
        self.group = group.exploring(self.exploration);
        self.logbook.iter_mut().for_each(|logbook| logbook.begin(fleet, kv_tokens));
        self.policy = route(self.objective, self.slo);
        let state = |spec: &BackendSpec| vec![(spec.knobs.clone(), Arc::clone(&spec.state))];
        self.states = self.group.backends().iter().map(state).collect();
    }

    fn reshaped(&mut self, backend: Index, member: &Member, kv_tokens: u64, _now: Moment) {
        let mut specs = self.group.backends().to_vec();
        let (Some(spec), Some(states)) = (specs.get_mut(backend), self.states.get_mut(backend)) else {
            return;
        };
        let knobs = &member.claim.knobs;
        let before = Arc::clone(&spec.state);
        let known = states.iter().find(|(other, _)| other == knobs).map(|(_, state)| Arc::clone(state));
        let state = known.unwrap_or_else(|| {
            let state = Arc::new(BackendState::new(None));
            states.push((knobs.clone(), Arc::clone(&state)));
            state
        });
        state.forget_prefixes();
        state.set_kv_tokens(Some(kv_tokens));
        state.set_availability(before.availability());
        state.record_round_trip(member.round_trip);
        spec.state = state;
        spec.knobs = knobs.clone();
        spec.lossless = member.claim.lossless;
        let bundle = self.learner.as_ref().map(|learner| &learner.bundle);
        let learned = bundle.and_then(|bundle| Group::with_bundle(specs.clone(), bundle).ok());
        self.group = learned.unwrap_or_else(|| Group::new(specs));
    }

    fn expected(&self, ticket: Ticket) -> Option<(f64, f64)> {
        self.expected.get(ticket.slot as usize).copied().flatten()
    }

    fn send(&mut self, ticket: Ticket, trip: &Trip, tried: &[Index], view: &View<'_>) -> Option<Index> {
        let attempt = u32::try_from(tried.len()).map_or(u32::MAX, |tried| tried.saturating_add(1));
        let tried = SmallVec::from_slice(tried);
        let head = self.learner.as_mut().map(|learner| &mut learner.head);
        let decider = Decider { rng: &mut self.rng, head };
        let (group, policy, facts) = (&self.group, &self.policy, &trip.facts);
        let (decision, field) = choose_on_record(group, policy, facts, &tried, view.now, decider).ok()?;
        let chosen = decision.chosen.index;
        let backend = &self.group.backends()[chosen];
        let flight = Flight::begin(backend, &self.policy, &trip.facts, &decision, view.now);
        let slot = ticket.slot as usize;
        if self.flights.len() <= slot {
            self.flights.resize_with(slot + 1, || None);
            self.predicted.resize(slot + 1, None);
            self.expected.resize(slot + 1, None);
        }
        let (sent, round_trip_s) = (view.now, backend.state.round_trip_s());
        let predicted = |prediction| Predicted { prediction, round_trip_s, sent, first: None };
        let prediction = decision.chosen.prediction;
        self.expected[slot] = prediction.map(|prediction| (prediction.prior_ttft_s, prediction.prior_tpot_s));
        self.predicted[slot] = prediction.map(predicted);
        self.flights[slot] = Some(flight);
        if let Some(logbook) = &mut self.logbook {
            logbook.decided(slot, backend, &self.policy, &trip.facts, &decision, &field, attempt, view.now);
        }
        Some(chosen)
    }

    fn accuracy(&self) -> Option<&Accuracy> {
        Some(&self.accuracy)
    }

    fn heard(&mut self, ticket: Ticket, _backend: Index, signal: Signal, now: Moment) {
        self.compare(ticket.slot as usize, signal, now);
        self.logbook.iter_mut().for_each(|logbook| logbook.heard(ticket.slot as usize, signal, now));
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

    fn accuracy(&self) -> Option<&Accuracy> {
        self.0.accuracy()
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
