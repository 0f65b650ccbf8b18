//! Logged decisions made again by a policy: the selector's own code, with the state it would have had.
//!
//! What a row does not say is not in it, and differs from what served: prices of backends (an objective of cost compares by the shipped prices),
//! rows that `sample` left out, states of other replicas, and what a policy's own choices would have made of the load and of what is
//! learned: all policies learn from the outcomes that were logged. Where a bundle had no say for want of time the logged decision was
//! the prior's; replayed, it always has time.

use std::{collections::HashMap, sync::Arc};

use gearshift_config::{BackendId, Knobs, Slo};
use gearshift_perfdb::Facts;
use gearshift_selector::{
    Availability, BackendSpec, BackendState, Bundle, Decider, Decision, Flight, Group, Head, Load,
    ModelState, Moment, OutputLengths, PrefixChain, Ranked, RequestFacts, RoutePolicy, Usage, Work,
    replay::{Asked, Replayed, Seen, replay},
};

use crate::{Error, live::Journey};

/// A policy: Gearshift with a bundle, or with the calibrated prior alone.
#[derive(Debug)]
pub struct Arm<'b> {
    bundle: Option<(&'b Bundle, Head)>,
    /// From when on the bundle decides, seconds since 1970; calibration learns before.
    from_s: f64,
    fleets: HashMap<String, Fleet>,
    lengths: Arc<OutputLengths>,
    origin_s: f64,
}

/// What the policy says of one decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Probability of choosing each candidate, in the row's order. Of those whose engines no row describes, 0.
    pub chances: Vec<f64>,
    /// What it predicts of the chosen one: time to first token with the network, and per token, seconds.
    pub predicted: (f64, f64),
    /// Times that nine of ten are predicted to stay below.
    pub upper: (f64, f64),
}

/// The backends of a model, with what was learned of them.
#[derive(Debug)]
struct Fleet {
    group: Group,
    /// Positions by name.
    places: HashMap<String, usize>,
    /// What each runs, as the newest row says.
    engines: Vec<(Engine, Facts)>,
    /// What is known of engines that others took the place of, by place: one that comes back is known.
    left: Vec<(usize, Engine, Arc<BackendState>)>,
    learned: bool,
}

impl Fleet {
    /// The state of the engine that is at a place now, `known` being that of the last one there. In another profile it is another engine, as
    /// where it serves: with what was learned of it when it was there before, else `fresh`.
    fn take(
        &mut self,
        place: usize,
        engine: &Engine,
        known: &Arc<BackendState>,
        fresh: &Arc<BackendState>,
    ) -> Arc<BackendState> {
        if self.engines[place].0 == *engine {
            return Arc::clone(known);
        }
        self.left.push((place, self.engines[place].0.clone(), Arc::clone(known)));
        let back = self.left.iter().position(|(at, left, _)| *at == place && left == engine);
        back.map_or_else(|| Arc::clone(fresh), |at| self.left.swap_remove(at).2)
    }
}

impl<'b> Arm<'b> {
    /// Calibration goes through all journeys; the bundle comes in at `from_s`, as one that is activated then.
    ///
    /// # Errors
    /// Where ONNX Runtime makes no session.
    pub fn new(bundle: Option<&'b Bundle>, from_s: f64) -> Result<Self, Error> {
        let head = |bundle: &'b Bundle| bundle.head().map(|head| (bundle, head));
        let bundle = bundle.map(head).transpose().map_err(|error| Error::Failed(error.to_string()))?;
        Ok(Self { bundle, from_s, fleets: HashMap::new(), lengths: Arc::default(), origin_s: 0.0 })
    }

    fn moment(&self, at_s: f64) -> Moment {
        // Never 0, which stands for never.
        Moment(1_000_000_000).after_seconds(at_s - self.origin_s)
    }

