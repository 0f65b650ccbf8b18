//! Asking for completions, and reading the token ids of what comes back.

use std::rc::Rc;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::prompts::Request;
use crate::{
    Error,
    driver::{Endpoint, SseReader},
    vllm::{self, Answer, post},
};

/// The request for a greedy completion, as bytes: the answer has just the tokens that it should have.
pub(super) fn completion(endpoint: &Endpoint, model: &str, request: &Request) -> Rc<[u8]> {
    let body = json!({
        "model": model,
        "prompt": request.prompt,
        "max_tokens": request.output,
        "ignore_eos": true,
        "temperature": 0,
        "stream": true,
        "return_token_ids": true,
    });
    post(endpoint, "/v1/completions", &body)
}

/// Sends it; when what came, and the payload, to be read once nothing is measured any more.
pub(super) async fn ask(endpoint: &Endpoint, request: &[u8]) -> Result<(Answer, Vec<u8>), Error> {
    let mut payload = Vec::new();
    let due = Instant::now();
    let answer = vllm::stream_to(endpoint, request, due, &mut payload, |_| {}).await?;
    Ok((answer, payload))
}

/// The token ids of a stream. An engine that sends none (vLLM before 0.10.2) gives a token for each event, by its text.
pub(super) fn tokens(payload: &[u8]) -> Vec<u32> {
    let (mut tokens, mut reader) = (Vec::new(), SseReader::default());
    reader.feed(payload, |data| {
        let event: Value = serde_json::from_slice(data).unwrap_or_default();
        let choice = &event["choices"][0];
        match (choice["token_ids"].as_array(), choice["text"].as_str()) {
            (Some(ids), _) => {
                tokens.extend(ids.iter().filter_map(Value::as_u64).filter_map(|id| u32::try_from(id).ok()));
            }
            (None, Some(text)) => tokens.push(stand_in(text)),
            (None, None) => {}
        }
    });
    tokens
}

/// Half of a hash: the same for the same text.
fn stand_in(text: &str) -> u32 {
    let [first, second, third, fourth, ..] = xxhash_rust::xxh3::xxh3_64(text.as_bytes()).to_be_bytes();
    u32::from_be_bytes([first, second, third, fourth])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_ids_are_read_from_all_events() {
        let payload = b"data: {\"choices\":[{\"prompt_token_ids\":[1,2],\"token_ids\":[7]}]}\n\n\
            data: {\"choices\":[{\"token_ids\":[8,9]}]}\n\ndata: [DONE]\n\n";
        assert_eq!(tokens(payload), [7, 8, 9]);
    }

    #[test]
    fn texts_stand_in_for_token_ids() {
        let event =
            |text: &str| format!("data: {{\"choices\":[{{\"text\":\"{text}\",\"token_ids\":null}}]}}\n\n");
        let read = tokens((event("a") + &event("b") + &event("a") + "data: [DONE]\n\n").as_bytes());
        assert_eq!((read.len(), read[0] == read[2], read[0] == read[1]), (3, true, false));
    }
}
