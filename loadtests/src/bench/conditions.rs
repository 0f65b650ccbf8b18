//! What a report was measured on.

use std::{collections::BTreeMap, process::Command};

use super::{Plan, Proxy, cores::Cores, lineup::Lineup};

/// Machine, programs and plan of a run.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Conditions {
    /// When, UTC.
    pub date: String,
    /// Commit of the working tree, `-dirty` where it has changes.
    pub git_commit: String,
    /// Processor, as the kernel names it.
    pub cpu_model: String,
    /// Kernel name and release.
    pub kernel: String,
    /// The proxies' core.
    pub proxy_core: usize,
    /// Cores of the stub engine and the driver.
    pub load_cores: Vec<usize>,
    /// Share of the machine's CPU time that went to other processes meanwhile, 0 to 1.
    pub others_cpu_share: f64,
    /// What each program says of its version.
    pub versions: BTreeMap<&'static str, String>,
    /// Who was asked for and is not there, and why.
    pub left_out: BTreeMap<&'static str, String>,
    /// Rounds and durations.
    #[serde(flatten)]
    pub plan: Option<Plan>,
}

impl Conditions {
    /// Asks the machine. What it does not tell is empty.
    pub(super) fn read(plan: &Plan, lineup: &Lineup, cores: &Cores, others_cpu_share: f64) -> Self {
        let version = |proxy: Proxy, version: &Option<String>| Some((proxy.name(), version.clone()?));
        Self {
            date: date(),
            git_commit: first_line("git", &["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]),
            cpu_model: cpu_model(),
            kernel: first_line("uname", &["-sr"]),
            proxy_core: cores.proxy,
            load_cores: cores.load.clone(),
            others_cpu_share: (others_cpu_share * 1e3).round() / 1e3,
            versions: lineup
                .entries()
                .iter()
                .filter_map(|entry| version(entry.proxy, &entry.version))
                .collect(),
            left_out: lineup.left_out().map(|(proxy, why)| (proxy.name(), why.to_owned())).collect(),
            plan: Some(plan.clone()),
        }
    }
}

/// The first line that a program prints; empty where it does not run.
pub(crate) fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned()
}

/// Now, UTC.
pub(crate) fn date() -> String {
    first_line("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"])
}

/// The processor, as the kernel names it.
pub(crate) fn cpu_model() -> String {
    first_cpu_of(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

fn first_cpu_of(cpuinfo: &str) -> String {
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map(|(_, name)| name.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_the_first_one_named() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Fast CPU\nmodel name\t: Other\n";
        assert_eq!(first_cpu_of(cpuinfo), "Fast CPU");
        assert_eq!(first_cpu_of(""), "");
    }
}
