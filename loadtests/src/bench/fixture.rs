//! Gearshift before the stub engine, for one purpose or another.

use std::path::Path;

use super::{
    Proxy,
    cores::Cores,
    lineup::Entry,
    stub::{MODEL, Stub},
    subject::Subject,
};
use crate::{Error, driver::Endpoint, mock::Settings, procfs::ProcessTree};

/// Gearshift as the benchmark runs it: one worker on a core of its own, the stub engine behind it. Dropping
/// it ends both.
#[derive(Debug)]
pub struct Fixture {
    gearshift: Subject,
    stub: Stub,
}

impl Fixture {
    /// Starts both, and keeps this thread off Gearshift's core.
    ///
    /// # Errors
    /// Where one of them does not start or the machine has one core only.
    pub async fn start(program: &Path) -> Result<Self, Error> {
        let cores = Cores::assign()?;
        let stub = Stub::start()?;
        let program = program.canonicalize().map_err(Error::file(program))?;
        let entry = Entry { proxy: Proxy::Gearshift, program: Some(program), version: None, bundle: None };
        let gearshift = Subject::start(&entry, stub.endpoint(), cores.proxy).await?;
        Ok(Self { gearshift, stub })
    }

    /// Where Gearshift listens.
    pub fn endpoint(&self) -> &Endpoint {
        &self.gearshift.endpoint
    }

    /// The model that is served.
    pub fn model(&self) -> &'static str {
        MODEL
    }

    /// Gearshift's processes.
    pub fn tree(&self) -> Option<ProcessTree> {
        self.gearshift.tree()
    }

    /// Sets what streams look like.
    ///
    /// # Errors
    /// Where the stub engine does not take it.
    pub async fn set(&self, settings: Settings) -> Result<(), Error> {
        self.stub.set(settings).await
    }
}
