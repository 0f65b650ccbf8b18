//! What can go wrong in a load test.

use std::{io, path::PathBuf};

use crate::{
    driver::{EndpointError, ExchangeError},
    scenario::ScenarioError,
    sim::SpecError,
    workload::WorkloadError,
};

/// Why a load test has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which one.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A URL cannot be loaded.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A request failed.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// There is no such workload.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// A task of the driver panicked.
    #[error("a task of the driver did not end: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The histogram's bounds.
    #[error(transparent)]
    Histogram(#[from] hdrhistogram::CreationError),
    /// The report could not be written as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A scenario cannot be.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// A simulated engine cannot be.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Rows could not be written.
    #[error(transparent)]
    Rows(#[from] gearshift_perfdb::Error),
    /// Anything else, in words.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// An error about the file at `path`.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::File { path, source }
    }
}
