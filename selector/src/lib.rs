//! Gearshift's decision: what every candidate backend would give a request, and which one to take.
//!
//! Pure and synchronous: no I/O, no runtime, no clock and no global randomness. Time comes as a [`Moment`], chance as
//! a seeded [`fastrand::Rng`]; with the same state, arguments and seed the choice is the same. So a virtual clock can
//! study the very code that serves.
//!
//! # State
//!
//! All live state is here, behind atomics that many cores share without a lock. It comes in three lifetimes:
//!
//! - [`BackendState`], one per backend, outlives snapshots of the configuration: in-flight ledger, scraped gauges,
//!   availability, calibration, observed pace, approximate prefix index (at most 1 MiB).
//! - [`ModelState`], one per served model, and [`OutputLengths`], one per route: tokens per byte, output lengths.
//! - [`Group`], built once per snapshot: the backends of one model name with the prior's constants worked out.
//!
//! # One request
//!
//! ```
//! use std::sync::Arc;
//!
//! use gearshift_config::{BackendId, Knobs, Objective, Slo};
//! use gearshift_selector::{
//!     Availability, BackendSpec, BackendState, Flight, Group, ModelState, Moment, OutputLengths, RequestFacts,
//!     RoutePolicy, Software, Usage, Work, choose, prefix_chain, prefix_seed,
//! };
//! use smallvec::SmallVec;
//!
//! // When the snapshot is built. Two engines of which nothing is known yet but their names.
//! let model_state = Arc::new(ModelState::new());
//! let backend = |name: &str| BackendSpec {
//!     id: BackendId::new(name),
//!     hardware: None,
//!     model: None,
//!     knobs: Knobs::default(),
//!     software: Software::default(),
//!     lossless: true,
//!     price_usd_per_hour: None,
//!     state: Arc::new(BackendState::new(None)),
//!     model_state: Arc::clone(&model_state),
//! };
//! let group = Group::new(vec![backend("a"), backend("b")]);
//! group.backends()[1].state.set_availability(Availability::Ready);
//! let policy = RoutePolicy {
//!     objective: Objective::Latency,
//!     slo: Slo::default(),
//!     allow_lossy: false,
//!     output_lengths: Arc::new(OutputLengths::default()),
//! };
//!
//! // When a request comes: read its facts, choose, enter the ledger.
//! let text = br#"[{"role":"user","content":"Why is the sky blue?"}]"#;
//! let facts = RequestFacts {
//!     work: Work::Generate,
//!     prompt_bytes: text.len() as u64,
//!     prompt_tokens_exact: None,
//!     max_tokens: Some(100),
//!     sequences: 1,
//!     stream: true,
//!     prefix: prefix_chain(prefix_seed(&[b"model"]), text),
//! };
//! let (now, mut rng) = (Moment(0), fastrand::Rng::with_seed(1));
//! let decision = choose(&group, &policy, &facts, &SmallVec::new(), now, &mut rng)?;
//! let chosen = &group.backends()[decision.chosen.index];
//! assert_eq!(chosen.id.as_str(), "b", "a is not checked yet");
//! let mut flight = Flight::begin(chosen, &policy, &facts, &decision, now);
//! assert_eq!(chosen.state.in_flight().requests, 1);
//!
//! // As the answer streams, and when it ends.
//! flight.first_token(now.after_seconds(0.2));
//! flight.progress(40, now.after_seconds(1.0));
//! let usage = Usage { prompt_tokens: 16, completion_tokens: 41, cached_tokens: None };
//! flight.finish(Some(usage), now.after_seconds(1.0));
//! assert_eq!(chosen.state.in_flight().requests, 0);
//! # Ok::<(), gearshift_selector::NoCandidate>(())
//! ```
//!
//! # How it chooses
//!
//! 1. **Filter**: lossy profiles where the route forbids them, backends already tried; then the best standing that
//!    anybody has: ready, unchecked, failing, leaving, asleep. A group of more than 64 is sampled, after the backends
//!    that last got the prompt's prefix: the cost of a decision does not grow with the fleet.
//! 2. **Predict** for each: the roofline prior for the request at the backend's load, minus the prompt tokens
//!    predicted to be cached, × the backend's calibration, + its round trip. See [`Terms`] for what it adds up. Calibration
//!    knows load: for each of TTFT and TPOT a level and a slope, in logarithms. What speaks against a backend that nobody sends
//!    anything to fades: what is unusual of it within a minute, the rest within half an hour. So it is tried again, with one request.
//! 3. **Rank**: those that meet the route's limits first, then the objective. Latency counts what the
//!    request delays others by as its own. Within 5 % of the best, a warm cache decides, then the less loaded of two
//!    random ones (so that replicas do not herd). A group that is [`exploring`](Group::exploring) sends a small share
//!    elsewhere, and every other request to backends that have answered fewer than four, where no limit is in danger; of each
//!    choice the probability is known ([`Decision::propensity`]).
//! 4. **Fall back**, counted by [`Fallback`]: where facts are missing, by the pace each backend was seen to keep
//!    (peak-EWMA × outstanding requests, better of two).
//!
//! Where the group was built with a [`Bundle`] and the core brings a [`Head`], the best few by 2 and 3 are looked at once more:
//! the meta-learner corrects their predictions, as far as its ensemble agrees and as far as outcomes of each backend have borne it out
//! beyond what calibration explains, and they are ranked anew. Without one, or where it
//! fails, prior × calibration has the last word, which [`Fallback`] counts as well.
//!
//! [`explain`] is [`choose`] that shows all candidates and their terms.

