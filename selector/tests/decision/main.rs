//! The decision through its public face: whole scenarios under a virtual clock.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod facts;
mod fleet;
mod learning;
mod ledger;
mod onnx;
mod scenarios;
mod spread;
