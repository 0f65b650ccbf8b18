//! The regressor: a small transformer, trained by burn.
//!
//! ```text
//!  model ─┐
//!  hardware ├─▶ tokens ─▶ self-attention ─▶ feed-forward ─▶ keys, values     once per engine  (context.onnx)
//!  profile ─┤                                                  │
//!  texts ───┘                                                  ▼
//!  query ────▶ hidden ─────────────────────────▶ asks ─▶ attention ─▶ feed-forward ─▶ outputs   (regressor.onnx)
//! ```
//!
//! The static tokens pass one encoder layer (normalised before, as is usual now). The query attends to them with one
//! sigmoid gate per head and token instead of a softmax: with four tokens it does as well and costs one operation
//! (Ramapuram et al., *Theory, Analysis, and Best Practices for Sigmoid Self-Attention*, 2024). What is computed per
//! request is kept to few operations, as each costs about a microsecond whatever its size.
//!
//! An ensemble is one network with a leading member axis: every weight is `[members, in, out]`. Its last members know by heart
//! what they were trained on: they read numbers that are as good as names there. [`Gate`] says of each engine how far that goes;
//! where it is shut, only the others count.

mod forward;
mod gate;
mod members;
mod scaling;
mod shape;

pub use forward::{Fed, forward};
pub use gate::{ENGINE, Gate};
pub(crate) use members::numbers;
pub use members::{Members, Weights};
pub(crate) use scaling::REACH;
pub use scaling::{Scale, Scaling};
pub use shape::{PARTS, Part, Shape};
