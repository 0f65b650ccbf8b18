//! Load tests and benchmarks for Gearshift, without GPUs.
//!
//! - [`mock`]: a stub that answers like vLLM and does nothing, so that a proxy before it is what costs.
//! - [`driver`]: load, and a client that checks every byte's worth of what comes back.
//! - [`mod@bench`]: what a request costs through Gearshift, and through its peers, in one run.
//!
//! Linux only: CPU and memory are read from `/proc`.

pub mod bench;
pub mod driver;
mod error;
pub mod mock;
pub mod procfs;
pub mod system;

pub use error::Error;
