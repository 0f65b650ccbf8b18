//! The meta-learner: a bundle of ONNX graphs that corrects the prior, run in process by ONNX Runtime.
//!
//! A bundle is a directory; see `models/README.md` for the contract. [`Bundle::load`] checks it (hashes, schema, golden
//! rows, the time a decision takes) off the request path; [`Bundle::remember`] encodes engines once per snapshot;
//! a [`Head`] per core corrects the predictions of a request's best candidates.

mod bundle;
mod correction;
mod cost;
mod encode;
mod error;
mod files;
mod golden;
mod graph;
mod head;
mod manifest;
mod memory;
mod runtime;
mod text;
mod vectors;

pub use bundle::{Bundle, LoadOptions};
pub use correction::{Correction, OUTPUTS};
pub use cost::Cost;
pub use error::{BundleError, HeadError};
pub use head::{Generation, Head, HeadGuard, Heads};
pub use manifest::{BundleId, Encoder, FORMAT, Manifest, TrainingRows};
pub use memory::{Memory, Texts};
pub use runtime::{OnnxRuntime, RuntimeError, without_telemetry};
pub use text::{EncoderError, TextEncoder};
