//! Writes bundles: directories that hold a trained network as ONNX, with all that a server needs to trust and to run it.
//!
//! The contract is that of [`gearshift_selector::Bundle`], which reads them.

mod clock;
mod golden;
mod vectors;
mod write;

#[cfg(test)]
mod tests;

pub use clock::rfc3339;
pub use vectors::Vectors;
pub use write::{Contents, write};
