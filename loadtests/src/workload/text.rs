//! Real text for simulated tokens.
//!
//! A simulated token is exactly [`BYTES_PER_TOKEN`] bytes of plain ASCII: a space and three letters that follow from its
//! segment's seed and its place in the segment. Equal segments are equal text, so that prompts share prefixes under any
//! tokenizer, and a server can count simulated tokens by counting bytes. A real tokenizer makes more tokens of it
//! (about two for one).

use std::{io::Write as _, ops::Range};

use serde::{Deserialize, Serialize};

use super::{Class, Content, Request, Segment, random::scramble};

/// Bytes that one simulated token takes as text.
pub const BYTES_PER_TOKEN: usize = 4;

/// Tokens whose letters come from one draw: 4 × 3 letters of 5 bits.
const PER_DRAW: u32 = 4;

impl Segment {
    /// Its text, appended to `text`: [`BYTES_PER_TOKEN`] bytes for each token.
    pub fn write_text(&self, text: &mut Vec<u8>) {
        self.write_tokens(0..self.tokens, text);
    }

    /// As [`Self::write_text`], of the tokens in `range` alone, which may lie beyond the segment's end.
    pub fn write_tokens(&self, range: Range<u32>, text: &mut Vec<u8>) {
        text.reserve(range.len() * BYTES_PER_TOKEN);
        for token in range {
            let mut bits = scramble(self.seed ^ scramble(u64::from(token / PER_DRAW)));
            bits >>= (token % PER_DRAW) * 15;
            let letter = |shift: u32| {
                let five = (bits >> shift) & 31;
                #[expect(clippy::cast_possible_truncation, reason = "below 26")]
                let letter = ((five * 26) >> 5) as u8;
                b'a' + letter
            };
            text.extend([b' ', letter(0), letter(5), letter(10)]);
        }
    }
}

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    System,
    User,
    Assistant,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// Which endpoint a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// `/v1/chat/completions`
    #[default]
    Chat,
    /// `/v1/completions`: the prompt as it is, without a template.
    Completions,
}

impl Api {
    /// Its path.
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
        }
    }
}

/// How the length of an answer is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Answers {
    /// `vllm_xargs` tells a simulated engine the answer; a real engine ignores it and answers as it likes, up to the client's cap.
    #[default]
    Told,
    /// `max_tokens` and `ignore_eos` make a real engine generate exactly as many tokens.
    Forced,
}

/// Makes JSON bodies of requests.
#[derive(Debug, Clone)]
pub struct BodyWriter {
    /// The model asked for.
    pub model: String,
    /// The endpoint they are for.
    pub api: Api,
    /// Whether answers come as streams, with usage at their end.
    pub stream: bool,
    /// How long answers get.
    pub answers: Answers,
}

impl BodyWriter {
    /// The JSON body of `request`.
    pub fn body(&self, request: &Request) -> Vec<u8> {
        let content = &request.content;
        let mut body = Vec::with_capacity(content.prompt_tokens() as usize * BYTES_PER_TOKEN + 512);
        self.write(request, &mut body).unwrap_or_default();
        body
    }

