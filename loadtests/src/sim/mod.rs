//! A simulated vLLM engine: what a real one would do, iteration by iteration, without a GPU.
//!
//! Pure, as the selector is: no clock, no I/O, no global randomness. Time comes as a [`Moment`], so that the same
//! engine runs in virtual time (discrete events, a study of a day in seconds) and behind a real HTTP server.
//!
//! An [`Engine`] is handed [`SimRequest`]s and carried forward with [`Engine::advance`]. It schedules as vLLM V1 does and
//! takes for each step the time that [`StepModel`] says: a roofline over the work the step really does, with
//! utilisation factors fitted to measured kernels.
//!
//! # How it is built
//!
//! - `limits`: what knobs and hardware come to, with vLLM's defaults.
//! - `scheduler`: which tokens of which sequence go into a step; `kv`: the blocks they need; `speculation`: the drafts
//!   that are accepted.
//! - `core`: plan a step, let it take its time, report, again; `ticks`: that time, exact.
//! - `engine`: all this with faults and states (`life`) as the outside sees it; `forecast`: the same run ahead.
//!
//! # Why it is fast
//!
//! Between two changes of the batch, decoding steps differ only in their context, which grows by the same from step to
//! step. So a sequence is a line over step numbers, a run of steps a sum in closed form, and nothing is touched until
//! somebody comes or ends. Time is added up in integers, so that steps taken at once ([`Pace::Skip`]) end in the same
//! nanosecond as steps taken one by one ([`Pace::Steps`]).
//!
//! # Where it is simpler than vLLM 0.32
//!
//! - Where two requests compute the same block, vLLM keeps both copies until they are evicted; here one is given back.
//! - Blocks of an answer are published when it ends or is preempted, not as they fill.
//! - With speculation, a sequence's context grows evenly over the steps its drafts will take, whichever of them are
//!   accepted when; a drafter always proposes as many tokens as it may; a step that has no room for all of a
//!   sequence's drafts passes it over instead of verifying fewer.
//! - Ranks of a data-parallel engine are one scheduler with their budgets, places and blocks together.
//! - Not modelled: sliding windows and state-space layers, KV offloading and transfer, LoRA, encoder inputs, structured
//!   output, `long_prefill_token_threshold` and the watermark, which are off by default.

mod core;
mod engine;
mod fault;
mod forecast;
mod kv;
mod life;
mod limits;
mod output;
mod request;
mod scheduler;
mod sequence;
mod spec;
mod speculation;
mod step;
mod ticks;

#[cfg(test)]
mod tests;

pub use engine::{Engine, Pace, Refusal};
pub use fault::Fault;
pub use forecast::Forecast;
pub use gearshift_selector::Moment;
pub use limits::default_step_tokens;
pub use output::{Gauges, Output, OutputKind, Totals};
pub use request::{RequestId, SimRequest, SimWork};
pub use spec::{EngineSpec, Scheduling, SpecError, Times};
pub use step::{DecodeLine, FactorEntry, FactorSource, FactorTable, Factors, StepCost, StepModel, StepWork};
pub(crate) use step::{EXPERT_PASSES, TILE_ROWS};
