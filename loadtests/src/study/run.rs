//! The loop: engines, arrivals, scrapes, health checks and faults, in order of virtual time.

use std::{sync::Arc, time::Duration};

use gearshift_selector::{Availability, ScrapedLoad};

use super::{
    End, Fleet, Outcome, Settings, Summary, Tally,
    event::{Agenda, Answer, Ending, Event},
    policy::{News, Policy, Signal, Ticket, View},
    router::{RetryBudget, Rides},
    shifting::{Moving, Shifter},
    station::Station,
    trip::Trip,
    watch::Watch,
};
use crate::sim::{Moment, Output, OutputKind, SpecError};

/// Routes `trips`, which come in order of time, through a fleet by a policy, until the last one has ended. Every
/// request's row goes to `visit` as it ends. Deterministic: the same arguments give the same rows.
///
/// # Errors
/// Where an engine of the fleet cannot be.
pub fn run(
    fleet: &Fleet,
    trips: impl IntoIterator<Item = Arc<Trip>>,
    policy: &mut (impl Policy + ?Sized),
    settings: &Settings,
    seed: u64,
    visit: impl FnMut(&Outcome),
) -> Result<Summary, SpecError> {
    drive(fleet, trips, policy, settings, seed, None, visit)
}

/// As [`run`], while `shifter` says which engine is to run what.
///
/// # Errors
/// As [`run`].
pub fn run_shifting(
    fleet: &Fleet,
    trips: impl IntoIterator<Item = Arc<Trip>>,
    policy: &mut (impl Policy + ?Sized),
    settings: &Settings,
    seed: u64,
    shifter: &mut dyn Shifter,
    visit: impl FnMut(&Outcome),
) -> Result<Summary, SpecError> {
    drive(fleet, trips, policy, settings, seed, Some(shifter), visit)
}

fn drive(
    fleet: &Fleet,
    trips: impl IntoIterator<Item = Arc<Trip>>,
    policy: &mut (impl Policy + ?Sized),
    settings: &Settings,
    seed: u64,
    shifter: Option<&mut dyn Shifter>,
    visit: impl FnMut(&Outcome),
) -> Result<Summary, SpecError> {
    let engine = |(at, member)| Station::new(member, seed.wrapping_mul(0x9E37_79B9).wrapping_add(at));
    let stations = (0u64..).zip(&fleet.members).map(engine).collect::<Result<Vec<_>, _>>()?;
    let kv_tokens: Vec<u64> = stations.iter().map(Station::kv_tokens).collect();
    policy.begin(fleet, &kv_tokens);
    let mut run = Run::new(fleet, stations, policy, settings, seed, visit);
    if let Some(shifter) = shifter {
        run.shift_by(shifter);
    }
    let mut trips = trips.into_iter().peekable();
    loop {
        match run.next(trips.peek().map(|trip| trip.at)) {
            Next::Engine(at, engine) => run.advance(engine, at),
            Next::Event => run.event(),
            Next::Arrival => trips.next().into_iter().for_each(|trip| run.arrive(trip)),
            Next::Nothing => return Ok(run.summary()),
        }
    }
}

/// What comes next.
enum Next {
    Engine(Moment, usize),
    Event,
    Arrival,
    Nothing,
}

/// A run under way.
pub(super) struct Run<'r, P: ?Sized, V> {
    pub(super) fleet: &'r Fleet,
    pub(super) settings: &'r Settings,
    pub(super) policy: &'r mut P,
    pub(super) visit: V,
    pub(super) shifter: Option<&'r mut dyn Shifter>,
    /// By engine: those on their way into another profile.
    pub(super) moving: Vec<Option<Moving>>,
    pub(super) now: Moment,
    pub(super) agenda: Agenda,
    pub(super) stations: Vec<Station>,
    /// When each engine next puts something out.
    pub(super) due: Vec<Moment>,
    /// When each engine's progress was last looked up.
    counted: Vec<Moment>,
    pub(super) watches: Vec<Watch>,
    pub(super) healthy: Vec<bool>,
    pub(super) outstanding: Vec<u32>,
    pub(super) scrapes: Vec<Option<ScrapedLoad>>,
    pub(super) rides: Rides,
    pub(super) budget: RetryBudget,
    pub(super) rng: fastrand::Rng,
    outputs: Vec<Output>,
    pub(super) summary: Summary,
}

