//! Child processes that never outlive this one.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal},
};

use crate::{Error, procfs::ProcessTree};

/// How long a process may take to end unless it is given more, seconds.
const GRACE_SECONDS: i64 = 2;
/// Lines of a process's log that are shown when it fails.
const LOG_LINES: usize = 5;

/// A running child. Dropping it ends the child and what the child started.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    grace_s: i64,
}

/// A command whose process the kernel ends when this one dies, whatever it dies of; on `core` alone where given.
pub(crate) fn command(program: &Path, core: Option<usize>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]);
    if let Some(core) = core {
        command.args(["taskset", "--cpu-list", &core.to_string()]);
    }
    command.arg(program);
    command
}

impl Process {
    /// Starts `program` on `core`; both its outputs go to the file `log`.
    pub(crate) fn start(
        program: &Path,
        arguments: &[&OsStr],
        core: usize,
        log: &Path,
    ) -> Result<Self, Error> {
        let mut command = command(program, Some(core));
        command.args(arguments);
        Self::spawn(command, log)
    }

    /// Starts what [`command`] made; both its outputs go to the file `log`.
    pub(crate) fn spawn(mut command: Command, log: &Path) -> Result<Self, Error> {
        let output = File::create(log).map_err(Error::file(log))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(Error::file(command.get_program()))?;
        Ok(Self { child, log: log.to_owned(), grace_s: GRACE_SECONDS })
    }

    /// Gives it and what it started this long to end, seconds.
    #[must_use]
    pub(crate) fn with_grace(mut self, grace_s: i64) -> Self {
        self.grace_s = grace_s;
        self
    }

    /// Takes over a child that was started elsewhere.
    pub(crate) fn adopt(child: Child) -> Self {
        Self { child, log: PathBuf::new(), grace_s: GRACE_SECONDS }
    }

    /// It and its descendants.
    pub(crate) fn tree(&self) -> ProcessTree {
        ProcessTree::of(self.child.id())
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

impl Drop for Process {
    /// Asks it to end, waits a while, then ends what is left of it and its descendants. An error on the way
    /// means that the process in question has ended already.
    fn drop(&mut self) {
        let processes = self.tree().processes().unwrap_or_default();
        // Handles, not numbers: a number may belong to another process once its own has ended.
        let handles: Vec<OwnedFd> = processes.into_iter().filter_map(handle).collect();
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        if let Some(root) = handle(self.child.id()) {
            wait_for_end(&root, self.grace_s);
        }
        for handle in handles {
            let _ = pidfd_send_signal(&handle, Signal::KILL);
            wait_for_end(&handle, GRACE_SECONDS);
        }
        let _ = self.child.wait();
    }
}

fn handle(process: u32) -> Option<OwnedFd> {
    let process = Pid::from_raw(i32::try_from(process).ok()?)?;
    pidfd_open(process, PidfdFlags::empty()).ok()
}

/// Waits until a process has ended, `grace_s` seconds at most.
fn wait_for_end(process: &OwnedFd, grace_s: i64) {
    let grace = Timespec { tv_sec: grace_s, tv_nsec: 0 };
    let _ = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&grace));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_ends_the_child_and_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let script = OsStr::new("sleep 600 & echo started; wait");
        let log = folder.path().join("log");
        let process =
            Process::start(Path::new("sh"), &[OsStr::new("-c"), script], first_core(), &log).unwrap();
        while !process.last_words().contains("started") {
            std::thread::yield_now();
        }
        let processes = process.tree().processes().unwrap();
        assert_eq!(processes.len(), 2, "the shell and sleep");
        drop(process);
        for pid in processes {
            let gone = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            assert!(gone.is_err() || gone.unwrap().contains(") Z "), "process {pid} still runs");
        }
    }

    fn first_core() -> usize {
        crate::system::allowed_cores().unwrap()[0]
    }
}
