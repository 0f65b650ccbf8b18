//! Bundles of the meta-learner: found in their folder, checked, tried beside the active one, swapped in.
//!
//! ```text
//!  folder ─ events ─▶ shelf (what is there) ─▶ plan (which one) ─▶ load, off the cores ─▶ shadow ─▶ next snapshot
//!                                                │ refused: the one before decides on, and it is said why
//!  where it decides ─ it keeps failing ─▶ dropped: the newest of the others decides, or the prior
//! ```

mod faults;
mod history;
pub mod keeper;
mod load;
mod pin;
pub mod plan;
mod shadow;
pub mod shelf;
pub mod state;
mod watch;

use std::sync::Arc;

use gearshift_config::Config;
use gearshift_selector::{Bundle, Heads, LoadOptions, OnnxRuntime};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use faults::{Failing, Faults};
pub use shadow::Shadow;

use self::keeper::{Asked, Change, Keeper, Settings};
use crate::{clock, worker::Shared};

/// The bundles of a snapshot.
#[derive(Debug, Clone, Default)]
pub struct Learners {
    /// The one that decides.
    pub active: Option<Arc<Learner>>,
    /// The one on trial.
    pub shadow: Option<Arc<Shadow>>,
}

/// A bundle ready to decide: checked, with a session for each core.
#[derive(Debug)]
pub struct Learner {
    /// What lay in the folder.
    pub version: plan::Version,
    /// The graphs.
    pub bundle: Bundle,
    /// A session for each core.
    pub heads: Heads,
    /// Told when it keeps failing.
    pub failing: Failing,
}

/// How operators reach the keeper.
#[derive(Debug)]
pub struct Operators {
    /// What there is.
    pub state: Arc<state::State>,
    /// Wishes; nobody takes them where bundles are not used.
    pub wishes: mpsc::Sender<Asked>,
}

/// The running keeper's ends.
#[derive(Debug)]
pub struct Bundles {
    /// For the admin listener.
    pub operators: Operators,
    /// For the control runtime.
    pub changes: mpsc::Receiver<Change>,
}

const NO_RUNTIME: &str =
    "ONNX Runtime is not loaded; name its library as `paths.onnxruntime` or in ORT_DYLIB_PATH, and restart";
const SWITCHED_OFF: &str = "`learner.enabled` is false";

impl Bundles {
    /// Starts the keeper on this thread's `LocalSet`. Without ONNX Runtime, or where bundles are switched off, there is
    /// none, and decisions use the prior.
    pub fn start(
        config: &Config,
        runtime: Option<Arc<OnnxRuntime>>,
        shared: &Shared,
        end: CancellationToken,
    ) -> Self {
        let version = runtime.as_ref().map(|runtime| runtime.version().to_owned());
        let off = match &runtime {
            None => Some(NO_RUNTIME),
            Some(_) => (!config.learner.enabled).then_some(SWITCHED_OFF),
        };
        let history = history::History::of(&config.paths.models, clock::unix_seconds());
        let state = state::State::new(version, off, history);
        let (to_control, changes) = mpsc::channel(1);
        let (wishes, asked) = mpsc::channel(1);
        if let Some(runtime) = runtime.filter(|_| off.is_none()) {
            let folder = config.paths.models.clone();
            let settings = Settings {
                options: LoadOptions {
                    budget: config.learner.budget,
                    encoders: Some(folder.join(shelf::ENCODERS)),
                },
                folder,
                cores: config.workers,
                shadow_requests: config.learner.shadow_requests,
            };
            let (live, metrics) = (shared.live.clone(), shared.metrics.bundles.clone());
            let keeper = Keeper::new(settings, runtime, live, metrics, state.clone(), to_control);
            tokio::task::spawn_local(keeper.run(asked, end));
        }
        Self { operators: Operators { state, wishes }, changes }
    }
}