    /// Engines as the first row of each describes them, none of them known from outcomes.
    fn settle(&mut self, journeys: &[Journey]) -> Result<(), Error> {
        self.origin_s = journeys.iter().map(|journey| journey.sent_s).fold(f64::INFINITY, f64::min);
        let mut models: HashMap<&str, Vec<&Journey>> = HashMap::new();
        for journey in journeys {
            let known = models.entry(&journey.row.facts.model).or_default();
            if known.iter().all(|other| other.live().backend != journey.live().backend) {
                known.push(journey);
            }
        }
        for (model, first) in models {
            let model_state = Arc::new(ModelState::new());
            let specs = first.iter().map(|journey| spec(journey, &model_state)).collect();
            let places =
                (0..).zip(&first).map(|(at, journey)| (journey.live().backend.clone(), at)).collect();
            let engines = first.iter().map(|journey| (engine(journey), journey.row.facts.clone())).collect();
            let fleet = Fleet { group: Group::new(specs), places, engines, left: Vec::new(), learned: false };
            self.fleets.insert(model.to_owned(), fleet);
        }
        Ok(())
    }

    /// Sees to it that the journey's engine is the one in the group, and that the bundle decides if it is time.
    fn bring_up(&mut self, journey: &Journey) -> Result<(), Error> {
        let Some(fleet) = self.fleets.get_mut(&journey.row.facts.model) else { return Ok(()) };
        let Some(&place) = fleet.places.get(&journey.live().backend) else { return Ok(()) };
        let (engine, facts) = (engine(journey), &journey.row.facts);
        let changed = fleet.engines[place].0 != engine || fleet.engines[place].1 != *facts;
        let learns = self.bundle.is_some() && journey.sent_s >= self.from_s;
        if !changed && learns == fleet.learned {
            return Ok(());
        }
        let mut specs = fleet.group.backends().to_vec();
        if changed {
            let fresh = spec(journey, &Arc::clone(&specs[place].model_state));
            let state = fleet.take(place, &engine, &specs[place].state, &fresh.state);
            state.set_kv_tokens(facts.kv_tokens);
            specs[place] = BackendSpec { state, ..fresh };
            fleet.engines[place] = (engine, facts.clone());
        }
        fleet.group = match &self.bundle {
            Some((bundle, _)) if learns => {
                Group::with_bundle(specs, bundle).map_err(|error| Error::Failed(error.to_string()))?
            }
            _ => Group::new(specs),
        };
        fleet.learned = learns;
        Ok(())
    }

    /// Makes a decision again; gives what it says, and the attempt to learn from when it ends.
    fn decide(&mut self, journey: &Journey) -> Option<(Told, Flight)> {
        let (live, row, now) = (journey.live(), &journey.row, self.moment(journey.sent_s));
        let lengths = Arc::clone(&self.lengths);
        let fleet = self.fleets.get(&row.facts.model)?;
        let own = *fleet.places.get(&live.backend)?;
        fleet.group.backends()[own].state.record_round_trip(duration(live.round_trip_s.unwrap_or(0.001))?);
        let policy = policy(journey, lengths);
        let (seen, places) = seen(journey, fleet);
        let typical = live.typical.unwrap_or(gearshift_selector::Typical {
            prompt_tokens: row.workload.prompt_tokens,
            uncached_tokens: (row.workload.prompt_tokens - row.workload.cached_tokens).max(1.0),
            output_tokens: row.workload.output_tokens,
        });
        let asked = Asked {
            prompt_tokens: row.workload.prompt_tokens.max(1.0),
            output_tokens: row.workload.output_tokens.max(1.0),
            sequences: f64::from(live.sequences.unwrap_or(1).max(1)),
            typical,
        };
        let mut rng = fastrand::Rng::with_seed(0);
        let head = if fleet.learned { self.bundle.as_mut().map(|(_, head)| head) } else { None };
        let decider = Decider { rng: &mut rng, head };
        let again = replay(&fleet.group, &policy, &asked, &seen, now, decider)?;
        let chosen = again.candidates.iter().find(|one| one.ranked.index == own)?.ranked;
        let told = told(&again, &places, live.candidates.backends.len(), &chosen)?;
        let facts = facts(journey);
        let decision = decision(journey, chosen, seen.len());
        let flight = Flight::begin(&fleet.group.backends()[own], &policy, &facts, &decision, now);
        Some((told, flight))
    }

