//! Rows of grain `request`: open loops through Gearshift's own selector, each request with what the router knew when it
//! chose.

use std::{collections::HashMap, sync::Arc, time::Duration};

use gearshift_config::{Objective, Slo};
use gearshift_perfdb::{Grain, Observation, Outcome, Workload};
use gearshift_selector::{Index, Situation};

use super::{
    Labels,
    grid::{Collection, Grid},
    plan::pair,
    profile::{Action, drawn, named},
    row::{Told, coarse, description, load, row},
    site::{Served, Site, engine, models, sites},
    window,
};
use crate::{
    Error,
    sim::{Moment, StepModel},
    study::{
        self, End, Fleet, Gearshift, Member, News, Policy, Settings, Signal, Ticket, Trip, View, capacity,
    },
    workload::{Arrivals, Class, Workload as Requests},
};

/// Requests of the closed loop that measures capacity.
const CAPACITY_REQUESTS: u64 = 2_400;
/// Rate at which turns interleave in it, requests a second.
const CAPACITY_RATE: f64 = 20.0;
/// Variation of gaps in the runs that are bursty.
const BURSTY: f64 = 2.0;
const SALT: u64 = 1;

/// One engine of a run.
struct Place {
    site: Site,
    action: Action,
    front_s: f64,
    kv_tokens: u64,
}

/// Rows of run number `number` of a collection; none where its engines cannot be.
pub(super) fn rows(
    grid: &Grid,
    collection: &Collection,
    number: usize,
    labels: &Labels,
) -> Result<Vec<Observation>, Error> {
    let seed = grid.seed_of(&format!("{} run {number}", labels.dataset));
    let mut rng = fastrand::Rng::with_seed(seed);
    let Some((model, places, fleet)) = fleet(grid, collection, &mut rng) else { return Ok(Vec::new()) };
    let class = grid.workloads[rng.usize(..grid.workloads.len())];
    let requests = window::requests(class)?.within_context(grid.context_tokens);
    let sizes = fleet.block_sizes();
    let trips = |requests: Requests| {
        let sizes = sizes.clone();
        let trip = move |one: crate::workload::Request| {
            Arc::new(Trip::new(&one, Moment(0).after(one.at), &sizes, SALT))
        };
        requests.requests(seed).map(trip)
    };
    let mix = || trips(requests.clone().at_rate(CAPACITY_RATE).limited(CAPACITY_REQUESTS));
    let Ok(capacity) = capacity(&fleet, mix) else { return Ok(Vec::new()) };
    let [low, high] = grid.requests.loads;
    let rate = capacity * (low + (high - low) * rng.f64());
    let arrivals = if rng.bool() { Arrivals::Poisson } else { Arrivals::Gamma { cv: BURSTY } };
    let open = requests.at_rate(rate).with_arrivals(arrivals).limited(grid.requests.requests);
    let mut recorder = Recorder { router: router(seed), seen: HashMap::new() };
    let mut outcomes = Vec::new();
    study::run(&fleet, trips(open), &mut recorder, &Settings::default(), seed, |row| outcomes.push(*row))?;
    let taken = sample(&outcomes, grid, collection.rows_per_run, &mut rng);
    let rows = taken.filter_map(|outcome| {
        let place = places.get(outcome.backend?)?;
        let (situation, age_s) = recorder.seen.remove(&(outcome.id, outcome.backend?))?;
        let told = Told {
            grain: Grain::Request,
            dataset: Arc::clone(&labels.dataset),
            provenance: Arc::clone(&labels.provenance),
            // Nobody else was asked the same at the same load: a context of its own.
            context: format!("run{number}/{}", outcome.id),
            workload: workload(class, &situation),
            load: load(&situation, age_s),
            outcome: measured(outcome, place.front_s),
        };
        Some(row(&place.site, &model, &place.action, place.kv_tokens, told))
    });
    Ok(rows.collect())
}

/// Whole answers after the warm-up that are long enough for a time per token; `wanted` of them, drawn.
fn sample<'o>(
    outcomes: &'o [study::Outcome],
    grid: &Grid,
    wanted: usize,
    rng: &mut fastrand::Rng,
) -> impl Iterator<Item = &'o study::Outcome> {
    let from = grid.requests.requests as f64 * grid.requests.warm_up;
    let good = |one: &&study::Outcome| {
        one.id as f64 >= from && one.end == End::Whole && one.retries == 0 && one.output_tokens > 1
    };
    let mut good: Vec<&study::Outcome> = outcomes.iter().filter(good).collect();
    rng.shuffle(&mut good);
    good.truncate(wanted);
    good.sort_unstable_by_key(|one| one.id);
    good.into_iter()
}

