//! `/v1/completions`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    DONE, FINGERPRINT, Heading, Piece, Stream, Usage, chat::usage_details, finish_members, reason,
    stop_reason, usage_event,
};
use crate::serve::answer::Answer;

/// The events of a completion stream.
#[derive(Debug)]
pub(super) struct CompletionStream {
    heading: Heading,
    /// The beginning of every event, to the choices.
    before: String,
}

impl CompletionStream {
    pub(super) fn new(heading: Heading) -> Self {
        let Heading { id, model, created, .. } = &heading;
        let model = Value::from(model.as_str());
        let before = format!(
            r#"data: {{"id":"cmpl-{id}","object":"text_completion","created":{created},"model":{model},"choices":["#
        );
        Self { heading, before }
    }
}

// Writing to a string does not fail: results of `write!` are dropped throughout.
impl Stream for CompletionStream {
    fn begin(&mut self, _out: &mut String) {}

    fn piece(&mut self, piece: &Piece<'_>, out: &mut String) {
        let Piece { choice, text, finish, tokens } = piece;
        let mut finish_members = finish_members(*finish);
        if finish.is_none() {
            finish_members.push_str(",\"stop_reason\":null");
        }
        let _ = write!(
            out,
            "{}{{\"index\":{choice},\"text\":\"{text}\",\"logprobs\":null,{finish_members},\
             \"prompt_token_ids\":null,\"token_ids\":null}}]",
            self.before
        );
        out.push_str(&self.heading.running_usage(*tokens, ""));
        if finish.is_some() && !self.heading.options.include_usage {
            let _ = write!(out, ",\"system_fingerprint\":\"{FINGERPRINT}\"");
        }
        out.push_str("}\n\n");
    }

    fn end(&mut self, usage: Usage, out: &mut String) {
        if self.heading.options.include_usage {
            out.push_str(&usage_event(&self.before, usage, ""));
        }
        out.push_str(DONE);
    }
}

/// A whole completion.
pub(super) fn whole(heading: &Heading, answers: &[Answer], usage: Usage) -> Value {
    let choice = |(index, answer): (usize, &Answer)| {
        json!({
            "index": index,
            "text": answer.text(),
            "logprobs": null,
            "finish_reason": reason(&answer.finish).trim_matches('"'),
            "stop_reason": stop_reason(&answer.finish),
            "token_ids": null,
            "prompt_logprobs": null,
            "prompt_token_ids": null,
            "routed_experts": null,
        })
    };
    json!({
        "id": format!("cmpl-{}", heading.id),
        "object": "text_completion",
        "created": heading.created,
        "model": heading.model,
        "choices": answers.iter().enumerate().map(choice).collect::<Vec<_>>(),
        "service_tier": null,
        "system_fingerprint": FINGERPRINT,
        "usage": usage_details(usage, &Value::Null),
        "kv_transfer_params": null,
        "ec_transfer_params": null,
        "metrics": null,
    })
}
