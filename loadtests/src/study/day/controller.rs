//! The selector's planner at work on a simulated fleet.

use std::{collections::HashMap, time::Duration};

use gearshift_config::{BackendId, ModelId, ProfileId};
use gearshift_selector::{
    Deployment, ModelState, Software,
    controller::{
        ClassCounts, Condition, Engine, Plan, Planner, ProfileOption, RequestClass, Served, Settings,
        Traffic, speculates_unmodelled,
    },
    window::{Arrival, Departure, SeenPrefixes, WindowTracker},
};

use super::Menu;
use crate::{
    sim::Moment,
    study::{End, Fleet, Member, Outcome, Shift, Shifter, Trip},
};

/// Half-life of what is known of the traffic.
const HALF_LIFE: Duration = Duration::from_secs(240);
/// Tokens of an answer from which its pace is measured.
const LEAST_TOKENS: u32 = 8;
/// Seconds a switch is expected to take before one was measured: half a minute to drain, and a start.
const SWITCH_S: f64 = 130.0;
/// What a start of vLLM takes, seconds: drawn anew for each switch from the range that was measured with vLLM 0.32 on CPU (and that
/// its authors give for accelerators, of which none was measured here).
const START_S: (f64, f64) = (60.0, 140.0);

/// Watches requests, and shifts engines by what the planner says.
#[derive(Debug)]
pub struct Controller {
    planner: Planner,
    model: ModelId,
    engines: Vec<Engine>,
    /// What each engine is in each of its profiles.
    members: Vec<Vec<(ProfileId, Member)>>,
    tracker: WindowTracker,
    classes: ClassCounts,
    seen: SeenPrefixes,
    lengths: ModelState,
    /// Tokens that a request's prompt shares with earlier ones, until it ends.
    shared: HashMap<u64, f64>,
    moving: HashMap<usize, gearshift_selector::controller::Shift>,
    rng: fastrand::Rng,
    /// What was shifted when: engine, from, to.
    pub log: Vec<(Moment, usize, ProfileId, ProfileId)>,
    /// The last plan.
    pub last: Plan,
}

impl Controller {
    /// For a fleet that runs the first profile of `menu` on every engine.
    pub fn new(fleet: &Fleet, menu: &Menu, settings: Settings, seed: u64) -> Self {
        let model = ModelId::new("model");
        let members: Vec<Vec<(ProfileId, Member)>> = fleet
            .members
            .iter()
            .map(|member| {
                let named = |(at, member): (usize, Member)| (menu.profiles[at].id.clone(), member);
                menu.of(member).into_iter().map(named).collect()
            })
            .collect();
        let engine = |(member, shapes): (&Member, &Vec<(ProfileId, Member)>)| Engine {
            id: BackendId::new(member.engine.name.as_str()),
            model: model.clone(),
            current: menu.profiles[0].id.clone(),
            profiles: shapes.iter().map(option).collect(),
            condition: Condition::Available,
            price_usd_per_hour: Some(member.price_usd_per_hour),
            round_trip_s: member.round_trip.as_secs_f64(),
            switch_s: SWITCH_S,
        };
        Self {
            planner: Planner::new(settings),
            engines: fleet.members.iter().zip(&members).map(engine).collect(),
            model,
            members,
            tracker: WindowTracker::new(HALF_LIFE.as_secs_f64(), Moment(0)),
            classes: ClassCounts::new(HALF_LIFE),
            seen: SeenPrefixes::default(),
            lengths: ModelState::new(),
            shared: HashMap::new(),
            moving: HashMap::new(),
            rng: fastrand::Rng::with_seed(seed),
            log: Vec::new(),
            last: Plan::default(),
        }
    }
}

fn option((id, member): &(ProfileId, Member)) -> ProfileOption {
    ProfileOption {
        id: id.clone(),
        deployment: Some(Deployment {
            hardware: member.claim.hardware.clone(),
            count: member.claim.count,
            model: member.engine.model.clone(),
            knobs: member.claim.knobs.clone(),
            software: Software::default(),
            kv_tokens: None,
        }),
        lossless: member.claim.lossless,
        calibration: None,
    }
}

