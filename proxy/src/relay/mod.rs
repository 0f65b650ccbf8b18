//! What is read of a response while it passes.

pub mod sse;
pub mod usage;
