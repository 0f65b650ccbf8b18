//! What is known of a request when it has ended.

use std::sync::Arc;

use gearshift_config::Route;
use gearshift_selector::{Decision, Moment, Usage};
use http::{Method, StatusCode};
use smallvec::SmallVec;

use super::Context;
use crate::{
    error::{Reason, Source},
    live::Engine,
    metrics::Outcome,
    snapshot::{Model, Upstream},
};

/// One request, whole.
#[derive(Debug)]
pub struct Record {
    /// Its id, as clients have it. Its own: a header's value holds the whole buffer that the head was read into.
    pub id: Box<str>,
    /// Its method.
    pub method: Method,
    /// Its path where it is one that Gearshift knows; others are not kept.
    pub path: Option<&'static str>,
    /// Its own span; of a request that is not traced, what its client calls itself.
    pub span: Option<Context>,
    /// The client's span.
    pub parent: Option<Context>,
    /// What tracing systems say to each other.
    pub state: Option<Box<str>>,
    /// When it came.
    pub arrived: Moment,
    /// What it asked for, once its body was read.
    pub asked: Option<Asked>,
    /// The backends it was sent to, in order.
    pub attempts: SmallVec<[Attempt; 1]>,
    /// How it ended.
    pub ending: Ending,
}

/// What a request asked for.
#[derive(Debug)]
pub struct Asked {
    /// The model.
    pub model: Arc<Model>,
    /// The route that took it.
    pub route: Arc<Route>,
    /// Whether the answer was to be streamed.
    pub stream: bool,
    /// The limit it stated on output tokens.
    pub max_tokens: Option<u32>,
}

/// A request at one backend.
#[derive(Debug)]
pub struct Attempt {
    /// Its span.
    pub span: u64,
    /// The backend.
    pub upstream: Arc<Upstream>,
    /// Its names.
    pub engine: Arc<Engine>,
    /// Why it was chosen.
    pub decision: Decision,
    /// When it was.
    pub began: Moment,
    /// When it failed; the last attempt ends with the request.
    pub failed: Option<Moment>,
    /// Why it failed.
    pub reason: Option<Reason>,
}

impl Attempt {
    /// Who decided: the meta-learner, exploration, or what stood in for the learner.
    pub fn decided_by(&self) -> &'static str {
        match self.decision.fallback {
            _ if self.decision.explored => "explored",
            Some(fallback) => fallback.as_str(),
            None => "learner",
        }
    }

    /// How far the meta-learner's ensemble agreed, 0–1.
    pub fn confidence(&self) -> Option<f64> {
        Some(self.decision.chosen.prediction?.learned?.confidence)
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    /// When.
    pub at: Moment,
    /// The status that the client got; `None` where it had gone before there was one.
    pub status: Option<StatusCode>,
    /// As metrics call it, and `refused` where Gearshift answered with an error of its own.
    pub outcome: &'static str,
    /// Why Gearshift could not answer.
    pub reason: Option<Reason>,
    /// When its first output passed, of a stream.
    pub first: Option<Moment>,
    /// Output tokens as far as events tell.
    pub counted_tokens: u32,
    /// The engine's own count.
    pub usage: Option<Usage>,
}

impl Ending {
    /// The end of a request whose client went away before there was a response.
    pub(super) fn gone(at: Moment) -> Self {
        let outcome = Outcome::Cancelled.as_str();
        Self { at, status: None, outcome, reason: None, first: None, counted_tokens: 0, usage: None }
    }

    /// Answered by Gearshift itself.
    pub(super) fn answered(at: Moment, status: StatusCode) -> Self {
        Self { status: Some(status), outcome: Outcome::Ok.as_str(), ..Self::gone(at) }
    }

    /// Answered by Gearshift itself, with an error.
    pub(super) fn refused(at: Moment, reason: Reason) -> Self {
        Self { status: Some(reason.status()), outcome: "refused", reason: Some(reason), ..Self::gone(at) }
    }

    /// What went wrong, by a word of a closed set or the status; `None` where all went well or the client went away.
    pub(super) fn error(&self) -> Option<&str> {
        let of_status = || self.status.filter(|status| status.as_u16() >= 400);
        match self.reason {
            Some(reason) => Some(reason.as_str()),
            None => of_status().as_ref().map(|_| self.outcome),
        }
    }

    /// As [`error`](Self::error), but a status by its number: what the semantic conventions call `error.type`.
    pub(super) fn error_type(&self) -> Option<String> {
        let error = self.error()?;
        let status = self.status.filter(|_| self.reason.is_none());
        Some(status.map_or_else(|| error.to_owned(), |status| status.as_str().to_owned()))
    }

    /// Whether it is the house's or a backend's fault.
    pub(super) fn failed(&self) -> bool {
        match self.reason {
            Some(reason) => reason.source() != Source::Client,
            None => self.status.is_some_and(|status| status.is_server_error()),
        }
    }

    /// Output tokens, by the engine's count or by counting events.
    pub(super) fn output_tokens(&self) -> u32 {
        self.usage.map_or(self.counted_tokens, |usage| usage.completion_tokens)
    }
}

#[cfg(test)]
impl Record {
    /// Of a request of which nothing is known but its span.
    pub(super) fn bare() -> Self {
        let now = crate::clock::now();
        Self {
            id: "bare".into(),
            method: Method::GET,
            path: None,
            span: Some(Context { trace: 1, span: 2, sampled: true }),
            parent: None,
            state: None,
            arrived: now,
            asked: None,
            attempts: SmallVec::new(),
            ending: Ending::answered(now, StatusCode::OK),
        }
    }
}
