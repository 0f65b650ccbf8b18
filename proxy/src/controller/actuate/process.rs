//! Engines that Gearshift runs: children in process groups of their own, which outlive it.
//!
//! An engine writes its log to a file and leads a process group, so that neither Gearshift's end nor Ctrl-C on its terminal
//! ends it: an upgrade of Gearshift costs no engine. The next Gearshift knows it again by process number and start time,
//! from the journal; or from a small file that the engine's shell writes before it becomes the engine, for a crash may come
//! between a start and its entry in the journal.

use std::{cell::RefCell, fs, process::Child, time::Duration};

use gearshift_config::{Actuator as Settings, Backend, ProcessActuator};
use tokio::time::{Instant, sleep};

use super::{
    Actuator,
    group::{end_group, is_alive, is_gone, left},
    launch::{last_words, spawn, written},
    procfs, profile,
    release::{Hold, memory_in_use, port_is_free},
    smi::{Devices, Smi},
};
use crate::controller::{desk::Desk, journal::Engine, machine::Switch};

/// An engine's shell has written its number by then, unless it never ran.
const SHELL_PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks at the processes of an engine that runs.
const LOOK: Duration = Duration::from_secs(30);

/// What supervision had to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::controller) enum Supervised {
    /// Nothing.
    Runs,
    /// It started an engine, or took one over.
    Started,
}

/// Runs the engine of one backend.
#[derive(Debug)]
pub(in crate::controller) struct ProcessHand {
    desk: Desk,
    /// The engine, where this process started it: its end is to be waited for.
    child: Option<Child>,
    /// Whether an engine that the journal does not name may be starting.
    looked: bool,
    smi: Smi,
    /// The engine's processes as last seen, and when: those of one that ends by itself are known by it.
    group: Option<(Instant, Vec<Engine>)>,
}

impl ProcessHand {
    pub(super) fn new(desk: Desk) -> Self {
        Self { desk, child: None, looked: false, smi: Smi::here(), group: None }
    }

    /// Sees to it that the engine runs, in this profile where it has to be started.
    pub(in crate::controller) async fn ensure(
        &mut self,
        backend: &Backend,
        wanted: &str,
    ) -> Result<Supervised, String> {
        if let Some(engine) = self.find(backend).await? {
            self.look(engine);
            return Ok(Supervised::Runs);
        }
        if let Some(child) = &mut self.child
            && let Ok(Some(status)) = child.try_wait()
        {
            let why = last_words(settings(backend)?);
            tracing::error!(backend = %backend.id, %status, why, "the engine ended by itself");
        }
        self.stop(backend, wanted).await?;
        self.release(backend).await?;
        self.launch(backend, wanted).await?;
        Ok(Supervised::Started)
    }

    /// The engine, if it runs.
    ///
    /// # Errors
    /// When one does that the journal does not name, and it cannot be taken over.
    async fn find(&mut self, backend: &Backend) -> Result<Option<Engine>, String> {
        if !self.looked {
            self.disown(backend)?;
        }
        let known = self.running(backend);
        if known.is_some() || self.looked {
            return Ok(known);
        }
        // Another Gearshift may have died right after it started one, or this one could not write it down.
        sleep(SHELL_PATIENCE).await;
        if let Some((engine, profile)) = written(settings(backend)?) {
            self.take_over(backend, engine, profile)?;
        }
        self.looked = true;
        Ok(self.running(backend))
    }

    /// Has the journal forget an engine that is another's by the file beside that one's log: earlier versions let two share a log,
    /// and the journal named one engine twice.
    fn disown(&self, backend: &Backend) -> Result<(), String> {
        let (own, book) = (settings(backend)?.pid_file(), self.desk.book());
        let Some(engine) = self.desk.entry(&backend.id).engine else { return Ok(()) };
        let is_its = |other: &Backend| {
            let named = book.backends.get(other.id.as_str()).and_then(|entry| entry.engine) == Some(engine);
            let file = settings(other).ok().filter(|other| named && other.pid_file() != own);
            file.and_then(written).is_some_and(|(known, _)| known == engine)
        };
        if !self.desk.roster.members().iter().any(|member| is_its(&member.backend())) {
            return Ok(());
        }
        tracing::warn!(backend = %backend.id, pid = engine.pid, "the engine that the journal names is another backend's");
        self.desk.note(&backend.id, |entry| (entry.engine, entry.runs, entry.held) = (None, None, None))
    }

