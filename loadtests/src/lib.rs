//! Load tests and benchmarks for Gearshift, without GPUs.
//!
//! - [`mock`]: a stub that answers like vLLM and does nothing, so that a proxy before it is what costs.
//! - [`collect`]: profiles and workloads measured on a real engine.
//! - [`demo`]: Gearshift against round robin, live, over simulated engines.
//! - [`driver`]: load, and a client that checks every byte's worth of what comes back.
//! - [`mod@bench`]: what a request costs through Gearshift, and through its peers, in one run.
//! - [`report`]: statistics, tables and plots.
//! - [`scenario`]: fleets of simulated engines, described by a Gearshift configuration.
//! - [`serve`]: simulated engines behind HTTP, with vLLM's API.
//! - [`sim`]: a simulated vLLM engine, pure: time is an argument.
//! - [`study`]: routing studies in virtual time.
//! - [`sweep`]: rows of the performance database from simulated engines.
//! - [`validate`]: the simulated engine held against real ones.
//! - [`vllm`]: real vLLM servers, started for a measurement.
//! - [`workload`]: which requests come, when, and what they share.
//!
//! Linux only: CPU and memory are read from `/proc`.

pub mod bench;
pub mod collect;
pub mod demo;
pub mod driver;
mod error;
pub mod fit;
pub mod manual;
pub mod mock;
pub mod options;
pub mod procfs;
pub mod report;
pub mod scenario;
pub mod serve;
pub mod sim;
pub mod study;
pub mod sweep;
pub mod system;
pub mod validate;
pub mod vllm;
pub mod workload;

pub use error::Error;
