//! `/v1/messages`: Anthropic's protocol.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Heading, Piece, Stream, Usage};
use crate::serve::answer::{Answer, Finish};

/// The events of a message stream.
#[derive(Debug)]
pub(super) struct MessagesStream {
    heading: Heading,
    /// Why the message ended.
    finish: Option<Finish>,
}

impl MessagesStream {
    pub(super) fn new(heading: Heading) -> Self {
        Self { heading, finish: None }
    }
}

// Writing to a string does not fail: results of `write!` are dropped throughout.
impl Stream for MessagesStream {
    fn begin(&mut self, out: &mut String) {
        let Heading { id, model, prompt_tokens, .. } = &self.heading;
        let message = json!({
            "id": format!("chatcmpl-{id}"), "type": "message", "role": "assistant", "content": [], "model": model,
            "stop_reason": null, "stop_sequence": null,
            "usage": {"input_tokens": prompt_tokens, "output_tokens": 0},
        });
        event(out, "message_start", &format!(r#""message":{message}"#));
        event(out, "content_block_start", r#""content_block":{"type":"text","text":""},"index":0"#);
    }

    fn piece(&mut self, piece: &Piece<'_>, out: &mut String) {
        self.finish = piece.finish.cloned();
        let delta = format!(r#""delta":{{"type":"text_delta","text":"{}"}},"index":0"#, piece.text);
        event(out, "content_block_delta", &delta);
    }

    fn end(&mut self, usage: Usage, out: &mut String) {
        event(out, "content_block_stop", r#""index":0"#);
        let (reason, sequence) = stop(self.finish.as_ref());
        let delta = json!({"stop_reason": reason, "stop_sequence": sequence});
        event(out, "message_delta", &format!(r#""delta":{delta},"usage":{}"#, counts(usage)));
        out.push_str("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    }
}

fn event(out: &mut String, kind: &str, members: &str) {
    let _ = write!(out, "event: {kind}\ndata: {{\"type\":\"{kind}\",{members}}}\n\n");
}

/// A whole message.
pub(super) fn whole(heading: &Heading, answers: &[Answer], usage: Usage) -> Value {
    let answer = answers.first();
    let text = answer.map(Answer::text).unwrap_or_default();
    let (reason, _) = stop(answer.map(|answer| &answer.finish));
    json!({
        "id": format!("chatcmpl-{}", heading.id),
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": text}],
        "model": heading.model,
        "stop_reason": reason,
        "usage": counts(usage),
    })
}

fn counts(usage: Usage) -> Value {
    let cached = usage.cached.unwrap_or_default();
    json!({
        "input_tokens": usage.prompt - cached.min(usage.prompt),
        "output_tokens": usage.completion,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
    })
}

/// Stop reason and stop sequence.
fn stop(finish: Option<&Finish>) -> (&'static str, Option<&str>) {
    match finish {
        Some(Finish::Length) => ("max_tokens", None),
        Some(Finish::Stop(Some(stop))) => ("stop_sequence", Some(stop)),
        Some(Finish::Stop(None) | Finish::Abort) | None => ("end_turn", None),
    }
}
