//! How well each selector chooses where it has not been: splits × protocols × objectives × selectors.
//!
//! ```text
//!  rows ─▶ questions (source, data set, protocol, actions) ─▶ parts (who is held out)
//!                                                               │  prior refitted to what is left
//!                                                               ▼
//!                         selectors ─▶ scores ─▶ outcome: what was chosen (kept, by hash)
//!                                                               ▼
//!                                        pool over parts ─▶ judge: figures, intervals ─▶ report
//! ```
//!
//! No row, fitted factor or scaling of what is held out reaches prior, pre-training or learner: a selector is given a
//! [`Fold`](crate::baselines::Fold), which has none of it but the test samples' inputs.

mod cache;
mod confidence;
mod judge;
pub mod limits;
pub mod live;
mod markdown;
mod outcome;
mod plots;
mod pool;
mod profiles;
mod question;
mod report;
mod resample;
mod run;
mod splits;

pub use markdown::write;
pub use outcome::Outcome;
pub use profiles::is_one_of_eight;
pub use question::{Question, not_measured, questions};
pub use report::{Intervals, Made, Paired, Report, RiskCoverage, SelectorReport, SplitReport};
pub use resample::Ends;
pub use run::{Options, evaluate};
pub use splits::{Axis, Part};

#[cfg(test)]
mod tests;
