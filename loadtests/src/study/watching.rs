//! The part of the loop that watches engines and lets things go wrong.

use gearshift_selector::{Availability, ScrapedLoad};

use super::{
    Outcome, TimedFault,
    event::{Answer, Event},
    policy::{News, Policy},
    router::Ride,
    run::Run,
};

impl<P: Policy + ?Sized, V: FnMut(&Outcome)> Run<'_, P, V> {
    pub(super) fn check(&mut self, engine: usize, regular: bool) {
        if regular {
            let next = self.now.after(self.settings.watching.health_interval);
            self.agenda.enter(next, Event::Check(engine, true));
        }
        if self.moving[engine].is_some() {
            return;
        }
        let healthy = self.stations[engine].healthy() && self.joined(engine);
        self.healthy[engine] = healthy;
        self.watches[engine].checked(healthy, self.now);
        if healthy {
            let round_trip = self.fleet.members[engine].round_trip + self.lost(engine) + self.lost(engine);
            self.policy.learned(engine, News::RoundTrip(round_trip), self.now);
        }
        self.conclude(engine);
    }

    /// Whether an engine is there yet.
    fn joined(&self, engine: usize) -> bool {
        self.settings.joins.iter().all(|&(at, from)| at != engine || from <= self.now)
    }

    pub(super) fn scrape(&mut self, engine: usize) {
        self.agenda.enter(self.now.after(self.policy.scrape_interval()), Event::Scrape(engine));
        if !self.joined(engine) {
            return;
        }
        self.advance(engine, self.now);
        let Some(gauges) = self.stations[engine].scrape() else { return };
        let load = ScrapedLoad {
            at: self.now,
            running: gauges.running,
            waiting: gauges.waiting,
            kv_usage: gauges.kv_usage,
        };
        self.scrapes[engine] = Some(load);
        self.watches[engine].counted(self.stations[engine].tokens(), self.now);
        self.policy.learned(engine, News::Scraped(load), self.now);
        self.conclude(engine);
    }

    pub(super) fn conclude(&mut self, engine: usize) {
        if self.moving[engine].is_some() {
            return;
        }
        let (outstanding, watching) = (self.outstanding[engine], &self.settings.watching);
        let changed = self.watches[engine].conclude(outstanding, watching.hang_after, self.now);
        let to = self.watches[engine].availability();
        if let Some(from) = changed {
            self.policy.learned(engine, News::Changed { from, to }, self.now);
        }
        if to == Availability::Hung {
            self.give_up_silent(engine);
        }
    }

    /// Responses in which nothing came for too long are cut, as the proxy does.
    fn give_up_silent(&mut self, engine: usize) {
        let (now, idle) = (self.now, self.settings.response_idle.as_secs_f64());
        let silent =
            |ride: &Ride| ride.backend == engine && ride.taken && now.seconds_since(ride.last) >= idle;
        for ticket in self.rides.find(silent) {
            self.stations[engine].cancel(ticket, now);
            self.comes(ticket, Answer::Cut);
        }
        self.due[engine] = self.stations[engine].due();
    }

    /// Notes the engines' busy seconds.
    pub(super) fn sample(&mut self) {
        let Some(every) = self.settings.sample_every else { return };
        self.agenda.enter(self.now.after(every), Event::Sample);
        (0..self.stations.len()).for_each(|engine| self.advance(engine, self.now));
        let busy_s = self.stations.iter().map(|station| station.totals().busy_s).collect();
        self.summary_mut().busy_s.push(busy_s);
    }

    /// A fault begins, or is lifted.
    pub(super) fn fault(&mut self, number: usize, begins: bool) {
        let Some(&TimedFault { engine, fault, .. }) = self.settings.faults.get(number) else { return };
        self.advance(engine, self.now);
        if begins {
            self.stations[engine].begin(fault, self.now);
        } else {
            self.stations[engine].lift(fault, self.now);
        }
        // What it had is aborted by a crash, which is news.
        self.advance(engine, self.now);
    }
}
