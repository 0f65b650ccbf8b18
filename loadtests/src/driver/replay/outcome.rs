//! What became of a request.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::super::{ExchangeError, Usage};
use crate::workload::{Class, Request};

/// One request's way. Times are seconds of the workload's clock since its start: wall time times the time scale.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// The request's number in the workload.
    pub id: u64,
    /// What it was for.
    pub class: Class,
    /// Which of the targets it went to.
    pub target: usize,
    /// What the response's backend header says, where one was asked for and is there.
    pub backend: Option<String>,
    /// When it was due.
    pub due_s: f64,
    /// When it was sent, later than due only by what the driver is late.
    pub sent_s: f64,
    /// When the first text came.
    pub first_token_s: Option<f64>,
    /// When the last text came.
    pub last_token_s: Option<f64>,
    /// When the response was whole, or failed.
    pub end_s: f64,
    /// Tokens of the prompt: the server's count, else the workload's.
    pub prompt_tokens: u64,
    /// Tokens of the answer: the server's count, else the chunks.
    pub output_tokens: u64,
    /// Prompt tokens found in the prefix cache, where the server says.
    pub cached_tokens: Option<u64>,
    /// Chunks with text.
    pub chunks: u64,
    /// The response's status, where there was a response.
    pub status: Option<u16>,
    /// Why it failed; nothing where it did not.
    pub failure: Option<Failure>,
}

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// No connection.
    Connect,
    /// The connection broke before the response was whole.
    Closed,
    /// The server was silent for too long.
    Silent,
    /// The response was not HTTP.
    NotHttp,
    /// Another status than 200.
    Status(u16),
    /// The stream carried an error event.
    Reported,
    /// The stream carried what is no chunk.
    Malformed,
    /// The stream ended without `[DONE]`.
    Truncated,
    /// It had not ended when the run did.
    Unfinished,
}

impl Failure {
    /// Its name in reports.
    pub fn name(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Connect => "no connection",
            Self::Closed => "connection closed",
            Self::Silent => "silent server",
            Self::NotHttp => "not HTTP",
            Self::Status(code) => return Cow::Owned(format!("status {code}")),
            Self::Reported => "error event",
            Self::Malformed => "malformed event",
            Self::Truncated => "no [DONE]",
            Self::Unfinished => "unfinished",
        })
    }
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

impl From<&ExchangeError> for Failure {
    fn from(error: &ExchangeError) -> Self {
        match error {
            ExchangeError::Connect { .. } => Self::Connect,
            ExchangeError::Io(_) | ExchangeError::Closed => Self::Closed,
            ExchangeError::Silent(_) => Self::Silent,
            ExchangeError::Response(_) => Self::NotHttp,
            ExchangeError::Unexpected { response, .. } => Self::Status(response.status),
        }
    }
}

/// Limits that a request must stay within to be good, seconds of the workload's clock. What is not limited is not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Slo {
    /// On the time to the first token.
    pub ttft_s: Option<f64>,
    /// On the time per output token after the first.
    pub tpot_s: Option<f64>,
    /// On the time to the end.
    pub e2e_s: Option<f64>,
}

impl Outcome {
    /// A request that was just sent.
    pub(super) fn sent(request: &Request, target: usize, sent_s: f64) -> Self {
        Self {
            id: request.id,
            class: request.class,
            target,
            backend: None,
            due_s: request.at.as_secs_f64(),
            sent_s,
            first_token_s: None,
            last_token_s: None,
            end_s: sent_s,
            prompt_tokens: u64::from(request.content.prompt_tokens()),
            output_tokens: 0,
            cached_tokens: None,
            chunks: 0,
            status: None,
            failure: None,
        }
    }

    /// Takes the server's count of tokens.
    pub(super) fn count(&mut self, usage: Usage) {
        self.prompt_tokens = usage.prompt_tokens;
        self.output_tokens = usage.completion_tokens;
        self.cached_tokens = usage.cached_tokens;
    }

    /// From when it was due to its first token, seconds.
    pub fn ttft_s(&self) -> Option<f64> {
        Some(self.first_token_s? - self.due_s)
    }

    /// From its first to its last token over the tokens in between, seconds; nothing for a single token.
    pub fn tpot_s(&self) -> Option<f64> {
        let steps = self.output_tokens.checked_sub(1).filter(|&steps| steps > 0)?;
        Some((self.last_token_s? - self.first_token_s?) / steps as f64)
    }

    /// From when it was due to its end, seconds.
    pub fn e2e_s(&self) -> f64 {
        self.end_s - self.due_s
    }

    /// Whether it succeeded within the limits.
    pub fn is_within(&self, slo: &Slo) -> bool {
        let within = |value: Option<f64>, limit: Option<f64>| match (value, limit) {
            (Some(value), Some(limit)) => value <= limit,
            // A single token has no time per token that could be too long.
            _ => true,
        };
        self.failure.is_none()
            && within(self.ttft_s(), slo.ttft_s)
            && within(self.tpot_s(), slo.tpot_s)
            && within(Some(self.e2e_s()), slo.e2e_s)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Due at 1 s, first token after 0.5 s, then nine more in 0.9 s.
    pub(in super::super) fn outcome() -> Outcome {
        Outcome {
            id: 0,
            class: Class::Chat,
            target: 0,
            backend: None,
            due_s: 1.0,
            sent_s: 1.1,
            first_token_s: Some(1.5),
            last_token_s: Some(2.4),
            end_s: 2.5,
            prompt_tokens: 100,
            output_tokens: 10,
            cached_tokens: Some(40),
            chunks: 10,
            status: Some(200),
            failure: None,
        }
    }

    #[test]
    fn times_count_from_when_a_request_was_due() {
        let outcome = outcome();
        assert!((outcome.ttft_s().unwrap() - 0.5).abs() < 1e-9);
        assert!((outcome.tpot_s().unwrap() - 0.1).abs() < 1e-9);
        assert!((outcome.e2e_s() - 1.5).abs() < 1e-9);
        assert_eq!(Outcome { output_tokens: 1, ..outcome }.tpot_s(), None);
    }

    #[test]
    fn a_good_request_keeps_every_limit_and_does_not_fail() {
        let slo = Slo { ttft_s: Some(0.6), tpot_s: Some(0.11), e2e_s: None };
        assert!(outcome().is_within(&slo));
        assert!(!outcome().is_within(&Slo { ttft_s: Some(0.4), ..slo }));
        assert!(!outcome().is_within(&Slo { tpot_s: Some(0.09), ..slo }));
        assert!(!outcome().is_within(&Slo { e2e_s: Some(1.4), ..slo }));
        assert!(!Outcome { failure: Some(Failure::Truncated), ..outcome() }.is_within(&Slo::default()));
    }
}
