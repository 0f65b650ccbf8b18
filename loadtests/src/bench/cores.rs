//! Which cores do what.

use crate::{Error, system};

/// The machine's cores, shared out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cores {
    /// For the proxies, one after another.
    pub(super) proxy: usize,
    /// For the stub engine and the driver.
    pub(super) load: Vec<usize>,
}

impl Cores {
    /// Leaves the last core to the proxies and keeps this thread, with what it starts, on the others. Lifts
    /// the limit on open files as well: many streams need many.
    pub(super) fn assign() -> Result<Self, Error> {
        let mut load = system::allowed_cores()?;
        let Some(proxy) = load.pop().filter(|_| !load.is_empty()) else {
            return Err(Error::Failed("two cores are needed: one for the proxy, one for the load".into()));
        };
        system::raise_open_files()?;
        system::stay_on_cores(&load)?;
        Ok(Self { proxy, load })
    }
}
