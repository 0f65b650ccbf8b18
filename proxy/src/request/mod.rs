//! Reading a request's body as far as routing needs it, and changing it where it must be.

pub mod body;
pub mod envelope;
pub mod form;
pub mod prompt;
mod scan;
pub mod splice;
