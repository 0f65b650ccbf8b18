//! What is asked of the benchmark.

use std::{path::PathBuf, time::Duration};

use super::{Case, Proxy, case::CHUNKS, lineup::Learning};
use crate::{Error, options::Format};

/// Options of `gearshift-loadtest bench`.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchOptions {
    /// The gearshift binary; a release build.
    #[arg(long, value_name = "PATH", default_value = "target/release/gearshift")]
    pub gearshift: PathBuf,
    /// nginx [default: as found in PATH and the sbin folders]
    #[arg(long, value_name = "PATH")]
    pub nginx: Option<PathBuf>,
    /// HAProxy [default: as found in PATH and the sbin folders]
    #[arg(long, value_name = "PATH")]
    pub haproxy: Option<PathBuf>,
    /// A bundle to measure decisions with, and what it adds to the CPU of a request, beside those without; its directory.
    #[arg(long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// ONNX Runtime's shared library, for --bundle [default: ORT_DYLIB_PATH]
    #[arg(long, value_name = "FILE")]
    pub onnxruntime: Option<PathBuf>,
    /// The report, JSON; a table is written beside it with the ending `.md`.
    #[arg(long, value_name = "FILE", default_value = "target/reports/bench.json")]
    pub out: PathBuf,
    /// Rounds [default: 5; with --quick: 2]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub rounds: Option<u16>,
    /// Measure a shorter time, in fewer rounds.
    #[arg(long)]
    pub quick: bool,
    /// Measure only these, such as `gearshift,nginx`.
    #[arg(long, value_delimiter = ',', value_name = "PROXY,…")]
    pub only: Vec<Proxy>,
    /// Measure only these cases, such as `request_1k,sse_chunk`.
    #[arg(long, value_delimiter = ',', value_name = "CASE,…")]
    pub cases: Vec<Case>,
    /// Also measure what sending spans costs; the stub engine is the collector.
    #[arg(long)]
    pub tracing: bool,
    /// What is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
}

/// How much is measured.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Plan {
    /// Rounds; every proxy is started anew in each.
    pub rounds: usize,
    /// Connections of the closed loop.
    pub connections: usize,
    /// Load before each measurement that does not count, milliseconds.
    #[serde(rename = "warm_up_ms", serialize_with = "milliseconds")]
    pub warm_up: Duration,
    /// Length of each measurement, milliseconds.
    #[serde(rename = "measured_ms", serialize_with = "milliseconds")]
    pub measured: Duration,
    /// Rate of the open loop, requests per second.
    pub open_loop_per_second: u32,
    /// Streams open at once for memory.
    pub streams: usize,
    /// Chunks of a stream where CPU per chunk is measured.
    pub chunks_per_stream: u64,
    /// Between two of them, milliseconds.
    #[serde(rename = "chunk_interval_ms", serialize_with = "milliseconds")]
    pub chunk_interval: Duration,
}

fn milliseconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u128(duration.as_millis())
}

impl BenchOptions {
    /// Whether nothing was asked for by name, so that decisions by themselves are measured as well.
    pub(super) fn is_whole(&self) -> bool {
        self.only.is_empty() && self.cases.is_empty() || self.bundle.is_some()
    }

    /// Rounds and durations.
    pub fn plan(&self) -> Plan {
        let (rounds, measured) = if self.quick { (2, 1_000) } else { (5, 2_400) };
        Plan {
            rounds: self.rounds.map_or(rounds, usize::from),
            connections: 32,
            warm_up: Duration::from_millis(300),
            measured: Duration::from_millis(measured),
            open_loop_per_second: 1_000,
            streams: 1_000,
            chunks_per_stream: CHUNKS.chunks,
            chunk_interval: CHUNKS.interval,
        }
    }

    /// The cases asked for, in the order they are measured in.
    pub fn cases(&self) -> Vec<Case> {
        let mut cases = if self.cases.is_empty() { Case::ALL.to_vec() } else { self.cases.clone() };
        cases.retain(|case| *case != Case::Traced);
        cases.extend(self.traces().then_some(Case::Traced));
        cases.sort_unstable();
        cases.dedup();
        cases
    }

    /// The bundle, and the library that runs it; `None` without one.
    pub(super) fn learning(&self) -> Result<Option<Learning>, Error> {
        let Some(bundle) = &self.bundle else { return Ok(None) };
        let library = self.onnxruntime.clone().or_else(|| std::env::var_os("ORT_DYLIB_PATH").map(Into::into));
        let library: PathBuf =
            library.ok_or_else(|| Error::Failed("--bundle needs --onnxruntime or ORT_DYLIB_PATH".into()))?;
        let whole = |path: &PathBuf| path.canonicalize().map_err(Error::file(path));
        Ok(Some(Learning { bundle: whole(bundle)?, onnxruntime: whole(&library)? }))
    }

    /// Whether it is asked what spans cost.
    fn traces(&self) -> bool {
        self.tracing || self.cases.contains(&Case::Traced)
    }

    /// Whether `proxy` is asked for. Latency without a proxy is what the added one is counted from.
    pub fn includes(&self, proxy: Proxy) -> bool {
        if proxy.sample().is_some() {
            return self.traces();
        }
        if matches!(proxy, Proxy::Fleet | Proxy::Learner) {
            return self.bundle.is_some() && self.cases().contains(&Case::Request1k);
        }
        self.only.is_empty()
            || self.only.contains(&proxy)
            || (proxy == Proxy::Direct && self.cases().contains(&Case::AddedP50))
    }
}
