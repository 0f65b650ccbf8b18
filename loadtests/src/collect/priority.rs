//! A shared machine's other work is kept out of a measurement as far as the system lets it.

use std::fs;

use rustix::process::{Pid, setpriority_process};

use crate::procfs::ProcessTree;

const NORMAL: i32 = 0;

/// While it lives, this process and all that it started go before everything else on the machine, where that is allowed. What
/// runs in the same session is kept out less well: it gets what the engine yields.
#[derive(Debug)]
pub(super) struct Raised {
    niceness: i32,
}

impl Raised {
    /// Raises what runs now, and what it starts from now on, to `niceness`.
    pub(super) fn to(niceness: i32) -> Self {
        Self { niceness: if set(niceness) { niceness } else { NORMAL } }
    }

    /// The niceness that is in force.
    pub(super) fn niceness(&self) -> i32 {
        self.niceness
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        if self.niceness != NORMAL {
            set(NORMAL);
        }
    }
}

/// Whether all threads have it now. Linux schedules sessions against each other before threads (`autogroup`), so the
/// session's weight goes with it, where there is such a thing.
fn set(niceness: i32) -> bool {
    let tree = ProcessTree::of(std::process::id());
    let (Ok(processes), Ok(threads)) = (tree.processes(), tree.threads()) else { return false };
    for process in processes {
        let _ = fs::write(format!("/proc/{process}/autogroup"), niceness.to_string());
    }
    let set = |thread: u32| {
        let thread = i32::try_from(thread).ok().and_then(Pid::from_raw);
        thread.is_some_and(|thread| setpriority_process(Some(thread), niceness).is_ok())
    };
    // A thread that ended meanwhile is none that could not be raised: the tree's root tells whether it is allowed.
    let root = set(std::process::id());
    threads.into_iter().for_each(|thread| {
        set(thread);
    });
    root
}
