//! Engines that Gearshift runs: children in process groups of their own, which outlive it.
//!
//! An engine writes its log to a file and leads a process group, so that neither Gearshift's end nor Ctrl-C on its terminal
//! ends it: an upgrade of Gearshift costs no engine. The next Gearshift knows it again by process number and start time,
//! from the journal; or from a small file that the engine's shell writes before it becomes the engine, for a crash may come
//! between a start and its entry in the journal.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use gearshift_config::{Actuator as Settings, Backend, ProcessActuator};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::time::{Instant, sleep};

use super::{
    Actuator, procfs, profile,
    release::{memory_in_use, port_is_free, released},
};
use crate::controller::{desk::Desk, journal::Engine, machine::Switch};

/// Between two looks at processes that end.
const POLL: Duration = Duration::from_millis(50);
/// How long killed processes may take to be gone: the kernel frees what they held.
const KILL_PATIENCE: Duration = Duration::from_secs(20);
/// An engine's shell has written its number by then, unless it never ran.
const SHELL_PATIENCE: Duration = Duration::from_secs(1);
/// Logs of earlier starts that are kept.
const LOGS_KEPT: u32 = 3;
/// Bytes of a log that are shown when its engine ended.
const LAST_WORDS: u64 = 600;
/// Writes what the system says of its process, and the profile; then becomes the engine.
const SHELL: &str =
    r#"read -r stat < "/proc/$$/stat" && printf '%s\n%s\n' "$stat" "$1" > "$0" && shift && exec "$@""#;

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
}

impl ProcessHand {
    pub(super) fn new(desk: Desk) -> Self {
        Self { desk, child: None, looked: false }
    }

    /// Sees to it that the engine runs, in this profile where it has to be started.
    pub(in crate::controller) async fn ensure(
        &mut self,
        backend: &Backend,
        wanted: &str,
    ) -> Result<Supervised, String> {
        if self.find(backend).await.is_some() {
            return Ok(Supervised::Runs);
        }
        if let Some(child) = &mut self.child
            && let Ok(Some(status)) = child.try_wait()
        {
            let why = last_words(settings(backend)?);
            tracing::error!(backend = %backend.id, %status, why, "the engine ended by itself");
        }
        self.stop(backend, wanted).await?;
        if let Err(why) = self.release(backend).await {
            tracing::warn!(backend = %backend.id, why, "starting an engine all the same");
        }
        self.launch(backend, wanted).await?;
        Ok(Supervised::Started)
    }

    /// The engine, if it runs.
    async fn find(&mut self, backend: &Backend) -> Option<Engine> {
        if let Some(engine) = self.running(backend) {
            return Some(engine);
        }
        if std::mem::replace(&mut self.looked, true) {
            return None;
        }
        // Another Gearshift may have died right after it started one.
        sleep(SHELL_PATIENCE).await;
        let (engine, _) = written(backend)?;
        tracing::info!(backend = %backend.id, pid = engine.pid, "an engine that the journal does not name is taken over");
        self.desk.note(&backend.id, |entry| entry.engine = Some(engine)).ok()?;
        self.running(backend)
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
        let before = self.desk.entry(&backend.id).engine.and_then(|engine| engine.memory_before);
        let memory_before = match before {
            Some(known) => Some(known),
            None => memory_in_use(&settings.memory_probe).await,
        };
        let child = spawn(backend, settings, knobs, name)
            .map_err(|error| format!("{}: {error}", settings.command.first().map_or("", String::as_str)))?;
        let pid = i32::try_from(child.id()).map_err(|error| error.to_string())?;
        let started = procfs::process(pid).map_or(0, |process| process.started);
        self.child = Some(child);
        let engine = Engine { pid, started, memory_before };
        self.desk.note(&backend.id, |entry| entry.engine = Some(engine))?;
        tracing::info!(backend = %backend.id, pid, profile = name, log = %settings.log.display(), "engine started");
        Ok(())
    }
}

impl Actuator for ProcessHand {
    async fn stop(&mut self, backend: &Backend, _leaving: &str) -> Result<(), String> {
        let settings = settings(backend)?;
        self.find(backend).await;
        if let Some(engine) = self.desk.entry(&backend.id).engine {
            end_group(engine, settings.stop_grace).await?;
        }
        if let Some(mut child) = self.child.take() {
            // Its group is gone, so this does not wait.
            let _ = child.try_wait();
        }
        // Absent is what is wanted.
        let _ = fs::remove_file(pid_file(&settings.log));
        Ok(())
    }

    async fn release(&mut self, backend: &Backend) -> Result<(), String> {
        let before = self.desk.entry(&backend.id).engine.and_then(|engine| engine.memory_before);
        released(backend, settings(backend)?, before).await
    }

