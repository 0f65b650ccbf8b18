//! The simulator against measured GPUs: the vLLM rows of AIConfigurator's `silicon_sample` table.

mod closed_loop;
mod engine;
mod engine_loop;
mod load;
mod report;
mod rows;

pub use closed_loop::run as closed_loop;
pub use engine::engine;
pub use load::Latencies;
pub(crate) use load::median;
pub use report::{Errors, Group, RowReport, SiliconReport, Spread, run, run_with};
pub use rows::{SiliconRow, read};

#[cfg(test)]
mod tests;
