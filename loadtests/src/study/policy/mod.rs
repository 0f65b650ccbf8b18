//! What routes: Gearshift's selector, and what others do.

mod cache_aware;
mod gearshift;
mod least_outstanding;
mod logbook;
mod oracle;
mod peak_ewma;
mod power_of_two;
mod prefixes;
mod random;
mod round_robin;
mod weighted;

use std::time::Duration;

use gearshift_selector::{Availability, Index, ScrapedLoad, Usage};

pub use self::{
    cache_aware::CacheAware,
    gearshift::{Gearshift, WithoutLearner},
    least_outstanding::LeastOutstanding,
    logbook::Logbook,
    oracle::Oracle,
    peak_ewma::PeakEwma,
    power_of_two::PowerOfTwo,
    random::Random,
    round_robin::RoundRobin,
    weighted::Weighted,
};
use super::{Accuracy, Fleet, Member, station::Station, trip::Trip};
use crate::sim::Moment;

/// Routes requests, and is told what a router in its place would hear.
pub trait Policy {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// How often its router reads the engines' metrics; Gearshift's default where the original does not.
    fn scrape_interval(&self) -> Duration {
        gearshift_config::Fleet::default().scrape_interval
    }

    /// Whether it wants [`Signal::Progress`]; the tokens of an answer in between are not looked up otherwise.
    fn counts_tokens(&self) -> bool {
        false
    }

    /// How its predictions of the run did; `None` where it makes none.
    fn accuracy(&self) -> Option<&Accuracy> {
        None
    }

    /// A run begins: nothing of an earlier one counts any more. `kv_tokens`: the engines' cache capacities.
    fn begin(&mut self, fleet: &Fleet, kv_tokens: &[u64]);

    /// Chooses a backend that is not among `tried`, and takes note that the request is sent there. `None`: nobody.
    fn send(&mut self, ticket: Ticket, trip: &Trip, tried: &[Index], view: &View<'_>) -> Option<Index>;

    /// Something of a request that was sent to `backend`. After [`Signal::Finished`] and [`Signal::Lost`] nothing
    /// comes of it any more.
    fn heard(&mut self, _ticket: Ticket, _backend: Index, _signal: Signal, _now: Moment) {}

    /// A backend is another engine from now on: it was restarted in another profile. Nothing is under way there.
    fn reshaped(&mut self, _backend: Index, _member: &Member, _kv_tokens: u64, _now: Moment) {}

    /// The prior's time to first token and per output token of the request that an attempt was last made for, seconds; where it
    /// has a prior.
    fn expected(&self, _ticket: Ticket) -> Option<(f64, f64)> {
        None
    }

    /// Something of a backend.
    fn learned(&mut self, _backend: Index, _news: News, _now: Moment) {}
}

/// Names one attempt. Slots are small numbers, used again when their request has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// Position among the requests that are under way.
    pub slot: u32,
    /// Which attempt it is.
    pub(super) serial: u32,
}

impl Ticket {
    pub(super) fn key(self) -> u64 {
        u64::from(self.serial) << 32 | u64::from(self.slot)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the key")]
    pub(super) fn from_key(key: u64) -> Self {
        Self { slot: key as u32, serial: (key >> 32) as u32 }
    }
}

/// What a router hears of a request it sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Signal {
    /// The first token came.
    FirstToken,
    /// So many more tokens came.
    Progress(u32),
    /// The answer ended as it should.
    Finished(Usage),
    /// It was refused, failed, or broke off.
    Lost,
}

/// What a router finds out about a backend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum News {
    /// Its metrics were read.
    Scraped(ScrapedLoad),
    /// The network's round trip was measured.
    RoundTrip(Duration),
    /// A connection could not be made, or broke before the response head; or it answered 503.
    Failed,
    /// Its availability changed.
    Changed {
        /// What it was.
        from: Availability,
        /// What it is.
        to: Availability,
    },
}

/// What any router sees at one moment, by position in the fleet.
#[derive(Debug, Clone, Copy)]
pub struct View<'v> {
    /// The moment.
    pub now: Moment,
    /// Whether the last health check passed.
    pub healthy: &'v [bool],
    /// This router's requests that are under way.
    pub outstanding: &'v [u32],
    /// The last metrics that were read, where any were.
    pub scrapes: &'v [Option<ScrapedLoad>],
    /// The engines themselves: for the oracle alone.
    pub(super) stations: &'v [Station],
}

impl View<'_> {
    /// Backends that are healthy and not among `tried`; where there are none, those not among `tried`.
    pub fn candidates(&self, tried: &[Index]) -> impl Iterator<Item = Index> + Clone {
        let open = |at: &Index| !tried.contains(at);
        let any = (0..self.healthy.len()).any(|at| self.healthy[at] && open(&at));
        (0..self.healthy.len()).filter(move |&at| (self.healthy[at] || !any) && open(&at))
    }
}

/// A random one of those that `cost` says least of.
fn least<C: PartialOrd>(
    candidates: impl Iterator<Item = Index>,
    rng: &mut fastrand::Rng,
    cost: impl Fn(Index) -> C,
) -> Option<Index> {
    let mut best: Option<(Index, C, usize)> = None;
    for at in candidates {
        let here = cost(at);
        best = Some(match best {
            Some((_, least, _)) if here < least => (at, here, 1),
            // Each of n equals stays with probability 1/n.
            Some((other, least, ties)) if here == least => {
                let ties = ties + 1;
                (if rng.usize(..ties) == 0 { at } else { other }, least, ties)
            }
            Some(best) => best,
            None => (at, here, 1),
        });
    }
    best.map(|(at, ..)| at)
}

/// Two distinct random candidates; the same one twice where there is only one.
fn two_of(
    candidates: &(impl Iterator<Item = Index> + Clone),
    rng: &mut fastrand::Rng,
) -> Option<(Index, Index)> {
    let count = candidates.clone().count();
    if count == 0 {
        return None;
    }
    let first = rng.usize(..count);
    let second = if count == 1 { first } else { (first + rng.usize(1..count)) % count };
    let pick = |position| candidates.clone().nth(position);
    pick(first).zip(pick(second))
}