    async fn start(&mut self, backend: &Backend, switch: &Switch) -> Result<(), String> {
        if let Some(engine) = self.find(backend).await {
            let runs = written(backend).map(|(_, profile)| profile);
            if runs.as_deref() == Some(switch.target()) {
                tracing::info!(backend = %backend.id, pid = engine.pid, "the engine runs already");
                return Ok(());
            }
            return Err(format!("the engine of profile {} still runs", runs.unwrap_or_default()));
        }
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
    written(backend).map(|(_, profile)| profile)
}

fn settings(backend: &Backend) -> Result<&ProcessActuator, String> {
    match &backend.actuator {
        Some(Settings::Process(settings)) => Ok(settings),
        Some(Settings::Sleep(_) | Settings::Webhook(_)) | None => {
            Err("the configuration has no `process` actuator here any more".to_owned())
        }
    }
}

fn is_alive(engine: Engine) -> bool {
    procfs::process(engine.pid).is_some_and(|process| !process.defunct && process.started == engine.started)
}

/// What an engine's shell wrote, if that engine runs.
fn written(backend: &Backend) -> Option<(Engine, String)> {
    let text = fs::read_to_string(pid_file(&settings(backend).ok()?.log)).ok()?;
    let (stat, profile) = text.trim().split_once('\n')?;
    let process = procfs::parse(stat)?;
    let engine = Engine { pid: process.pid, started: process.started, memory_before: None };
    is_alive(engine).then(|| (engine, profile.to_owned()))
}

fn pid_file(log: &Path) -> PathBuf {
    log.with_extension("pid")
}

fn spawn(
    backend: &Backend,
    settings: &ProcessActuator,
    knobs: &gearshift_config::Knobs,
    profile: &str,
) -> io::Result<Child> {
    let folder = settings.log.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or(Ok(()), fs::create_dir_all)?;
    rotate(&settings.log);
    let log = File::create(&settings.log)?;
    let pid_file = std::path::absolute(pid_file(&settings.log))?;
    // One of an earlier engine would be taken for this one's.
    fs::remove_file(&pid_file)
        .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(SHELL).arg(pid_file).arg(profile).args(&settings.command).args(knobs.vllm_args());
    command.arg(format!("--host={}", backend.url.host)).arg(format!("--port={}", backend.url.port));
    command.envs(settings.env.iter().map(|(name, value)| (name, value.expose())));
    command.current_dir(&settings.workdir).process_group(0);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()
}

/// `x.log` becomes `x.log.1`, and so on; the oldest goes.
fn rotate(log: &Path) {
    let numbered = |number: u32| PathBuf::from(format!("{}.{number}", log.display()));
    for number in (1..LOGS_KEPT).rev() {
        // One that is not there needs no new name.
        let _ = fs::rename(numbered(number), numbered(number + 1));
    }
    let _ = fs::rename(log, numbered(1));
}

/// Ends an engine and all that it started: a word to it, time, and then the kernel's.
async fn end_group(engine: Engine, grace: Duration) -> Result<(), String> {
    let left = || {
        // The number leads another's group by now: no system gives it away while one of the engine's is left.
        if procfs::process(engine.pid).is_some_and(|leader| leader.started != engine.started) {
            return Vec::new();
        }
        let mut group = procfs::group(engine.pid);
        group.retain(|process| process.started >= engine.started);
        group
    };
    let Some(pid) = Pid::from_raw(engine.pid) else { return Ok(()) };
    if left().is_empty() {
        return Ok(());
    }
    if is_alive(engine) {
        // It may end at this very moment.
        let _ = kill_process(pid, Signal::TERM);
        if until(|| left().is_empty(), grace).await {
            return Ok(());
        }
        tracing::warn!(pid = engine.pid, ?grace, "the engine does not end; it is killed");
    }
    let _ = kill_process_group(pid, Signal::KILL);
    if until(|| left().is_empty(), KILL_PATIENCE).await {
        return Ok(());
    }
    let left: Vec<i32> = left().iter().map(|process| process.pid).collect();
    Err(format!("processes {left:?} of the engine do not end"))
}

/// Whether it is so within the time.
async fn until(so: impl Fn() -> bool, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while !so() {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(POLL).await;
    }
    true
}

/// What to tell operators of the log of an engine that has ended. Its end is shown only where they asked for it: it may hold prompts.
fn last_words(settings: &ProcessActuator) -> String {
    if settings.show_last_words {
        format!("its last words: {}", end_of(&settings.log))
    } else {
        format!("see {}", settings.log.display())
    }
}

/// The end of a log, on one line.
fn end_of(log: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS)))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        Ok(end)
    };
    let end = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&end);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
