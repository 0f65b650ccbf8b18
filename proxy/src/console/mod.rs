//! The console: one page for operators, embedded, and the live stream that fills it.
//!
//! ```text
//! /console/        page, scripts and style: files of this binary, without data
//! /events          server-sent events: fleet, decisions, workload, controller, bundles, configuration
//! /decisions       the last decisions;  /decisions/ID  one of them, with the candidates it was made among;
//!                  ?attempt=N&at_ms=T  which, of several attempts and requests with that id
//! ```
//!
//! Everything is read from what the request cores leave behind; nothing here is seen by a request.

mod assets;
mod changes;
mod decisions;
mod stream;

pub use self::{
    assets::{PAGE, PLACE, asset},
    changes::changes,
    decisions::{brief, whole},
    stream::{Broadcast, Events, Feed},
};
