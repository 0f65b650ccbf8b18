//! The decision through its public face: whole scenarios under a virtual clock.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![expect(clippy::print_stderr, reason = "tests that are skipped say so")]

mod bundle;
mod encoder;
mod exploring;
mod facts;
mod fleet;
mod hindsight;
mod learning;
mod ledger;
mod made;
mod onnx;
mod replaying;
mod scenarios;
mod spread;
