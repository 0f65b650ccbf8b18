//! Rows of a study, as the proxy writes them of live traffic: in virtual time, by the same columns.

use gearshift_perfdb::{
    Candidates, Ended, Facts, Grain, Live, Load, Observation, Outcome, Prediction, Source, Workload,
};
use gearshift_selector::{
    BackendSpec, Decision, EngineKind, Entrant, RequestFacts, RoutePolicy, Software, Usage,
};

use super::{Fleet, Signal};
use crate::{sim::Moment, study::Member};

/// What rows say they come from: nobody shall take them for traffic.
const PROVENANCE: &str = "simulated engines in virtual time";

/// Keeps a row of each request that was answered or lost.
#[derive(Debug, Clone)]
pub struct Logbook {
    /// What the virtual clock's beginning is, seconds since 1970.
    epoch_unix_s: i64,
    bundle: Option<String>,
    engines: Vec<(String, Facts)>,
    under_way: Vec<Option<Noted>>,
    /// So many were decided: no two rows have one context.
    decisions: u64,
    rows: Vec<Observation>,
}

/// A decision whose request is under way.
#[derive(Debug, Clone)]
struct Noted {
    sent: Moment,
    first: Option<Moment>,
    row: Observation,
}

impl Logbook {
    /// An empty one. `bundle` is what rows call the bundle that decides.
    pub fn new(epoch_unix_s: i64, bundle: Option<&str>) -> Self {
        let bundle = bundle.map(str::to_owned);
        let (engines, under_way, rows) = (Vec::new(), Vec::new(), Vec::new());
        Self { epoch_unix_s, bundle, engines, under_way, decisions: 0, rows }
    }

    pub(super) fn begin(&mut self, fleet: &Fleet, kv_tokens: &[u64]) {
        let engine =
            |(member, &kv_tokens): (&Member, &u64)| (member.engine.name.clone(), facts(member, kv_tokens));
        self.engines = fleet.members.iter().zip(kv_tokens).map(engine).collect();
        self.under_way.clear();
        self.decisions = 0;
        self.rows.clear();
    }

    /// The rows, in the order in which requests ended.
    pub fn into_rows(self) -> Vec<Observation> {
        self.rows
    }

    #[expect(clippy::too_many_arguments, reason = "all that a row is made of")]
    pub(super) fn decided(
        &mut self,
        slot: usize,
        backend: &BackendSpec,
        policy: &RoutePolicy,
        facts: &RequestFacts,
        decision: &Decision,
        field: &[Entrant],
        attempt: u32,
        now: Moment,
    ) {
        if self.under_way.len() <= slot {
            self.under_way.resize(slot + 1, None);
        }
        let mut row = self.row(backend, policy, facts, decision, field);
        if let Some(live) = row.as_mut().and_then(|row| row.live.as_deref_mut()) {
            live.attempt = attempt;
        }
        self.decisions += 1;
        self.under_way[slot] = row.map(|row| Noted { sent: now, first: None, row });
    }

    pub(super) fn heard(&mut self, slot: usize, signal: Signal, now: Moment) {
        let Some(place) = self.under_way.get_mut(slot) else { return };
        match signal {
            Signal::FirstToken => place.iter_mut().for_each(|noted| noted.first = noted.first.or(Some(now))),
            Signal::Progress(_) => {}
            Signal::Lost => self.rows.extend(place.take().map(|noted| lost(noted, now, self.epoch_unix_s))),
            Signal::Finished(usage) => {
                let row = place.take().map(|noted| answered(noted, usage, now, self.epoch_unix_s));
                self.rows.extend(row);
            }
        }
    }

