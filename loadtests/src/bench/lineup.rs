//! Who is measured.

use std::path::{Path, PathBuf};

use super::{BenchOptions, subject::Subject};
use crate::{Error, driver::Endpoint};

/// Something between the client and the engine, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Proxy {
    /// No proxy.
    Direct,
    /// Gearshift with one worker.
    Gearshift,
    /// Gearshift before eight engines, of which each decision takes one, without a bundle.
    #[value(name = "gearshift-fleet")]
    #[serde(rename = "gearshift-fleet")]
    Fleet,
    /// The same with the bundle of --bundle.
    #[value(name = "gearshift-bundle")]
    #[serde(rename = "gearshift-bundle")]
    Learner,
    /// Gearshift with a collector for spans, that samples no request by itself.
    #[value(name = "gearshift-traced-0")]
    #[serde(rename = "gearshift-traced-0")]
    TracedNone,
    /// The same, that sends the spans of one request in ten.
    #[value(name = "gearshift-traced-10")]
    #[serde(rename = "gearshift-traced-10")]
    TracedTenth,
    /// The same, that sends those of every request.
    #[value(name = "gearshift-traced-100")]
    #[serde(rename = "gearshift-traced-100")]
    TracedAll,
    /// nginx with one worker process.
    Nginx,
    /// HAProxy with one thread.
    Haproxy,
}

impl Proxy {
    const ALL: [Self; 9] = [
        Self::Direct,
        Self::Gearshift,
        Self::Fleet,
        Self::Learner,
        Self::TracedNone,
        Self::TracedTenth,
        Self::TracedAll,
        Self::Nginx,
        Self::Haproxy,
    ];

    /// Those that have a collector.
    pub(super) const TRACED: [Self; 3] = [Self::TracedNone, Self::TracedTenth, Self::TracedAll];

    /// The share of requests whose spans are sent; `None` where tracing is off.
    pub(super) fn sample(self) -> Option<f64> {
        match self {
            Self::TracedNone => Some(0.0),
            Self::TracedTenth => Some(0.1),
            Self::TracedAll => Some(1.0),
            Self::Direct | Self::Gearshift | Self::Fleet | Self::Learner | Self::Nginx | Self::Haproxy => {
                None
            }
        }
    }

    /// Its name in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Gearshift => "gearshift",
            Self::Fleet => "gearshift-fleet",
            Self::Learner => "gearshift-bundle",
            Self::TracedNone => "gearshift-traced-0",
            Self::TracedTenth => "gearshift-traced-10",
            Self::TracedAll => "gearshift-traced-100",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }

    /// The option that makes its program say its version.
    fn version_option(self) -> &'static str {
        if matches!(self, Self::Nginx | Self::Haproxy) { "-v" } else { "--version" }
    }
}

/// What a peer's absence means, and what to do about it.
const INSTALL: &str = "not installed; on Debian: apt-get install nginx-light haproxy";

/// A proxy with its program.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) proxy: Proxy,
    /// Nothing for [`Proxy::Direct`].
    pub(super) program: Option<PathBuf>,
    pub(super) version: Option<String>,
    /// What [`Proxy::Learner`] decides with.
    pub(super) bundle: Option<Learning>,
}

/// A bundle and the library that runs it.
#[derive(Debug, Clone)]
pub(super) struct Learning {
    pub(super) bundle: PathBuf,
    pub(super) onnxruntime: PathBuf,
}

/// Who takes part, and who would have.
#[derive(Debug, Clone)]
pub(super) struct Lineup {
    entries: Vec<Entry>,
    left_out: Vec<Proxy>,
}

impl Lineup {
    /// Finds the programs. A peer that is not installed is left out; Gearshift has to be there.
    pub(super) fn choose(options: &BenchOptions) -> Result<Self, Error> {
        let mut lineup = Self { entries: Vec::new(), left_out: Vec::new() };
        for proxy in Proxy::ALL.into_iter().filter(|&proxy| options.includes(proxy)) {
            let program = match proxy {
                Proxy::Direct => None,
                Proxy::Nginx => peer(proxy, options.nginx.as_deref())?,
                Proxy::Haproxy => peer(proxy, options.haproxy.as_deref())?,
                Proxy::Gearshift
                | Proxy::Fleet
                | Proxy::Learner
                | Proxy::TracedNone
                | Proxy::TracedTenth
                | Proxy::TracedAll => Some(gearshift(&options.gearshift)?),
            };
            if program.is_none() && proxy != Proxy::Direct {
                lineup.left_out.push(proxy);
                continue;
            }
            let version = program.as_deref().map(|program| version(program, proxy));
            let bundle = if proxy == Proxy::Learner { options.learning()? } else { None };
            lineup.entries.push(Entry { proxy, program, version, bundle });
        }
        if lineup.entries.is_empty() {
            return Err(Error::Failed(format!("nobody is left to measure: {INSTALL}")));
        }
        Ok(lineup)
    }

    /// Who takes part.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Who does not, and why.
    pub(super) fn left_out(&self) -> impl Iterator<Item = (Proxy, &'static str)> {
        self.left_out.iter().map(|&proxy| (proxy, INSTALL))
    }

    /// Starts all of them on `core`, before the engine at `upstream`, and waits until each answers.
    pub(super) async fn start(&self, upstream: &Endpoint, core: usize) -> Result<Vec<Subject>, Error> {
        let mut subjects = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            subjects.push(Subject::start(entry, upstream, core).await?);
        }
        Ok(subjects)
    }
}

fn gearshift(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(|error| {
        let path = path.display();
        Error::Failed(format!(
            "{path}: {error}; build it with `cargo build --release`, name it with --gearshift, or choose others \
             with --only nginx,haproxy"
        ))
    })
}

/// The program given, or the one installed.
fn peer(proxy: Proxy, given: Option<&Path>) -> Result<Option<PathBuf>, Error> {
    if let Some(given) = given {
        let program = given.canonicalize().map_err(Error::file(given))?;
        return Ok(Some(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(installed(proxy.name(), std::env::split_paths(&path).chain(SBIN.map(PathBuf::from))))
}

/// Where Debian puts servers, outside of an ordinary user's PATH.
const SBIN: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

fn installed(name: &str, mut folders: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    folders.find_map(|folder| Some(folder.join(name)).filter(|program| program.is_file()))
}

/// The first line that a program says of its version, on either output.
fn version(program: &Path, proxy: Proxy) -> String {
    let output = std::process::Command::new(program).arg(proxy.version_option()).output();
    let said = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    String::from_utf8_lossy(&said).lines().next().unwrap_or("unknown").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_in_the_first_folder_that_has_it() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let paths = || folders.iter().map(|folder| folder.path().to_owned());
        assert_eq!(installed("nginx", paths()), None);
        let program = folders[1].path().join("nginx");
        std::fs::write(&program, "").unwrap();
        assert_eq!(installed("nginx", paths()), Some(program));
    }

    #[test]
    fn a_program_that_was_named_must_exist() {
        let named = Path::new("no/such/program");
        assert!(peer(Proxy::Nginx, Some(named)).is_err());
        assert!(gearshift(named).unwrap_err().to_string().contains("cargo build --release"));
    }
}
