//! The same requests in the simulated engine, in virtual time.

use std::sync::Arc;

use gearshift_config::{Catalog, HardwareFacts};

use super::{
    load,
    outcome::{PhaseRun, ProfileRun},
    plan::{BLOCK_TOKENS, BLOCKS, MODEL, Phase, Profile},
};
use crate::{
    Error,
    sim::{
        Engine, EngineSpec, Factors, Moment, Output, OutputKind, Pace, RequestId, Scheduling, SimRequest,
        SimWork, Times,
    },
    workload::Request,
};

/// What is fitted to the probes of one machine.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Fitted {
    /// Step times: shares of the nominal core's peaks, and overheads.
    pub factors: Factors,
    /// From when a request is sent until the engine's scheduler has it, and for the way back: HTTP and the front-end
    /// process, seconds.
    pub front_end_s: f64,
}

/// The catalog's socket, whose figures for one core the fitted shares refer to.
const SOCKET: &str = "epyc_9654";
const SOCKET_CORES: f64 = 96.0;
/// Memory bandwidth that one busy core of such a socket draws, GB/s. Nominal: the fit's shares refer to it.
const CORE_GB_PER_S: f64 = 20.0;

/// The engine of a profile, on `cores` cores.
///
/// # Errors
/// Where the catalog lacks its model or hardware.
pub fn spec(profile: Profile, cores: usize, factors: Factors) -> Result<EngineSpec, Error> {
    let catalog = Catalog::shipped();
    let missing = || Error::Failed("the catalog lacks the model or the socket".into());
    let socket = catalog.hardware(SOCKET).ok_or_else(missing)?;
    let cores = cores as f64;
    let hardware = HardwareFacts {
        bf16_tflops: socket.bf16_tflops / SOCKET_CORES * cores,
        memory_gb_per_s: CORE_GB_PER_S * cores,
        ..HardwareFacts::clone(socket)
    };
    Ok(EngineSpec {
        name: profile.name(),
        hardware_id: SOCKET.to_owned(),
        hardware: Arc::new(hardware),
        count: 1,
        model_name: MODEL.to_owned(),
        model: Arc::clone(catalog.model(MODEL).ok_or_else(missing)?),
        knobs: profile.knobs(),
        draft: None,
        scheduling: Scheduling::Fcfs,
        max_queued: None,
        block_tokens: BLOCK_TOKENS,
        blocks: Some(u64::from(BLOCKS)),
        times: Times { start_s: 0.0, sleep_s: 0.0, wake_s: 0.0 },
        factors: Some(Arc::new(factors)),
    })
}

/// A profile under both loads.
///
/// # Errors
/// Where the engine cannot be or refuses a request.
pub fn simulate(profile: Profile, cores: usize, fitted: &Fitted) -> Result<ProfileRun, Error> {
    let spec = spec(profile, cores, fitted.factors)?;
    Phase::ALL
        .into_iter()
        .map(|phase| Ok((phase, run(&spec, &load::requests(&phase.load()), fitted.front_end_s)?)))
        .collect()
}

fn run(spec: &EngineSpec, requests: &[Request], front_end_s: f64) -> Result<PhaseRun, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Failed(format!("{}: {error}", spec.name));
    let mut engine = Engine::new(spec, Pace::Skip, 0).map_err(|error| failed(&error))?;
    let mut outputs = Vec::new();
    for request in requests {
        let at = Moment::default().after_seconds(request.at.as_secs_f64() + front_end_s);
        engine.advance(at, &mut outputs);
        engine.submit(for_engine(request), at).map_err(|error| failed(&error))?;
    }
    while let Some(next) = engine.next_event() {
        engine.advance(next, &mut outputs);
    }
    let totals = *engine.totals();
    let (mut ttft_s, mut e2e_s) = (vec![f64::NAN; requests.len()], vec![f64::NAN; requests.len()]);
    for Output { id, at, kind } in outputs {
        let Some((index, request)) =
            usize::try_from(id.0).ok().and_then(|index| Some((index, requests.get(index)?)))
        else {
            continue;
        };
        let since = at.seconds_since(Moment::default()) - request.at.as_secs_f64();
        match kind {
            OutputKind::Tokens { first: true, .. } => ttft_s[index] = since,
            OutputKind::Finished { .. } => e2e_s[index] = since,
            OutputKind::Tokens { .. } | OutputKind::Aborted => {}
        }
    }
    Ok(PhaseRun {
        ttft_s,
        e2e_s,
        prefix_hits: totals.prefix_hits,
        preemptions: totals.preemptions,
        others: 0.0,
    })
}

fn for_engine(request: &Request) -> SimRequest {
    let content = &request.content;
    SimRequest {
        id: RequestId(request.id),
        work: SimWork::Generate,
        prompt_tokens: content.prompt_tokens(),
        output_tokens: content.output_tokens(),
        blocks: content.chain(BLOCK_TOKENS, 0).into(),
        priority: 0,
        acceptance: 0.0,
    }
}
