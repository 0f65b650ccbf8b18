//! The part of the loop that shifts engines into other profiles.
//!
//! As the proxy does it: the engine gets no new requests and finishes those it has; then it is started anew, its cache empty;
//! and it is on probation until its first token. Nothing is cut: an engine that is not done with what it has in time stays
//! what it is.

use std::time::Duration;

use gearshift_selector::Availability;

use super::{
    Member, Outcome, Trip,
    event::Event,
    policy::{News, Policy},
    run::Run,
};
use crate::sim::Moment;

/// How long an engine may take to finish what it has.
const DRAIN: Duration = Duration::from_secs(900);
/// How often an engine on its way is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Says which engine is to run what, as the proxy's controller does.
pub trait Shifter {
    /// How often it is asked.
    fn every(&self) -> Duration;

    /// A request has come.
    fn arrived(&mut self, trip: &Trip, now: Moment);

    /// A request has ended. `expected`: what the router's prior said of it.
    fn served(&mut self, trip: &Trip, row: &Outcome, expected: Option<(f64, f64)>, now: Moment);

    /// What to begin now. `ready`: which engines take requests.
    fn plan(&mut self, ready: &[bool], now: Moment) -> Vec<Shift>;

    /// A shift has ended, well or not.
    fn finished(&mut self, engine: usize, took: Duration, ok: bool, now: Moment);
}

/// One engine is to become another.
#[derive(Debug, Clone)]
pub struct Shift {
    /// Its position in the fleet.
    pub engine: usize,
    /// What it is to be.
    pub member: Member,
}

/// An engine on its way.
#[derive(Debug)]
pub(super) struct Moving {
    since: Moment,
    to: Member,
    /// It has been started as what it is to be.
    started: bool,
}

impl<'r, P: Policy + ?Sized, V: FnMut(&Outcome)> Run<'r, P, V> {
    pub(super) fn shift_by(&mut self, shifter: &'r mut dyn Shifter) {
        self.agenda.enter(Moment(0).after(shifter.every()), Event::Plan);
        self.shifter = Some(shifter);
    }

    pub(super) fn plan(&mut self) {
        let Some(shifter) = &mut self.shifter else { return };
        self.agenda.enter(self.now.after(shifter.every()), Event::Plan);
        let ready: Vec<bool> = self
            .moving
            .iter()
            .zip(&self.healthy)
            .map(|(moving, healthy)| moving.is_none() && *healthy)
            .collect();
        for Shift { engine, member } in shifter.plan(&ready, self.now) {
            if ready.get(engine) == Some(&true) && self.moving[engine].is_none() {
                let from = self.watches[engine].availability();
                self.moving[engine] = Some(Moving { since: self.now, to: member, started: false });
                self.healthy[engine] = false;
                self.policy.learned(engine, News::Changed { from, to: Availability::Shifting }, self.now);
                self.agenda.enter(self.now.after(LOOK_EVERY), Event::Shifting(engine));
            }
        }
    }

    /// Carries a shift on, where it can be.
    pub(super) fn shifting(&mut self, engine: usize) {
        self.advance(engine, self.now);
        let Some(mut moving) = self.moving[engine].take() else { return };
        let empty = self.outstanding[engine] == 0;
        if !moving.started && empty {
            match self.stations[engine].restart(&moving.to.engine, self.now) {
                Ok(()) => moving.started = true,
                Err(_) => return self.stays(engine, &moving),
            }
            let kv_tokens = self.stations[engine].kv_tokens();
            self.policy.reshaped(engine, &moving.to, kv_tokens, self.now);
            self.due[engine] = self.stations[engine].due();
        } else if !moving.started && self.now.seconds_since(moving.since) > DRAIN.as_secs_f64() {
            return self.stays(engine, &moving);
        } else if moving.started && self.stations[engine].healthy() {
            return self.arrives(engine, &moving);
        }
        self.moving[engine] = Some(moving);
        self.agenda.enter(self.now.after(LOOK_EVERY), Event::Shifting(engine));
    }

    /// It takes requests again, as what it was.
    fn stays(&mut self, engine: usize, moving: &Moving) {
        self.healthy[engine] = true;
        let to = self.watches[engine].availability();
        self.policy.learned(engine, News::Changed { from: Availability::Shifting, to }, self.now);
        self.told(engine, moving, false);
    }

    /// It takes requests as what it was to be, the first one on probation.
    fn arrives(&mut self, engine: usize, moving: &Moving) {
        self.watches[engine].checked(false, self.now);
        self.watches[engine].checked(true, self.now);
        self.healthy[engine] = true;
        self.conclude(engine);
        self.told(engine, moving, true);
    }

