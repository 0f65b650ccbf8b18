//! The arms of the study, run over the same day.

use std::{sync::Arc, time::Duration};

use gearshift_selector::controller::Settings as Eagerness;

use super::{
    Controller, Day, DayError, HOURS, Menu,
    search::{Assignment, HOUR_SLICE, Sample, Shapes, Slice, router, slices},
};
use crate::{
    sim::{Moment, SpecError},
    study::{
        End, Fleet, Outcome, Settings, Shifter, Summary, Trip, compare::parallel::each, grid, run,
        run_shifting,
    },
};

/// What is run.
#[derive(Debug, Clone)]
pub struct Loop {
    /// The engines, whatever profile they are in.
    pub fleet: Fleet,
    /// What they may run.
    pub menu: Menu,
    /// How eager the controller is.
    pub eagerness: Eagerness,
    /// Whether what hindsight would have done is searched for: most of the work.
    pub hindsight: bool,
    /// Which day.
    pub seed: u64,
    /// How long its hours last: [`Day::HOUR`] but in tests.
    pub hour: Duration,
    /// Threads to work on.
    pub threads: usize,
}

/// Who decides on profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The controller, beginning with vLLM's defaults.
    On,
    /// Nobody: vLLM's defaults on every engine.
    Off,
    /// The best fixed assignment in hindsight.
    Fixed,
    /// The best assignment of each hour in hindsight, shifted into at no cost.
    Oracle,
}

/// An hour of an arm.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct HourFigures {
    /// Requests that came in it.
    pub requests: u64,
    /// Of these, those without a whole answer.
    pub lost: u64,
    /// Sum of their end-to-end times, seconds; one without a whole answer counts as a minute at least.
    pub e2e_s: f64,
    /// Sum of their times to first token, seconds.
    pub ttft_s: f64,
    /// Their output tokens.
    pub output_tokens: u64,
    /// Price of the engines for the seconds of the hour in which a step ran, US dollars.
    pub usd: f64,
}

/// A shift of the controller's.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Shifted {
    /// When it had ended, hours.
    pub at_h: f64,
    /// The engine.
    pub engine: String,
    /// What it ran before.
    pub from: String,
    /// What it runs then.
    pub to: String,
}

/// What an arm came to.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ArmResult {
    /// Who decided.
    pub arm: Arm,
    /// Hour by hour.
    pub hours: Vec<HourFigures>,
    /// Profiles of the engines: one row for the whole day, or one for each hour; as they were at its end where the controller
    /// decides.
    pub profiles: Vec<Vec<String>>,
    /// What the controller did.
    pub shifts: Vec<Shifted>,
}

/// Time before an hour of the oracle that is run with its assignment and not counted, as a part of an hour.
const LEAD_IN: u32 = 2;

/// Runs all arms on the day. `progress` is called for each assignment that was tried, and for each arm, in no set number.
///
/// # Errors
/// Where an engine cannot be.
pub fn run_loop(plan: &Loop, progress: &(dyn Fn() + Sync)) -> Result<(Day, Vec<ArmResult>), DayError> {
    let context = plan.fleet.members.iter().filter_map(|member| member.engine.knobs.max_model_len).min();
    let shapes = Shapes::of(&plan.fleet, &plan.menu);
    let defaults = shapes.uniform(0);
    let fleet = shapes.fleet(&defaults);
    let day = Day::new(&fleet, context.unwrap_or(16_384), plan.seed, plan.hour)?;
    let first = [Arm::On, Arm::Off];
    let run = |arm: &Arm| {
        let on = *arm == Arm::On;
        let result =
            if on { on_day(plan, &fleet, &day) } else { unchanged(plan, &shapes, &day, Arm::Off, &defaults) };
        progress();
        result
    };
    let mut arms = each(&first, plan.threads, run)?;
    if plan.hindsight {
        let held = arms.first().map(|on| on.profiles.clone()).unwrap_or_default();
        let held: Vec<Assignment> = held.iter().map(|names| shapes.named(&plan.menu, names)).collect();
        let mut starts: Vec<Assignment> =
            (0..plan.menu.profiles.len()).map(|profile| shapes.uniform(profile)).collect();
        starts.extend(held.iter().cloned());
        starts.sort_unstable();
        starts.dedup();
        let slices = slices(&day);
        let sample = Sample { shapes: &shapes, slices: &slices, threads: plan.threads, seed: plan.seed };
        let best = sample.descend(&starts, &|| progress())?;
        // A sample may mislead: what the controller ended with is held against what was found over the whole day.
        let mut finalists = vec![best];
        finalists.extend(held.last().cloned());
        let days = each(&finalists, plan.threads, |at| unchanged(plan, &shapes, &day, Arm::Fixed, at))?;
        let e2e_s = |result: &ArmResult| result.hours.iter().map(|hour| hour.e2e_s).sum::<f64>();
        let best = finalists.into_iter().zip(days).min_by(|(_, a), (_, b)| e2e_s(a).total_cmp(&e2e_s(b)));
        let Some((best, fixed)) = best else { return Ok((day, arms)) };
        arms.push(fixed);
        arms.push(oracle(plan, &shapes, &day, &held, &[best, defaults], progress)?);
    }
    Ok((day, arms))
}

