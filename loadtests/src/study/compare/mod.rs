//! Policies side by side: the same requests to the same fleets, by one after the other.

pub(super) mod cell;
mod kind;
mod markdown;
pub(crate) mod parallel;
mod plan;
mod plot;
mod predicted;
mod speed;
mod summary;

pub use cell::{Cell, CellResult};
pub use kind::Kind;
pub use markdown::markdown;
pub use plan::{Capacity, Comparison, Plan, compare};
pub use plot::plot;
pub use predicted::{Predicted, calibration_plot, predicted, predictions};
pub use speed::speed;
pub use summary::{Factor, Loss, PolicySummary, Standing, standing};