    fn told(&mut self, engine: usize, moving: &Moving, ok: bool) {
        let took = Duration::from_secs_f64(self.now.seconds_since(moving.since));
        self.summary_mut().shifts += u64::from(ok);
        if let Some(shifter) = &mut self.shifter {
            shifter.finished(engine, took, ok, self.now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gearshift_config::Knobs;

    use super::*;
    use crate::{
        scenario::Scenario,
        sim::EngineSpec,
        study::{End, Fleet, Gearshift, Settings, run_shifting},
        workload::Workload,
    };

    /// Shifts the first engine once.
    struct Once {
        member: Option<Member>,
        served: usize,
        ready: Vec<bool>,
        finished: Option<(Duration, bool)>,
    }

    impl Shifter for Once {
        fn every(&self) -> Duration {
            Duration::from_secs(20)
        }

        fn arrived(&mut self, _trip: &Trip, _now: Moment) {}

        fn served(&mut self, _trip: &Trip, _row: &Outcome, expected: Option<(f64, f64)>, _now: Moment) {
            self.served += usize::from(expected.is_some_and(|(ttft_s, tpot_s)| ttft_s > 0.0 && tpot_s > 0.0));
        }

        fn plan(&mut self, ready: &[bool], _now: Moment) -> Vec<Shift> {
            self.ready.push(ready[0]);
            self.member.take().map(|member| Shift { engine: 0, member }).into_iter().collect()
        }

        fn finished(&mut self, engine: usize, took: Duration, ok: bool, _now: Moment) {
            assert_eq!(engine, 0);
            self.finished = Some((took, ok));
        }
    }

    fn shifted(start_s: f64, knobs: Knobs) -> (Once, Vec<Outcome>, u64) {
        let mut fleet = Fleet::of(&Scenario::shipped("homogeneous").unwrap());
        fleet.members.truncate(2);
        let mut engine = EngineSpec { knobs, ..fleet.members[0].engine.clone() };
        engine.times.start_s = start_s;
        let member = Some(Member::honest(engine));
        let mut once = Once { member, served: 0, ready: Vec::new(), finished: None };
        let workload = Workload::find("chat").unwrap().at_rate(6.0).within_context(8192).limited(900);
        let trips = workload.requests(3).map(|request| {
            Arc::new(Trip::new(&request, Moment(0).after(request.at), &fleet.block_sizes(), 1))
        });
        let mut policy =
            Gearshift::new(gearshift_config::Objective::Latency, gearshift_config::Slo::default(), 1);
        let mut rows = Vec::new();
        let summary = run_shifting(&fleet, trips, &mut policy, &Settings::default(), 1, &mut once, |row| {
            rows.push(*row);
        })
        .unwrap();
        (once, rows, summary.shifts)
    }

    #[test]
    fn a_shift_loses_nothing_and_the_engine_comes_back() {
        let knobs = Knobs { prefix_caching: Some(false), ..Knobs::default() };
        let (once, rows, shifts) = shifted(40.0, knobs);
        assert_eq!((rows.len(), once.served, shifts), (900, 900, 1));
        assert!(rows.iter().all(|row| row.end == End::Whole && row.retries == 0));
        let (took, ok) = once.finished.unwrap();
        assert!(ok && took.as_secs_f64() > 40.0 && took.as_secs_f64() < 100.0, "{took:?}");
        assert_eq!(once.ready[..3], [true, false, false]);
        assert_eq!(once.ready.last(), Some(&true));
        // While it is away the other takes all; afterwards both serve, the one without a cache as well.
        let during = |row: &&Outcome| (22.0..55.0).contains(&row.at.seconds_since(Moment(0)));
        assert!(rows.iter().filter(during).all(|row| row.backend == Some(1)));
        let late = |row: &&Outcome| row.at.seconds_since(Moment(0)) > 110.0 && row.backend == Some(0);
        let late: Vec<_> = rows.iter().filter(late).collect();
        assert!(late.len() > 50 && late.iter().all(|row| row.cached_tokens == 0), "{}", late.len());
    }

    #[test]
    fn what_cannot_be_stays_what_it_was() {
        let knobs = Knobs { max_num_seqs: Some(0), ..Knobs::default() };
        let (once, rows, shifts) = shifted(40.0, knobs);
        assert_eq!((shifts, once.finished.map(|(_, ok)| ok)), (0, Some(false)));
        assert!(rows.iter().all(|row| row.end == End::Whole));
        let late = |row: &&Outcome| row.at.seconds_since(Moment(0)) > 110.0 && row.backend == Some(0);
        assert!(rows.iter().filter(late).count() > 50);
    }
}
