//! What holds the memory of NVIDIA's accelerators, by the word of `nvidia-smi`.

use std::{fs, io, path::PathBuf, process::Stdio, time::Duration};

use gearshift_config::ProcessActuator;
use tokio::{process::Command, time::timeout};

/// How long a question may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The system's first namespace of process numbers, by the number that the kernel gives it.
const FIRST_NAMESPACE: &str = "pid:[4026531836]";
/// What names the accelerators that a program may use.
const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// Asks `nvidia-smi`.
#[derive(Debug)]
pub(super) struct Smi {
    pub(super) program: PathBuf,
    /// Whether the process numbers that it lists are those that this process sees: in a container they are the host's.
    pub(super) same_numbers: bool,
}

/// The processes that use accelerators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Their numbers.
    pub(super) pids: Vec<i32>,
    /// Whether a process that is not among them uses none.
    pub(super) whole: bool,
}

impl Smi {
    /// Of this machine.
    pub(super) fn here() -> Self {
        let namespace = fs::read_link("/proc/self/ns/pid");
        let same_numbers = namespace.is_ok_and(|name| name.as_os_str() == FIRST_NAMESPACE);
        Self { program: "nvidia-smi".into(), same_numbers }
    }

    /// The processes that use accelerators; `None` where the machine has no accelerators of this kind.
    pub(super) async fn processes(&self) -> Result<Option<Listed>, String> {
        let Some(text) = self.ask(&["--query-compute-apps=pid", "--format=csv,noheader"]).await? else {
            return Ok(None);
        };
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let pids: Vec<i32> = lines.iter().filter_map(|line| line.parse().ok()).collect();
        // Where it may not look, it says so instead of a number.
        Ok(Some(Listed { whole: self.same_numbers && pids.len() == lines.len(), pids }))
    }

    /// Memory in use on these accelerators, MiB; `None` where there are none.
    pub(super) async fn memory(&self, devices: &Devices) -> Result<Option<u64>, String> {
        let question = ["--query-gpu=index,uuid,memory.used", "--format=csv,noheader,nounits"];
        let Some(text) = self.ask(&question).await? else { return Ok(None) };
        let mut cards = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let (Some(index), Some(uuid), Some(Ok(used))) =
                (fields.first(), fields.get(1), fields.get(2).map(|used| used.parse::<u64>()))
            else {
                return Err(format!("nvidia-smi says {line:?} of an accelerator's memory"));
            };
            cards.push((*index, *uuid, used));
        }
        let Devices::Named(names) = devices else {
            return Ok(Some(cards.iter().map(|(_, _, used)| used).sum()));
        };
        let mut sum = None;
        for name in names {
            let card = cards.iter().find(|(index, uuid, _)| index == name || is_short_for(name, uuid));
            let (_, _, used) = card.ok_or_else(|| format!("nvidia-smi knows no accelerator {name:?}"))?;
            sum = Some(sum.unwrap_or(0) + used);
        }
        Ok(sum)
    }

    async fn ask(&self, arguments: &[&str]) -> Result<Option<String>, String> {
        let said = run(Command::new(&self.program).args(arguments)).await;
        match said {
            Ok(text) => Ok(Some(text)),
            Err(Silence::NoProgram | Silence::Failed { no_devices: true, .. }) => Ok(None),
            Err(Silence::Failed { why, .. } | Silence::Other(why)) => Err(format!("nvidia-smi {why}")),
        }
    }
}

/// The memory in use by the word of a command of the operator's, MiB, over all of its lines.
pub(super) async fn probed(probe: &[String]) -> Result<Option<u64>, String> {
    let Some((program, arguments)) = probe.split_first() else { return Ok(None) };
    let text = run(Command::new(program).args(arguments)).await.map_err(|silence| match silence {
        Silence::NoProgram => format!("`memory_probe`: there is no program {program:?}"),
        Silence::Failed { why, .. } | Silence::Other(why) => format!("`memory_probe` {why}"),
    })?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let numbers: Result<Vec<u64>, _> = lines.map(str::parse).collect();
    match numbers {
        Ok(numbers) if !numbers.is_empty() => Ok(Some(numbers.iter().sum())),
        Ok(_) | Err(_) => Err(format!("`memory_probe` prints {text:?}, not a number a line")),
    }
}

/// Why a program says nothing of use.
enum Silence {
    NoProgram,
    Failed { why: String, no_devices: bool },
    Other(String),
}

async fn run(command: &mut Command) -> Result<String, Silence> {
    // One that hangs is ended with its question.
    let asked = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = match timeout(PATIENCE, asked).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => return Err(Silence::NoProgram),
        Ok(Err(error)) => return Err(Silence::Other(format!("does not run: {error}"))),
        Err(_) => return Err(Silence::Other(format!("does not end within {PATIENCE:?}"))),
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let first = text.lines().next().unwrap_or_default();
    let why = format!("fails: {} {first}", output.status);
    Err(Silence::Failed { why, no_devices: text.contains("No devices were found") })
}

