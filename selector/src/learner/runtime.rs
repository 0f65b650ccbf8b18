//! ONNX Runtime, loaded at run time.

use std::path::Path;

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
}

impl OnnxRuntime {
    /// Loads the library once per process.
    ///
    /// # Errors
    /// Where the file is missing, is no shared library, does not export ONNX Runtime's API, or is older than the API
    /// this build asks for; and where it was loaded before. Proxying goes on without it.
    pub fn load(path: &Path) -> Result<Self, RuntimeError> {
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
