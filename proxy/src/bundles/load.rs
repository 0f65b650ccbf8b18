//! From a directory to a learner that is ready to decide, off the control thread.

use std::sync::Arc;

use gearshift_selector::{Bundle, BundleError, Group, LoadOptions, OnnxRuntime};

use super::{Failing, Learner, plan::Version, shelf::Found};
use crate::snapshot::Snapshot;

/// Why a bundle is not used.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: String,
    /// A copy under way looks like this.
    pub(super) unfinished: bool,
}

impl From<BundleError> for Refusal {
    fn from(error: BundleError) -> Self {
        let unfinished = matches!(
            error,
            BundleError::Read { .. } | BundleError::Manifest { .. } | BundleError::Hash { .. }
        );
        Self { reason: error.to_string(), unfinished }
    }
}

/// Checks a bundle, opens a session for each core, and lets it encode the fleet as it is now.
pub(super) async fn load(
    found: Found,
    runtime: Arc<OnnxRuntime>,
    options: LoadOptions,
    cores: usize,
    live: Arc<Snapshot>,
) -> Result<Learner, Refusal> {
    if let Err(problem) = &found.manifest {
        return Err(Refusal { reason: problem.clone(), unfinished: true });
    }
    // Hashes, sessions, golden rows and timing take a good part of a second.
    let loading = tokio::task::spawn_blocking(move || {
        let bundle = Bundle::load(&found.directory, &runtime, &options)?;
        for (_, model) in live.models() {
            Group::with_bundle(model.group.backends().to_vec(), &bundle)?;
        }
        let heads = bundle.heads(cores)?;
        Ok(Learner { version: Version::from(&found), bundle, heads, failing: Failing::default() })
    });
    loading.await.unwrap_or_else(|error| {
        Err(Refusal { reason: format!("it could not be loaded: {error}"), unfinished: false })
    })
}