fn on_day(plan: &Loop, fleet: &Fleet, day: &Day) -> Result<ArmResult, SpecError> {
    let mut controller = Controller::new(fleet, &plan.menu, plan.eagerness.clone(), plan.seed);
    let mut hours = Hours::new(HOURS, Duration::ZERO, day.hour);
    let mut policy = router(plan.seed);
    let shifter: &mut dyn Shifter = &mut controller;
    let sampled = hours.sampled();
    let summary =
        run_shifting(fleet, day.trips(), &mut policy, &sampled, plan.seed, shifter, |row| hours.take(row))?;
    let shifted = |(at, engine, from, to): &(Moment, usize, _, _)| Shifted {
        at_h: at.seconds_since(Moment(0)) / day.hour.as_secs_f64(),
        engine: fleet.members[*engine].engine.name.clone(),
        from: ToString::to_string(from),
        to: ToString::to_string(to),
    };
    let shifts = controller.log.iter().map(shifted).collect();
    let profiles = held(&controller, &plan.menu, fleet.members.len(), day.hour);
    Ok(ArmResult { arm: Arm::On, hours: hours.figures(&summary, fleet), profiles, shifts })
}

/// Profiles of the engines at the end of each hour.
fn held(controller: &Controller, menu: &Menu, engines: usize, length: Duration) -> Vec<Vec<String>> {
    let mut at = vec![menu.profiles[0].id.to_string(); engines];
    let mut log = controller.log.iter().peekable();
    let mut hour = |hour: usize| {
        let end = (hour + 1) as f64 * length.as_secs_f64();
        while let Some((_, engine, _, to)) = log.next_if(|(when, ..)| when.seconds_since(Moment(0)) <= end) {
            at[*engine] = to.to_string();
        }
        at.clone()
    };
    (0..HOURS).map(&mut hour).collect()
}

/// An assignment that stays, over the whole day.
fn unchanged(
    plan: &Loop,
    shapes: &Shapes,
    day: &Day,
    arm: Arm,
    assignment: &Assignment,
) -> Result<ArmResult, SpecError> {
    let fleet = shapes.fleet(assignment);
    let mut hours = Hours::new(HOURS, Duration::ZERO, day.hour);
    let (mut policy, sampled) = (router(plan.seed), hours.sampled());
    let summary = run(&fleet, day.trips(), &mut policy, &sampled, plan.seed, |row| hours.take(row))?;
    let profiles = vec![named(&plan.menu, shapes, assignment)];
    Ok(ArmResult { arm, hours: hours.figures(&summary, &fleet), profiles, shifts: Vec::new() })
}

fn named(menu: &Menu, shapes: &Shapes, assignment: &Assignment) -> Vec<String> {
    shapes.profiles(assignment).into_iter().map(|at| menu.profiles[at].id.to_string()).collect()
}

