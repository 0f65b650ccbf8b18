//! What is measured.

use std::time::Duration;

use super::Proxy;
use crate::mock::Settings;

/// The streams that CPU per chunk is measured on: about 10,000 chunks a second over 32 connections. Their
/// interval is no divisor of the kernel's tick, which samples user time: in step with it, it would always
/// see the same moment.
pub(super) const CHUNKS: Settings = Settings { chunks: 200, interval: Duration::from_millis(3) };

/// One thing that is measured, in the order it is measured in: memory first, while the proxies are fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// Resident memory before load, bytes.
    #[value(name = "rss_idle")]
    RssIdle,
    /// Resident memory per open stream, bytes.
    #[value(name = "rss_per_stream")]
    RssPerStream,
    /// CPU per request with a body of 1 kB.
    #[value(name = "request_1k")]
    #[serde(rename = "request_1k")]
    Request1k,
    /// CPU per request with a body of 32 kB.
    #[value(name = "request_32k")]
    #[serde(rename = "request_32k")]
    Request32k,
    /// CPU per request with a body of 400 kB.
    #[value(name = "request_400k")]
    #[serde(rename = "request_400k")]
    Request400k,
    /// CPU per request with a body of 1 kB at 1,000 requests per second, with tracing and without.
    #[value(name = "traced_1k_1000rps")]
    #[serde(rename = "traced_1k_1000rps")]
    Traced,
    /// CPU per chunk of a stream.
    #[value(name = "sse_chunk")]
    SseChunk,
    /// Median latency added at 1,000 requests per second.
    #[value(name = "added_p50_1000rps")]
    #[serde(rename = "added_p50_1000rps")]
    AddedP50,
}

/// A quantity with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Quantity {
    /// CPU per request or chunk, user and kernel, microseconds.
    Cpu,
    /// Its part in user mode, microseconds.
    CpuUser,
    /// Requests or chunks per second.
    PerSecond,
    /// Median latency, microseconds.
    LatencyP50,
    /// Median latency less the median without a proxy, microseconds.
    AddedP50,
    /// Resident memory, bytes.
    Rss,
    /// Resident memory per open stream, bytes.
    RssPerStream,
}

impl Quantity {
    /// Its key in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu_us",
            Self::CpuUser => "cpu_user_us",
            Self::PerSecond => "per_second",
            Self::LatencyP50 => "latency_p50_us",
            Self::AddedP50 => "added_p50_us",
            Self::Rss => "rss_bytes",
            Self::RssPerStream => "rss_per_stream_bytes",
        }
    }
}

/// What Gearshift is to stay within.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// At most this many times what nginx needs.
    RatioToNginx(f64),
    /// At most this value of the case's quantity.
    AtMost(f64),
}

impl Case {
    /// All, in the order they are measured in.
    pub const ALL: [Self; 8] = [
        Self::RssIdle,
        Self::RssPerStream,
        Self::Request1k,
        Self::Request32k,
        Self::Request400k,
        Self::Traced,
        Self::SseChunk,
        Self::AddedP50,
    ];

    /// Its name in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::RssIdle => "rss_idle",
            Self::RssPerStream => "rss_per_stream",
            Self::Request1k => "request_1k",
            Self::Request32k => "request_32k",
            Self::Request400k => "request_400k",
            Self::Traced => "traced_1k_1000rps",
            Self::SseChunk => "sse_chunk",
            Self::AddedP50 => "added_p50_1000rps",
        }
    }

    /// Length of the request's body, bytes.
    pub(crate) fn body_bytes(self) -> usize {
        match self {
            Self::Request32k => 32_000,
            Self::Request400k => 400_000,
            Self::RssIdle
            | Self::RssPerStream
            | Self::Request1k
            | Self::Traced
            | Self::SseChunk
            | Self::AddedP50 => 1_000,
        }
    }

    /// The quantity that proxies are compared by.
    pub(crate) fn headline(self) -> Quantity {
        match self {
            Self::RssIdle => Quantity::Rss,
            Self::RssPerStream => Quantity::RssPerStream,
            Self::Request1k | Self::Request32k | Self::Request400k | Self::Traced | Self::SseChunk => {
                Quantity::Cpu
            }
            Self::AddedP50 => Quantity::AddedP50,
        }
    }

    /// Without a proxy there is latency, but no memory to speak of. What a bundle adds is the CPU of a decision.
    pub(crate) fn applies_to(self, proxy: Proxy) -> bool {
        match proxy {
            Proxy::Direct => !matches!(self, Self::RssIdle | Self::RssPerStream | Self::Traced),
            Proxy::Fleet | Proxy::Learner => self == Self::Request1k,
            Proxy::TracedNone | Proxy::TracedTenth | Proxy::TracedAll => self == Self::Traced,
            Proxy::Gearshift => true,
            Proxy::Nginx | Proxy::Haproxy => self != Self::Traced,
        }
    }

    /// What streams look like in this case.
    pub(crate) fn stub_settings(self) -> Settings {
        match self {
            // Streams that outlast the measurement: they begin, and then hardly stir.
            Self::RssPerStream => Settings { chunks: 3_600, interval: Duration::from_secs(1) },
            Self::RssIdle
            | Self::Request1k
            | Self::Request32k
            | Self::Request400k
            | Self::Traced
            | Self::SseChunk
            | Self::AddedP50 => CHUNKS,
        }
    }

    /// What Gearshift is to stay within, where the project set itself a target.
    pub(crate) fn target(self) -> Option<Target> {
        match self {
            Self::Request1k | Self::Request32k | Self::Request400k => Some(Target::RatioToNginx(1.5)),
            Self::SseChunk => Some(Target::RatioToNginx(1.15)),
            Self::RssPerStream => Some(Target::AtMost(32_000.0)),
            Self::RssIdle | Self::Traced | Self::AddedP50 => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn a_case_has_one_name_everywhere() {
        assert_eq!(Case::value_variants(), Case::ALL);
        for case in Case::ALL {
            assert_eq!(case.to_possible_value().unwrap().get_name(), case.name());
            assert_eq!(serde_json::to_value(case).unwrap(), case.name());
        }
    }
}
