//! Whether Gearshift finds out what nobody told it: backends that are not what they claim, one that is throttled for a while, one that nobody
//! knows.
//!
//! Each case is a fleet, requests at a steady rate, and one thing that happens. What is looked at are shares of the requests in
//! windows of time, and flags. Windows, rates and bounds are fixed here.

mod tables;
mod watched;

use std::{ops::Range, sync::Arc};

use gearshift_config::{Objective, Slo};

pub use self::{
    tables::tables,
    watched::{Found, Watched},
};
use super::{
    Fleet, Gearshift, Outcome, Policy as _, Settings, TimedFault, Trip, compare::cell::prepare,
    compare::parallel::each, run,
};
use crate::{
    Error,
    scenario::Scenario,
    sim::{Fault, Moment},
    workload::Workload,
};

/// How much is run.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Repetitions of each case.
    pub seeds: u64,
    /// Requests a second.
    pub rate: f64,
    /// Threads to work on.
    pub threads: usize,
}

impl Effort {
    /// What reports take: a quarter to a half of what the fleets can do.
    pub const REPORT: Self = Self { seeds: 20, rate: 40.0, threads: 2 };
}

/// What came of all cases. Simulated.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Adaptation {
    /// Requests a second in all cases.
    pub rate: f64,
    /// Backends that are not what they claim.
    pub impostors: Vec<Impostor>,
    /// Claims of honest backends that were contradicted, over all repetitions and cases.
    pub false_flags: usize,
    /// A backend that is three times slower for a while.
    pub throttled: Vec<Throttled>,
    /// A backend that joins and that no catalog knows.
    pub newcomer: Vec<Newcomer>,
}

/// One repetition: a backend that is not what it claims.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Impostor {
    /// Its name.
    pub backend: String,
    /// When that was flagged first; `None` for never.
    pub found: Option<Found>,
    /// Its share of the first hundred requests, over an even one.
    pub at_first: f64,
    /// Its share of the last half, over an even one.
    pub at_last: f64,
}

/// One repetition. Shares are over an even one.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Throttled {
    /// Before.
    pub before: f64,
    /// From 30 s after it began until it ended.
    pub during: f64,
    /// Seconds after it ended until the share over ten seconds was back at four fifths of what it was before; `None` for never.
    pub back_after_s: Option<f64>,
    /// In the last 60 s.
    pub at_last: f64,
}

/// One repetition. Shares are over the steady one, that of the last two minutes.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Newcomer {
    /// From joining to its hundredth request.
    pub at_once: f64,
    /// Of as long after that as it took, at least a minute.
    pub after_hundred: f64,
    /// The steady share of all requests.
    pub steady: f64,
}

/// Seconds of each case: until something happens, until it ends, and until the end.
const THROTTLED_S: [f64; 3] = [60.0, 150.0, 330.0];
const JOINS_S: f64 = 60.0;
const NEWCOMER_S: f64 = 360.0;
const IMPOSTORS_S: f64 = 60.0;
/// How much slower the throttled engine is.
const SLOW: f64 = 3.0;

/// One run, watched.
struct Run {
    fleet: Fleet,
    rows: Vec<Outcome>,
    found: Vec<Found>,
}

impl Run {
    fn of(fleet: Fleet, seconds: f64, settings: &Settings, rate: f64, seed: u64) -> Result<Self, Error> {
        let workload = Workload::find("steady").map_err(failed)?;
        let trips: Vec<Arc<Trip>> =
            prepare(&workload, &fleet, rate, requests(seconds * rate), seed + 1).collect();
        let mut policy = Watched::new(Gearshift::new(Objective::Latency, Slo::default(), seed));
        let mut rows = Vec::with_capacity(trips.len());
        run(&fleet, trips, &mut policy, settings, seed, |row| rows.push(*row)).map_err(failed)?;
        rows.sort_unstable_by_key(|row| row.at);
        debug_assert_eq!(policy.name(), "gearshift");
        Ok(Self { fleet, rows, found: policy.found })
    }

    fn position(&self, name: &str) -> usize {
        self.fleet.members.iter().position(|member| member.engine.name == name).unwrap_or(0)
    }

    /// Share of the requests that came in these seconds.
    fn share(&self, backend: usize, seconds: Range<f64>) -> f64 {
        let within = |row: &&Outcome| seconds.contains(&row.at.seconds_since(Moment(0)));
        share(self.rows.iter().filter(within), backend)
    }

    /// As a multiple of an even share.
    fn relative(&self, backend: usize, seconds: Range<f64>) -> f64 {
        self.share(backend, seconds) * self.fleet.members.len() as f64
    }
}

