//! What a request core says of a request: that it came, and how it ended.

use std::sync::Arc;

use gearshift_config::{BackendId, Objective, RouteId, Slo};
use gearshift_perfdb::Facts;
use gearshift_selector::{
    Decision, Entrant, ModelState, Moment, RequestFacts, Typical, Usage, Work,
    window::{Arrival, Departure, SeenPrefixes},
};
use http::HeaderValue;

use super::Reporter;
use crate::{clock, metrics::Outcome};

/// What a request is about: a model on a route. Made with the snapshot.
#[derive(Debug)]
pub struct Subject {
    /// The model's name in metrics.
    pub model: String,
    /// The route.
    pub route: RouteId,
    /// What the route makes best.
    pub objective: Objective,
    /// Its limits.
    pub slo: Slo,
    /// The prompts that came; outlives snapshots.
    pub seen: Arc<SeenPrefixes>,
}

/// A backend as rows name it. Made with the snapshot.
#[derive(Debug)]
pub struct Engine {
    /// Its name.
    pub backend: BackendId,
    /// Its profile's name.
    pub profile: String,
    /// Model, hardware and profile; `None` where one is not known, and there are no rows then.
    pub facts: Option<Facts>,
}

/// A decision, kept for the record.
#[derive(Debug)]
pub struct Decided {
    /// The request's id, as clients and logs have it.
    pub request: HeaderValue,
    /// When it was made: the attempt's start.
    pub at: Moment,
    /// What it was.
    pub decision: Decision,
    /// Whom it was made among.
    pub field: Box<[Entrant]>,
    /// Who they are, by their position in the group.
    pub engines: Arc<[Arc<Engine>]>,
    /// The bundle that was active.
    pub bundle: Option<Arc<str>>,
    /// Age of the chosen one's scraped load, seconds.
    pub load_age_s: Option<f64>,
    /// The network's round trip to the chosen one, seconds.
    pub round_trip_s: f64,
    /// What requests to the model usually look like.
    pub typical: Typical,
    /// Whether the answer was to be streamed.
    pub stream: bool,
    /// Sequences asked for.
    pub sequences: u32,
    /// Which attempt, from 1.
    pub attempt: u32,
}

impl Decided {
    /// The request's id.
    pub fn id(&self) -> &str {
        self.request.to_str().unwrap_or("?")
    }
}

/// A request that ended, or an attempt after which another was made or none could be.
#[derive(Debug)]
pub struct Ended {
    /// What it was about.
    pub subject: Arc<Subject>,
    /// Prompt tokens as estimated.
    pub prompt_tokens: f64,
    /// How many of these an earlier prompt began with.
    pub repeated_tokens: f64,
    /// How and when it ended.
    pub end: End,
    /// Its decision, where that is among the sampled ones.
    pub decided: Option<Box<Decided>>,
}

/// How and when a request ended.
#[derive(Debug, Clone, Copy)]
pub struct End {
    /// When it came.
    pub arrived: Moment,
    /// When its first output passed, of a stream.
    pub first: Option<Moment>,
    /// When something last passed.
    pub last: Moment,
    /// When it ended.
    pub at: Moment,
    /// How.
    pub outcome: Outcome,
    /// The status of the backend's answer; `None` where none came.
    pub status: Option<u16>,
    /// Output tokens as far as events tell.
    pub counted_tokens: u32,
    /// The engine's own count.
    pub usage: Option<Usage>,
}

impl End {
    /// Of an attempt that had no answer that its client should see.
    fn unanswered(arrived: Moment, at: Moment, outcome: Outcome, status: Option<u16>) -> Self {
        Self { arrived, first: None, last: at, at, outcome, status, counted_tokens: 0, usage: None }
    }

    /// Output tokens of a whole answer, where they are known.
    pub(super) fn output_tokens(&self) -> Option<f64> {
        let counted = Some(self.counted_tokens).filter(|&tokens| tokens > 0);
        let tokens = self.usage.map(|usage| usage.completion_tokens).or(counted)?;
        (self.outcome == Outcome::Ok).then_some(f64::from(tokens))
    }
}

