//! Waiting until what an engine held is free: its port, and its accelerator's memory.
//!
//! A process that has ended may leave its memory in use for seconds; an engine that starts then finds too little and ends.

use std::{net::TcpListener, time::Duration};

use gearshift_config::{Backend, ProcessActuator};
use tokio::{
    process::Command,
    time::{Instant, sleep, timeout},
};

/// Between two looks.
const POLL: Duration = Duration::from_millis(500);
/// More in use than before the engine started by less than this is free: contexts of other processes come and go, MiB.
const TOLERANCE_MIB: u64 = 512;
/// How long a probe may take.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);

/// Waits until port and memory are free. `before` is what others had in use before the engine started, MiB; where it is not
/// known, memory counts as free once it is no longer growing less.
pub(super) async fn released(
    backend: &Backend,
    settings: &ProcessActuator,
    before: Option<u64>,
) -> Result<(), String> {
    let deadline = Instant::now() + settings.release_timeout;
    let mut last = None;
    loop {
        let port = port_is_free(backend);
        let now = memory_in_use(&settings.memory_probe).await;
        if port && is_free(now, before, last) {
            return Ok(());
        }
        last = now;
        if Instant::now() >= deadline {
            let memory = now.map_or(String::new(), |mib| format!("{mib} MiB of accelerator memory"));
            let port = if port { String::new() } else { format!("the port {}", backend.url.port) };
            let what = [port, memory].into_iter().filter(|what| !what.is_empty()).collect::<Vec<_>>();
            return Err(format!("{} in use after {:?}", what.join(" and "), settings.release_timeout));
        }
        sleep(POLL).await;
    }
}

fn is_free(now: Option<u64>, before: Option<u64>, last: Option<u64>) -> bool {
    match (now, before) {
        // No accelerator, or nobody can say.
        (None, _) => true,
        (Some(now), Some(before)) => now <= before + TOLERANCE_MIB,
        (Some(now), None) => last.is_some_and(|last| now + TOLERANCE_MIB / 8 >= last),
    }
}

/// Whether an engine could listen where it should. An address that is not this machine's is none of ours to judge.
pub(super) fn port_is_free(backend: &Backend) -> bool {
    match TcpListener::bind((backend.url.host.as_str(), backend.url.port)) {
        Ok(_) => true,
        Err(error) => error.kind() != std::io::ErrorKind::AddrInUse,
    }
}

/// Accelerator memory in use, MiB, over all that the probe lists; `None` where there is no probe or it says nothing.
pub(super) async fn memory_in_use(probe: &[String]) -> Option<u64> {
    let (program, arguments) = probe.split_first()?;
    // One that hangs is ended with its question.
    let asked = Command::new(program).args(arguments).kill_on_drop(true).output();
    let output = timeout(PROBE_PATIENCE, asked).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<u64> = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
    (output.status.success() && !numbers.is_empty()).then(|| numbers.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_probes_lines_are_summed_and_anything_else_says_nothing() {
        let probe = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(memory_in_use(&probe(&["printf", "100\\n 20 \\n"])).await, Some(120));
        for silent in [&["printf", "No devices were found\\n"][..], &["false"], &["/no/such/program"], &[]] {
            assert_eq!(memory_in_use(&probe(silent)).await, None, "{silent:?}");
        }
    }

    #[test]
    fn memory_is_free_as_before_or_once_it_settled() {
        assert!(is_free(None, Some(0), None), "no accelerator");
        assert!(is_free(Some(900), Some(500), None) && !is_free(Some(70_000), Some(500), Some(70_000)));
        assert!(!is_free(Some(70_000), None, None) && !is_free(Some(10_000), None, Some(70_000)));
        assert!(is_free(Some(10_000), None, Some(10_001)));
    }
}
