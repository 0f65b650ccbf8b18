//! What is known of hardware and models, as data.

mod facts;
mod hugging_face;
mod shipped;

pub use facts::{Experts, HardwareFacts, ModelFacts, SlidingWindow};
pub use hugging_face::HfConfigError;
pub use shipped::Catalog;
