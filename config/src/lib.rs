//! Gearshift's configuration: one YAML file, checked as a whole, and the catalog of hardware and models.
//!
//! ```
//! # fn main() -> Result<(), gearshift_config::Errors> {
//! let text = "
//! listen: 127.0.0.1:8080
//! backends:
//!   - url: http://127.0.0.1:8000
//!     hardware: h100_sxm
//!     model: Qwen/Qwen3-8B
//! ";
//! let config = gearshift_config::parse("gearshift.yaml", text, std::path::Path::new(""))?;
//! assert_eq!(config.backends[0].id.as_str(), "127.0.0.1:8000");
//! # Ok(())
//! # }
//! ```
//!
//! A text becomes a tree that knows its lines (`yaml`), the tree becomes what is written (`raw`), and that becomes what
//! works ([`Config`]): references resolved, ranges held, defaults filled in. Each step goes on after an error, so that
//! [`Errors`] has all of them, each with its line, the path of the key, and what would be right.

mod catalog;
mod controller;
mod defaults;
mod errors;
mod ids;
mod load;
mod profile;
mod raw;
mod schema;
mod secret;
mod suggest;
mod summary;
mod telemetry;
mod units;
mod validate;
mod validated;
mod vllm_args;
mod yaml;

pub use catalog::{Catalog, Experts, HardwareFacts, HfConfigError, ModelFacts, SlidingWindow};
pub use controller::{
    Actuator, Controller, ControllerMode, OnExit, ProcessActuator, SleepActuator, WebhookActuator,
};
pub use errors::{Errors, Position, Problem};
pub use ids::{BackendId, HardwareId, ModelId, ProfileId, RouteId};
pub(crate) use load::report;
pub use load::{decode, load, parse, parse_with};
pub use profile::{Knobs, KvCacheDtype, Profile, Quantization, Speculative};
pub use schema::schema;
pub use secret::Secret;
pub use suggest::suggest;
pub use telemetry::{AccessLog, EngineFamily, EngineFamilyKind, LogTarget, Telemetry, Tracing};
pub use validated::*;
pub use vllm_args::shell_word;
