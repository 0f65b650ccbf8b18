//! Waiting until what an engine held is free: its port, and its accelerator's memory.
//!
//! A process that has ended may leave its memory in use for seconds; an engine that starts then finds too little and ends.
//! Whether it is free is best known by process: `nvidia-smi` lists none of the engine's any more, whatever others hold. Where
//! that cannot be seen (a container has process numbers of its own), or where a probe is configured, it goes by the memory that
//! was in use before the engine started. What cannot be told is not free, with one exception: where processes are hidden and a
//! neighbour may use the same accelerators, an engine that ended by itself is started anew.

use std::{net::TcpListener, time::Duration};

use gearshift_config::{Backend, ProcessActuator};
use tokio::time::{Instant, sleep};

use super::{
    procfs,
    smi::{Devices, Listed, Smi, probed},
};
use crate::controller::journal::Held;

/// Between two looks.
const POLL: Duration = Duration::from_millis(500);
/// More in use than before the engine started by less than this is free: contexts of other processes come and go, MiB.
const TOLERANCE_MIB: u64 = 512;
/// Memory that falls no further for so long has settled.
const SETTLED: Duration = Duration::from_secs(3);

/// What is known of an engine that is to be ended, or has.
pub(super) struct Hold<'a> {
    pub(super) smi: &'a Smi,
    pub(super) settings: &'a ProcessActuator,
    /// What it held; `None` where nothing of Gearshift's ran.
    pub(super) held: Option<Held>,
    /// What others had in use before it started, MiB.
    pub(super) before: Option<u64>,
    /// Another backend whose engine may use the same accelerators.
    pub(super) neighbour: Option<String>,
}

impl Hold<'_> {
    /// Waits until port and memory are free; tells `say` what it waits for.
    ///
    /// # Errors
    /// What is not free, or not known to be, after `release_timeout`.
    pub(super) async fn released(&self, backend: &Backend, say: impl Fn(&str)) -> Result<(), String> {
        let patience = self.settings.release_timeout;
        let deadline = Instant::now() + patience;
        let mut level = Level::default();
        loop {
            let why = if port_is_free(backend) {
                self.in_use(&mut level).await
            } else {
                Some(format!("another program listens on {}", backend.url))
            };
            let Some(why) = why else { return Ok(()) };
            say(&why);
            if Instant::now() >= deadline {
                return Err(format!("{why}, after {patience:?}"));
            }
            sleep(POLL).await;
        }
    }

    /// Whether it will be known that its memory is free, once it has ended: asked while it runs. `group` are its processes.
    ///
    /// # Errors
    /// Why not.
    pub(super) async fn is_known(&self, group: &[i32]) -> Result<(), String> {
        if let Some(probe) = &self.settings.memory_probe {
            return probed(probe).await.map(|_| ());
        }
        let Some(listed) = self.smi.processes().await? else { return Ok(()) };
        if listed.whole || group.iter().any(|pid| listed.pids.contains(pid)) {
            return Ok(());
        }
        match &self.neighbour {
            Some(neighbour) => Err(format!(
                "it will not be known when accelerator memory is free: nvidia-smi shows no process of the engine, and \
                 {neighbour} may use the same accelerators; state CUDA_VISIBLE_DEVICES in the `env` of both, or `memory_probe`"
            )),
            None => self.smi.memory(&Devices::of(self.settings)).await.map(|_| ()),
        }
    }

    /// Why memory is not known to be free, where it is not.
    async fn in_use(&self, level: &mut Level) -> Option<String> {
        let held = self.held.as_ref()?;
        if self.settings.memory_probe.is_some() {
            return self.by_memory(held, level).await;
        }
        match self.smi.processes().await {
            Err(why) => Some(why),
            Ok(None) => None,
            Ok(Some(listed)) if listed.whole || held.listed => by_process(held, &listed),
            // The one guess: of an engine that ended by itself, for no switch ends one of which so little is known. Nobody could
            // ever tell, and it would stay away.
            Ok(Some(_)) if self.neighbour.is_some() => None,
            Ok(Some(_)) => self.by_memory(held, level).await,
        }
    }

    async fn by_memory(&self, held: &Held, level: &mut Level) -> Option<String> {
        let now = match memory_in_use(self.smi, self.settings).await {
            Err(why) => return Some(why),
            Ok(None) => return None,
            Ok(Some(now)) => now,
        };
        let settled = level.settled(now);
        (!is_free(now, self.before, held.memory, settled)).then(|| match self.before {
            Some(before) => {
                format!("{now} MiB of accelerator memory in use, {before} before the engine started")
            }
            None => format!("{now} MiB of accelerator memory in use"),
        })
    }
}

/// Of memory in use, MiB: now, before the engine started, and while it ran.
fn is_free(now: u64, before: Option<u64>, while_it_ran: Option<u64>, settled: bool) -> bool {
    match (before, while_it_ran) {
        (Some(before), _) => now <= before + TOLERANCE_MIB,
        // A journal that was lost.
        (None, Some(then)) => now <= TOLERANCE_MIB || (now + TOLERANCE_MIB <= then && settled),
        // How much of it is others' nobody knows.
        (None, None) => now <= TOLERANCE_MIB,
    }
}

/// The engine's processes that still use accelerators.
fn by_process(held: &Held, listed: &Listed) -> Option<String> {
    // A number may have become another's; one that has ended may hold memory until the driver is done.
    let is_others = |pid: i32, started: u64| {
        procfs::process(pid).is_some_and(|process| !process.defunct && process.started != started)
    };
    let left = held.processes.iter().filter(|one| listed.pids.contains(&one.pid));
    let left: Vec<i32> = left.filter(|one| !is_others(one.pid, one.started)).map(|one| one.pid).collect();
    (!left.is_empty()).then(|| format!("processes {left:?} of the engine still hold accelerator memory"))
}

/// Memory in use, as it falls.
#[derive(Debug, Default)]
struct Level {
    least: Option<(u64, Instant)>,
}

impl Level {
    /// Takes what is in use now, MiB; whether it has not fallen for a while.
    fn settled(&mut self, now: u64) -> bool {
        let at = Instant::now();
        match self.least {
            Some((least, since)) if now + TOLERANCE_MIB / 8 >= least => at.duration_since(since) >= SETTLED,
            Some(_) | None => {
                self.least = Some((now, at));
                false
            }
        }
    }
}

/// Accelerator memory in use where this engine's is, MiB; `None` where nothing is looked at.
///
/// # Errors
/// When it cannot be told.
pub(super) async fn memory_in_use(smi: &Smi, settings: &ProcessActuator) -> Result<Option<u64>, String> {
    match &settings.memory_probe {
        Some(probe) => probed(probe).await,
        None => smi.memory(&Devices::of(settings)).await,
    }
}

/// Whether an engine could listen where it should. An address that is not this machine's is none of ours to judge.
pub(super) fn port_is_free(backend: &Backend) -> bool {
    match TcpListener::bind((backend.url.host.as_str(), backend.url.port)) {
        Ok(_) => true,
        Err(error) => error.kind() != std::io::ErrorKind::AddrInUse,
    }
}

#[cfg(test)]
#[path = "release_tests.rs"]
mod tests;