/// One engine, or a few with the same model on any hardware, each in a profile of its own.
fn fleet(
    grid: &Grid,
    collection: &Collection,
    rng: &mut fastrand::Rng,
) -> Option<(Served, Vec<Place>, Fleet)> {
    let (sites, models) = (sites(grid, collection.synthetic), models(grid));
    let wanted = if rng.f64() < grid.requests.fleet_share { grid.requests.fleet_engines } else { 1 };
    let (first, model, _) = pair(grid, &sites, &models, rng)?;
    let mut places = Vec::new();
    let mut members = Vec::new();
    for attempt in 0..4 * wanted {
        let site = if attempt == 0 { first } else { &sites[rng.usize(..sites.len())] };
        let Some(action) = action(grid, site, model, rng) else { continue };
        let spec = engine(site, action.count, model, &action.knobs, collection.factors);
        let Ok(one) = crate::sim::Engine::new(&spec, crate::sim::Pace::Skip, 1) else { continue };
        let front_s = StepModel::new(&spec).front_s();
        places.push(Place { site: site.clone(), action, front_s, kv_tokens: one.kv_tokens() });
        members.push(Member::honest(spec));
        if members.len() == wanted {
            break;
        }
    }
    let fleet = Fleet { name: "swept".into(), members };
    (!places.is_empty()).then(|| (model.clone(), places, fleet))
}

/// Half of the engines have one of the named profiles, half drawn knobs.
fn action(grid: &Grid, site: &Site, model: &Served, rng: &mut fastrand::Rng) -> Option<Action> {
    let count = super::site::least_count(grid, site, model)?;
    if rng.bool() {
        let mut all = named(grid, site, count, model);
        return Some(all.swap_remove(rng.usize(..all.len())));
    }
    let draw = std::array::from_fn(|_| rng.f64());
    drawn(grid, site, model, &draw)
}

fn router(seed: u64) -> Gearshift {
    Gearshift::new(Objective::Latency, Slo::default(), seed)
}

/// The router's own estimates at the moment of choice.
fn workload(class: Class, situation: &Situation) -> Workload {
    Workload {
        name: class.name().to_owned(),
        description: description(class).to_owned(),
        prompt_tokens: coarse(situation.prompt_tokens),
        cached_tokens: coarse(situation.cached_tokens),
        output_tokens: coarse(situation.output_tokens),
        concurrency: coarse(situation.load.sequences + situation.sequences),
        prompt_spread: 0.0,
        output_spread: 0.0,
    }
}

fn measured(outcome: &study::Outcome, front_s: f64) -> Outcome {
    Outcome {
        requests: 1,
        ttft_s: outcome.ttft_s.map(|ttft| coarse(front_s + ttft)),
        tpot_s: outcome.tpot_s.map(coarse),
        e2e_s: Some(coarse(front_s + outcome.e2e_s)),
        joules_per_token: Some(coarse(outcome.joules / f64::from(outcome.output_tokens.max(1)))),
        cached_tokens: Some(f64::from(outcome.cached_tokens)),
        ..Outcome::default()
    }
}

/// Gearshift, with a note of what it knew of each request when it sent it, and how old its last scrape was.
struct Recorder {
    router: Gearshift,
    seen: HashMap<(u64, Index), (Situation, Option<f64>)>,
}

impl Policy for Recorder {
    fn name(&self) -> &'static str {
        self.router.name()
    }

    fn scrape_interval(&self) -> Duration {
        self.router.scrape_interval()
    }

    fn counts_tokens(&self) -> bool {
        self.router.counts_tokens()
    }

    fn begin(&mut self, fleet: &Fleet, kv_tokens: &[u64]) {
        self.router.begin(fleet, kv_tokens);
    }

    fn send(&mut self, ticket: Ticket, trip: &Trip, tried: &[Index], view: &View<'_>) -> Option<Index> {
        let all: Vec<Option<Situation>> = (0..view.outstanding.len())
            .map(|backend| self.router.situation(backend, trip, view.now))
            .collect();
        let chosen = self.router.send(ticket, trip, tried, view)?;
        let age_s = view.scrapes.get(chosen).copied().flatten().map(|last| view.now.seconds_since(last.at));
        if let Some(situation) = all.get(chosen).copied().flatten() {
            self.seen.insert((trip.id, chosen), (situation, age_s));
        }
        Some(chosen)
    }

    fn heard(&mut self, ticket: Ticket, backend: Index, signal: Signal, now: Moment) {
        self.router.heard(ticket, backend, signal, now);
    }

    fn learned(&mut self, backend: Index, news: News, now: Moment) {
        self.router.learned(backend, news, now);
    }
}