    /// What came of it is learned from.
    fn end(&self, journey: &Journey, mut flight: Flight) {
        // As where it serves: what did not end well only leaves.
        if !journey.whole() {
            return;
        }
        let sent_s = journey.sent_s;
        let tokens = journey.live().output_tokens.unwrap_or(0.0);
        if let Some(first_s) = first_token_s(journey) {
            flight.first_token(self.moment(sent_s + first_s));
            let last_s = journey.row.outcome.tpot_s.zip(journey.output_tokens);
            let last_s = last_s.map_or(0.0, |(tpot_s, tokens)| tpot_s * (tokens - 1.0).max(0.0));
            flight.progress(whole(tokens).max(1), self.moment(sent_s + first_s + last_s));
        }
        let usage = (tokens > 0.0).then(|| Usage {
            prompt_tokens: whole(journey.row.workload.prompt_tokens).max(1),
            completion_tokens: whole(tokens),
            cached_tokens: journey.row.outcome.cached_tokens.map(whole),
        });
        flight.finish(usage, self.moment(journey.ended_s));
    }
}

/// What happens to a request; of what happens at the same time, ends come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    First,
    Ended,
    Sent,
}

/// Goes through the journeys in the order of time, decisions and ends each when they were. What the policy says of each decision; `None`
/// where it cannot be made again.
///
/// # Errors
/// Where the bundle cannot encode an engine.
pub fn replayed(arm: &mut Arm<'_>, journeys: &[Journey]) -> Result<Vec<Option<Told>>, Error> {
    arm.settle(journeys)?;
    let mut events: Vec<(f64, Kind, usize)> = (0..journeys.len())
        .flat_map(|at| {
            let journey = &journeys[at];
            let first = first_token_s(journey)
                .map(|first_s| ((journey.sent_s + first_s).min(journey.ended_s), Kind::First, at));
            [(journey.sent_s, Kind::Sent, at), (journey.ended_s, Kind::Ended, at)].into_iter().chain(first)
        })
        .collect();
    events.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let mut told: Vec<Option<Told>> = vec![None; journeys.len()];
    let mut under_way: HashMap<usize, Flight> = HashMap::new();
    for (at_s, kind, at) in events {
        let journey = &journeys[at];
        match kind {
            Kind::Ended => under_way.remove(&at).into_iter().for_each(|flight| arm.end(journey, flight)),
            // An engine that is hardly known is learned of at its first token, where that is late.
            Kind::First => {
                under_way.get_mut(&at).into_iter().for_each(|flight| flight.first_token(arm.moment(at_s)));
            }
            Kind::Sent => {
                arm.bring_up(journey)?;
                if let Some((said, flight)) = arm.decide(journey) {
                    told[at] = Some(said);
                    under_way.insert(at, flight);
                }
            }
        }
    }
    Ok(told)
}

fn spec(journey: &Journey, model_state: &Arc<ModelState>) -> BackendSpec {
    let facts = &journey.row.facts;
    let state = BackendState::new(None);
    state.set_kv_tokens(facts.kv_tokens);
    state.set_availability(Availability::Ready);
    BackendSpec {
        id: BackendId::new(journey.live().backend.as_str()),
        hardware: Some((Arc::new(facts.hardware_facts.clone()), facts.count)),
        model: Some(Arc::new(facts.model_facts.clone())),
        knobs: facts.knobs.clone(),
        software: facts.software,
        lossless: facts.lossless,
        price_usd_per_hour: None,
        state: Arc::new(state),
        model_state: Arc::clone(model_state),
    }
}

