//! `/v1/responses`: OpenAI's newer protocol.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Heading, Piece, Stream, Usage};
use crate::serve::answer::{Answer, Finish};

/// The events of a response stream.
#[derive(Debug)]
pub(super) struct ResponsesStream {
    heading: Heading,
    sequence: u32,
    text: String,
    finish: Option<Finish>,
}

impl ResponsesStream {
    pub(super) fn new(heading: Heading) -> Self {
        Self { heading, sequence: 0, text: String::new(), finish: None }
    }

    /// Writes one event; members stand before the number and the type.
    fn event(&mut self, kind: &str, members: &str, out: &mut String) {
        let number = self.sequence;
        self.sequence += 1;
        // Writing to a string does not fail.
        let _ = write!(
            out,
            "event: {kind}\ndata: {{{members},\"sequence_number\":{number},\"type\":\"{kind}\"}}\n\n"
        );
    }

    /// Members that name the part of the output an event is about.
    fn part(&self) -> String {
        format!(r#""content_index":0,"item_id":"msg_{}","output_index":0"#, self.heading.id)
    }
}

impl Stream for ResponsesStream {
    fn begin(&mut self, out: &mut String) {
        let response = format!(r#""response":{}"#, response(&self.heading, None, None));
        self.event("response.created", &response, out);
        self.event("response.in_progress", &response, out);
        let item = json!({
            "id": format!("msg_{}", self.heading.id), "content": [], "role": "assistant", "status": "in_progress",
            "type": "message", "phase": null,
        });
        self.event("response.output_item.added", &format!(r#""item":{item},"output_index":0"#), out);
        let part = format!(
            r#"{},"part":{{"annotations":[],"text":"","type":"output_text","logprobs":[]}}"#,
            self.part()
        );
        self.event("response.content_part.added", &part, out);
    }

    fn piece(&mut self, piece: &Piece<'_>, out: &mut String) {
        self.text.push_str(piece.text);
        self.finish = piece.finish.cloned();
        let delta = format!(r#"{},"delta":"{}","logprobs":[]"#, self.part(), piece.text);
        self.event("response.output_text.delta", &delta, out);
    }

    fn end(&mut self, usage: Usage, out: &mut String) {
        let text = format!(r#"{},"logprobs":[],"text":"{}""#, self.part(), self.text);
        self.event("response.output_text.done", &text, out);
        let part = json!({"annotations": [], "text": self.text, "type": "output_text", "logprobs": null});
        let part = format!(r#"{},"part":{part}"#, self.part());
        self.event("response.content_part.done", &part, out);
        let item = item(&self.heading, &self.text);
        self.event("response.output_item.done", &format!(r#""item":{item},"output_index":0"#), out);
        let finish = self.finish.clone().unwrap_or(Finish::Stop(None));
        let response = response(&self.heading, Some((&self.text, &finish)), Some(usage));
        self.event("response.completed", &format!(r#""response":{response}"#), out);
    }
}

/// A whole response.
pub(super) fn whole(heading: &Heading, answers: &[Answer], usage: Usage) -> Value {
    let answer = answers.first().map(|answer| (answer.text(), &answer.finish));
    let answer = answer.as_ref().map(|(text, finish)| (text.as_str(), *finish));
    response(heading, answer, Some(usage))
}

fn item(heading: &Heading, text: &str) -> Value {
    json!({
        "id": format!("msg_{}", heading.id),
        "content": [{"annotations": [], "text": text, "type": "output_text", "logprobs": null}],
        "role": "assistant",
        "status": "completed",
        "type": "message",
        "phase": null,
    })
}

fn response(heading: &Heading, answer: Option<(&str, &Finish)>, usage: Option<Usage>) -> Value {
    let cut = answer.is_some_and(|(_, finish)| *finish == Finish::Length);
    let status = match answer {
        None => "in_progress",
        Some(_) if cut => "incomplete",
        Some(_) => "completed",
    };
    let usage = usage.map(|usage| {
        json!({
            "input_tokens": usage.prompt,
            "input_tokens_details": {
                "cached_tokens": usage.cached.unwrap_or_default(), "cache_write_tokens": 0,
                "input_tokens_per_turn": [], "cached_tokens_per_turn": [],
            },
            "output_tokens": usage.completion,
            "output_tokens_details": {
                "reasoning_tokens": 0, "tool_output_tokens": 0, "output_tokens_per_turn": [],
                "tool_output_tokens_per_turn": [],
            },
            "total_tokens": usage.total(),
        })
    });
    json!({
        "id": format!("resp_{}", heading.id),
        "created_at": heading.created,
        "incomplete_details": cut.then(|| json!({"reason": "max_output_tokens"})),
        "instructions": null,
        "metadata": null,
        "model": heading.model,
        "object": "response",
        "output": answer.map(|(text, _)| item(heading, text)).into_iter().collect::<Vec<_>>(),
        "parallel_tool_calls": true,
        "temperature": 1.0,
        "tool_choice": "none",
        "tools": [],
        "top_p": 1.0,
        "background": false,
        "max_output_tokens": heading.max_tokens,
        "max_tool_calls": null,
        "previous_response_id": null,
        "prompt": null,
        "reasoning": null,
        "service_tier": "auto",
        "status": status,
        "text": null,
        "top_logprobs": null,
        "truncation": "disabled",
        "usage": usage,
        "user": null,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "kv_transfer_params": null,
        "ec_transfer_params": null,
        "input_messages": null,
        "output_messages": null,
    })
}
