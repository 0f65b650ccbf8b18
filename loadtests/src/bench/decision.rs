//! What a decision costs by itself: no request, no socket, one core.
//!
//! Replicas of one engine under some load, all of them eligible; a prompt of 4 kB that nobody has cached. Every decision is
//! timed by itself, so its percentiles have what the machine does meanwhile in them; the rate is over all of them.

use std::{hint::black_box, path::Path, sync::Arc, time::Duration};

use gearshift_config::{BackendId, Catalog, Knobs, Objective, Slo};
use gearshift_selector::{
    Availability, BackendSpec, BackendState, Bundle, Decider, Group, Head, LoadOptions, ModelState, Moment,
    OnnxRuntime, OutputLengths, RequestFacts, RoutePolicy, ScrapedLoad, Software, Work, choose, prefix_chain,
    prefix_seed,
};
use serde::Serialize;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::{BenchOptions, lineup::Learning};
use crate::Error;

/// Fleets that decisions are measured on.
const CANDIDATES: [usize; 3] = [8, 64, 512];
/// Decisions timed of each, and as many before them that are not.
const DECISIONS: usize = 20_000;
/// Targets at 64 candidates, microseconds.
const TARGET: (f64, f64) = (100.0, 500.0);

/// Decisions over a fleet of one size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DecisionRow {
    /// Backends that may take the request.
    pub candidates: usize,
    /// The bundle that decided; absent for the prior and calibration alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// Candidates that the bundle was asked about at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<usize>,
    /// Decisions timed.
    pub decisions: usize,
    /// Median, microseconds.
    pub p50_us: f64,
    /// 99th percentile, microseconds.
    pub p99_us: f64,
    /// Decisions a second on one core.
    pub per_second: f64,
    /// Whether the targets are met, where there are any: at 64 candidates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meets_target: Option<bool>,
}

/// Measures decisions without a bundle, and with the one of the options where there is one.
pub(super) fn measure(options: &BenchOptions) -> Result<Vec<DecisionRow>, Error> {
    let mut bundle = match options.learning()? {
        Some(Learning { bundle, onnxruntime }) => Some(load(&bundle, &onnxruntime)?),
        None => None,
    };
    let mut rows = Vec::new();
    for candidates in CANDIDATES {
        rows.push(row(candidates, None)?);
        if let Some((bundle, head)) = &mut bundle {
            rows.push(row(candidates, Some((bundle, head)))?);
        }
    }
    Ok(rows)
}

fn load(directory: &Path, library: &Path) -> Result<(Bundle, Head), Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Failed(format!("{}: {error}", directory.display()));
    let runtime = OnnxRuntime::load(library).map_err(|error| failed(&error))?;
    let bundle =
        Bundle::load(directory, &runtime, &LoadOptions::default()).map_err(|error| failed(&error))?;
    let head = bundle.head().map_err(|error| failed(&error))?;
    Ok((bundle, head))
}

fn row(candidates: usize, learner: Option<(&Bundle, &mut Head)>) -> Result<DecisionRow, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Failed(format!("decisions: {error}"));
    let backends = replicas(candidates)?;
    let (bundle, mut head) = learner.unzip();
    let group = match bundle {
        Some(bundle) => Group::with_bundle(backends, bundle).map_err(|error| failed(&error))?,
        None => Group::new(backends),
    };
    let policy = RoutePolicy {
        objective: Objective::Latency,
        slo: Slo::default(),
        allow_lossy: false,
        output_lengths: Arc::new(OutputLengths::default()),
    };
    let (facts, mut rng) = (facts(), fastrand::Rng::with_seed(1));
    let mut times = Vec::with_capacity(DECISIONS);
    for turn in 0..2 * DECISIONS {
        let began = Instant::now();
        let decider = Decider { rng: &mut rng, head: head.as_deref_mut() };
        let decision = choose(&group, &policy, black_box(&facts), &SmallVec::new(), NOW, decider);
        let took = began.elapsed();
        black_box(decision.map_err(|error| failed(&error))?);
        if turn >= DECISIONS {
            times.push(took);
        }
    }
    Ok(sum_up(candidates, bundle, &mut times))
}

fn sum_up(candidates: usize, bundle: Option<&Bundle>, times: &mut [Duration]) -> DecisionRow {
    times.sort_unstable();
    let total: Duration = times.iter().sum();
    let micros = |share: usize| {
        let time = times.get(times.len() * share / 100).copied().unwrap_or_default();
        (time.as_secs_f64() * 1e8).round() / 100.0
    };
    let (p50_us, p99_us) = (micros(50), micros(99));
    DecisionRow {
        candidates,
        bundle: bundle.map(|bundle| bundle.manifest().id.clone()),
        asked: bundle.map(|bundle| bundle.cost().candidates),
        decisions: times.len(),
        p50_us,
        p99_us,
        per_second: (times.len() as f64 / total.as_secs_f64()).round(),
        meets_target: (candidates == 64).then_some(p50_us <= TARGET.0 && p99_us <= TARGET.1),
    }
}

const NOW: Moment = Moment(1_000_000_000);

fn replicas(count: usize) -> Result<Vec<BackendSpec>, Error> {
    let missing = |what: &str| Error::Failed(format!("the catalog has no {what}"));
    let catalog = Catalog::shipped();
    let hardware = catalog.hardware("h100_sxm").ok_or_else(|| missing("h100_sxm"))?;
    let model = catalog.model("llama-3.1-8b").ok_or_else(|| missing("llama-3.1-8b"))?;
    let model_state = Arc::new(ModelState::new());
    let backend = |at: usize| {
        let state = BackendState::new(None);
        state.set_availability(Availability::Ready);
        let running = u32::try_from(at % 32).unwrap_or(0);
        state.record_scrape(ScrapedLoad { at: NOW, running, waiting: 0, kv_usage: 0.1 });
        BackendSpec {
            id: BackendId::new(format!("replica-{at}")),
            hardware: Some((Arc::clone(hardware), 1)),
            model: Some(Arc::clone(model)),
            knobs: Knobs::default(),
            software: Software::default(),
            lossless: true,
            price_usd_per_hour: None,
            state: Arc::new(state),
            model_state: Arc::clone(&model_state),
        }
    };
    Ok((0..count).map(backend).collect())
}

fn facts() -> RequestFacts {
    let text = [b'x'; 4096];
    RequestFacts {
        work: Work::Generate,
        prompt_bytes: text.len() as u64,
        prompt_tokens_exact: None,
        max_tokens: None,
        sequences: 1,
        stream: true,
        prefix: prefix_chain(prefix_seed(&[b"bench"]), &text),
    }
}
