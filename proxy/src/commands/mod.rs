//! Commands beside `serve`.

pub(crate) mod advise;
pub(crate) mod bundle;