#[cfg(test)]
extern crate self as gearshift_selector; // helpers are shared with the tests outside

pub mod advise;
mod affinity;
mod calibration;
mod choose;
mod claim;
pub mod controller;
mod correct;
mod decision;
mod deployment;
mod eligible;
mod even;
mod ewma;
mod explore;
mod features;
mod field;
mod flight;
mod gate;
mod group;
mod hindsight;
mod index;
pub mod inputs;
mod learner;
mod ledger;
mod line;
mod load;
mod moment;
mod num;
mod objective;
mod outputs;
mod prefix;
mod prior;
mod rank;
mod relearned;
pub mod replay;
mod share;
mod state;
mod tokens;
pub mod window;

pub use choose::{Decider, Explained, Explanation, RoutePolicy, choose, choose_on_record, explain};
pub use claim::Claim;
pub use decision::{Decision, Fallback, Learned, NoCandidate, Prediction, Ranked, Upper};
pub use deployment::{Deployment, EngineKind, Software};
pub use explore::Exploration;
pub use features::{RequestFacts, Situation, Typical, Usage, Work};
pub use field::{Entrant, FIELD};
pub use flight::Flight;
pub use group::{BackendSpec, Group, Index};
pub use hindsight::{Hindsight, Rival};
pub use learner::{
    Bundle, BundleError, BundleId, Correction, Cost, Encoder, EncoderError, FORMAT, Generation, Head,
    HeadError, HeadGuard, Heads, LoadOptions, Manifest, Memory, OUTPUTS, OnnxRuntime, RuntimeError,
    TextEncoder, Texts, TrainingRows, without_telemetry,
};
pub use ledger::InFlight;
pub use load::{Load, ScrapedLoad};
pub use moment::Moment;
pub use outputs::OutputLengths;
pub use prefix::{PREFIX_BLOCK_BYTES, PREFIX_MAX_BLOCKS, PrefixChain, prefix_chain, prefix_seed};
pub use prior::{MIDDLE_MONTH, NEWEST_MONTH, Prior, PriorFactors, Terms};
pub use rank::situation_at;
pub use state::{Availability, BackendState};
pub use tokens::ModelState;
