//! `/v1/chat/completions`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    DONE, FINGERPRINT, Heading, Piece, Stream, Usage, finish_members, reason, stop_reason, usage_event,
};
use crate::serve::answer::Answer;

/// The events of a chat stream.
#[derive(Debug)]
pub(super) struct ChatStream {
    heading: Heading,
    /// The beginning of every event, to the choices.
    before: String,
}

impl ChatStream {
    pub(super) fn new(heading: Heading) -> Self {
        let Heading { id, model, created, .. } = &heading;
        let model = Value::from(model.as_str());
        let before = format!(
            r#"data: {{"id":"chatcmpl-{id}","object":"chat.completion.chunk","created":{created},"model":{model},"choices":["#
        );
        Self { heading, before }
    }

    fn running_usage(&self, completion: u32) -> String {
        self.heading.running_usage(completion, r#","completion_tokens_details":null"#)
    }
}

// Writing to a string does not fail: results of `write!` are dropped throughout.
impl Stream for ChatStream {
    fn begin(&mut self, out: &mut String) {
        let (before, usage) = (&self.before, self.running_usage(0));
        for choice in 0..self.heading.choices {
            let _ = write!(
                out,
                "{before}{{\"index\":{choice},\"delta\":{{\"role\":\"assistant\",\"content\":\"\"}},\"logprobs\":null,\
                 \"finish_reason\":null}}]{usage},\"prompt_token_ids\":null,\"prompt_text\":null}}\n\n"
            );
        }
    }

    fn piece(&mut self, piece: &Piece<'_>, out: &mut String) {
        let (before, usage) = (&self.before, self.running_usage(piece.tokens));
        let Piece { choice, text, finish, .. } = piece;
        let finish_members = finish_members(*finish);
        let _ = write!(
            out,
            "{before}{{\"index\":{choice},\"delta\":{{\"content\":\"{text}\"}},\"logprobs\":null,{finish_members},\
             \"token_ids\":null}}]{usage}"
        );
        if finish.is_some() && !self.heading.options.include_usage {
            let _ = write!(out, ",\"system_fingerprint\":\"{FINGERPRINT}\"");
        }
        out.push_str("}\n\n");
    }

    fn end(&mut self, usage: Usage, out: &mut String) {
        if self.heading.options.include_usage {
            out.push_str(&usage_event(&self.before, usage, ",\"created_cache_tokens\":0"));
        }
        out.push_str(DONE);
    }
}

/// A whole chat completion.
pub(super) fn whole(heading: &Heading, answers: &[Answer], usage: Usage) -> Value {
    let choice = |(index, answer): (usize, &Answer)| {
        json!({
            "index": index,
            "message": {
                "role": "assistant", "content": answer.text(), "refusal": null, "annotations": null, "audio": null,
                "function_call": null, "reasoning": null,
            },
            "logprobs": null,
            "finish_reason": reason(&answer.finish).trim_matches('"'),
            "stop_reason": stop_reason(&answer.finish),
            "token_ids": null,
            "routed_experts": null,
        })
    };
    json!({
        "id": format!("chatcmpl-{}", heading.id),
        "object": "chat.completion",
        "created": heading.created,
        "model": heading.model,
        "choices": answers.iter().enumerate().map(choice).collect::<Vec<_>>(),
        "service_tier": null,
        "system_fingerprint": FINGERPRINT,
        "usage": usage_details(usage, &0.into()),
        "prompt_logprobs": null,
        "prompt_token_ids": null,
        "prompt_text": null,
        "kv_transfer_params": null,
        "ec_transfer_params": null,
        "metrics": null,
    })
}

/// Usage of a whole answer; `created` is what the endpoint says of tokens written to a cache.
pub(super) fn usage_details(usage: Usage, created: &Value) -> Value {
    let details = usage.cached.map(
        |cached| json!({"cached_tokens": cached, "created_cache_tokens": created, "multimodal_tokens": null}),
    );
    json!({
        "prompt_tokens": usage.prompt,
        "total_tokens": usage.total(),
        "completion_tokens": usage.completion,
        "prompt_tokens_details": details,
        "completion_tokens_details": null,
    })
}
