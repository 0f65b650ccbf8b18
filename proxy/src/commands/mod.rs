//! Commands beside `serve`.

pub(crate) mod advise;
mod ask;
pub(crate) mod bundle;
pub(crate) mod controller;
pub(crate) mod explain;
pub(crate) mod manual;
