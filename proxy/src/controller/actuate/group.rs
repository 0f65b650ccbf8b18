//! An engine and all that it started: a process group.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::time::{Instant, sleep};

use super::procfs;
use crate::controller::journal::Engine;

/// Between two looks at processes that end.
const POLL: Duration = Duration::from_millis(50);
/// How long killed processes may take to be gone: the kernel frees what they held.
const KILL_PATIENCE: Duration = Duration::from_secs(20);

/// Whether the engine runs.
pub(super) fn is_alive(engine: Engine) -> bool {
    procfs::process(engine.pid).is_some_and(|process| !process.defunct && process.started == engine.started)
}

/// Ends an engine and all that it started: a word to it, time, and then the kernel's.
pub(super) async fn end_group(engine: Engine, grace: Duration) -> Result<(), String> {
    let left = || left(engine);
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
    is_gone(engine)
}

/// Whether nothing is left of the engine.
///
/// # Errors
/// What is.
pub(super) fn is_gone(engine: Engine) -> Result<(), String> {
    let left: Vec<i32> = left(engine).iter().map(|process| process.pid).collect();
    if left.is_empty() { Ok(()) } else { Err(format!("processes {left:?} of the engine do not end")) }
}

/// What is left of the engine and all that it started.
pub(super) fn left(engine: Engine) -> Vec<Engine> {
    // The number leads another's group by now: no system gives it away while one of the engine's is left.
    if procfs::process(engine.pid).is_some_and(|leader| leader.started != engine.started) {
        return Vec::new();
    }
    let group = procfs::group(engine.pid).into_iter();
    let group = group.map(|process| Engine { pid: process.pid, started: process.started });
    group.filter(|process| process.started >= engine.started).collect()
}

/// Whether it is so within the time.
pub(super) async fn until(so: impl Fn() -> bool, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while !so() {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(POLL).await;
    }
    true
}
