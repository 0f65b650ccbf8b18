//! What is asked on the day.

use std::{sync::Arc, time::Duration};

use crate::{
    sim::{Moment, SpecError},
    study::{Fleet, Trip, capacity},
    workload::{Arrivals, Class, Mix, Phase, Request, Rhythm, Weights, Workload},
};

/// Hours of the day.
pub const HOURS: usize = 24;
/// The class that leads in each hour.
const LEADS: [Class; HOURS] = {
    use Class::{Agent as A, Chat as C, Code as K, Rag as R, Summary as S};
    [S, A, S, A, R, C, C, R, K, C, A, K, C, R, S, A, K, C, R, C, C, A, S, C]
};
/// Its share of the requests; the other four have equal shares of the rest.
const LEAD: f64 = 0.7;
/// What is asked in each hour, as a share of what the engines can do of that hour's mix with vLLM's defaults. The shape of
/// Azure's published days (a trough at night of less than a third of the day's plateau); the level is assumed.
const LOAD: [f64; HOURS] = [
    0.32, 0.28, 0.25, 0.24, 0.24, 0.27, 0.34, 0.46, 0.60, 0.70, 0.77, 0.80, 0.78, 0.77, 0.79, 0.80, 0.78,
    0.73, 0.66, 0.58, 0.52, 0.47, 0.42, 0.36,
];
/// Coefficient of variation of the gaps between requests: bursts, as in Azure's traces.
const BURSTS: f64 = 1.5;
/// Prompts to different models share nothing; the study has one.
const SALT: u64 = 1;
/// Requests that capacity is measured with.
const MEASURED: u64 = 4096;

/// Why there is no day.
#[derive(Debug, thiserror::Error)]
pub enum DayError {
    /// An engine cannot be.
    #[error(transparent)]
    Engine(#[from] SpecError),
    /// The rates are none.
    #[error("the fleet has no capacity")]
    NoCapacity,
}

/// A day's requests.
#[derive(Debug, Clone)]
pub struct Day {
    /// Requests a second in each hour.
    pub rates: Vec<f64>,
    /// How long an hour lasts.
    pub hour: Duration,
    requests: Vec<Request>,
    sizes: Vec<u32>,
}

fn weights(hour: usize) -> Weights {
    let all = [Class::Chat, Class::Rag, Class::Agent, Class::Code, Class::Summary];
    let mut weights = [0.0; Class::ALL.len()];
    for class in all {
        weights[class as usize] = (1.0 - LEAD) / (all.len() - 1) as f64;
    }
    weights[LEADS[hour] as usize] = LEAD;
    Weights::from_array(weights)
}

impl Day {
    /// The day of a seed for a fleet, whose engines run vLLM's defaults. `hour` is how long an hour lasts: [`Day::HOUR`] but in tests.
    ///
    /// # Errors
    /// Where an engine cannot be.
    pub fn new(fleet: &Fleet, context: u32, seed: u64, hour: Duration) -> Result<Self, DayError> {
        let sizes = fleet.block_sizes();
        let mut rates = Vec::with_capacity(HOURS);
        let mut known: Vec<(Class, f64)> = Vec::new();
        for (at, load) in LOAD.iter().enumerate() {
            let full = match known.iter().find(|(class, _)| *class == LEADS[at]) {
                Some((_, full)) => *full,
                None => {
                    let workload =
                        Workload::generated("hour", Mix::steady(weights(at)), context).limited(MEASURED);
                    let trip = |request: Request| Arc::new(Trip::new(&request, Moment(0), &sizes, SALT));
                    let full = capacity(fleet, || workload.requests(1).map(trip))?;
                    known.push((LEADS[at], full));
                    full
                }
            };
            rates.push(load * full);
        }
        let mean = rates.iter().sum::<f64>() / HOURS as f64;
        let rhythm = Rhythm::new(hour, &rates).ok_or(DayError::NoCapacity)?;
        let phase = |at| Phase { seconds: hour.as_secs_f64(), weights: weights(at) };
        let mix = Mix { phases: (0..HOURS).map(phase).collect(), smooth: false };
        let workload = Workload::generated("day", mix, context)
            .at_rate(mean)
            .with_arrivals(Arrivals::Gamma { cv: BURSTS })
            .with_rhythm(rhythm)
            .lasting(hour * u32::try_from(HOURS).unwrap_or(24));
        Ok(Self { rates, hour, requests: workload.requests(seed).collect(), sizes })
    }

    /// How many requests come.
    pub fn requests(&self) -> usize {
        self.requests.len()
    }

    /// All of them, made as they are asked for.
    pub(super) fn trips(&self) -> impl Iterator<Item = Arc<Trip>> + '_ {
        self.requests.iter().map(|request| self.trip(request))
    }

    /// Those that come from `from` until `until`, as if time began at `from`.
    pub(super) fn between(&self, from: Duration, until: Duration) -> Vec<Arc<Trip>> {
        let first = self.requests.partition_point(|request| request.at < from);
        let last = self.requests.partition_point(|request| request.at < until);
        let from = Moment(0).after(from);
        let since = |mut trip: Trip| {
            trip.at = Moment(trip.at.0.saturating_sub(from.0));
            trip
        };
        self.requests[first..last].iter().map(|request| Arc::new(since(self.made(request)))).collect()
    }

    fn trip(&self, request: &Request) -> Arc<Trip> {
        Arc::new(self.made(request))
    }

    fn made(&self, request: &Request) -> Trip {
        Trip::new(request, Moment(0).after(request.at), &self.sizes, SALT)
    }

    /// The class that leads in an hour.
    pub fn lead(hour: usize) -> Class {
        LEADS[hour % HOURS]
    }

    /// The load of an hour, as a share of capacity with vLLM's defaults.
    pub fn load(hour: usize) -> f64 {
        LOAD[hour % HOURS]
    }

    /// An hour.
    pub const HOUR: Duration = Duration::from_secs(3600);
}