/// The accelerators that an engine may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Devices {
    /// All that the machine has.
    All,
    /// These, by index or UUID.
    Named(Vec<String>),
}

impl Devices {
    /// By `CUDA_VISIBLE_DEVICES`, the engine's own or else the one that it inherits.
    pub(super) fn of(settings: &ProcessActuator) -> Self {
        let own = settings.env.iter().rev().find(|(name, _)| name == VISIBLE);
        let stated = own.map(|(_, value)| value.expose().to_owned()).or_else(|| std::env::var(VISIBLE).ok());
        stated.map_or(Self::All, |list| Self::named(&list))
    }

    /// As CUDA reads the list: it ends before the first that is no accelerator.
    pub(super) fn named(list: &str) -> Self {
        let names = list.split(',').map(str::trim);
        Self::Named(names.take_while(|name| !name.is_empty() && *name != "-1").map(str::to_owned).collect())
    }

    /// Whether an accelerator may be among both.
    pub(super) fn may_share(&self, other: &Self) -> bool {
        let (Self::Named(ours), Self::Named(theirs)) = (self, other) else { return true };
        let is_index = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
        let same = |one: &str, other: &str| {
            // An index and a UUID may name one card.
            is_index(one) != is_index(other)
                || one == other
                || is_short_for(one, other)
                || is_short_for(other, one)
        };
        ours.iter().any(|one| theirs.iter().any(|other| same(one, other)))
    }
}

/// UUIDs may be shortened.
fn is_short_for(name: &str, uuid: &str) -> bool {
    name.contains('-') && uuid.starts_with(name)
}

#[cfg(test)]
pub(super) mod fake {
    use std::path::{Path, PathBuf};

    use super::Smi;

    /// A `nvidia-smi` that says what a test wants: of processes, of cards, or that it fails.
    pub(crate) struct FakeSmi(PathBuf);

    impl FakeSmi {
        pub(crate) fn new(folder: &Path) -> Self {
            let script = r#"#!/bin/sh
                here=$(dirname "$0")
                if [ -e "$here/fails" ]; then echo 'it cannot reach the driver'; exit 9; fi
                case "$1" in *compute-apps*) cat "$here/pids" ;; *) cat "$here/cards" ;; esac"#;
            // By another process: while this one writes a program, one that another test starts may hold it open.
            let install = r#"printf '%s' "$1" > "$0" && chmod +x "$0""#;
            let program = folder.join("nvidia-smi");
            let mut shell = std::process::Command::new("sh");
            let status = shell.arg("-c").arg(install).arg(&program).arg(script).status();
            assert!(status.unwrap().success());
            let this = Self(folder.to_owned());
            this.lists("");
            this
        }

        pub(crate) fn smi(&self, same_numbers: bool) -> Smi {
            Smi { program: self.0.join("nvidia-smi"), same_numbers }
        }

        /// Processes, a line each.
        pub(crate) fn lists(&self, pids: &str) {
            std::fs::write(self.0.join("pids"), pids).unwrap();
        }

        /// MiB in use on the first cards.
        pub(crate) fn cards(&self, used: &[u64]) {
            let line = |(index, used): (usize, &u64)| format!("{index}, GPU-{index}-x, {used}\n");
            let text: String = used.iter().enumerate().map(line).collect();
            std::fs::write(self.0.join("cards"), text).unwrap();
        }

        pub(crate) fn fails(&self, fails: bool) {
            let file = self.0.join("fails");
            if fails { std::fs::write(file, "").unwrap() } else { std::fs::remove_file(file).unwrap() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn a_probes_lines_are_summed_and_anything_else_is_an_error() {
        assert_eq!(probed(&words(&["printf", "100\\n 20 \\n"])).await, Ok(Some(120)));
        assert_eq!(probed(&[]).await, Ok(None));
        for silent in [&["printf", "N/A\\n"][..], &["printf", ""], &["false"], &["/no/such/program"]] {
            assert!(probed(&words(silent)).await.is_err(), "{silent:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_hangs_says_nothing() {
        assert!(probed(&words(&["sleep", "100"])).await.unwrap_err().contains("does not end"));
    }

    #[test]
    fn accelerators_are_shared_where_both_may_use_one() {
        let shared = |one: &str, other: &str| Devices::named(one).may_share(&Devices::named(other));
        assert!(shared("0,1", "1") && !shared("0", "1") && !shared("0", ""));
        assert!(shared("GPU-12345", "GPU-1") && !shared("GPU-12", "GPU-34") && shared("0", "GPU-34"));
        assert!(Devices::All.may_share(&Devices::named("3")) && !shared("0,-1,2", "2"));
    }
}
