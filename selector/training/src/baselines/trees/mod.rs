//! Regression trees over binned columns, and what is built of them: forests, gradient boosting, LambdaMART.
//!
//! Own code, because no kept crate has what the baselines need: LambdaMART exists in none, and `forust-ml`, which boosts
//! with row weights, takes no gradients from outside; `smartcore`'s forest takes no weights and scans all rows at every
//! node, which is quadratic. One grower serves all three. Both crates are what it is checked against, in the tests.

mod bins;
mod boost;
mod forest;
mod grow;
mod lambda;

pub use bins::Binned;
pub use boost::{Boost, Boosted, squared};
pub use forest::{Forest, Planting};
pub use grow::{Growth, Pull, Tree};
pub use lambda::{Group, lambda};

#[cfg(test)]
mod tests;
