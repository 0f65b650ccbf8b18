//! Rows of live traffic: read from where they are written, and made fit to learn from.
//!
//! ```text
//!  folder, s3://, gs://, az:// ─▶ fetch ─▶ Journey (one request, cleaned) ─┬▶ contexts ─▶ mix with shipped rows ─▶ warm start ─▶ bundle
//!                                                                          └▶ eval::live: what another bundle would have chosen
//! ```

mod contexts;
mod fetch;
mod journey;
mod retrain;

pub use contexts::{Grouping, dataset};
pub use fetch::{Fetched, fetch};
pub use journey::{Journey, Left, journeys};
pub use retrain::{Retrained, Retraining, retrain, trained_until_s};

#[cfg(test)]
pub(crate) mod made;