fn share<'r>(rows: impl Iterator<Item = &'r Outcome>, backend: usize) -> f64 {
    let (all, own) = rows.fold((0.0, 0.0), |(all, own), row| {
        (all + 1.0, own + if row.backend == Some(backend) { 1.0 } else { 0.0 })
    });
    own / f64::max(all, 1.0)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count far below 2⁵³")]
fn requests(count: f64) -> u64 {
    count as u64
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Failed(error.to_string())
}

fn shipped(name: &str) -> Result<Fleet, Error> {
    Ok(Fleet::of(&Scenario::shipped(name).map_err(failed)?))
}

/// Runs all cases. `step` is told after each repetition of one; there are three times [`Effort::seeds`].
///
/// # Errors
/// Where an engine cannot be.
pub fn adaptation(effort: &Effort, step: impl Fn() + Sync) -> Result<Adaptation, Error> {
    let seeds: Vec<u64> = (0..effort.seeds).collect();
    let all = each(&seeds, effort.threads, |&seed| {
        let impostors = impostors(effort.rate, seed)?;
        step();
        let throttled = throttled(effort.rate, seed)?;
        step();
        let newcomer = newcomer(effort.rate, seed)?;
        step();
        Ok::<_, Error>((impostors, throttled, newcomer))
    })?;
    let mut adaptation = Adaptation {
        rate: effort.rate,
        impostors: Vec::new(),
        false_flags: 0,
        throttled: Vec::new(),
        newcomer: Vec::new(),
    };
    for ((impostors, false_flags), throttled, newcomer) in all {
        adaptation.impostors.extend(impostors);
        adaptation.false_flags += false_flags;
        adaptation.throttled.push(throttled);
        adaptation.newcomer.push(newcomer);
    }
    Ok(adaptation)
}

/// A T4 that claims to be an H100, and an H100 behind a slow line that loses packets; and how many honest ones were flagged.
///
/// # Errors
/// Where an engine cannot be.
pub fn impostors(rate: f64, seed: u64) -> Result<(Vec<Impostor>, usize), Error> {
    let run = Run::of(shipped("impostor")?, IMPOSTORS_S, &Settings::default(), rate, seed)?;
    let even = run.fleet.members.len() as f64;
    let impostor = |name: &str| {
        let backend = run.position(name);
        Impostor {
            backend: name.to_owned(),
            found: run.found.iter().find(|found| found.backend == backend).copied(),
            at_first: even * share(run.rows.iter().take(100), backend),
            at_last: run.relative(backend, IMPOSTORS_S / 2.0..IMPOSTORS_S),
        }
    };
    let lies = |found: &&Found| !run.fleet.members[found.backend].engine.name.starts_with("honest");
    let honest = run.found.len() - run.found.iter().filter(lies).count();
    Ok((["old-card", "bad-line"].map(impostor).into(), honest))
}

/// One of six equals that is three times slower for a while, as one that got too hot.
///
/// # Errors
/// Where an engine cannot be.
pub fn throttled(rate: f64, seed: u64) -> Result<Throttled, Error> {
    let [from, until, end] = THROTTLED_S;
    let moment = |seconds| Moment(0).after_seconds(seconds);
    let fault = Fault::Slow { factor: SLOW };
    let fault = TimedFault { engine: 0, fault, from: moment(from), until: moment(until) };
    let settings = Settings { faults: vec![fault], ..Settings::default() };
    let run = Run::of(shipped("homogeneous")?, end, &settings, rate, seed)?;
    let before = run.relative(0, from / 2.0..from);
    let window = 10.0;
    let mut starts = (0..).map(|tenth| until + f64::from(tenth)).take_while(|start| start + window <= end);
    let back = starts.find(|&start| run.relative(0, start..start + window) >= 0.8 * before);
    Ok(Throttled {
        before,
        during: run.relative(0, from + 30.0..until),
        back_after_s: back.map(|start| start - until),
        at_last: run.relative(0, end - 60.0..end),
    })
}

/// A card that no catalog lists joins five known ones, and does a third less than its numbers say.
///
/// # Errors
/// Where an engine cannot be.
pub fn newcomer(rate: f64, seed: u64) -> Result<Newcomer, Error> {
    let fleet = shipped("newcomer")?;
    let new = fleet.members.len() - 1;
    let settings = Settings { joins: vec![(new, Moment(0).after_seconds(JOINS_S))], ..Settings::default() };
    let run = Run::of(fleet, NEWCOMER_S, &settings, rate, seed)?;
    let own: Vec<f64> = run.rows.iter().filter(|row| row.backend == Some(new)).map(seconds).collect();
    let (first, hundredth) = (own.first().copied(), own.get(99).copied());
    let (Some(first), Some(hundredth)) = (first, hundredth) else {
        return Err(Error::Failed("the newcomer did not get a hundred requests".into()));
    };
    let steady = run.share(new, NEWCOMER_S - 120.0..NEWCOMER_S);
    let later = hundredth..hundredth + (hundredth - first).max(60.0);
    Ok(Newcomer {
        at_once: run.share(new, first..hundredth) / steady,
        after_hundred: run.share(new, later) / steady,
        steady,
    })
}

fn seconds(row: &Outcome) -> f64 {
    row.at.seconds_since(Moment(0))
}
