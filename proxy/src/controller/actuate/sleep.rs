//! Engines that share an accelerator: the one of the wanted profile is awake, the others sleep.
//!
//! vLLM at sleep level 1 keeps its weights in the machine's memory and gives up the accelerator's; waking is many times
//! faster than a start. A sleeping engine takes requests and lets them hang, so that what it says of itself is looked at
//! after every order.

use std::time::Duration;

use gearshift_config::{Actuator as Settings, Backend, SleepActuator};
use serde::Deserialize;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

use super::{Actuator, Ask, ask};
use crate::controller::{gears::geared, machine::Switch};

/// Between two looks at an engine that falls asleep or wakes.
const POLL: Duration = Duration::from_millis(250);
/// How long it may take to say whether it sleeps.
const ANSWER: Duration = Duration::from_secs(10);

/// Puts engines to sleep and wakes them.
#[derive(Debug)]
pub(in crate::controller) struct SleepHand {
    tasks: TaskTracker,
}

impl SleepHand {
    pub(super) fn new(tasks: TaskTracker) -> Self {
        Self { tasks }
    }

    /// Wakes the engine of this profile and puts the others to sleep, as after a restart of the machine.
    pub(in crate::controller) async fn ensure(&self, backend: &Backend, wanted: &str) -> Result<(), String> {
        for profile in &backend.profiles {
            let name = profile.id.as_str();
            // One that cannot be reached holds no memory.
            if name != wanted && self.is_asleep(&engine(backend, name)).await == Ok(false) {
                self.order(backend, name, true).await?;
            }
        }
        if self.is_asleep(&engine(backend, wanted)).await? {
            self.order(backend, wanted, false).await?;
        }
        Ok(())
    }

    /// Gives the order, and waits until it is so.
    async fn order(&self, backend: &Backend, profile: &str, to_sleep: bool) -> Result<(), String> {
        let patience = settings(backend)?.timeout;
        let deadline = Instant::now() + patience;
        let target = engine(backend, profile);
        let path = if to_sleep { "/sleep?level=1" } else { "/wake_up" };
        let wrong = |what: String| format!("{path} at {}: {what}", target.url);
        let answer = ask(&self.tasks, &target, &Ask::post(path, ""), patience).await.map_err(wrong)?;
        if !answer.status.is_success() {
            let what =
                format!("answers {}; it needs VLLM_SERVER_DEV_MODE=1 and --enable-sleep-mode", answer.status);
            return Err(wrong(what));
        }
        while self.is_asleep(&target).await.map_err(wrong)? != to_sleep {
            if Instant::now() >= deadline {
                return Err(wrong(format!("not so after {patience:?}")));
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    async fn is_asleep(&self, target: &Backend) -> Result<bool, String> {
        #[derive(Deserialize)]
        struct Said {
            is_sleeping: bool,
        }
        let answer = ask(&self.tasks, target, &Ask::get("/is_sleeping"), ANSWER).await?;
        let said: Said = serde_json::from_slice(&answer.body)
            .map_err(|_| format!("/is_sleeping answers {}", answer.status))?;
        Ok(said.is_sleeping)
    }
}

impl Actuator for SleepHand {
    async fn stop(&mut self, backend: &Backend, leaving: &str) -> Result<(), String> {
        match self.is_asleep(&engine(backend, leaving)).await {
            Ok(true) => Ok(()),
            // One that has ended holds no memory.
            Err(why) => {
                tracing::warn!(backend = %backend.id, profile = leaving, why, "the engine does not say whether it sleeps");
                Ok(())
            }
            Ok(false) => self.order(backend, leaving, true).await,
        }
    }

    async fn release(&mut self, _backend: &Backend) -> Result<(), String> {
        Ok(())
    }

    async fn start(&mut self, backend: &Backend, switch: &Switch) -> Result<(), String> {
        if self.is_asleep(&engine(backend, switch.target())).await? {
            self.order(backend, switch.target(), false).await?;
        }
        Ok(())
    }

    fn ended(&mut self, _backend: &Backend) -> Option<String> {
        None
    }
}

/// The backend as the engine of this profile.
fn engine(backend: &Backend, profile: &str) -> Backend {
    geared(backend, profile).unwrap_or_else(|| backend.clone())
}

fn settings(backend: &Backend) -> Result<&SleepActuator, String> {
    match &backend.actuator {
        Some(Settings::Sleep(settings)) => Ok(settings),
        Some(Settings::Process(_) | Settings::Webhook(_)) | None => {
            Err("the configuration has no `sleep` actuator here any more".to_owned())
        }
    }
}
