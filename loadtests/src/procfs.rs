//! CPU time and memory of processes, from `/proc`.
//!
//! A process counts with all its descendants: nginx works in children of the one that was started.

use std::{collections::BTreeSet, fs, io, time::Duration};

/// CPU time used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// On a core, user and kernel together; the scheduler counts nanoseconds.
    pub total: Duration,
    /// Ticks in user mode. The kernel samples these, so they are exact only over many.
    pub user_ticks: u64,
    /// Ticks in kernel mode.
    pub system_ticks: u64,
}

impl CpuTime {
    /// CPU time used since `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            total: self.total.saturating_sub(before.total),
            user_ticks: self.user_ticks.saturating_sub(before.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(before.system_ticks),
        }
    }

    /// The part of `total` spent in user mode, by the share of its ticks; zero without ticks.
    pub fn user(self) -> Duration {
        match self.user_ticks + self.system_ticks {
            0 => Duration::ZERO,
            ticks => self.total.mul_f64(self.user_ticks as f64 / ticks as f64),
        }
    }
}

/// How busy the machine was, and who kept it busy, in ticks since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineTime {
    busy: u64,
    total: u64,
    own: u64,
}

impl MachineTime {
    /// As it is now. Own time is that of this process and of its children that have ended and were waited for.
    ///
    /// # Errors
    /// Where `/proc` is not as proc(5) says.
    pub fn now() -> io::Result<Self> {
        let (busy, total) = parse_machine_stat(&fs::read_to_string("/proc/stat")?)?;
        let [user, system, children_user, children_system] =
            parse_stat(&fs::read_to_string("/proc/self/stat")?)?;
        Ok(Self { busy, total, own: user + system + children_user + children_system })
    }

    /// The share of the machine's CPU time since `before` that went to other processes, 0 to 1.
    pub fn others_since(self, before: Self) -> f64 {
        // The kernel's sums over processors may fall by a tick.
        let others =
            self.busy.saturating_sub(before.busy).saturating_sub(self.own.saturating_sub(before.own));
        others as f64 / self.total.saturating_sub(before.total).max(1) as f64
    }
}

/// A process with its descendants, as they are when asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessTree {
    root: u32,
}

impl ProcessTree {
    /// The tree under process `root`.
    pub fn of(root: u32) -> Self {
        Self { root }
    }

    /// The root and its descendants.
    ///
    /// # Errors
    /// Where the root does not run.
    pub fn processes(self) -> io::Result<BTreeSet<u32>> {
        let mut found = BTreeSet::new();
        let mut open = vec![self.root];
        while let Some(process) = open.pop() {
            for thread in threads(process)? {
                let children = fs::read_to_string(format!("/proc/{process}/task/{thread}/children"))?;
                open.extend(children.split_ascii_whitespace().filter_map(|child| child.parse::<u32>().ok()));
            }
            found.insert(process);
        }
        Ok(found)
    }

    /// The threads of all of them.
    ///
    /// # Errors
    /// Where one of them ended meanwhile.
    pub fn threads(self) -> io::Result<Vec<u32>> {
        let mut all = Vec::new();
        for process in self.processes()? {
            all.extend(threads(process)?.iter().filter_map(|thread| thread.parse::<u32>().ok()));
        }
        Ok(all)
    }

    /// CPU time of all of them. Threads that ended are not in it.
    ///
    /// # Errors
    /// Where one of them ended meanwhile.
    pub fn cpu_time(self) -> io::Result<CpuTime> {
        let mut sum = CpuTime::default();
        for process in self.processes()? {
            let [user, system, ..] = parse_stat(&fs::read_to_string(format!("/proc/{process}/stat"))?)?;
            sum.user_ticks += user;
            sum.system_ticks += system;
            for thread in threads(process)? {
                let path = format!("/proc/{process}/task/{thread}/schedstat");
                sum.total += parse_schedstat(&fs::read_to_string(path)?)?;
            }
        }
        Ok(sum)
    }

    /// Resident memory of all of them, bytes; what they share counts once for each.
    ///
    /// # Errors
    /// Where one of them ended meanwhile.
    pub fn resident_bytes(self) -> io::Result<u64> {
        self.processes()?.into_iter().try_fold(0, |sum, process| {
            Ok(sum + parse_resident_bytes(&fs::read_to_string(format!("/proc/{process}/status"))?)?)
        })
    }
}

