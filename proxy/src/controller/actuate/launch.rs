//! Starting an engine's process, its log, and the small file by which it is known again.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use gearshift_config::{Backend, Knobs, ProcessActuator};

use super::{environment, group::is_alive, procfs};
use crate::controller::journal::Engine;

/// Logs of earlier starts that are kept.
const LOGS_KEPT: u32 = 3;
/// Bytes of a log that are shown when its engine ended.
const LAST_WORDS: u64 = 600;
/// Writes what the system says of its process, the profile, and which boot it is; then becomes the engine.
const SHELL: &str = r#"read -r stat < "/proc/$$/stat" || exit
{ read -r boot < /proc/sys/kernel/random/boot_id; } 2> /dev/null || boot=
printf '%s\n%s\n%s\n' "$stat" "$1" "$boot" > "$0" && shift && exec "$@""#;

/// What an engine's shell wrote, if that engine runs: the engine, and its profile.
pub(super) fn written(settings: &ProcessActuator) -> Option<(Engine, String)> {
    let text = fs::read_to_string(settings.pid_file()).ok()?;
    let mut lines = text.lines();
    let (process, profile) = (procfs::parse(lines.next()?)?, lines.next()?.to_owned());
    // Numbers and ticks are one boot's. An earlier version wrote none.
    let same_boot =
        lines.next().is_none_or(|boot| boot.is_empty() || procfs::boot().is_none_or(|now| now == boot));
    let engine = Engine { pid: process.pid, started: process.started };
    (same_boot && is_alive(engine)).then_some((engine, profile))
}

/// Starts the engine of a backend with these knobs.
pub(super) fn spawn(
    backend: &Backend,
    settings: &ProcessActuator,
    knobs: &Knobs,
    profile: &str,
) -> io::Result<Child> {
    let folder = settings.log.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or(Ok(()), fs::create_dir_all)?;
    rotate(&settings.log);
    let log = File::create(&settings.log)?;
    let pid_file = std::path::absolute(settings.pid_file())?;
    // One of an earlier engine would be taken for this one's.
    fs::remove_file(&pid_file)
        .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(SHELL).arg(pid_file).arg(profile).args(&settings.command).args(knobs.vllm_args());
    command.arg(format!("--host={}", backend.url.host)).arg(format!("--port={}", backend.url.port));
    environment::give(&mut command, settings);
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

/// What to tell operators of the log of an engine that has ended. Its end is shown only where they asked for it: it may hold prompts.
pub(super) fn last_words(settings: &ProcessActuator) -> String {
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
