//! The best assignments in hindsight: found with the simulator itself.
//!
//! Descent: each engine in turn takes the profile with which the mean end-to-end time over a sample of the day is least, then
//! each two engines exchange theirs where that is better, until a round changes nothing. For the fixed assignment it starts
//! from the best of those that give every engine the same profile and of those that the controller came by, and the sample is
//! a slice of every hour. For an hour of the oracle it starts from the best of the fixed one, the defaults and the
//! controller's, and the sample is a longer slice of that hour. Samples are the same for all that is compared.
//!
//! Neither is proven to be the best: they are what this search finds.

use std::{sync::Arc, time::Duration};

use super::{Day, HOURS, Menu};
use crate::{
    sim::SpecError,
    study::{Fleet, Gearshift, Member, Policy, Settings, Trip, compare::parallel::each, run},
};

/// A profile for each engine, by position among those it can run.
pub(super) type Assignment = Vec<usize>;

/// Rounds of a descent at most.
const ROUNDS: usize = 3;
/// A change has to be better by this share: less is the sample's noise.
const STEP: f64 = 0.002;
/// Where in its hour a slice begins, as a share of the hour.
const SLICE_AT: f64 = 0.4;
/// At the beginning of a slice, not counted: engines fill and the router learns.
const LEAD_IN: Duration = Duration::from_secs(90);
/// What is counted of a slice: for the fixed assignment, and for an hour of the oracle.
pub(super) const FIXED_SLICE: Duration = Duration::from_secs(150);
pub(super) const HOUR_SLICE: Duration = Duration::from_secs(420);

/// A part of the day.
#[derive(Debug)]
pub(super) struct Slice {
    trips: Vec<Arc<Trip>>,
}

impl Slice {
    pub(super) fn of(day: &Day, hour: usize, counted: Duration) -> Self {
        let from = day.hour * u32::try_from(hour).unwrap_or(0) + day.hour.mul_f64(SLICE_AT);
        Self { trips: day.between(from, from + LEAD_IN + counted) }
    }

    /// Sum of end-to-end times, and how many.
    fn e2e_s(&self, fleet: &Fleet, seed: u64) -> Result<(f64, f64), SpecError> {
        let mut sum = (0.0, 0.0);
        let mut policy = router(seed);
        run(fleet, self.trips.iter().cloned(), &mut policy, &Settings::default(), seed, |row| {
            if row.at.seconds_since(crate::sim::Moment(0)) >= LEAD_IN.as_secs_f64() {
                sum = (sum.0 + row.e2e_s, sum.1 + 1.0);
            }
        })?;
        Ok(sum)
    }
}

/// The router of all arms: Gearshift without a meta-learner, for latency.
pub(super) fn router(seed: u64) -> impl Policy {
    Gearshift::new(gearshift_config::Objective::Latency, gearshift_config::Slo::default(), seed)
}

/// Engines in the profiles they can run.
#[derive(Debug, Clone)]
pub(super) struct Shapes {
    /// By engine: positions in the menu, and what the engine is then.
    engines: Vec<Vec<(usize, Member)>>,
}

impl Shapes {
    pub(super) fn of(fleet: &Fleet, menu: &Menu) -> Self {
        Self { engines: fleet.members.iter().map(|member| menu.of(member)).collect() }
    }

    pub(super) fn fleet(&self, at: &Assignment) -> Fleet {
        let member = |(shapes, &at): (&Vec<(usize, Member)>, &usize)| shapes[at].1.clone();
        Fleet { name: "day".into(), members: self.engines.iter().zip(at).map(member).collect() }
    }

    /// Two engines with each other's profiles; `None` where these are the same or one of them cannot run the other's.
    fn exchanged(&self, at: &Assignment, a: usize, b: usize) -> Option<Assignment> {
        let (of_a, of_b) = (self.engines[a][at[a]].0, self.engines[b][at[b]].0);
        let find = |engine: usize, profile| self.engines[engine].iter().position(|(at, _)| *at == profile);
        let mut then = at.clone();
        (then[a], then[b]) = (find(a, of_b)?, find(b, of_a)?);
        (of_a != of_b).then_some(then)
    }

    /// Profiles of an assignment, by position in the menu.
    pub(super) fn profiles(&self, at: &Assignment) -> Vec<usize> {
        self.engines.iter().zip(at).map(|(shapes, &at)| shapes[at].0).collect()
    }

    /// The assignment of these profiles, by name; vLLM's defaults where an engine cannot run one.
    pub(super) fn named(&self, menu: &Menu, names: &[String]) -> Assignment {
        let of = |(shapes, name): (&Vec<(usize, Member)>, &String)| {
            shapes.iter().position(|(at, _)| menu.profiles[*at].id.as_str() == name).unwrap_or(0)
        };
        self.engines.iter().zip(names).map(of).collect()
    }

    /// Every engine in one profile; those that cannot run it in vLLM's defaults.
    pub(super) fn uniform(&self, profile: usize) -> Assignment {
        let of =
            |shapes: &Vec<(usize, Member)>| shapes.iter().position(|(at, _)| *at == profile).unwrap_or(0);
        self.engines.iter().map(of).collect()
    }
}

/// What is sampled, and by how many threads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample<'a> {
    pub(super) shapes: &'a Shapes,
    pub(super) slices: &'a [Slice],
    pub(super) threads: usize,
    pub(super) seed: u64,
}

impl Sample<'_> {
    fn mean_e2e_s(&self, at: &Assignment) -> Result<f64, SpecError> {
        let fleet = self.shapes.fleet(at);
        let sums = each(self.slices, self.threads, |slice| slice.e2e_s(&fleet, self.seed))?;
        let (sum, count) = sums.iter().fold((0.0, 0.0), |all, one| (all.0 + one.0, all.1 + one.1));
        Ok(sum / f64::max(count, 1.0))
    }

    /// The best assignment that one changed engine after the other leads to, beginning with the best of `starts`.
    pub(super) fn descend(
        &self,
        starts: &[Assignment],
        progress: &dyn Fn(),
    ) -> Result<Assignment, SpecError> {
        let mut best: Option<(Assignment, f64)> = None;
        for start in starts {
            let mean = self.mean_e2e_s(start)?;
            progress();
            if best.as_ref().is_none_or(|(_, least)| mean < *least) {
                best = Some((start.clone(), mean));
            }
        }
        let Some((mut at, mut least)) = best else { return Ok(Vec::new()) };
        for _ in 0..ROUNDS {
            let before = at.clone();
            for engine in 0..at.len() {
                for profile in 0..self.shapes.engines[engine].len() {
                    let mut then = at.clone();
                    then[engine] = profile;
                    if then == at {
                        continue;
                    }
                    let mean = self.mean_e2e_s(&then)?;
                    progress();
                    if mean < least * (1.0 - STEP) {
                        (at, least) = (then, mean);
                    }
                }
            }
            for (a, b) in (0..at.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
                let Some(then) = self.shapes.exchanged(&at, a, b) else { continue };
                let mean = self.mean_e2e_s(&then)?;
                progress();
                if mean < least * (1.0 - STEP) {
                    (at, least) = (then, mean);
                }
            }
            if at == before {
                break;
            }
        }
        Ok(at)
    }
}

/// Slices of every hour, for the fixed assignment.
pub(super) fn slices(day: &Day) -> Vec<Slice> {
    (0..HOURS).map(|hour| Slice::of(day, hour, FIXED_SLICE)).collect()
}
