//! What puts a backend into another profile.
//!
//! Every order may be given twice: an engine that has ended is ended, one that runs is started. So a crash between an order
//! and its entry in the journal costs a look, not an engine too many.

mod environment;
mod group;
mod launch;
mod process;
mod procfs;
mod release;
mod sleep;
mod smi;
mod webhook;

use std::time::Duration;

use gearshift_config::{Actuator as Settings, Backend, Declared};
use tokio_util::task::TaskTracker;

use self::{process::ProcessHand, sleep::SleepHand, webhook::WebhookHand};
pub(super) use self::{
    process::{Supervised, running_profile},
    procfs::boot,
};
use super::{desk::Desk, machine::Switch};
use crate::{
    fleet::probe::{Answer, Ask, Probe, Target},
    upstream::connect::Connector,
};

/// Carries out the steps of a switch that touch the engine. `backend` is as the file has it.
pub(super) trait Actuator {
    /// Whether it will be known when what the engine holds is free: asked before one that serves well is ended. Those that start
    /// no process wait for nothing.
    async fn vouch(&mut self, _backend: &Backend) -> Result<(), String> {
        Ok(())
    }

    /// Ends the engine of the profile `leaving`, or puts it to sleep; done when that is so.
    async fn stop(&mut self, backend: &Backend, leaving: &str) -> Result<(), String>;

    /// Waits until what the engine held is free.
    async fn release(&mut self, backend: &Backend) -> Result<(), String>;

    /// Starts the engine of the switch's target, or wakes it; it need not answer yet.
    async fn start(&mut self, backend: &Backend, switch: &Switch) -> Result<(), String>;

    /// Why the engine is known to have ended, where it is.
    fn ended(&mut self, backend: &Backend) -> Option<String>;
}

/// One of the actuators.
#[derive(Debug)]
pub(super) enum Hand {
    Process(Box<ProcessHand>),
    Sleep(SleepHand),
    Webhook(WebhookHand),
}

impl Hand {
    /// The hand of a backend that has an actuator.
    pub(super) fn of(backend: &Backend, desk: &Desk) -> Option<Self> {
        Some(match backend.actuator.as_ref()? {
            Settings::Process(_) => Self::Process(Box::new(ProcessHand::new(desk.clone()))),
            Settings::Sleep(_) => Self::Sleep(SleepHand::new(desk.tasks.clone())),
            Settings::Webhook(_) => Self::Webhook(WebhookHand::new(desk.tasks.clone())),
        })
    }
}

impl Actuator for Hand {
    async fn vouch(&mut self, backend: &Backend) -> Result<(), String> {
        match self {
            Self::Process(hand) => hand.vouch(backend).await,
            Self::Sleep(hand) => hand.vouch(backend).await,
            Self::Webhook(hand) => hand.vouch(backend).await,
        }
    }

    async fn stop(&mut self, backend: &Backend, leaving: &str) -> Result<(), String> {
        match self {
            Self::Process(hand) => hand.stop(backend, leaving).await,
            Self::Sleep(hand) => hand.stop(backend, leaving).await,
            Self::Webhook(hand) => hand.stop(backend, leaving).await,
        }
    }

    async fn release(&mut self, backend: &Backend) -> Result<(), String> {
        match self {
            Self::Process(hand) => hand.release(backend).await,
            Self::Sleep(hand) => hand.release(backend).await,
            Self::Webhook(hand) => hand.release(backend).await,
        }
    }

    async fn start(&mut self, backend: &Backend, switch: &Switch) -> Result<(), String> {
        match self {
            Self::Process(hand) => hand.start(backend, switch).await,
            Self::Sleep(hand) => hand.start(backend, switch).await,
            Self::Webhook(hand) => hand.start(backend, switch).await,
        }
    }

    fn ended(&mut self, backend: &Backend) -> Option<String> {
        match self {
            Self::Process(hand) => hand.ended(backend),
            Self::Sleep(hand) => hand.ended(backend),
            Self::Webhook(hand) => hand.ended(backend),
        }
    }
}

/// Answers are short.
const ANSWER_LIMIT: usize = 1 << 20;

/// Asks the server at a backend's URL once, over a connection of its own.
async fn ask(
    tasks: &TaskTracker,
    backend: &Backend,
    ask: &Ask<'_>,
    timeout: Duration,
) -> Result<Answer, String> {
    let connector = Connector::new(backend).map_err(|error| error.to_string())?;
    let target = Target::new(backend, connector).ok_or("`api_key` can stand in no header")?;
    ask_target(tasks, &target, ask, timeout).await
}

/// As [`ask`]; `None` where nobody listens at the address: the server has ended. Any other silence says nothing of the kind.
async fn ask_unless_ended(
    tasks: &TaskTracker,
    backend: &Backend,
    ask: &Ask<'_>,
    timeout: Duration,
) -> Result<Option<Answer>, String> {
    let connector = Connector::new(backend).map_err(|error| error.to_string())?;
    let target = Target::new(backend, connector).ok_or("`api_key` can stand in no header")?;
    match Probe::new(tasks.clone()).ask(&target, ask, timeout, ANSWER_LIMIT).await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_refused() => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// As [`ask`], of a target that is known.
pub(super) async fn ask_target(
    tasks: &TaskTracker,
    target: &Target,
    ask: &Ask<'_>,
    timeout: Duration,
) -> Result<Answer, String> {
    let answer = Probe::new(tasks.clone()).ask(target, ask, timeout, ANSWER_LIMIT).await;
    answer.map_err(|error| error.to_string())
}

/// The backend's profile of this name, or its own.
fn profile<'b>(backend: &'b Backend, name: &str) -> Result<&'b gearshift_config::Profile, String> {
    let listed = backend.profiles.iter().find(|profile| profile.id.as_str() == name);
    match (&backend.profile, listed) {
        (_, Some(profile)) => Ok(profile),
        (Declared::Is(own), None) if own.id.as_str() == name => Ok(own),
        (Declared::Is(_) | Declared::Detect, None) => {
            Err(format!("the configuration has no profile {name:?} any more"))
        }
    }
}
