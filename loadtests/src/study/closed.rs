//! One engine in a closed loop, with the router's own account of it.

use std::sync::Arc;

use gearshift_config::{Objective, Slo};
use gearshift_selector::{ScrapedLoad, Situation, Usage};

use super::{
    Fleet, Member,
    policy::{Gearshift, News, Policy, Signal, Ticket, View},
    station::Station,
    trip::Trip,
};
use crate::sim::{Moment, Output, OutputKind, SpecError};

/// How a closed loop is run.
#[derive(Debug, Clone, Copy)]
pub struct ClosedLoop {
    /// Requests kept in flight.
    pub concurrency: usize,
    /// The first requests, which fill batch and cache and are not counted.
    pub warm_up: usize,
    /// Requests counted after these.
    pub counted: usize,
}

/// One counted request.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The request.
    pub trip: Arc<Trip>,
    /// What the router knew when it sent it.
    pub situation: Situation,
    /// Time to the first token at the engine, seconds.
    pub ttft_s: f64,
    /// To the end.
    pub e2e_s: f64,
    /// Prompt tokens that the engine found in its cache.
    pub cached_tokens: u32,
}

/// What the counted part of a run came to.
#[derive(Debug, Clone)]
pub struct Window {
    /// The counted requests, in the order they ended.
    pub requests: Vec<Watched>,
    /// Output tokens a second of the whole engine.
    pub output_tokens_per_s: f64,
    /// Joules of the engine per output token, idle power included; modelled.
    pub joules_per_token: f64,
    /// Tokens its KV cache holds.
    pub kv_tokens: u64,
}

/// Keeps `shape.concurrency` of `trips` at an engine until the counted ones have ended; trips' own times do not matter.
/// Requests that are too long for the engine are passed over, and a run that has too few trips counts fewer.
///
/// # Errors
/// Where the engine cannot be.
pub fn closed_loop(
    member: &Member,
    trips: &[Arc<Trip>],
    shape: ClosedLoop,
    seed: u64,
) -> Result<Window, SpecError> {
    let fleet = Fleet { name: "one".into(), members: vec![member.clone()] };
    let station = Station::new(member, seed)?;
    let kv_tokens = station.kv_tokens();
    let mut router = Gearshift::new(Objective::Latency, Slo::default(), seed);
    router.begin(&fleet, &[kv_tokens]);
    let mut run = Run {
        shape,
        stations: [station],
        router,
        now: Moment(0),
        scraped: None,
        going: Vec::new(),
        free: Vec::new(),
        sent: 0,
        rng: fastrand::Rng::with_seed(seed),
        done: Vec::new(),
        counted_from: None,
    };
    let mut trips = trips.iter();
    let mut left = shape.counted;
    while left > 0 {
        run.fill(&mut trips);
        let before = run.done.len();
        if !run.advance() {
            break;
        }
        left = left.saturating_sub(run.done.len() - before);
    }
    Ok(run.window(kv_tokens))
}

/// A request at the engine.
#[derive(Debug)]
struct Going {
    ticket: Ticket,
    number: usize,
    trip: Arc<Trip>,
    situation: Option<Situation>,
    sent: Moment,
    first: Option<Moment>,
    /// Tokens the router was told of.
    tokens: u32,
}

#[derive(Debug)]
struct Run {
    shape: ClosedLoop,
    /// The one engine; an array, as views have it.
    stations: [Station; 1],
    router: Gearshift,
    now: Moment,
    scraped: Option<ScrapedLoad>,
    /// By slot.
    going: Vec<Option<Going>>,
    free: Vec<usize>,
    /// Requests sent so far.
    sent: usize,
    rng: fastrand::Rng,
    done: Vec<Watched>,
    /// When counting began, and the engine's tokens and joules then.
    counted_from: Option<(Moment, u64, f64)>,
}

impl Run {
    fn in_flight(&self) -> usize {
        self.going.len() - self.free.len()
    }