impl Shifter for Controller {
    fn every(&self) -> Duration {
        self.planner.settings().every
    }

    fn arrived(&mut self, trip: &Trip, now: Moment) {
        let repeated_tokens = self.seen.repeated_tokens(&trip.facts, &self.lengths);
        self.shared.insert(trip.id, repeated_tokens);
        let prompt_tokens = f64::from(trip.prompt_tokens);
        self.tracker.arrived(&Arrival { prompt_tokens, repeated_tokens }, now);
    }

    fn served(&mut self, trip: &Trip, row: &Outcome, expected: Option<(f64, f64)>, now: Moment) {
        let shared_tokens = self.shared.remove(&trip.id).unwrap_or(0.0);
        let whole = row.end == End::Whole;
        let (prompt_tokens, output_tokens) = (f64::from(trip.prompt_tokens), f64::from(row.output_tokens));
        let departure = Departure {
            arrived: row.at,
            prompt_tokens: Some(prompt_tokens),
            cached_tokens: None,
            output_tokens: whole.then_some(output_tokens),
        };
        self.tracker.departed(&departure, now);
        let (true, Some(backend)) = (whole, row.backend) else { return };
        self.classes.record(prompt_tokens, shared_tokens, output_tokens, now);
        let Some((ttft_s, tpot_s)) = expected else { return };
        let engine = &self.engines[backend];
        let running = engine.profiles.iter().find(|option| option.id == engine.current);
        let deployment = running.and_then(|option| option.deployment.as_ref());
        let ratio = |actual: f64, prior: f64| (prior > 0.0).then(|| actual / prior);
        self.planner.served(&Served {
            model: self.model.clone(),
            backend: engine.id.clone(),
            profile: engine.current.clone(),
            speculates: deployment.is_some_and(|deployment| speculates_unmodelled(&deployment.knobs)),
            class: RequestClass { share: 1.0, prompt_tokens, shared_tokens, output_tokens },
            ttft_ratio: row.ttft_s.and_then(|actual| ratio(actual, ttft_s)),
            tpot_ratio: row
                .tpot_s
                .filter(|_| row.output_tokens >= LEAST_TOKENS)
                .and_then(|actual| ratio(actual, tpot_s)),
        });
    }

    fn plan(&mut self, ready: &[bool], now: Moment) -> Vec<Shift> {
        for (at, engine) in self.engines.iter_mut().enumerate() {
            engine.condition = match (self.moving.contains_key(&at), ready[at]) {
                (true, _) => Condition::Switching,
                (false, true) => Condition::Available,
                (false, false) => Condition::Unavailable,
            };
        }
        let traffic = Traffic::new(self.model.clone(), &self.tracker.snapshot(now), self.classes.classes());
        // Requests that end while an engine drains were still served in its old profile: only the planner sees it ahead.
        let mut engines = self.engines.clone();
        for (&at, shift) in &self.moving {
            engines[at].current = shift.to.clone();
        }
        self.last = self.planner.plan(now, &engines, &[traffic]);
        let mut shifts = Vec::new();
        for shift in self.last.shifts.clone() {
            let Some(engine) = self.engines.iter().position(|engine| engine.id == shift.backend) else {
                continue;
            };
            let Some((_, member)) = self.members[engine].iter().find(|(id, _)| *id == shift.to) else {
                continue;
            };
            let mut member = member.clone();
            member.engine.times.start_s = START_S.0 + self.rng.f64() * (START_S.1 - START_S.0);
            shifts.push(Shift { engine, member });
            self.moving.insert(engine, shift);
        }
        shifts
    }

    fn finished(&mut self, engine: usize, took: Duration, ok: bool, now: Moment) {
        let Some(shift) = self.moving.remove(&engine) else { return };
        self.planner.finished(&shift, took, ok, now);
        if ok {
            self.log.push((now, engine, shift.from.clone(), shift.to.clone()));
            self.engines[engine].current = shift.to;
        }
    }
}
