//! From a body to the bytes that the engine prefills.
//!
//! The chat template: every message is a marker for its role and its content, filled up to whole tokens; the marker of
//! the assistant ends the prompt. An answer is whole tokens. So the next turn of a conversation begins with the
//! bytes of the last prompt *and* its answer, as it does with real templates, and shares their blocks.

use super::{
    body::{Content, GenerateBody, Input, Message, Prompt},
    errors::Failure,
    tokens,
};

/// The prompts of a request: one, or several at the completions endpoint.
pub(super) fn prompts(body: &GenerateBody<'_>) -> Result<Vec<Vec<u8>>, Failure> {
    match (&body.prompt, &body.input) {
        (Some(prompt), _) => plain(prompt),
        // Several texts, or tokens: what embeddings are asked for.
        (None, Some(Input::Plain(input))) if !matches!(input, Prompt::Text(_)) => plain(input),
        _ => Ok(vec![conversation(body)]),
    }
}

fn conversation(body: &GenerateBody<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    if let Some(tools) = body.tools {
        message("tools", tools.get().as_bytes(), &mut text);
    }
    if let Some(system) = &body.system {
        content("system", system, &mut text);
    }
    match (&body.messages, &body.input) {
        (Some(messages), _) | (None, Some(Input::Items(messages))) => {
            messages.iter().for_each(|message| turn(message, &mut text));
        }
        (None, Some(Input::Plain(Prompt::Text(input)))) => message("user", input.as_bytes(), &mut text),
        (None, Some(Input::Plain(_)) | None) => {}
    }
    marker("assistant", &mut text);
    text
}

/// Texts as they are.
pub(super) fn plain(prompt: &Prompt<'_>) -> Result<Vec<Vec<u8>>, Failure> {
    let padded = |text: &[u8]| {
        let mut text = text.to_vec();
        tokens::pad(&mut text);
        text
    };
    let prompts: Vec<Vec<u8>> = match prompt {
        Prompt::Text(text) => vec![padded(text.as_bytes())],
        Prompt::Texts(texts) => texts.iter().map(|text| padded(text.as_bytes())).collect(),
        Prompt::Tokens(ids) => vec![tokens::text(ids)],
        Prompt::ManyTokens(prompts) => prompts.iter().map(|ids| tokens::text(ids)).collect(),
    };
    if prompts.is_empty() || prompts.iter().any(Vec::is_empty) {
        return Err(Failure::parameter("prompt", "A prompt must be given and must not be empty."));
    }
    Ok(prompts)
}

fn turn(said: &Message<'_>, text: &mut Vec<u8>) {
    let role = if said.role.is_empty() { "user" } else { &said.role };
    match &said.content {
        Some(said) => content(role, said, text),
        None => message(role, b"", text),
    }
    if let Some(calls) = said.tool_calls {
        message("calls", calls.get().as_bytes(), text);
    }
}

fn content(role: &str, content: &Content<'_>, text: &mut Vec<u8>) {
    match content {
        Content::Text(said) => message(role, said.as_bytes(), text),
        Content::Parts(parts) => {
            marker(role, text);
            parts.iter().filter_map(|part| part.text.as_ref()).for_each(|said| text.extend(said.bytes()));
            tokens::pad(text);
        }
    }
}

fn message(role: &str, said: &[u8], text: &mut Vec<u8>) {
    marker(role, text);
    text.extend_from_slice(said);
    tokens::pad(text);
}

/// What stands before a message: two tokens, told apart by the role's first letters.
fn marker(role: &str, text: &mut Vec<u8>) {
    const LETTERS: usize = 5;
    text.extend_from_slice(b"<|");
    text.extend(role.bytes().chain(std::iter::repeat(b'_')).take(LETTERS));
    text.push(b'>');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Segment;

    fn render(body: &str) -> Vec<Vec<u8>> {
        prompts(&serde_json::from_str(body).unwrap()).unwrap()
    }

    #[test]
    fn the_next_turn_begins_with_the_last_prompt_and_its_answer() {
        let user = r#"{"role":"user","content":[{"type":"text","text":"why?"},{"type":"image"}]}"#;
        let system = r#"{"role":"system","content":"be brief."}"#;
        let first = render(&format!(r#"{{"messages":[{system},{user}]}}"#)).remove(0);
        let mut answer = Vec::new();
        Segment { seed: 3, tokens: 5 }.write_text(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let next =
            format!(r#"{{"messages":[{system},{user},{{"role":"assistant","content":"{answer}"}},{user}]}}"#);
        let next = render(&next).remove(0);
        assert_eq!(first.len() % 4, 0);
        assert!(next.starts_with(&[first.as_slice(), answer.as_bytes()].concat()));
    }

    #[test]
    fn every_endpoint_has_its_place_for_the_prompt() {
        let chat = render(r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}]}"#);
        assert_eq!(chat[0], b"<|syste>s   <|user_>u   <|assis>");
        assert_eq!(render(r#"{"system":"s","messages":[{"role":"user","content":"u"}]}"#), chat);
        assert_eq!(render(r#"{"instructions":"s","input":"u"}"#), chat);
        assert_eq!(render(r#"{"instructions":"s","input":[{"role":"user","content":"u"}]}"#), chat);
        assert_eq!(render(r#"{"prompt":["hello","b"]}"#), [b"hello   ".to_vec(), b"b   ".to_vec()]);
        assert_eq!(render(r#"{"prompt":[[1,2],[3]]}"#).iter().map(Vec::len).collect::<Vec<_>>(), [8, 4]);
    }

    #[test]
    fn an_empty_prompt_is_refused() {
        for body in [r#"{"prompt":""}"#, r#"{"prompt":[]}"#, r#"{"prompt":["a",""]}"#] {
            assert!(prompts(&serde_json::from_str(body).unwrap()).is_err(), "{body}");
        }
    }
}
