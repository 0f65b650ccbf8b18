//! The stub's payloads: constants in vLLM's shapes.

use bytes::Bytes;

const ID: &str = "chatcmpl-7f3a0c61b2d94e58";
const CREATED: u64 = 1_790_000_000;
const CONTENT: &str = " gear";

/// What ends every stream.
pub(super) const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// Payloads for one model name, made once.
#[derive(Debug)]
pub(super) struct Answers {
    model: String,
    pub(super) models: Bytes,
    pub(super) first_chunk: Bytes,
    pub(super) chunk: Bytes,
    pub(super) last_chunk: Bytes,
}

/// Tokens of a request and its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub(super) prompt: u64,
    pub(super) completion: u64,
}

impl Usage {
    fn json(self) -> String {
        let Self { prompt, completion } = self;
        let total = prompt + completion;
        format!(
            r#"{{"prompt_tokens":{prompt},"total_tokens":{total},"completion_tokens":{completion},"prompt_tokens_details":null}}"#
        )
    }
}

impl Answers {
    /// Payloads that name `model`.
    pub(super) fn new(model: &str) -> Self {
        let model = serde_json::Value::from(model).to_string();
        let chunk = |delta: &str, finish: &str| {
            let choices = format!(
                r#"[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish},"token_ids":null}}]"#
            );
            event(&model, &choices, "")
        };
        let models = format!(
            r#"{{"object":"list","data":[{{"id":{model},"object":"model","created":{CREATED},"owned_by":"vllm","root":{model},"parent":null,"max_model_len":131072,"permission":[]}}]}}"#
        );
        Self {
            models: models.into(),
            first_chunk: chunk(r#"{"role":"assistant","content":""}"#, "null"),
            chunk: chunk(&format!(r#"{{"content":"{CONTENT}"}}"#), "null"),
            last_chunk: chunk(r#"{"content":""}"#, r#""length""#),
            model,
        }
    }

    /// The chunk that carries a stream's usage.
    pub(super) fn usage_chunk(&self, usage: Usage) -> Bytes {
        event(&self.model, "[]", &format!(r#","usage":{}"#, usage.json()))
    }

    /// A whole chat completion.
    pub(super) fn completion(&self, usage: Usage) -> Bytes {
        let content = CONTENT.repeat(usize::try_from(usage.completion).unwrap_or_default());
        format!(
            r#"{{"id":"{ID}","object":"chat.completion","created":{CREATED},"model":{},"choices":[{{"index":0,"message":{{"role":"assistant","content":"{content}","refusal":null,"annotations":null,"audio":null,"function_call":null,"reasoning":null}},"logprobs":null,"finish_reason":"length","stop_reason":null,"token_ids":null}}],"service_tier":null,"system_fingerprint":null,"usage":{},"prompt_logprobs":null,"prompt_token_ids":null,"kv_transfer_params":null}}"#,
            self.model,
            usage.json()
        )
        .into()
    }
}

fn event(model: &str, choices: &str, usage: &str) -> Bytes {
    format!(
        "data: {{\"id\":\"{ID}\",\"object\":\"chat.completion.chunk\",\"created\":{CREATED},\"model\":{model},\"choices\":{choices}{usage}}}\n\n"
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(payload: &Bytes) -> serde_json::Value {
        let text = std::str::from_utf8(payload).unwrap();
        serde_json::from_str(text.strip_prefix("data: ").unwrap_or(text)).unwrap()
    }

    #[test]
    fn every_payload_is_json_that_names_the_model() {
        let answers = Answers::new("a \"quoted\" name");
        let usage = Usage { prompt: 12, completion: 3 };
        let (completion, last) = (json(&answers.completion(usage)), json(&answers.usage_chunk(usage)));
        for payload in [&answers.first_chunk, &answers.chunk, &answers.last_chunk] {
            assert_eq!(json(payload)["model"], "a \"quoted\" name");
            assert!(payload.ends_with(b"\n\n"));
        }
        assert_eq!(completion["choices"][0]["message"]["content"], " gear gear gear");
        assert_eq!(completion["usage"]["total_tokens"], 15);
        assert_eq!(last["usage"], completion["usage"]);
        assert_eq!(json(&answers.models)["data"][0]["id"], "a \"quoted\" name");
    }
}