    fn fill<'t>(&mut self, trips: &mut impl Iterator<Item = &'t Arc<Trip>>) {
        if self.in_flight() >= self.shape.concurrency {
            return;
        }
        self.scrape();
        self.tell_progress();
        while self.in_flight() < self.shape.concurrency {
            let Some(trip) = trips.next() else { return };
            self.send(trip);
        }
    }

    fn send(&mut self, trip: &Arc<Trip>) {
        if self.sent == self.shape.warm_up {
            let totals = self.stations[0].totals();
            self.counted_from = Some((self.now, totals.generation_tokens, totals.joules));
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.going.push(None);
            self.going.len() - 1
        });
        let serial = u32::try_from(self.sent).unwrap_or(u32::MAX);
        let ticket = Ticket { slot: u32::try_from(slot).unwrap_or(u32::MAX), serial };
        let situation = self.router.situation(0, trip, self.now);
        let outstanding = [u32::try_from(self.in_flight()).unwrap_or(u32::MAX)];
        let scrapes = [self.scraped];
        let view = View {
            now: self.now,
            healthy: &[true],
            outstanding: &outstanding,
            scrapes: &scrapes,
            stations: &self.stations,
        };
        self.router.send(ticket, trip, &[], &view);
        match self.stations[0].arrive(ticket, trip, self.now, &mut self.rng) {
            Ok(_) => {
                let going = Going {
                    ticket,
                    number: self.sent,
                    trip: Arc::clone(trip),
                    situation,
                    sent: self.now,
                    first: None,
                    tokens: 0,
                };
                self.going[slot] = Some(going);
                self.sent += 1;
            }
            Err(_) => {
                self.router.heard(ticket, 0, Signal::Lost, self.now);
                self.free.push(slot);
            }
        }
    }

    /// The router's scraper comes by at its interval.
    fn scrape(&mut self) {
        let every = self.router.scrape_interval().as_secs_f64();
        if self.scraped.is_some_and(|last| self.now.seconds_since(last.at) < every) {
            return;
        }
        let Some(gauges) = self.stations[0].scrape() else { return };
        let load = ScrapedLoad {
            at: self.now,
            running: gauges.running,
            waiting: gauges.waiting,
            kv_usage: gauges.kv_usage,
        };
        self.scraped = Some(load);
        self.router.learned(0, News::Scraped(load), self.now);
    }

    /// The router has seen the tokens that came so far.
    fn tell_progress(&mut self) {
        let Self { stations: [station], going, router, now, .. } = self;
        station.progress(|ticket, tokens| {
            let going = going.get_mut(ticket.slot as usize).and_then(Option::as_mut);
            let Some(going) = going.filter(|going| going.ticket == ticket && going.first.is_some()) else {
                return;
            };
            let more = tokens.saturating_sub(going.tokens);
            if more > 0 {
                going.tokens = tokens;
                router.heard(ticket, 0, Signal::Progress(more), *now);
            }
        });
    }

    /// To the next thing that happens; false where nothing will.
    fn advance(&mut self) -> bool {
        let due = self.stations[0].due();
        if due == Moment(u64::MAX) {
            return false;
        }
        self.now = self.now.max(due);
        let mut outputs = Vec::new();
        self.stations[0].advance(self.now, &mut outputs);
        outputs.iter().for_each(|output| self.hear(output));
        true
    }

    fn hear(&mut self, output: &Output) {
        let ticket = Ticket::from_key(output.id.0);
        match output.kind {
            OutputKind::Tokens { first: true, .. } => {
                self.router.heard(ticket, 0, Signal::FirstToken, output.at);
                if let Some(going) = self.going.get_mut(ticket.slot as usize).and_then(Option::as_mut) {
                    (going.first, going.tokens) = (Some(output.at), 1);
                }
            }
            OutputKind::Tokens { first: false, .. } => {}
            OutputKind::Finished { cached_tokens, .. } => self.finished(ticket, cached_tokens, output.at),
            OutputKind::Aborted => self.leave(ticket, Signal::Lost, output.at),
        }
    }

    fn finished(&mut self, ticket: Ticket, cached_tokens: u32, at: Moment) {
        let Some(going) = self.going.get(ticket.slot as usize).and_then(Option::as_ref) else { return };
        let counted = self.shape.warm_up..self.shape.warm_up + self.shape.counted;
        let (trip, tokens) = (Arc::clone(&going.trip), going.trip.output_tokens);
        if let Some((first, situation)) = going.first.zip(going.situation)
            && counted.contains(&going.number)
        {
            self.done.push(Watched {
                situation,
                ttft_s: first.seconds_since(going.sent),
                e2e_s: at.seconds_since(going.sent),
                cached_tokens,
                trip,
            });
        }
        let (prompt_tokens, more) = (going.trip.prompt_tokens, tokens.saturating_sub(going.tokens));
        if more > 0 {
            self.router.heard(ticket, 0, Signal::Progress(more), at);
        }
        let usage = Usage { prompt_tokens, completion_tokens: tokens, cached_tokens: None };
        self.leave(ticket, Signal::Finished(usage), at);
    }

    fn leave(&mut self, ticket: Ticket, signal: Signal, at: Moment) {
        self.router.heard(ticket, 0, signal, at);
        let slot = ticket.slot as usize;
        if self.going.get_mut(slot).and_then(Option::take).is_some() {
            self.free.push(slot);
        }
    }

    fn window(self, kv_tokens: u64) -> Window {
        let totals = self.stations[0].totals();
        let (from, tokens, joules) =
            self.counted_from.unwrap_or((self.now, totals.generation_tokens, totals.joules));
        let tokens = totals.generation_tokens.saturating_sub(tokens) as f64;
        Window {
            requests: self.done,
            output_tokens_per_s: tokens / self.now.seconds_since(from).max(1e-9),
            joules_per_token: (totals.joules - joules) / tokens.max(1.0),
            kv_tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{scenario::Scenario, workload::Workload};

    fn trips(count: u64) -> Vec<Arc<Trip>> {
        let workload = Workload::find("chat").unwrap().at_rate(4.0).within_context(8192).limited(count);
        let at = |request: &crate::workload::Request| Moment(0).after(Duration::ZERO.max(request.at));
        workload.requests(3).map(|request| Arc::new(Trip::new(&request, at(&request), &[16], 1))).collect()
    }

    fn member() -> Member {
        Fleet::of(&Scenario::shipped("homogeneous").unwrap()).members.remove(0)
    }

    #[test]
    fn a_closed_loop_keeps_its_number_in_flight_and_counts_what_it_should() {
        let shape = ClosedLoop { concurrency: 8, warm_up: 20, counted: 40 };
        let window = closed_loop(&member(), &trips(200), shape, 1).unwrap();
        assert_eq!(window.requests.len(), 40);
        assert!(window.requests.iter().all(|one| (4.0..=7.0).contains(&one.situation.load.sequences)));
        assert!(window.requests.iter().all(|one| one.ttft_s > 0.0 && one.e2e_s >= one.ttft_s));
        assert!(window.requests.iter().any(|one| one.cached_tokens > 0 && one.situation.cached_tokens > 0.0));
        assert!(window.output_tokens_per_s > 0.0 && window.joules_per_token > 0.0);
    }

    #[test]
    fn more_in_flight_is_more_throughput_and_a_longer_wait() {
        let at = |concurrency| {
            let shape = ClosedLoop { concurrency, warm_up: 64, counted: 128 };
            let window = closed_loop(&member(), &trips(600), shape, 1).unwrap();
            let e2e: f64 = window.requests.iter().map(|one| one.e2e_s).sum();
            (window.output_tokens_per_s, e2e)
        };
        let (alone, many) = (at(1), at(32));
        assert!(many.0 > 4.0 * alone.0 && many.1 > alone.1);
    }

    #[test]
    fn too_few_trips_end_it() {
        let shape = ClosedLoop { concurrency: 8, warm_up: 20, counted: 40 };
        assert_eq!(closed_loop(&member(), &trips(30), shape, 1).unwrap().requests.len(), 10);
    }
}
