//! The simulated engine against real vLLM on a CPU.
//!
//! The step times of this CPU are fitted on a workload of their own ([`probes`]), on two profiles. Then the same
//! requests ([`load`]) go to real vLLM and to the simulated engine in every profile of a grid ([`plan`]).

pub mod client;
pub mod compare;
pub mod fit;
pub mod load;
pub mod measure;
pub mod outcome;
pub mod plan;
mod probe;
pub mod probes;
pub mod report;
pub mod simulate;
mod speculate;
pub mod vllm;