    /// Has the journal name an engine that was known by its file alone.
    fn take_over(&self, backend: &Backend, engine: Engine, profile: String) -> Result<(), String> {
        let members = self.desk.roster.members();
        let is_run = |name: &str| {
            let mut backends = members.iter().map(|member| member.backend());
            backends.any(|other| other.id.as_str() == name && settings(&other).is_ok())
        };
        let book = self.desk.book();
        let mut named = book.backends.iter().filter(|(_, entry)| entry.engine == Some(engine));
        if let Some((owner, _)) = named.find(|(name, _)| *name != backend.id.as_str() && is_run(name)) {
            let file = settings(backend)?.pid_file();
            return Err(format!(
                "{} names the engine of {owner}: give each a `log` of its own",
                file.display()
            ));
        }
        tracing::info!(backend = %backend.id, pid = engine.pid, "an engine that the journal does not name is taken over");
        self.desk.change(|book| {
            // The backend whose it was has left, or goes by another name now.
            for entry in book.backends.values_mut().filter(|entry| entry.engine == Some(engine)) {
                entry.engine = None;
            }
            let entry = book.backends.entry(backend.id.to_string()).or_default();
            (entry.engine, entry.runs, entry.held) = (Some(engine), Some(profile), None);
        })
    }

    /// Takes note of the engine's processes, now and then.
    fn look(&mut self, engine: Engine) {
        if self.group.as_ref().is_none_or(|(at, _)| at.elapsed() >= LOOK) {
            self.group = Some((Instant::now(), left(engine)));
        }
    }

    /// What is known of the engine's memory.
    fn hold<'a>(&'a self, backend: &Backend, settings: &'a ProcessActuator) -> Hold<'a> {
        let entry = self.desk.entry(&backend.id);
        let neighbour = neighbour(backend, &self.desk);
        Hold { smi: &self.smi, settings, held: entry.held, before: entry.memory_before, neighbour }
    }

    /// Writes down what the engine holds, before it is ended: afterwards nobody can tell.
    async fn write_down(&mut self, backend: &Backend, engine: Engine) -> Result<(), String> {
        let (settings, group, kept) = (settings(backend)?, left(engine), self.desk.entry(&backend.id).held);
        if group.is_empty() && kept.is_some() {
            return Ok(());
        }
        let mut held = kept.unwrap_or_default();
        let seen = self.group.take().map(|(_, seen)| seen).unwrap_or_default();
        for process in group.iter().chain(&seen).chain([&engine]) {
            if !held.processes.contains(process) {
                held.processes.push(*process);
            }
        }
        if settings.memory_probe.is_none() {
            let listed = self.smi.processes().await.ok().flatten().map(|listed| listed.pids);
            let listed = listed.unwrap_or_default();
            held.listed |= group.iter().any(|process| listed.contains(&process.pid));
        }
        if !group.is_empty() && self.goes_by_memory(settings) {
            held.memory = memory_in_use(&self.smi, settings).await.ok().flatten().or(held.memory);
        }
        self.desk.note(&backend.id, |entry| entry.held = Some(held))
    }

    /// Whether it is looked at how much memory is in use, and not only whose.
    fn goes_by_memory(&self, settings: &ProcessActuator) -> bool {
        settings.memory_probe.is_some() || !self.smi.same_numbers
    }

    /// The engine that the journal names, if it still runs.
    fn running(&mut self, backend: &Backend) -> Option<Engine> {
        let engine = self.desk.entry(&backend.id).engine?;
        if let Some(child) = &mut self.child
            && i32::try_from(child.id()) == Ok(engine.pid)
            && child.try_wait().is_ok_and(|status| status.is_some())
        {
            return None;
        }
        is_alive(engine).then_some(engine)
    }

