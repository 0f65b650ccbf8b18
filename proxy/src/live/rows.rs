//! Requests that ended, as rows of the performance database.

use std::sync::Arc;

use gearshift_perfdb::{
    Candidates, Ended as Ending, Facts, Grain, Live, Load, Observation, Outcome, Prediction, Source, Workload,
};
use gearshift_selector::{Entrant, Moment};

use super::{Decided, Ended, Engine};
use crate::{clock, metrics};

/// The collection that rows of running proxies belong to.
const DATASET: &str = "live";

/// What a moment is on the wall.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wall {
    pub(super) now: Moment,
    pub(super) unix_ms: u64,
}

impl Wall {
    /// Milliseconds since 1970.
    pub fn unix_ms_of(&self, at: Moment) -> u64 {
        let ago = u64::try_from(clock::between(at, self.now).as_millis()).unwrap_or(u64::MAX);
        self.unix_ms.saturating_sub(ago)
    }

    fn unix_s(&self, at: Moment) -> Option<i64> {
        let ago = clock::between(at, self.now).as_secs();
        i64::try_from((self.unix_ms / 1000).saturating_sub(ago)).ok()
    }
}

/// Why a request makes no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRow {
    /// Its decision is not among the sampled ones.
    NotSampled,
    /// Hardware or model of its backend is not known.
    UnknownFacts,
}

/// Whether a request makes a row.
pub(super) fn fit(ended: &Ended) -> Result<(), NoRow> {
    parts(ended).map(drop)
}

fn parts(ended: &Ended) -> Result<(&Decided, &Engine, &Facts), NoRow> {
    let decided = ended.decided.as_deref().ok_or(NoRow::NotSampled)?;
    let engine = ended.engine().ok_or(NoRow::NotSampled)?;
    Ok((decided, engine, engine.facts.as_ref().ok_or(NoRow::UnknownFacts)?))
}

/// The rows of these requests; `first` is the number of the first one in this process.
pub(super) fn rows(all: &[Arc<Ended>], replica: &str, first: u64, wall: Wall) -> Vec<Observation> {
    let row = |(number, ended): (u64, &Arc<Ended>)| row(ended, format!("{replica}/{number}"), wall);
    (first..).zip(all).filter_map(row).collect()
}

fn row(ended: &Ended, context: String, wall: Wall) -> Option<Observation> {
    let (decided, engine, facts) = parts(ended).ok()?;
    let entrant = decided.field.iter().find(|entrant| entrant.index == decided.decision.chosen.index)?;
    let load = load(entrant, decided);
    Some(Observation {
        source: Source::Live,
        grain: Grain::Request,
        dataset: DATASET.into(),
        provenance: concat!("gearshift ", env!("CARGO_PKG_VERSION")).into(),
        // Nobody else was asked the same at the same load: a context of its own.
        context,
        action: engine.profile.clone(),
        repeat: 0,
        at_unix_s: wall.unix_s(ended.end.at),
        facts: facts.clone(),
        workload: Workload {
            name: DATASET.into(),
            description: String::new(),
            prompt_tokens: decided.decision.prompt_tokens.into(),
            cached_tokens: decided.decision.chosen.cached_tokens.into(),
            output_tokens: decided.decision.expected_output_tokens.into(),
            concurrency: load.sequences + f64::from(decided.sequences),
            prompt_spread: 0.0,
            output_spread: 0.0,
        },
        load,
        outcome: outcome(ended, decided),
        live: Some(Box::new(live(ended, decided, engine))),
    })
}

fn load(entrant: &Entrant, decided: &Decided) -> Load {
    Load { age_s: decided.load_age_s, ..entrant.load.unwrap_or_default().into() }
}

/// Times of whole answers alone, from the start of the attempt: what came before is not the engine's.
pub(super) fn outcome(ended: &Ended, decided: &Decided) -> Outcome {
    let end = &ended.end;
    if end.outcome != metrics::Outcome::Ok {
        return Outcome { requests: 1, failed: ending(end.outcome).failed().into(), ..Outcome::default() };
    }
    let first = end.first.filter(|_| decided.stream);
    let tokens = end.output_tokens().map(|tokens| tokens / f64::from(decided.sequences.max(1)));
    let tpot = |first| Some(seconds(first, end.last) / (tokens.filter(|&tokens| tokens > 1.0)? - 1.0));
    Outcome {
        requests: 1,
        ttft_s: first.map(|first| seconds(decided.at, first)),
        tpot_s: first.and_then(tpot),
        e2e_s: Some(seconds(decided.at, end.at)),
        cached_tokens: end.usage.and_then(|usage| usage.cached_tokens).map(f64::from),
        ..Outcome::default()
    }
}

fn seconds(from: Moment, to: Moment) -> f64 {
    clock::between(from, to).as_secs_f64()
}

fn live(ended: &Ended, decided: &Decided, engine: &Engine) -> Live {
    let (end, decision, subject) = (&ended.end, &decided.decision, &ended.subject);
    let limit = |limit: Option<std::time::Duration>| limit.map(|limit| limit.as_secs_f64());
    Live {
        backend: engine.backend.as_str().to_owned(),
        route: subject.route.as_str().to_owned(),
        stream: decided.stream,
        attempt: decided.attempt,
        objective: subject.objective,
        limit_ttft_s: limit(subject.slo.ttft),
        limit_tpot_s: limit(subject.slo.tpot),
        limit_e2e_s: limit(subject.slo.e2e),
        bundle: decided.bundle.as_deref().map(str::to_owned),
        fallback: decision.fallback.map(|reason| reason.as_str().to_owned()),
        considered: decision.considered,
        sequences: Some(decided.sequences),
        round_trip_s: Some(decided.round_trip_s),
        typical: Some(decided.typical),
        propensity: decision.propensity,
        explored: decision.explored,
        prediction: Prediction::of(decision),
        candidates: Candidates::of(&decided.field, |index| name(decided, index)),
        ended: ending(end.outcome),
        ended_after_s: Some(seconds(decided.at, end.at)),
        status: end.status.map(u32::from),
        prompt_tokens: end.usage.map(|usage| f64::from(usage.prompt_tokens)),
        output_tokens: end.output_tokens(),
    }
}

fn ending(outcome: metrics::Outcome) -> Ending {
    match outcome {
        metrics::Outcome::Ok => Ending::Ok,
        metrics::Outcome::ClientError => Ending::ClientError,
        metrics::Outcome::UpstreamError => Ending::UpstreamError,
        metrics::Outcome::Cut => Ending::Cut,
        metrics::Outcome::Cancelled => Ending::Cancelled,
    }
}

fn name(decided: &Decided, index: usize) -> String {
    decided.engines.get(index).map_or_else(String::new, |engine| engine.backend.as_str().to_owned())
}
