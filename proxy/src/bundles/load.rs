//! From a directory to a learner that is ready to decide, off the control thread.

use std::sync::Arc;

use gearshift_selector::{Bundle, BundleError, Group, LoadOptions, OnnxRuntime};

use super::{Failing, Learner, plan::Version, shelf::Found};
use crate::snapshot::Snapshot;

/// Why a bundle is not used.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: String,
    pub(super) lasts: Lasts,
}

/// How long a bundle stays refused while its files stay what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasts {
    /// A copy under way looks like this.
    UntilCopied,
    /// A busy machine looks like this.
    ForAWhile,
    ForGood,
}

impl Refusal {
    pub(super) fn for_good(reason: String) -> Self {
        Self { reason, lasts: Lasts::ForGood }
    }
}

impl From<BundleError> for Refusal {
    fn from(error: BundleError) -> Self {
        let copying = matches!(
            error,
            BundleError::Read { .. } | BundleError::Manifest { .. } | BundleError::Hash { .. }
        );
        let lasts = if copying {
            Lasts::UntilCopied
        } else if matches!(error, BundleError::TooSlow { .. }) {
            Lasts::ForAWhile
        } else {
            Lasts::ForGood
        };
        Self { reason: error.to_string(), lasts }
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
        return Err(Refusal { reason: problem.clone(), lasts: Lasts::UntilCopied });
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
    loading.await.unwrap_or_else(|error| Err(Refusal::for_good(format!("it could not be loaded: {error}"))))
}