    /// Writing to memory does not fail.
    fn write(&self, request: &Request, body: &mut Vec<u8>) -> std::io::Result<()> {
        write!(body, r#"{{"model":{}"#, serde_json::Value::from(self.model.as_str()))?;
        match self.api {
            Api::Chat => write_messages(request, body)?,
            Api::Completions => {
                body.extend_from_slice(br#","prompt":""#);
                request.content.prompt.iter().for_each(|segment| segment.write_text(body));
                body.push(b'"');
            }
        }
        if self.stream {
            body.extend_from_slice(br#","stream":true,"stream_options":{"include_usage":true}"#);
        }
        let Content { answer, .. } = &request.content;
        match self.answers {
            Answers::Forced => write!(body, r#","max_tokens":{},"ignore_eos":true"#, answer.tokens)?,
            Answers::Told => {
                if let Some(most) = request.max_tokens {
                    write!(body, r#","max_tokens":{most}"#)?;
                }
                write!(
                    body,
                    r#","vllm_xargs":{{"sim_output_tokens":{},"sim_answer_seed":{},"sim_class":"{}"}}"#,
                    answer.tokens,
                    answer.seed,
                    request.class.name()
                )?;
            }
        }
        body.push(b'}');
        Ok(())
    }
}

fn write_messages(request: &Request, body: &mut Vec<u8>) -> std::io::Result<()> {
    body.extend_from_slice(br#","messages":["#);
    let mut open = None;
    for (segment, role) in request.content.prompt.iter().zip(roles(request)) {
        if open != Some(role) {
            if open.is_some() {
                body.extend_from_slice(br#""},"#);
            }
            write!(body, r#"{{"role":"{}","content":""#, role.name())?;
            open = Some(role);
        }
        segment.write_text(body);
    }
    body.extend_from_slice(br#""}]"#);
    Ok(())
}

/// Who says each segment of the prompt. Conversations alternate after the system prompt and end with the user; where they
/// cannot (a trace's blocks), and for all other classes, everything after the first segment is the user's.
fn roles(request: &Request) -> impl Iterator<Item = Role> {
    let count = request.content.prompt.len();
    let alternates = matches!(request.class, Class::Chat | Class::Agent) && count.is_multiple_of(2);
    (0..count).map(move |index| match index {
        0 if count > 1 => Role::System,
        _ if alternates && index % 2 == 0 => Role::Assistant,
        _ => Role::User,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use proptest::prelude::*;

    fn text(seed: u64, tokens: u32) -> Vec<u8> {
        let mut text = Vec::new();
        Segment { seed, tokens }.write_text(&mut text);
        text
    }

    fn request(class: Class, segments: u32) -> Request {
        let segment = |seed| Segment { seed: u64::from(seed), tokens: 2 };
        let content = Content {
            prompt: (0..segments).map(segment).collect(),
            answer: Segment { seed: u64::MAX, tokens: 9 },
        };
        Request { id: 0, at: Duration::ZERO, class, content, max_tokens: Some(64) }
    }

    fn json(request: &Request, api: Api, answers: Answers) -> serde_json::Value {
        let writer = BodyWriter { model: "a \"b\"".into(), api, stream: true, answers };
        serde_json::from_slice(&writer.body(request)).unwrap()
    }

    proptest! {
        #[test]
        fn a_token_is_a_space_and_three_letters(seed in any::<u64>(), tokens in 1_u32..300) {
            let text = text(seed, tokens);
            prop_assert_eq!(text.len(), tokens as usize * BYTES_PER_TOKEN);
            for token in text.chunks(BYTES_PER_TOKEN) {
                prop_assert!(token[0] == b' ' && token[1..].iter().all(u8::is_ascii_lowercase));
            }
        }

        #[test]
        fn equal_seeds_are_equal_text_as_far_as_the_shorter_goes(seed in any::<u64>(), long in 1_u32..300, short in 1_u32..300) {
            let short = short.min(long);
            prop_assert!(text(seed, long).starts_with(&text(seed, short)));
            let other = text(seed.wrapping_add(1), long.max(16));
            prop_assert_ne!(&other[..], &text(seed, long.max(16))[..]);
        }
    }

    #[test]
    fn letters_are_spread_evenly() {
        let text = text(7, 26_000);
        let mut counts = [0_u32; 26];
        text.iter().filter(|byte| **byte != b' ').for_each(|byte| counts[usize::from(byte - b'a')] += 1);
        assert!(counts.iter().all(|&count| (1_900..5_500).contains(&count)), "{counts:?}");
    }

    #[test]
    fn conversations_alternate_and_end_with_the_user() {
        let said = |class, segments| -> Vec<String> {
            let body = json(&request(class, segments), Api::Chat, Answers::Told);
            let messages = body["messages"].as_array().unwrap().clone();
            let tokens: usize =
                messages.iter().map(|message| message["content"].as_str().unwrap().len() / 4).sum();
            assert_eq!(tokens, 2 * segments as usize);
            messages.iter().map(|message| message["role"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(said(Class::Chat, 4), ["system", "user", "assistant", "user"]);
        assert_eq!(said(Class::Agent, 2), ["system", "user"]);
        assert_eq!(said(Class::Rag, 7), ["system", "user"]);
        assert_eq!(said(Class::Chat, 5), ["system", "user"], "a trace's blocks do not alternate");
        assert_eq!(said(Class::Summary, 1), ["user"]);
    }

    #[test]
    fn the_answer_is_told_or_forced() {
        let told = json(&request(Class::Chat, 2), Api::Completions, Answers::Told);
        assert_eq!(told["vllm_xargs"]["sim_output_tokens"], 9);
        assert_eq!(told["vllm_xargs"]["sim_answer_seed"], u64::MAX);
        assert_eq!(told["vllm_xargs"]["sim_class"], "chat");
        assert_eq!((&told["max_tokens"], &told["model"]), (&64.into(), &"a \"b\"".into()));
        assert_eq!(told["prompt"].as_str().unwrap().len(), 16);
        assert_eq!(told["stream_options"]["include_usage"], true);
        let forced = json(&request(Class::Chat, 2), Api::Completions, Answers::Forced);
        assert_eq!((&forced["max_tokens"], &forced["ignore_eos"]), (&9.into(), &true.into()));
        assert!(forced.get("vllm_xargs").is_none());
    }
}
