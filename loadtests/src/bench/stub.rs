//! The stub engine behind the proxies.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use super::process::{Process, command};
use crate::{Error, driver::Endpoint, mock::Settings};

/// The name the stub serves its model under.
pub(super) const MODEL: &str = "stub-8b";

/// The stub, in a process of its own.
#[derive(Debug)]
pub(super) struct Stub {
    endpoint: Endpoint,
    _process: Process,
}

impl Stub {
    /// Starts this binary's `mock` command.
    pub(super) fn start() -> Result<Self, Error> {
        let program = std::env::current_exe()?;
        let mut child = command(&program, None)
            .args(["mock", "--listen", "127.0.0.1:0", "--model", MODEL])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Error::file(&program))?;
        let stdout = child.stdout.take();
        let process = Process::adopt(child);
        let mut line = String::new();
        if let Some(stdout) = stdout {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let url = line.trim().strip_prefix("listening on ");
        let url = url.ok_or_else(|| Error::Failed(format!("the stub engine did not start: {line:?}")))?;
        Ok(Self { endpoint: Endpoint::resolve(url)?, _process: process })
    }

    /// Where it listens.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sets what streams look like.
    pub(super) async fn set(&self, settings: Settings) -> Result<(), Error> {
        Ok(settings.apply(&self.endpoint).await?)
    }
}