    async fn launch(&mut self, backend: &Backend, name: &str) -> Result<(), String> {
        let settings = settings(backend)?;
        let knobs = &profile(backend, name)?.knobs;
        if !procfs::is_there() {
            return Err(
                "Gearshift runs engines on Linux alone: it finds their processes under /proc".to_owned()
            );
        }
        if !port_is_free(backend) {
            return Err(format!("another program listens on {}", backend.url));
        }
        self.desk.entry(&backend.id).engine.map_or(Ok(()), is_gone)?;
        let mut before = None;
        if self.goes_by_memory(settings) {
            before = memory_in_use(&self.smi, settings).await.unwrap_or_else(|why| {
                tracing::warn!(backend = %backend.id, why, "what others hold of accelerator memory is not known");
                None
            });
        }
        self.desk.note(&backend.id, |entry| entry.memory_before = before)?;
        let child = spawn(backend, settings, knobs, name)
            .map_err(|error| format!("{}: {error}", settings.command.first().map_or("", String::as_str)))?;
        let pid = i32::try_from(child.id()).map_err(|error| error.to_string())?;
        let started = procfs::process(pid).map_or(0, |process| process.started);
        self.child = Some(child);
        let engine = Engine { pid, started };
        let runs = Some(name.to_owned());
        let noted = self.desk.note(&backend.id, |entry| {
            (entry.engine, entry.runs, entry.held) = (Some(engine), runs, None);
        });
        // It runs all the same, and is taken over by its file.
        self.looked &= noted.is_ok();
        noted?;
        tracing::info!(backend = %backend.id, pid, profile = name, log = %settings.log.display(), "engine started");
        Ok(())
    }
}

impl Actuator for ProcessHand {
    async fn stop(&mut self, backend: &Backend, _leaving: &str) -> Result<(), String> {
        let settings = settings(backend)?;
        self.find(backend).await?;
        if let Some(engine) = self.desk.entry(&backend.id).engine {
            self.write_down(backend, engine).await?;
            end_group(engine, settings.stop_grace).await?;
        }
        if let Some(mut child) = self.child.take() {
            // Its group is gone, so this does not wait.
            let _ = child.try_wait();
        }
        // Absent is what is wanted.
        let _ = fs::remove_file(settings.pid_file());
        Ok(())
    }

    async fn vouch(&mut self, backend: &Backend) -> Result<(), String> {
        // One that has ended by itself is not kept by asking.
        let Some(engine) = self.running(backend) else { return Ok(()) };
        let group: Vec<i32> = left(engine).iter().map(|process| process.pid).collect();
        self.hold(backend, settings(backend)?).is_known(&group).await
    }

    async fn release(&mut self, backend: &Backend) -> Result<(), String> {
        let (said, waiting) = (RefCell::new(String::new()), self.desk.board.waiting(&backend.id));
        let say = |why: &str| {
            if said.replace(why.to_owned()) != why {
                tracing::info!(backend = %backend.id, why, "waiting until what the engine held is free");
                waiting.says(why);
            }
        };
        self.hold(backend, settings(backend)?).released(backend, say).await
    }

    async fn start(&mut self, backend: &Backend, switch: &Switch) -> Result<(), String> {
        if let Some(engine) = self.find(backend).await? {
            let said = written(settings(backend)?).filter(|(known, _)| *known == engine);
            // The file may have been tidied away.
            let runs = said.map(|(_, profile)| profile).or(self.desk.entry(&backend.id).runs);
            if runs.as_deref() == Some(switch.target()) {
                tracing::info!(backend = %backend.id, pid = engine.pid, "the engine runs already");
                return Ok(());
            }
            let runs = runs.as_deref().unwrap_or("that nobody knows");
            return Err(format!("the engine of profile {runs} still runs"));
        }
        // A step before this one may have failed: nothing starts over what is left.
        self.release(backend).await?;
        self.launch(backend, switch.target()).await
    }

    fn ended(&mut self, backend: &Backend) -> Option<String> {
        if self.running(backend).is_some() {
            return None;
        }
        let why = settings(backend).map(last_words).unwrap_or_default();
        Some(format!("the engine ended; {why}"))
    }
}

/// The profile that an engine runs in, by its own word, where one runs.
pub(in crate::controller) fn running_profile(backend: &Backend) -> Option<String> {
    written(settings(backend).ok()?).map(|(_, profile)| profile)
}

fn settings(backend: &Backend) -> Result<&ProcessActuator, String> {
    match &backend.actuator {
        Some(Settings::Process(settings)) => Ok(settings),
        Some(Settings::Sleep(_) | Settings::Webhook(_)) | None => {
            Err("the configuration has no `process` actuator here any more".to_owned())
        }
    }
}

/// Another backend whose engine may use the same accelerators.
fn neighbour(backend: &Backend, desk: &Desk) -> Option<String> {
    let devices = |backend: &Backend| settings(backend).ok().map(Devices::of);
    let ours = devices(backend)?;
    let members = desk.roster.members();
    let mut others = members.iter().map(|member| member.backend()).filter(|other| other.id != backend.id);
    let shares = others.find(|other| devices(other).is_some_and(|theirs| theirs.may_share(&ours)));
    shares.map(|other| other.id.to_string())
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
