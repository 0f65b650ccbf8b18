//! How good a bundle would have been for traffic that was served by another: an off-policy estimate from logged decisions.
//!
//! ```text
//!  journeys ─▶ replay: the decision made again, by each policy, with what it would have learned by then ─▶ probabilities ─┐
//!      └─────▶ losses of what was chosen ─▶ reward model, cross-fitted ─▶ losses of all candidates ────────────────────────┴▶ doubly robust
//! ```
//!
//! *Loss* is the objective's number with the time that came in place of the one that was predicted, over the least that was
//! predicted for any candidate then: 1 is what the best was expected to take. For latency that is the end to end time at the expected output
//! length plus what the request was predicted to delay others by, which is the same for every policy; for other objectives
//! the number is scaled by how much longer the request took. So rows of short and long requests weigh alike. A limit of the route that was
//! broken costs 1 more and by how much it was exceeded; what failed or was cut costs [`MOST`]; what was cancelled took at least as long as it did,
//! and no less than predicted.
//!
//! What is explored is rare, and weighs accordingly: weights are not clipped, and no verdict is given where too few decisions tell the
//! policies apart, where they span too short a time, or where the weights do not add up ([`Difference::doubt`]). Then all that there is is the
//! reward model's word, which may be wrong.
//!
//! The estimate is right where the logged propensities are right, or the reward model is (that is *doubly robust*; Dudík et al. 2011). It holds
//! the state still: what a policy does to the load that later requests see is in it only as far as the delay of others is.

mod decided;
mod estimate;
mod judge;
mod markdown;
mod regret;
mod replay;
mod reward;

pub use decided::{Decided, MOST};
pub use estimate::{Choice, Difference, Estimate, Settings, Tried, blocks, differ, estimate};
pub use judge::{Judged, LiveReport, Options, PolicyReport, Rows, Verdict, judge, judgeable, split};
pub use markdown::{plots, write};
pub use regret::regret;
pub use replay::{Arm, Told, replayed};
pub use reward::expected;

#[cfg(test)]
mod tests;