fn threads(process: u32) -> io::Result<Vec<String>> {
    fs::read_dir(format!("/proc/{process}/task"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

/// User and system ticks of `/proc/PID/stat`, its own and then its ended children's. The second field, the
/// name, may hold anything.
fn parse_stat(stat: &str) -> io::Result<[u64; 4]> {
    let after_name = stat.rsplit_once(") ").map(|(_, rest)| rest);
    let fields = after_name.into_iter().flat_map(str::split_ascii_whitespace);
    // Fields 14 to 17 of proc(5); the first one after the name is 3.
    parse_ticks(fields.skip(11)).ok_or_else(|| unreadable("/proc/PID/stat"))
}

/// Busy and all ticks of the first line of `/proc/stat`: all cores together.
fn parse_machine_stat(stat: &str) -> io::Result<(u64, u64)> {
    let fields = stat.strip_prefix("cpu ").into_iter().flat_map(str::split_ascii_whitespace);
    let [user, nice, system, idle, io_wait, interrupts, soft_interrupts, stolen] =
        parse_ticks(fields).ok_or_else(|| unreadable("/proc/stat"))?;
    let busy = user + nice + system + interrupts + soft_interrupts + stolen;
    Ok((busy, busy + idle + io_wait))
}

fn parse_ticks<'a, const COUNT: usize>(fields: impl Iterator<Item = &'a str>) -> Option<[u64; COUNT]> {
    let ticks: Option<Vec<u64>> = fields.take(COUNT).map(|field| field.parse().ok()).collect();
    ticks?.try_into().ok()
}

/// Time on a core, the first field of `schedstat`.
fn parse_schedstat(schedstat: &str) -> io::Result<Duration> {
    let nanoseconds = schedstat.split_ascii_whitespace().next().and_then(|field| field.parse().ok());
    nanoseconds.map(Duration::from_nanos).ok_or_else(|| unreadable("/proc/PID/schedstat"))
}

/// `VmRSS` of `/proc/PID/status`, in bytes.
fn parse_resident_bytes(status: &str) -> io::Result<u64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .map(|kib| kib * 1024)
        .ok_or_else(|| unreadable("/proc/PID/status"))
}

fn unreadable(file: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{file} is not as proc(5) says"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_past_any_name() {
        let stat = "42 (a ) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 1234 567 8 9 20 0 1 0 5 6 7";
        assert_eq!(parse_stat(stat).unwrap(), [1234, 567, 8, 9]);
        for broken in ["", "42 (name", "42 (name) S 1 2 3", "42 (n) S 1 42 42 0 -1 4 100 0 0 0 x 567 8 9"] {
            assert!(parse_stat(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn other_processes_time_is_what_is_busy_less_our_own() {
        let stat = "cpu  10 1 20 500 9 2 3 4 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(parse_machine_stat(stat).unwrap(), (40, 549));
        assert!(parse_machine_stat("cpu 1 2 3").is_err());
        let before = MachineTime { busy: 100, total: 1_000, own: 10 };
        let after = MachineTime { busy: 160, total: 1_200, own: 50 };
        assert!((after.others_since(before) - 0.1).abs() < 1e-9);
        let before = MachineTime::now().unwrap();
        assert!(MachineTime::now().unwrap().others_since(before) <= 1.0);
        let fallen = MachineTime { busy: 99, total: 999, own: 10 };
        let before = MachineTime { busy: 100, total: 1_000, own: 10 };
        assert_eq!(fallen.others_since(before), 0.0, "by a tick");
    }

    #[test]
    fn schedstat_counts_nanoseconds() {
        assert_eq!(parse_schedstat("26345165 24404733 85\n").unwrap(), Duration::from_nanos(26_345_165));
        assert!(parse_schedstat("\n").is_err());
    }

    #[test]
    fn resident_memory_is_in_kib() {
        assert_eq!(parse_resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\n").unwrap(), 2048 * 1024);
        assert!(parse_resident_bytes("Name:\tkernel thread\n").is_err());
    }

    #[test]
    fn user_time_is_the_share_of_its_ticks() {
        let before = CpuTime { total: Duration::from_secs(1), user_ticks: 10, system_ticks: 90 };
        let after = CpuTime { total: Duration::from_secs(3), user_ticks: 40, system_ticks: 160 };
        assert_eq!(after.since(before).user(), Duration::from_millis(600));
        assert_eq!(CpuTime::default().user(), Duration::ZERO);
    }

    #[test]
    fn this_process_can_be_read() {
        let tree = ProcessTree::of(std::process::id());
        let before = tree.cpu_time().unwrap();
        assert!(before.total > Duration::ZERO);
        assert!(tree.resident_bytes().unwrap() > 100 * 1024);
        assert!(tree.processes().unwrap().contains(&std::process::id()));
        assert!(ProcessTree::of(u32::MAX).cpu_time().is_err());
    }
}