impl<'r, P: Policy + ?Sized, V: FnMut(&Outcome)> Run<'r, P, V> {
    fn new(
        fleet: &'r Fleet,
        stations: Vec<Station>,
        policy: &'r mut P,
        settings: &'r Settings,
        seed: u64,
        visit: V,
    ) -> Self {
        let engines = stations.len();
        let mut watches: Vec<Watch> = (0..engines).map(|_| Watch::new()).collect();
        let mut healthy = vec![true; engines];
        for &(engine, _) in &settings.joins {
            (watches[engine], healthy[engine]) = (Watch::absent(), false);
            let news = News::Changed { from: Availability::Ready, to: Availability::Down };
            policy.learned(engine, news, Moment(0));
        }
        let mut agenda = Agenda::default();
        let scrape_every = policy.scrape_interval();
        for at in 0..engines {
            // Spread over the interval, as watchers that were not started in step.
            let phase = (at as f64 + 0.5) / engines as f64;
            let after = |every: Duration| Moment(0).after_seconds(every.as_secs_f64() * phase);
            agenda.enter(after(settings.watching.health_interval), Event::Check(at, true));
            agenda.enter(after(scrape_every), Event::Scrape(at));
        }
        if let Some(every) = settings.sample_every {
            agenda.enter(Moment(0).after(every), Event::Sample);
        }
        for (number, fault) in settings.faults.iter().enumerate() {
            agenda.enter(fault.from, Event::Fault(number, true));
            agenda.enter(fault.until, Event::Fault(number, false));
        }
        Self {
            fleet,
            settings,
            policy,
            visit,
            shifter: None,
            moving: (0..engines).map(|_| None).collect(),
            now: Moment(0),
            agenda,
            due: vec![Moment(u64::MAX); engines],
            counted: vec![Moment(0); engines],
            watches,
            healthy,
            outstanding: vec![0; engines],
            scrapes: vec![None; engines],
            rides: Rides::default(),
            budget: RetryBudget::new(settings.retries.budget),
            rng: fastrand::Rng::with_seed(seed),
            outputs: Vec::new(),
            summary: Summary { backends: vec![Tally::default(); engines], ..Summary::default() },
            stations,
        }
    }

    fn next(&self, arrival: Option<Moment>) -> Next {
        if self.rides.live() == 0 && arrival.is_none() {
            return Next::Nothing;
        }
        let never = Moment(u64::MAX);
        let engine = (0..self.due.len()).min_by_key(|&at| self.due[at]);
        let engine_at = engine.map_or(never, |at| self.due[at]);
        let event_at = self.agenda.next_at().unwrap_or(never);
        let arrival_at = arrival.unwrap_or(never);
        match engine {
            Some(at) if engine_at <= event_at && engine_at <= arrival_at => Next::Engine(engine_at, at),
            _ if event_at <= arrival_at && event_at < never => Next::Event,
            _ => Next::Arrival,
        }
    }

    fn event(&mut self) {
        let Some((at, event)) = self.agenda.pop() else { return };
        self.pass_time(at);
        match event {
            Event::Reaches(ticket) => self.reaches(ticket),
            Event::Comes(ticket, answer) => self.comes(ticket, answer),
            Event::Check(engine, regular) => self.check(engine, regular),
            Event::Scrape(engine) => self.scrape(engine),
            Event::Sample => self.sample(),
            Event::Plan => self.plan(),
            Event::Shifting(engine) => self.shifting(engine),
            Event::Fault(number, begins) => self.fault(number, begins),
        }
    }

    /// Time goes on to `at`, with what is in the system counted meanwhile.
    fn pass_time(&mut self, at: Moment) {
        self.summary.request_seconds += f64::from(self.rides.live()) * at.seconds_since(self.now);
        self.now = self.now.max(at);
    }

    fn arrive(&mut self, trip: Arc<Trip>) {
        self.pass_time(trip.at);
        self.summary.requests += 1;
        self.budget.deposit();
        if let Some(shifter) = &mut self.shifter {
            shifter.arrived(&trip, self.now);
        }
        let ticket = self.rides.enter(trip);
        self.send(ticket);
    }