/// What makes an engine another one: the profile it serves in, and what that is.
#[derive(Debug, Clone, PartialEq)]
struct Engine {
    action: String,
    hardware: String,
    count: u32,
    knobs: Knobs,
}

fn engine(journey: &Journey) -> Engine {
    let facts = &journey.row.facts;
    Engine {
        action: journey.row.action.clone(),
        hardware: facts.hardware.clone(),
        count: facts.count,
        knobs: facts.knobs.clone(),
    }
}

/// When the first token came after the request was sent, of a stream, seconds.
fn first_token_s(journey: &Journey) -> Option<f64> {
    journey.row.outcome.ttft_s.filter(|_| journey.live().stream)
}

/// `None` of what is no duration.
fn duration(seconds: f64) -> Option<std::time::Duration> {
    std::time::Duration::try_from_secs_f64(seconds).ok()
}

fn policy(journey: &Journey, output_lengths: Arc<OutputLengths>) -> RoutePolicy {
    let live = journey.live();
    let limit = |seconds: Option<f64>| seconds.and_then(duration);
    let slo =
        Slo { ttft: limit(live.limit_ttft_s), tpot: limit(live.limit_tpot_s), e2e: limit(live.limit_e2e_s) };
    // Whoever was a candidate was allowed.
    RoutePolicy { objective: live.objective, slo, allow_lossy: true, output_lengths }
}

/// Candidates whose engines are known, and their positions in the row.
fn seen(journey: &Journey, fleet: &Fleet) -> (Vec<Seen>, Vec<usize>) {
    let candidates = &journey.live().candidates;
    let one = |at: usize| {
        let &index = fleet.places.get(candidates.backends.get(at)?)?;
        let of = |values: &[f64]| values.get(at).copied().filter(|value| value.is_finite());
        let load = Load {
            sequences: of(&candidates.sequences)?,
            decoding: of(&candidates.decoding)?,
            prefill_tokens: of(&candidates.prefill_tokens)?,
            decode_tokens: of(&candidates.decode_tokens)?,
            context_tokens: of(&candidates.context_tokens)?,
            full_at: of(&candidates.full_at),
        };
        Some((Seen { index, cached_tokens: of(&candidates.cached_tokens).unwrap_or(0.0), load }, at))
    };
    (0..candidates.backends.len()).filter_map(one).unzip()
}

fn told(again: &Replayed, places: &[usize], count: usize, chosen: &Ranked) -> Option<Told> {
    let prediction = chosen.prediction?;
    let mut chances = vec![0.0; count];
    for (&place, one) in places.iter().zip(&again.candidates) {
        chances[place] = one.propensity;
    }
    let (predicted, upper) = ((prediction.ttft_s, prediction.tpot_s), prediction.upper);
    Some(Told { chances, predicted, upper: (upper.ttft_s, upper.tpot_s) })
}

fn facts(journey: &Journey) -> RequestFacts {
    let live = journey.live();
    RequestFacts {
        work: Work::Generate,
        prompt_bytes: 0,
        prompt_tokens_exact: Some(whole(journey.row.workload.prompt_tokens)),
        max_tokens: None,
        sequences: live.sequences.unwrap_or(1),
        stream: live.stream,
        prefix: PrefixChain::default(),
    }
}

/// What was chosen, as this policy saw it: what it learns from the outcome.
fn decision(journey: &Journey, chosen: Ranked, considered: usize) -> Decision {
    Decision {
        chosen,
        considered: u32::try_from(considered).unwrap_or(u32::MAX),
        fallback: None,
        prompt_tokens: whole(journey.row.workload.prompt_tokens),
        expected_output_tokens: whole(journey.row.workload.output_tokens).max(1),
        propensity: journey.live().propensity,
        explored: journey.live().explored,
        even_e2e_s: None,
        rival: None,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float casts saturate")]
fn whole(tokens: f64) -> u32 {
    tokens.round() as u32
}
