//! The engine as a whole.

mod fixture;
mod forecasts;
mod life;
mod paces;
mod scheduling;