/// Hour by hour: of what the search found, of what the controller `held` and of `others`, what is best over the very hour.
fn oracle(
    plan: &Loop,
    shapes: &Shapes,
    day: &Day,
    held: &[Assignment],
    others: &[Assignment],
    progress: &(dyn Fn() + Sync),
) -> Result<ArmResult, SpecError> {
    let hours: Vec<usize> = (0..HOURS).collect();
    let results = each(&hours, plan.threads, |&hour| {
        let slices = [Slice::of(day, hour, HOUR_SLICE)];
        let sample = Sample { shapes, slices: &slices, threads: 1, seed: plan.seed };
        let others: Vec<Assignment> = others.iter().chain(held.get(hour)).cloned().collect();
        let found = sample.descend(&others, &|| progress())?;
        let (trips, lead_in) = hour_with_lead_in(day, hour);
        let mut best: Option<(HourFigures, Assignment)> = None;
        for assignment in [&found].into_iter().chain(&others) {
            let hours = Hours::new(1, lead_in, day.hour);
            let figures = one_hour(shapes, assignment, &trips, hours, plan.seed)?;
            progress();
            if best.as_ref().is_none_or(|(least, _)| figures.e2e_s < least.e2e_s) {
                best = Some((figures, assignment.clone()));
            }
        }
        Ok::<_, SpecError>(best.unwrap_or_default())
    })?;
    let profiles = results.iter().map(|(_, assignment)| named(&plan.menu, shapes, assignment)).collect();
    let hours = results.into_iter().map(|(figures, _)| figures).collect();
    Ok(ArmResult { arm: Arm::Oracle, hours, profiles, shifts: Vec::new() })
}

fn hour_with_lead_in(day: &Day, hour: usize) -> (Vec<Arc<Trip>>, Duration) {
    let from = day.hour * u32::try_from(hour).unwrap_or(0);
    let lead_in = (day.hour / LEAD_IN).min(from);
    (day.between(from - lead_in, from + day.hour), lead_in)
}

fn one_hour(
    shapes: &Shapes,
    assignment: &Assignment,
    trips: &[Arc<Trip>],
    mut hours: Hours,
    seed: u64,
) -> Result<HourFigures, SpecError> {
    let fleet = shapes.fleet(assignment);
    let (mut policy, sampled) = (router(seed), hours.sampled());
    let summary = run(&fleet, trips.iter().cloned(), &mut policy, &sampled, seed, |row| hours.take(row))?;
    Ok(hours.figures(&summary, &fleet).first().copied().unwrap_or_default())
}

/// How often in an hour the engines' busy seconds are noted; a multiple of [`LEAD_IN`].
const SAMPLES: u32 = 6;

/// Rows by the hour in which their request came.
struct Hours {
    lead_in: Duration,
    length: Duration,
    figures: Vec<HourFigures>,
}

impl Hours {
    fn new(count: usize, lead_in: Duration, length: Duration) -> Self {
        Self { lead_in, length, figures: vec![HourFigures::default(); count] }
    }

    /// Settings of a run that these can be told of.
    fn sampled(&self) -> Settings {
        Settings { sample_every: Some(self.length / SAMPLES), ..Settings::default() }
    }

    fn take(&mut self, row: &Outcome) {
        let since = row.at.seconds_since(Moment(0)) - self.lead_in.as_secs_f64();
        if since < 0.0 {
            return;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive hour of the day"
        )]
        let hour = (since / self.length.as_secs_f64()) as usize;
        let Some(figures) = self.figures.get_mut(hour) else { return };
        let whole = row.end == End::Whole;
        figures.requests += 1;
        figures.lost += u64::from(!whole);
        figures.e2e_s += if whole { row.e2e_s } else { row.e2e_s.max(grid::LOST_S) };
        figures.ttft_s += row.ttft_s.unwrap_or(grid::LOST_S);
        figures.output_tokens += u64::from(row.output_tokens);
    }

    /// With the price of the hours, from what the engines had been busy for at their ends.
    fn figures(mut self, summary: &Summary, fleet: &Fleet) -> Vec<HourFigures> {
        let length = self.length.as_secs_f64();
        let every = length / f64::from(SAMPLES);
        let usd = |seconds: f64| -> f64 {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a small positive count"
            )]
            let at = (seconds / every).round() as usize;
            let Some(at) = at.checked_sub(1) else { return 0.0 };
            let Some(busy) = summary.busy_s.get(at).or(summary.busy_s.last()) else { return 0.0 };
            busy.iter().zip(&fleet.members).map(|(busy, member)| busy * member.price_usd_per_s()).sum()
        };
        let lead_in = self.lead_in.as_secs_f64();
        for (hour, figures) in self.figures.iter_mut().enumerate() {
            let from = lead_in + hour as f64 * length;
            figures.usd = usd(from + length) - usd(from);
        }
        self.figures
    }
}
