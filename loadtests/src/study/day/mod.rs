//! A simulated day: engines that may be shifted into other profiles while what is asked of them changes by the hour.
//!
//! Arms, over the same requests: the profile controller **on**; **off**, every engine with vLLM's defaults; the best **fixed**
//! assignment of profiles to engines in hindsight; and an **oracle** that chooses the assignment of each hour in hindsight
//! and shifts at no cost. The controller is the selector's own planner ([`gearshift_selector::controller`]): what is studied
//! is what serves.

mod arms;
mod controller;
mod menu;
mod plan;
mod report;
mod search;

pub use arms::{Arm, ArmResult, HourFigures, Loop, Shifted, run_loop};
pub use controller::Controller;
pub use menu::{Menu, MenuProfile};
pub use plan::{Day, DayError, HOURS};
pub use report::{Gain, MenuResult, Ratio, Totals, loop_markdown, loop_plot};
