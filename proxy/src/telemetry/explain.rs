//! Headers that say why a request went where it went.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Record;

/// What a client sends, with the value 1, to be told.
pub const EXPLAIN: HeaderName = HeaderName::from_static("x-gearshift-explain");

const BACKEND: HeaderName = HeaderName::from_static("x-gearshift-backend");
const PROFILE: HeaderName = HeaderName::from_static("x-gearshift-profile");
const REASON: HeaderName = HeaderName::from_static("x-gearshift-reason");
const CONFIDENCE: HeaderName = HeaderName::from_static("x-gearshift-confidence");
const TTFT: HeaderName = HeaderName::from_static("x-gearshift-predicted-ttft-seconds");
const TPOT: HeaderName = HeaderName::from_static("x-gearshift-predicted-tpot-seconds");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-gearshift-attempts");

/// Whether the client asks.
pub(super) fn wanted(headers: &HeaderMap) -> bool {
    headers.get(EXPLAIN).is_some_and(|value| value == "1")
}

/// The last attempt's decision; of a request that Gearshift refused, why it did.
pub(super) fn explain(record: &Record, headers: &mut HeaderMap) {
    let mut say = |name: HeaderName, value: &str| {
        // Names in a configuration may hold what no header can.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    say(ATTEMPTS, &record.attempts.len().to_string());
    let refusal = record.ending.reason.map(crate::error::Reason::as_str);
    if let Some(attempt) = record.attempts.last() {
        say(BACKEND, attempt.engine.backend.as_str());
        say(PROFILE, &attempt.engine.profile);
        if let Some(prediction) = attempt.decision.chosen.prediction {
            say(TTFT, &format!("{:.6}", prediction.ttft_s));
            say(TPOT, &format!("{:.6}", prediction.tpot_s));
        }
        if let Some(confidence) = attempt.confidence() {
            say(CONFIDENCE, &format!("{confidence:.3}"));
        }
        say(REASON, refusal.unwrap_or_else(|| attempt.decided_by()));
    } else if let Some(reason) = refusal {
        say(REASON, reason);
    }
}
