//! Engines that share an accelerator: the one of the wanted profile is awake, the others sleep.
//!
//! vLLM at sleep level 1 keeps its weights in the machine's memory and gives up the accelerator's; waking is many times
//! faster than a start. A sleeping engine takes requests and lets them hang, so that what it says of itself is looked at
//! after every order. One that does not say whether it sleeps may hold the accelerator's memory: none is woken beside it.

use std::time::Duration;

use gearshift_config::{Actuator as Settings, Backend, SleepActuator};
use serde::Deserialize;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

use super::{Actuator, Ask, ask, ask_unless_ended};
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
            if name != wanted && self.state(backend, name).await? == State::Awake {
                self.order(backend, name, true).await?;
            }
        }
        self.wake(backend, wanted).await
    }

    async fn wake(&self, backend: &Backend, profile: &str) -> Result<(), String> {
        match self.state(backend, profile).await? {
            State::Awake => Ok(()),
            State::Asleep => self.order(backend, profile, false).await,
            State::Ended => Err(format!("nobody listens at {}", engine(backend, profile).url)),
        }
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
        let wanted = if to_sleep { State::Asleep } else { State::Awake };
        loop {
            match self.state(backend, profile).await? {
                state if state == wanted => return Ok(()),
                State::Ended if to_sleep => return Ok(()),
                State::Ended => return Err(wrong("it has ended".to_owned())),
                State::Asleep | State::Awake => {}
            }
            if Instant::now() >= deadline {
                return Err(wrong(format!("not so after {patience:?}")));
            }
            sleep(POLL).await;
        }
    }

    /// By its own word; an error where it gives none.
    async fn state(&self, backend: &Backend, profile: &str) -> Result<State, String> {
        #[derive(Deserialize)]
        struct Said {
            is_sleeping: bool,
        }
        let (target, patience) = (engine(backend, profile), settings(backend)?.timeout.min(ANSWER));
        let wrong = |what: String| format!("whether {} sleeps is not known: {what}", target.url);
        let asked = ask_unless_ended(&self.tasks, &target, &Ask::get("/is_sleeping"), patience).await;
        let Some(answer) = asked.map_err(wrong)? else { return Ok(State::Ended) };
        let said: Said = serde_json::from_slice(&answer.body).map_err(|_| {
            wrong(format!("/is_sleeping answers {}; it needs VLLM_SERVER_DEV_MODE=1", answer.status))
        })?;
        Ok(if said.is_sleeping { State::Asleep } else { State::Awake })
    }
}

/// What an engine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Awake,
    Asleep,
    /// It does not run, and holds nothing.
    Ended,
}

impl Actuator for SleepHand {
    async fn stop(&mut self, backend: &Backend, leaving: &str) -> Result<(), String> {
        match self.state(backend, leaving).await? {
            State::Asleep | State::Ended => Ok(()),
            State::Awake => self.order(backend, leaving, true).await,
        }
    }

    async fn release(&mut self, _backend: &Backend) -> Result<(), String> {
        Ok(())
    }

    async fn start(&mut self, backend: &Backend, switch: &Switch) -> Result<(), String> {
        // Of three, one that has nothing to do with the switch may be awake: it was restarted, or woken by hand.
        self.ensure(backend, switch.target()).await
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
