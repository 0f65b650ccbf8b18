//! What would become of one more request: the engine run forward with it, alone.

use super::{
    Output, OutputKind, RequestId, SimRequest,
    core::Core,
    kv::{Pool, Shadow},
    sequence::Sequence,
    ticks::Ticks,
};

/// What a request would see, seconds from when it comes. Infinite where it would get no answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// To the first token.
    pub ttft_s: f64,
    /// To the end of the answer.
    pub e2e_s: f64,
}

impl Forecast {
    /// Of a request that gets no answer.
    pub const NEVER: Self = Self { ttft_s: f64::INFINITY, e2e_s: f64::INFINITY };
}

/// Runs a copy of `core` forward with `sequence` in it, which is made of `request`, until that is answered.
pub(super) fn forecast(
    core: &Core<Pool>,
    request: &SimRequest,
    sequence: Sequence,
    start: Ticks,
) -> Forecast {
    let scheduler = &core.scheduler;
    let limits = &scheduler.limits;
    let tokens = sequence.prompt.saturating_add(sequence.output);
    let blocks = scheduler.final_blocks() + u64::from(limits.blocks_for_step(tokens, limits.width()));
    let plenty = scheduler.nobody_waits() && blocks <= u64::from(scheduler.blocks.total());
    let shadow = Shadow::new(&scheduler.blocks, &request.blocks, plenty);
    let mut fork = core.fork(scheduler.fork(shadow));
    let mut outputs = Vec::new();
    fork.advance(start, &mut outputs);
    let arrived = sequence.arrived;
    let slot = fork.arrive(sequence);
    fork.scheduler.blocks.came(slot);
    run(&mut fork, sequence.id, arrived)
}

fn run(fork: &mut Core<Shadow<'_>>, id: RequestId, arrived: Ticks) -> Forecast {
    let mut outputs = Vec::new();
    let mut forecast = Forecast::NEVER;
    while let Some(next) = fork.next_event() {
        outputs.clear();
        fork.advance(next, &mut outputs);
        for Output { at, kind, .. } in outputs.iter().filter(|output| output.id == id) {
            let seconds = Ticks::from(*at).saturating_sub(arrived).seconds();
            match kind {
                OutputKind::Tokens { first: true, .. } => forecast.ttft_s = seconds,
                OutputKind::Tokens { .. } => {}
                OutputKind::Finished { .. } => return Forecast { e2e_s: seconds, ..forecast },
                OutputKind::Aborted => return Forecast::NEVER,
            }
        }
    }
    forecast
}
