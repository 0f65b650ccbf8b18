//! What became of each request, and of the run.

use crate::{sim::Moment, workload::Class};

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The whole answer came.
    Whole,
    /// The stream broke off, stalled, or was no stream of events.
    Cut,
    /// An engine answered with an error, and no other could be tried.
    Error,
    /// No engine could be reached.
    Unreachable,
}

/// One request's row. Times in seconds as the client sees them: waiting, network and retries included.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Outcome {
    /// Its number in the workload.
    pub id: u64,
    /// What it was for.
    pub class: Class,
    /// The backend that got it last; `None` where there was none.
    pub backend: Option<usize>,
    /// Backends that failed it before.
    pub retries: u32,
    /// How it ended.
    pub end: End,
    /// When it came to the router, nanoseconds.
    #[serde(serialize_with = "nanos")]
    pub at: Moment,
    /// To the first token, where one came.
    pub ttft_s: Option<f64>,
    /// Between tokens after the first, where there are two of them.
    pub tpot_s: Option<f64>,
    /// To the end.
    pub e2e_s: f64,
    /// Tokens of its prompt.
    pub prompt_tokens: u32,
    /// Of these, from the engine's prefix cache.
    pub cached_tokens: u32,
    /// Tokens of its answer that came.
    pub output_tokens: u32,
    /// How often its engine preempted it.
    pub preemptions: u32,
    /// Its share of the engine's energy, joules; modelled.
    pub joules: f64,
}

fn nanos<S: serde::Serializer>(moment: &Moment, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(moment.0)
}

/// A whole run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// Requests that came; each has ended once.
    pub requests: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Engines that were shifted into another profile.
    pub shifts: u64,
    /// When the last one ended.
    pub ended: Moment,
    /// Requests in the system, integrated over time, seconds.
    pub request_seconds: f64,
    /// Seconds in which each engine had run a step, by [`Settings::sample_every`](super::Settings::sample_every).
    pub busy_s: Vec<Vec<f64>>,
    /// By position in the fleet.
    pub backends: Vec<Tally>,
}

/// What one engine did in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Tally {
    /// Requests sent to it.
    pub sent: u64,
    /// Requests it answered wholly.
    pub whole: u64,
    /// Seconds in which a step ran.
    pub busy_s: f64,
    /// Its price for these seconds, US dollars. Idle time is nobody's: it could be sold or switched off.
    pub cost_usd: f64,
    /// Energy, idle power included, joules; modelled.
    pub joules: f64,
    /// Tokens looked up in its prefix cache.
    pub prefix_queries: u64,
    /// Tokens found there.
    pub prefix_hits: u64,
}
