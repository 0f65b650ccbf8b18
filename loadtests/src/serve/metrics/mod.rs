//! What a simulated engine's `/metrics` says: the families, types and labels of a scrape of vLLM 0.32.

mod families;
mod histogram;
mod http;
mod meter;
mod page;

pub(super) use families::{Reading, page, since};
pub(super) use http::{HttpMeter, Timed};
pub(super) use meter::{Ending, Meter, Timeline};
