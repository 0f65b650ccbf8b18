//! An engine as a bundle remembers it between requests.

use std::sync::Arc;

use crate::{deployment::Deployment, inputs::StaticInputs};

/// An engine encoded by a bundle: what its heads take of it. Cheap to copy.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory(Arc<[f32]>);

impl Memory {
    /// Of the graph's output, or of the numbers themselves where a bundle has no `context.onnx`.
    pub(crate) fn new(values: &[f32]) -> Self {
        Self(values.into())
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.0
    }
}

/// Descriptions in words, for the text encoder; empty for none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Texts<'a> {
    /// Of the model.
    pub model: &'a str,
    /// Of the hardware.
    pub hardware: &'a str,
    /// Of the workload. Requests are served by their numbers; only offline questions have words for it.
    pub workload: &'a str,
}

impl<'a> Texts<'a> {
    /// The catalog's descriptions.
    pub fn of(deployment: &'a Deployment) -> Self {
        Self {
            model: &deployment.model.description,
            hardware: &deployment.hardware.description,
            workload: "",
        }
    }
}

/// An engine's numbers and text vectors, as `context.onnx` takes them.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    pub(super) statics: StaticInputs,
    /// Of model, hardware and workload; empty where the bundle takes none.
    pub(super) texts: [Arc<[f32]>; 3],
}

impl Engine {
    /// All numbers in a row, as an unsplit graph takes them.
    pub(super) fn numbers(&self) -> Vec<f32> {
        let StaticInputs { model, hardware, profile } = &self.statics;
        [&model[..], hardware, profile].concat()
    }
}
