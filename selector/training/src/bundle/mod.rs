//! Writes bundles: directories that hold a trained network as ONNX, with all that a server needs to trust and to run it.
//!
//! The contract is that of [`gearshift_selector::Bundle`], which reads them.

mod clock;
mod counts;
mod evaluation;
mod golden;
mod offer;
mod vectors;
mod write;

#[cfg(test)]
mod shipped_tests;
#[cfg(test)]
mod tests;

pub use clock::rfc3339;
pub use counts::counts;
pub use evaluation::summary;
pub use offer::{again, offer};
pub use vectors::Vectors;
pub(crate) use write::write_manifest;
pub use write::{Contents, evaluated, write};
