//! The profile controller's planner: which engine should run in which profile, for the traffic that there is.
//!
//! Pure, as the rest of the selector is: the traffic, the engines' conditions and the time are arguments, what comes
//! out is a [`Plan`]. The proxy carries it out and a virtual clock studies it; neither has a copy of its own.
//!
//! # How it plans
//!
//! 1. **Traffic**: a workload window says how much comes, [`ClassCounts`] what it is like. [`Traffic`] is both: a few classes of
//!    requests with their rates, a mixture and not a mean.
//! 2. **Forecast**: for a whole assignment of profiles to engines, traffic is split over the engines as the router would
//!    split it, each class to where it is best served and hinders others least; each engine's times follow from the
//!    roofline prior in a steady state, × what was learned of the engine, and of speculation, from requests that were served.
//! 3. **Search**: from the present assignment, one shift at a time, as long as the objective improves. The work is bounded: more
//!    than 16 engines of a model are planned for in parts that are much like the whole.
//! 4. **Restraint**: a shift has to be worth [`Settings::min_gain`], and to pay for the switch (capacity that is missing
//!    while the engine drains and starts, a cold cache afterwards) within [`Settings::payback`]; the wish has to last, the
//!    engine must have dwelt in its profile, and the others must be able to carry the load meanwhile.
//!
//! Every engine × profile is in [`Plan::advice`] with what is predicted of it and why it is done or left.
//!
//! ```
//! use gearshift_selector::{Moment, controller::{Planner, Settings}};
//!
//! let mut planner = Planner::new(Settings::default());
//! let plan = planner.plan(Moment(0), &[], &[]);
//! assert!(plan.shifts.is_empty() && plan.advice.is_empty());
//! ```

mod advice;
mod effects;
mod engine;
mod forecast;
mod outlook;
mod parts;
mod planner;
mod record;
mod search;
mod settings;
mod steady;
mod traffic;

#[cfg(test)]
mod tests;

pub use advice::{Advice, Plan, Shift, Verdict};
pub use effects::{Served, speculates_unmodelled};
pub use engine::{Condition, Engine, ProfileOption};
pub use planner::Planner;
pub use record::Patience;
pub use settings::{Settings, Wants};
pub use traffic::{ClassCounts, RequestClass, Traffic};