    fn row(
        &self,
        backend: &BackendSpec,
        policy: &RoutePolicy,
        request: &RequestFacts,
        decision: &Decision,
        field: &[Entrant],
    ) -> Option<Observation> {
        let (name, facts) = self.engines.get(decision.chosen.index)?;
        let entrant = field.iter().find(|one| one.index == decision.chosen.index)?;
        let load: Load = entrant.load.unwrap_or_default().into();
        let limit = |limit: Option<std::time::Duration>| limit.map(|limit| limit.as_secs_f64());
        let named = |index: usize| self.engines.get(index).map_or_else(String::new, |(name, _)| name.clone());
        let live = Live {
            backend: name.clone(),
            route: "study".to_owned(),
            stream: true,
            objective: policy.objective,
            limit_ttft_s: limit(policy.slo.ttft),
            limit_tpot_s: limit(policy.slo.tpot),
            limit_e2e_s: limit(policy.slo.e2e),
            bundle: self.bundle.clone(),
            fallback: decision.fallback.map(|reason| reason.as_str().to_owned()),
            considered: decision.considered,
            sequences: Some(request.sequences.max(1)),
            round_trip_s: Some(backend.state.round_trip_s()),
            typical: Some(backend.model_state.typical()),
            propensity: decision.propensity,
            explored: decision.explored,
            prediction: Prediction::of(decision),
            candidates: Candidates::of(field, named),
            ended: Ended::Ok,
            status: Some(200),
            ..Live::default()
        };
        Some(Observation {
            source: Source::Live,
            grain: Grain::Request,
            dataset: "simulated_traffic".to_owned(),
            provenance: PROVENANCE.to_owned(),
            context: format!("study/{}", self.decisions),
            action: "default".to_owned(),
            facts: facts.clone(),
            workload: Workload {
                name: "study".to_owned(),
                prompt_tokens: decision.prompt_tokens.into(),
                cached_tokens: decision.chosen.cached_tokens.into(),
                output_tokens: decision.expected_output_tokens.into(),
                concurrency: load.sequences + 1.0,
                ..Workload::default()
            },
            load,
            live: Some(Box::new(live)),
            ..Observation::default()
        })
    }
}

fn answered(noted: Noted, usage: Usage, now: Moment, epoch_unix_s: i64) -> Observation {
    let Noted { sent, first, mut row } = noted;
    let tokens = f64::from(usage.completion_tokens);
    let tpot_s = |first: Moment| (tokens > 1.0).then(|| now.seconds_since(first) / (tokens - 1.0));
    row.outcome = Outcome {
        requests: 1,
        ttft_s: first.map(|first| first.seconds_since(sent)),
        tpot_s: first.and_then(tpot_s),
        e2e_s: Some(now.seconds_since(sent)),
        cached_tokens: usage.cached_tokens.map(f64::from),
        ..Outcome::default()
    };
    row.at_unix_s = unix_s(now, epoch_unix_s);
    if let Some(live) = row.live.as_deref_mut() {
        (live.prompt_tokens, live.output_tokens) = (Some(usage.prompt_tokens.into()), Some(tokens));
    }
    row
}

/// Its times say nothing of the engine, as where it serves.
fn lost(noted: Noted, now: Moment, epoch_unix_s: i64) -> Observation {
    let Noted { sent, first, mut row } = noted;
    row.outcome = Outcome { requests: 1, failed: 1, ..Outcome::default() };
    row.at_unix_s = unix_s(now, epoch_unix_s);
    if let Some(live) = row.live.as_deref_mut() {
        live.ended = if first.is_some() { Ended::Cut } else { Ended::UpstreamError };
        (live.ended_after_s, live.status) = (Some(now.seconds_since(sent)), first.map(|_| 200));
    }
    row
}

fn unix_s(now: Moment, epoch_unix_s: i64) -> Option<i64> {
    i64::try_from(now.0 / 1_000_000_000).ok().map(|at| epoch_unix_s + at)
}

/// What the router is told of an engine.
fn facts(member: &Member, kv_tokens: u64) -> Facts {
    let (engine, claim) = (&member.engine, &member.claim);
    Facts {
        model: engine.model_name.clone(),
        family: engine.model_name.clone(),
        model_facts: engine.model.as_ref().clone(),
        hardware: engine.hardware_id.clone(),
        hardware_facts: claim.hardware.as_ref().clone(),
        count: claim.count,
        knobs: claim.knobs.clone(),
        lossless: claim.lossless,
        software: Software { engine: EngineKind::Vllm, months: None },
        engine_version: Some("simulated".to_owned()),
        kv_tokens: Some(kv_tokens),
    }
}
