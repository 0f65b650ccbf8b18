//! Recorded workloads: token counts and times of real services, without text.
//!
//! Two formats: the CSV of Azure's LLM inference traces (`TIMESTAMP,ContextTokens,GeneratedTokens`) and the JSON lines of
//! Mooncake's (`timestamp`, `input_length`, `output_length`, `hash_ids`), whose block hashes say which prefixes requests share.
//! The files are not part of this repository: they are looked for under `$GEARSHIFT_DATA/traces`, or by path.

mod azure;
mod mooncake;
mod time;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::Class;

/// Tokens that one of a trace's block hashes stands for.
pub const TRACE_BLOCK_TOKENS: u32 = 512;

/// The directory that holds `traces/`.
pub const DATA_VARIABLE: &str = "GEARSHIFT_DATA";

/// A recorded workload, in order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// What reports call it.
    pub name: String,
    /// What its requests are for.
    pub class: Class,
    /// At least one.
    records: Vec<TraceRecord>,
}

/// One recorded request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceRecord {
    /// Since the first request.
    pub at: Duration,
    /// Prompt tokens, at least 1.
    pub prompt_tokens: u32,
    /// Generated tokens, at least 1.
    pub output_tokens: u32,
    /// Identities of the prompt's blocks of [`TRACE_BLOCK_TOKENS`]; empty where the trace does not say.
    pub blocks: Box<[u64]>,
}

/// Why there is no trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// Which one.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A line is not what the format has there.
    #[error("line {line}: {reason}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no request in it.
    #[error("no requests")]
    Empty,
    /// A trace is asked for by name, and nothing says where traces are.
    #[error("trace {0:?} is looked for under ${DATA_VARIABLE}/traces: set {DATA_VARIABLE}")]
    NoData(String),
}

/// A trace that is known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownTrace {
    /// Its name.
    pub name: &'static str,
    /// Its file under `traces/`.
    pub file: &'static str,
    /// What its requests are for.
    pub class: Class,
}

/// The traces known by name.
pub const KNOWN_TRACES: [KnownTrace; 3] = [
    KnownTrace { name: "azure-conv", file: "AzureLLMInferenceTrace_conv.csv", class: Class::Chat },
    KnownTrace { name: "azure-code", file: "AzureLLMInferenceTrace_code.csv", class: Class::Code },
    KnownTrace { name: "mooncake", file: "mooncake_conversation_trace.jsonl", class: Class::Chat },
];

impl Trace {
    /// The trace at `path`: Mooncake's format where the file's name ends in `.jsonl`, else Azure's.
    ///
    /// # Errors
    /// Where the file cannot be read, or is not of its format.
    pub fn load(path: &Path, class: Class) -> Result<Self, TraceError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| TraceError::File { path: path.to_owned(), source })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            Self::mooncake(&name, class, &text)
        } else {
            Self::azure(&name, class, &text)
        }
    }

    /// A trace known by name, from under `$GEARSHIFT_DATA/traces`.
    ///
    /// # Errors
    /// As [`Self::load`]; and where the variable is not set.
    pub fn known(known: &KnownTrace) -> Result<Self, TraceError> {
        let data =
            std::env::var_os(DATA_VARIABLE).ok_or_else(|| TraceError::NoData(known.name.to_owned()))?;
        let path = Path::new(&data).join("traces").join(known.file);
        Ok(Self { name: known.name.to_owned(), ..Self::load(&path, known.class)? })
    }

    /// Reads Azure's CSV, with or without its header.
    ///
    /// # Errors
    /// Names the first line that is not a time and two counts.
    pub fn azure(name: &str, class: Class, text: &str) -> Result<Self, TraceError> {
        Self::new(name, class, azure::parse(text)?)
    }

    /// Reads Mooncake's JSON lines.
    ///
    /// # Errors
    /// Names the first line that is not a request, or whose hashes do not cover its prompt.
    pub fn mooncake(name: &str, class: Class, text: &str) -> Result<Self, TraceError> {
        Self::new(name, class, mooncake::parse(text)?)
    }

    fn new(name: &str, class: Class, mut records: Vec<TraceRecord>) -> Result<Self, TraceError> {
        records.sort_by_key(|record| record.at);
        let first = records.first().ok_or(TraceError::Empty)?.at;
        for record in &mut records {
            record.at -= first;
        }
        Ok(Self { name: name.to_owned(), class, records })
    }

    /// Its requests, first to last; at least one.
    pub fn records(&self) -> &[TraceRecord] {
        &self.records
    }

    /// How long one pass takes: to the last request, and a mean gap after it. Never zero.
    pub fn span(&self) -> Duration {
        let last = self.records.last().map(|record| record.at).unwrap_or_default();
        let gaps = self.records.len().saturating_sub(1).max(1);
        let mean_gap = last.as_secs_f64() / gaps as f64;
        (last + Duration::from_secs_f64(mean_gap)).max(Duration::from_millis(1))
    }

    /// Requests per second on average, as recorded.
    pub fn rate(&self) -> f64 {
        self.records.len() as f64 / self.span().as_secs_f64()
    }
}

/// Lines with their numbers, without line ends and without blank ones.
fn numbered_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    numbered.filter(|(_, line)| !line.is_empty())
}

/// Zero tokens are counted as one: services record failed requests so, and no engine is asked for nothing.
fn at_least_one(tokens: u32) -> u32 {
    tokens.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(times_ms: &[u64]) -> Trace {
        let records = times_ms.iter().map(|&at| TraceRecord {
            at: Duration::from_millis(at),
            prompt_tokens: 1,
            output_tokens: 1,
            blocks: Box::default(),
        });
        Trace::new("t", Class::Chat, records.collect()).unwrap()
    }

    #[test]
    fn times_count_from_the_first_request_and_are_in_order() {
        let trace = trace(&[500, 300, 900]);
        let times: Vec<u128> = trace.records().iter().map(|record| record.at.as_millis()).collect();
        assert_eq!(times, [0, 200, 600]);
        assert_eq!(trace.span(), Duration::from_millis(900));
        assert!((trace.rate() - 3.0 / 0.9).abs() < 1e-9);
    }

    #[test]
    fn one_request_alone_still_takes_time() {
        assert!(trace(&[7]).rate().is_finite());
        assert!(matches!(Trace::azure("t", Class::Chat, ""), Err(TraceError::Empty)));
    }
}