    /// Sends a request to a backend that was not tried yet.
    pub(super) fn send(&mut self, ticket: Ticket) {
        if self.policy.counts_tokens() {
            self.count_tokens();
        }
        let Some(ride) = self.rides.get(ticket) else { return };
        let view = View {
            now: self.now,
            healthy: &self.healthy,
            outstanding: &self.outstanding,
            scrapes: &self.scrapes,
            stations: &self.stations,
        };
        let Some(chosen) = self.policy.send(ticket, &ride.trip, &ride.tried, &view) else {
            return self.end(ticket, End::Unreachable);
        };
        ride.backend = chosen;
        ride.last = self.now;
        if self.outstanding[chosen] == 0 {
            self.watches[chosen].heard(self.now);
        }
        self.outstanding[chosen] += 1;
        self.summary.backends[chosen].sent += 1;
        let there = self.half_way(chosen, self.now);
        self.agenda.enter(there, Event::Reaches(ticket));
    }

    /// Carries an engine to `at` and puts what it says on the wire.
    pub(super) fn advance(&mut self, engine: usize, at: Moment) {
        self.pass_time(at);
        let mut outputs = std::mem::take(&mut self.outputs);
        self.stations[engine].advance(at, &mut outputs);
        for output in outputs.drain(..) {
            let answer = match output.kind {
                OutputKind::Tokens { first: true, .. } => Answer::First,
                OutputKind::Tokens { first: false, .. } => continue,
                OutputKind::Finished { cached_tokens, preemptions, joules } => {
                    Answer::Last(Ending { cached_tokens, preemptions, joules })
                }
                OutputKind::Aborted => Answer::Cut,
            };
            let ticket = Ticket::from_key(output.id.0);
            let mut here = self.half_way(engine, output.at).max(at);
            if let Some(ride) = self.rides.get(ticket) {
                here = here.max(ride.wire);
                ride.wire = here;
            }
            self.agenda.enter(here, Event::Comes(ticket, answer));
        }
        self.outputs = outputs;
        self.due[engine] = self.stations[engine].due();
    }

    /// A request is at its engine.
    fn reaches(&mut self, ticket: Ticket) {
        let Some(ride) = self.rides.get(ticket) else { return };
        let engine = ride.backend;
        match self.stations[engine].arrive(ticket, &ride.trip, self.now, &mut self.rng) {
            Ok(doom) => {
                (ride.taken, ride.doom) = (true, doom);
                self.due[engine] = self.stations[engine].due();
            }
            Err(answer) => {
                let here = self.half_way(engine, self.now);
                self.agenda.enter(here, Event::Comes(ticket, answer));
            }
        }
    }

    /// The policy is told that an answer has so many tokens now.
    pub(super) fn tell_tokens(&mut self, ticket: Ticket, tokens: u32) {
        let Some(ride) = self.rides.get(ticket) else { return };
        let more = tokens.saturating_sub(ride.tokens);
        if more > 0 {
            ride.tokens = tokens;
            self.policy.heard(ticket, ride.backend, Signal::Progress(more), self.now);
        }
    }

    /// Looks up the tokens of running answers where that was not done lately.
    fn count_tokens(&mut self) {
        for engine in 0..self.stations.len() {
            if self.now.seconds_since(self.counted[engine]) < self.settings.progress_every.as_secs_f64() {
                continue;
            }
            self.counted[engine] = self.now;
            self.advance(engine, self.now);
            let (rides, policy, now) = (&mut self.rides, &mut *self.policy, self.now);
            self.stations[engine].progress(|ticket, tokens| {
                let Some(ride) = rides.get(ticket).filter(|ride| ride.first.is_some()) else { return };
                let more = tokens.saturating_sub(ride.tokens);
                if more > 0 {
                    (ride.tokens, ride.last) = (tokens, now);
                    policy.heard(ticket, ride.backend, Signal::Progress(more), now);
                }
            });
        }
    }

    pub(super) fn summary_mut(&mut self) -> &mut Summary {
        &mut self.summary
    }

    fn summary(mut self) -> Summary {
        for (engine, tally) in self.summary.backends.iter_mut().enumerate() {
            let totals = self.stations[engine].totals();
            tally.busy_s = totals.busy_s;
            tally.cost_usd = totals.busy_s * self.fleet.members[engine].price_usd_per_s();
            tally.joules = totals.joules;
            (tally.prefix_queries, tally.prefix_hits) = (totals.prefix_queries, totals.prefix_hits);
        }
        self.summary
    }
}
