//! Routing studies in virtual time: a fleet of simulated engines, a workload, and the policy that routes it.
//!
//! One loop over discrete events carries engines, arrivals, scrapes, health checks and faults; the same seed gives the
//! same run. [`Gearshift`] is the selector itself, with its own live state: what is studied is what serves, not a
//! copy. Every [`Policy`] is told what its original would know, and no more: its own requests in flight, scrapes at
//! the original's interval, health. Only the [`Oracle`] sees the engines.
//!
//! ```
//! use gearshift_loadtests::study::{Fleet, LeastOutstanding, Settings, Trip, run};
//!
//! let fleet = Fleet { name: "empty".into(), members: Vec::new() };
//! let trips: Vec<std::sync::Arc<Trip>> = Vec::new();
//! let mut ended = 0;
//! let settings = Settings::default();
//! let summary = run(&fleet, trips, &mut LeastOutstanding::new(1), &settings, 1, |_| ended += 1)?;
//! assert_eq!((ended, summary.requests), (0, 0));
//! # Ok::<(), gearshift_loadtests::sim::SpecError>(())
//! ```
//!
//! # What differs from the proxy
//!
//! - Tokens are taken into the in-flight ledger every [`Settings::progress_every`] and before the decision that reads
//!   it, not one by one: the ledger is at most that much behind.
//! - The watcher is a reduced one: `/health` answers at once or not at all, intervals have no jitter, engines never
//!   sleep, and what an engine says of itself is known from the start.
//! - Requests never wait for a connection; every request is a stream, whose head vLLM sends as soon as it has taken
//!   the request in. From then on nothing is retried.

mod accuracy;
pub mod adapt;
mod answers;
mod capacity;
mod closed;
pub mod compare;
pub mod day;
mod event;
mod fleet;
pub mod grid;
mod measure;
mod outcome;
mod policy;
mod router;
mod run;
mod settings;
mod shifting;
mod station;
mod trip;
mod watch;
mod watching;
mod wire;

pub use accuracy::{Accuracy, Errors, Part};
pub use capacity::capacity;
pub use closed::{ClosedLoop, Watched, Window, closed_loop};
pub use fleet::{Claim, Fleet, Member};
pub use measure::{Measure, Meter, Spread};
pub use outcome::{End, Outcome, Summary, Tally};
pub use policy::{
    CacheAware, Gearshift, LeastOutstanding, Logbook, News, Oracle, PeakEwma, Policy, PowerOfTwo, Random,
    RoundRobin, Signal, Ticket, View, Weighted, WithoutLearner,
};
pub use run::{run, run_shifting};
pub use settings::{Settings, TimedFault};
pub use shifting::{Shift, Shifter};
pub use trip::{BLOCK_TOKENS, BYTES_PER_TOKEN, Trip};
