//! Writes trained networks as ONNX.
//!
//! ONNX is protobuf; the messages that a writer needs are few and stand in [`proto`] by hand, so that neither `protoc`
//! nor generated code is needed.

mod export;
mod graph;
pub mod proto;
mod restore;

pub use export::{Graphs, export};
pub use restore::{Restored, restore};
