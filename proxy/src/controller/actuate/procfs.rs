//! Processes as Linux shows them under `/proc`. Elsewhere nothing is found, and engines are not taken over.

use std::fs;

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    /// The process group.
    pub(super) group: i32,
    /// When it started, ticks since the system booted.
    pub(super) started: u64,
    /// Ended, and not yet reaped.
    pub(super) defunct: bool,
}

/// Whether the system shows processes here.
pub(super) fn is_there() -> bool {
    i32::try_from(std::process::id()).is_ok_and(|own| process(own).is_some())
}

/// Names the time since the system last started, where it does: numbers and ticks of another boot say nothing.
pub(in crate::controller) fn boot() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|boot| !boot.is_empty())
}

/// The process of this number, where there is one.
pub(super) fn process(pid: i32) -> Option<Process> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Those of a process group that have not ended.
pub(super) fn group(group: i32) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(process).filter(|process| process.group == group && !process.defunct).collect()
}

/// `PID (NAME) STATE PPID PGRP …`; a name may hold anything, parentheses and line ends included.
pub(super) fn parse(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    let fields: Vec<&str> = rest.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
    Some(Process {
        pid: pid.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
        defunct: matches!(*fields.first()?, "Z" | "X"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_anything() {
        let tail = "S 1 77 77 0 -1 4194304 1 0 0 0 1 1 0 0 20 0 1 0 123456 1 1";
        let parsed = parse(&format!("42 (a) b (c\n) {tail}")).unwrap();
        assert_eq!(parsed, Process { pid: 42, group: 77, started: 123_456, defunct: false });
        assert!(parse(&format!("42 (x) {}", tail.replacen('S', "Z", 1))).unwrap().defunct);
        assert_eq!((parse(""), parse("42 (x"), parse("42 (x) S 1")), (None, None, None));
    }

    #[test]
    fn this_process_is_there() {
        let own = i32::try_from(std::process::id()).unwrap();
        let Some(process) = process(own) else {
            eprintln!("skipped: this system has no /proc");
            return;
        };
        assert!(process.pid == own && !process.defunct);
        assert!(group(process.group).contains(&process));
    }
}
