//! Workloads: which requests come, when, and what they share.
//!
//! A workload is an iterator of [`Request`]s in order of arrival. It comes from a trace or from the generator, is
//! the same for the same seed, and drives both clocks: the virtual one asks for token counts and
//! block hashes, the real one for text.
//!
//! ```
//! use std::time::Duration;
//! use gearshift_loadtests::workload::{Answers, Api, BodyWriter, Workload};
//!
//! let workload = Workload::find("drift")?.at_rate(20.0).lasting(Duration::from_secs(60));
//! let bodies = BodyWriter { model: "llama".into(), api: Api::Chat, stream: true, answers: Answers::Told };
//! for request in workload.requests(7).take(3) {
//!     let (prompt, answer) = (request.content.prompt_tokens(), request.content.output_tokens());
//!     assert!(bodies.body(&request).len() > 4 * prompt as usize && answer > 0);
//! }
//! # Ok::<(), gearshift_loadtests::workload::WorkloadError>(())
//! ```

mod acceptance;
mod arrivals;
mod content;
mod generate;
mod random;
mod request;
mod requests;
mod rhythm;
mod spec;
mod text;
mod trace;

pub use acceptance::{Acceptance, acceptance_of};
pub use arrivals::{ArrivalTimes, Arrivals, ArrivalsError};
pub use content::{Content, Segment};
pub use generate::{Mix, Phase, Weights};
pub use request::{Class, Request};
pub use requests::{Requests, Workload};
pub use rhythm::Rhythm;
pub use spec::{TraceSpec, WorkloadError, WorkloadSpec, names};
pub use text::{Answers, Api, BYTES_PER_TOKEN, BodyWriter};
pub use trace::{
    DATA_VARIABLE, KNOWN_TRACES, KnownTrace, TRACE_BLOCK_TOKENS, Trace, TraceError, TraceRecord,
};
