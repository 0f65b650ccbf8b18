//! Gearshift's offline side: what it learns from, how, and how well.
//!
//! ```text
//!  CSV, JSONL, vllm bench, GuideLLM, AIPerf ─▶ import ─▶ perfdb (Parquet) ─▶ dataset ─▶ prior fit ─▶ fit ─▶ bundle
//!                                                                                └──────▶ eval: folds × selectors ─▶ report
//! ```
//!
//! Nothing here is linked into `gearshift serve`.

pub mod aslib;
pub mod baselines;
pub mod bundle;
pub mod dataset;
pub mod error;
pub mod eval;
pub mod fit;
pub mod import;
pub mod live;
pub mod net;
pub mod onnx;
pub mod prepare;
pub mod prior_fit;
pub mod read;
#[cfg(test)]
mod runtime_for_tests;
pub mod score;
pub mod study;
pub mod table;
pub mod watch;

pub use error::Error;
