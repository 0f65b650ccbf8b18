//! Training: from rows to weights.
//!
//! 1. Weights begin so that the network leaves the prior as it is, and are *pre-trained* where there are rows for it.
//! 2. Where `early_stop` is set, how long to train is found out on hardware left out: every member leaves out another,
//!    and the epoch at which the mean loss on what was left out was best (averaged over neighbouring epochs) is taken.
//! 3. All rows are trained on for so long; the weights are the mean over the last epochs.
//!
//! 4. Once more, with little restraint and with the numbers that are as good as names, for the members that know by heart; see
//!    [`crate::net::Gate`].
//!
//! Batches are whole contexts, as `relative` is compared within them only. Everything random comes from one seed.

mod curves;
mod fitted;
mod loss;
mod prepared;
mod progress;
mod recipe;
mod rows;
mod train;
mod warm;

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

pub use curves::{Curve, Point, chart};
pub use fitted::Fitted;
use fitted::Learned;
pub use prepared::{Prepared, TARGETS, Texts};
pub use progress::{Bar, Progress, Silent};
pub use recipe::{Losses, Near, Recipe, Schedule};
pub use train::{fit, fit_known};
pub use warm::{WarmStart, refit};
