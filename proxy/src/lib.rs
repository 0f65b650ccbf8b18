//! The proxy: request path, fleet and operators' listener. The binary `gearshift` is a thin command line over
//! [`serve::run`].
//!
//! A request goes one way through [`server`] (connections of one core), [`edge`] (request id, panics) and
//! [`pipeline`] (admit ▶ inspect ▶ choose ▶ forward ▶ relay ▶ record), with what those need beside them:
//! [`request`] reads bodies, [`upstream`] has the connections to backends, [`relay`] watches what passes.
//!
//! What a request sees is one [`snapshot`]. [`control`] builds a new one when the configuration changes or the
//! [`fleet`] says something new, and swaps it in. Cores share only what [`worker::Shared`] has: atomics and one
//! `ArcSwap`. What requests teach beyond the selector's own state goes one way, to [`live`]; what is told of single requests, to [`telemetry`].
//!
//! `ARCHITECTURE.md` walks one request through these files and states the invariants.

pub mod admission;
pub mod bundles;
pub mod clock;
pub mod console;
pub mod control;
pub mod controller;
mod disk;
pub mod edge;
pub mod endpoint;
pub mod error;
pub mod fleet;
pub mod listing;
pub mod live;
pub mod metrics;
pub mod pace;
pub mod percent;
pub mod pipeline;
pub mod relay;
pub mod request;
pub mod runtime;
pub mod serve;
pub mod server;
pub mod snapshot;
pub mod telemetry;
pub mod upstream;
pub mod worker;
