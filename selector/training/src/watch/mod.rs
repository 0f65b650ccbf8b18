//! Retraining by itself: waits for rows, trains, judges, offers, looks on, and takes back what was no good.
//!
//! ```text
//!  waiting ─ rows enough ─▶ trained ─ better for sure ─▶ offered ─ Gearshift: checks, (shadow) swap ─▶ probation ─ rows enough ─▶ waiting
//!     ▲                        └ not ─▶ waiting              └ refused, or not taken up ─▶ waiting         └ worse ─▶ taken back ─▶ waiting
//!     └────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! What Gearshift does itself stays there: it checks a bundle that is dropped into its folder, tries it in shadow
//! where `learner.shadow_requests` is above 0, which it is not unless set, swaps it in, drops it where it keeps failing, and believes it at each backend as far as outcomes bear it out.
//! This does what needs rows: whether a bundle is worth offering, and whether it has kept what was expected of it. [`State`] is on the disk
//! before it is acted upon, so that it may be ended at any time.

mod admin;
mod lock;
mod machine;
mod state;
mod work;

pub use admin::{Admin, Standing, standing};
pub use lock::Lock;
pub use machine::{Event, Next, next};
pub use state::{Phase, State};
pub use work::{Settings, Watcher};