/// On its way to the consumer.
#[derive(Debug)]
pub(super) enum Event {
    Arrived {
        subject: Arc<Subject>,
        arrival: Arrival,
        at: Moment,
    },
    Ended(Arc<Ended>),
    /// A backend failed before it answered; the request goes on, or its end comes next.
    Failed(Arc<Ended>),
}

impl Event {
    pub(super) fn at(&self) -> Moment {
        match self {
            Self::Arrived { at, .. } => *at,
            Self::Ended(ended) | Self::Failed(ended) => ended.end.at,
        }
    }
}

/// A request under way: says that it came when made, and how it ended by [`Report::end`]. Dropped without, it has ended without an
/// answer: a workload window counts it once, however many backends were tried.
#[derive(Debug)]
pub struct Report {
    reporter: Arc<Reporter>,
    subject: Arc<Subject>,
    prompt_tokens: f64,
    repeated_tokens: f64,
    arrived: Moment,
    told: bool,
}

impl Report {
    /// A request came. Nothing is said of those that do not generate: they are another kind of workload.
    pub fn begin(
        reporter: &Arc<Reporter>,
        subject: &Arc<Subject>,
        facts: &RequestFacts,
        model: &ModelState,
        at: Moment,
    ) -> Option<Self> {
        if facts.work != Work::Generate {
            return None;
        }
        let prompt_tokens = f64::from(model.prompt_tokens(facts));
        let repeated_tokens = subject.seen.repeated_tokens(facts, model);
        let arrival = Arrival { prompt_tokens, repeated_tokens };
        reporter.put(Event::Arrived { subject: subject.clone(), arrival, at });
        let (reporter, subject) = (reporter.clone(), subject.clone());
        Some(Self { reporter, subject, prompt_tokens, repeated_tokens, arrived: at, told: false })
    }

    /// It ended.
    pub fn end(mut self, end: End, decided: Option<Box<Decided>>) {
        self.told = true;
        self.reporter.put(Event::Ended(self.ended(end, decided)));
    }

    /// The backend that was chosen failed before it answered what the client should see; `status` is what it said, if anything.
    pub fn failed(&self, status: Option<u16>, decided: Option<Box<Decided>>, at: Moment) {
        if decided.is_some() {
            let end = End::unanswered(self.arrived, at, Outcome::UpstreamError, status);
            self.reporter.put(Event::Failed(self.ended(end, decided)));
        }
    }

    /// The client went away before the backend answered.
    pub fn abandoned(self, decided: Option<Box<Decided>>, at: Moment) {
        let end = End::unanswered(self.arrived, at, Outcome::Cancelled, None);
        self.end(end, decided);
    }

    fn ended(&self, end: End, decided: Option<Box<Decided>>) -> Arc<Ended> {
        let Self { subject, prompt_tokens, repeated_tokens, .. } = self;
        let (prompt_tokens, repeated_tokens) = (*prompt_tokens, *repeated_tokens);
        Arc::new(Ended { subject: subject.clone(), prompt_tokens, repeated_tokens, end, decided })
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if !self.told {
            let end = End::unanswered(self.arrived, clock::now(), Outcome::Cancelled, None);
            self.reporter.put(Event::Ended(self.ended(end, None)));
        }
    }
}

impl Ended {
    /// What a workload window is told of it.
    pub(super) fn departure(&self) -> Departure {
        let usage = self.end.usage.filter(|usage| usage.prompt_tokens > 0);
        Departure {
            arrived: self.end.arrived,
            prompt_tokens: Some(usage.map_or(self.prompt_tokens, |usage| f64::from(usage.prompt_tokens))),
            cached_tokens: usage.and_then(|usage| usage.cached_tokens).map(f64::from),
            output_tokens: self.end.output_tokens(),
        }
    }

    /// The backend it went to, where its decision was kept.
    pub fn engine(&self) -> Option<&Engine> {
        let decided = self.decided.as_deref()?;
        decided.engines.get(decided.decision.chosen.index).map(Arc::as_ref)
    }
}
