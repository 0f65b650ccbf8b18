//! ONNX Runtime, loaded at run time, and kept from reporting to its makers.
//!
//! From 1.29 on its official builds for Linux and macOS write an identifier of the machine and events of the process under
//! `~/.cache/Microsoft` and send them to Microsoft. They ask the environment whether they may, when they start; what their API is told
//! comes after the first event.

use std::{env, io, os::unix::process::CommandExt as _, path::Path, process::Command};

/// What ONNX Runtime asks before it collects anything.
const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

/// Keeps ONNX Runtime from collecting and sending anything, unless the environment has a word on that already. To be called first thing in
/// `main`: no safe code may change the environment of a running program, so the program begins anew with another, in the same process.
///
/// # Errors
/// Where it cannot begin anew: then all is as it was, and [`OnnxRuntime::load`] loads nothing.
pub fn without_telemetry() -> io::Result<()> {
    if env::var_os(NO_TELEMETRY).is_some() {
        return Ok(());
    }
    let mut arguments = env::args_os();
    let mut anew = Command::new(env::current_exe()?);
    if let Some(name) = arguments.next() {
        anew.arg0(name);
    }
    Err(anew.args(arguments).env(NO_TELEMETRY, "1").exec())
}

/// ONNX Runtime, loaded from a shared library.
#[derive(Debug)]
pub struct OnnxRuntime {
    /// ONNX Runtime lives as long as its one environment.
    environment: ort::environment::Environment,
    version: String,
}

/// Why ONNX Runtime is not there.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The library could not be loaded, is not ONNX Runtime, or is too old.
    #[error("{0}")]
    Load(String),
    /// Nobody said that it may report to its makers, or may not.
    #[error("ONNX Runtime would report to Microsoft: set {NO_TELEMETRY}=1")]
    Telemetry,
}

impl OnnxRuntime {
    /// Loads the library once per process.
    ///
    /// # Errors
    /// Where the file is missing, is no shared library, does not export ONNX Runtime's API, or is older than the API
    /// this build asks for; where it was loaded before; and where it is not known whether it may report to its makers, see
    /// [`without_telemetry`]. Proxying goes on without it.
    pub fn load(path: &Path) -> Result<Self, RuntimeError> {
        if env::var_os(NO_TELEMETRY).is_none() {
            return Err(RuntimeError::Telemetry);
        }
        let load_error =
            |error: &dyn std::fmt::Display| RuntimeError::Load(format!("{}: {error}", path.display()));
        // Made absolute here: `ort` would look for a relative path beside the executable first.
        let absolute = std::path::absolute(path).map_err(|error| load_error(&error))?;
        let environment = ort::init_from(absolute)
            .map_err(|error| load_error(&error))?
            .with_name("gearshift")
            .with_telemetry(false)
            .build()
            .map_err(|error| load_error(&error))?;
        Ok(Self { environment, version: ort::info().to_owned() })
    }

    /// What sessions are made in; lives as long as any of them.
    pub(crate) fn environment(&self) -> &ort::environment::Environment {
        &self.environment
    }

    /// What the library says of its build: branch, commit, type. It checked that it is new enough; the version
    /// number itself is behind a call that `ort` does not offer as safe.
    pub fn version(&self) -> &str {
        &self.version
    }
}
