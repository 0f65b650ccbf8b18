//! The few fields of a JSON body that routing needs, borrowed from its bytes.
//!
//! Everything else is skipped, not parsed, and travels untouched. A field of an unexpected type is left to the
//! engine, whose own error says best what it wants; only what Gearshift itself depends on is an error here:
//! a body that is not one JSON object, a routed field that is not UTF-8, a `model` that is not a string, and a
//! routed field given twice (two parsers could read two different requests). How far the JSON is checked, `scan`
//! says.

use std::{borrow::Cow, ops::Range};

use super::scan::{self, Fault, Member, Members};
use crate::{
    endpoint::Prompt,
    error::{ProxyError, Reason},
};

/// The routed fields, raw.
#[derive(Debug, Default)]
pub struct Envelope<'a> {
    model: Option<&'a str>,
    stream: Option<&'a str>,
    stream_options: Option<&'a str>,
    max_tokens: Option<&'a str>,
    max_completion_tokens: Option<&'a str>,
    max_output_tokens: Option<&'a str>,
    n: Option<&'a str>,
    messages: Option<&'a str>,
    prompt: Option<&'a str>,
    input: Option<&'a str>,
    system: Option<&'a str>,
    instructions: Option<&'a str>,
    tools: Option<&'a str>,
    cache_salt: Option<&'a str>,
}

/// A model's name and where it stands in the body, quotes included.
#[derive(Debug, PartialEq, Eq)]
pub struct ModelName<'a> {
    /// The name, unescaped.
    pub name: Cow<'a, str>,
    /// The bytes to replace when it is rewritten.
    pub span: Range<usize>,
}

impl<'a> Envelope<'a> {
    /// Reads the routed fields of a body.
    ///
    /// # Errors
    /// [`Reason::BadRequest`], with line and column, where the body is not one JSON object or names a routed field
    /// twice.
    pub fn read(body: &'a [u8]) -> Result<Self, ProxyError> {
        let bad = |message: String| Err(ProxyError::new(Reason::BadRequest, message));
        match Members::of(body) {
            Some(members) => Self::gather(body, members).or_else(|fault| {
                bad(format!("the request body is not valid JSON: {}", fault.describe(body)))
            }),
            None if body.trim_ascii().is_empty() => {
                bad("the request body is empty; it must be a JSON object".into())
            }
            None => bad("the request body must be a JSON object".into()),
        }
    }

    fn gather(body: &'a [u8], mut members: Members<'a>) -> Result<Self, Fault> {
        let mut envelope = Self::default();
        while let Some(Member { key, value }) = members.next()? {
            let Some(field) = envelope.field(&key) else { continue };
            if field.is_some() {
                return Err(Fault::new(format!("duplicate field `{key}`"), value.start));
            }
            *field = Some(scan::utf8(body, value)?);
        }
        Ok(envelope)
    }

    /// Where a member's value belongs, if it is routed by.
    fn field(&mut self, key: &str) -> Option<&mut Option<&'a str>> {
        Some(match key {
            "model" => &mut self.model,
            "stream" => &mut self.stream,
            "stream_options" => &mut self.stream_options,
            "max_tokens" => &mut self.max_tokens,
            "max_completion_tokens" => &mut self.max_completion_tokens,
            "max_output_tokens" => &mut self.max_output_tokens,
            "n" => &mut self.n,
            "messages" => &mut self.messages,
            "prompt" => &mut self.prompt,
            "input" => &mut self.input,
            "system" => &mut self.system,
            "instructions" => &mut self.instructions,
            "tools" => &mut self.tools,
            "cache_salt" => &mut self.cache_salt,
            _ => return None,
        })
    }

    /// The model, where the body names one. `body` is what the envelope was read from.
    pub fn model(&self, body: &[u8]) -> Result<Option<ModelName<'a>>, ProxyError> {
        let Some(raw) = given(self.model) else { return Ok(None) };
        let Some(name) = scan::unescape(raw.as_bytes()) else {
            return Err(ProxyError::new(Reason::BadRequest, "`model` must be a string").param("model"));
        };
        let start = raw.as_ptr().addr() - body.as_ptr().addr();
        Ok(Some(ModelName { name, span: start..start + raw.len() }))
    }

    /// Whether the answer is to be streamed.
    pub fn stream(&self) -> bool {
        self.stream == Some("true")
    }

    /// Whether the client has its own word about stream options, be it `null`: a second one must not be added.
    pub fn has_stream_options(&self) -> bool {
        self.stream_options.is_some()
    }

    /// The client's cap on output tokens.
    pub fn max_tokens(&self) -> Option<u32> {
        [self.max_completion_tokens, self.max_tokens, self.max_output_tokens]
            .into_iter()
            .flatten()
            .find_map(number)
    }

    /// Answers asked for per prompt.
    pub fn answers(&self) -> u32 {
        self.n.and_then(number).unwrap_or(1)
    }

    /// The raw JSON of the prompt, where it stands in one field.
    pub fn prompt(&self, place: Prompt) -> Option<&'a str> {
        given(match place {
            Prompt::Messages => self.messages,
            Prompt::Prompt => self.prompt,
            Prompt::Input => given(self.input).or(self.messages),
            Prompt::Body => None,
        })
    }

    /// What chat templates put before the messages, and what separates prefix caches.
    pub fn preamble(&self) -> [&'a str; 4] {
        [self.tools, self.system, self.instructions, self.cache_salt]
            .map(|raw| given(raw).unwrap_or_default())
    }
}

/// `null` says no more than nothing.
fn given(raw: Option<&str>) -> Option<&str> {
    raw.filter(|raw| *raw != "null")
}

fn number(raw: &str) -> Option<u32> {
    raw.parse().ok()
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod against_serde;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(body: &str) -> String {
        Envelope::read(body.as_bytes()).unwrap_err().message
    }

    #[test]
    fn fields_are_found_and_the_model_can_be_replaced_in_place() {
        let body = br#" {"x":{"model":"inner"},"model" : "a\u002fb","stream":true,"max_tokens":7,"n":2,"messages":[1]}"#;
        let envelope = Envelope::read(body).unwrap();
        let model = envelope.model(body).unwrap().unwrap();
        assert_eq!(model.name, "a/b");
        assert_eq!(&body[model.span], br#""a\u002fb""#);
        assert!(envelope.stream());
        assert_eq!((envelope.max_tokens(), envelope.answers()), (Some(7), 2));
        assert_eq!(envelope.prompt(Prompt::Messages), Some("[1]"));
    }

    #[test]
    fn what_is_not_one_json_object_is_refused_with_the_place() {
        assert!(message("{\"model\":\"a\"").contains("unexpected end at line 1 column 13"));
        assert!(message("{} {}").contains("trailing"));
        assert!(message("[1]").contains("must be a JSON object"));
        assert!(message("  ").contains("empty"));
        assert!(message("{\"model\":\"a\",\"model\":\"b\"}").contains("duplicate field `model`"));
        assert!(message("{\"model\":\"a\",\"mod\\u0065l\":null}").contains("duplicate field `model`"));
        let error = Envelope::read(b"{\n\"messages\":\"\xff\"}").unwrap_err();
        assert!(error.message.ends_with("invalid UTF-8 at line 2 column 13"), "{}", error.message);
    }

    #[test]
    fn odd_types_are_the_engines_business_but_not_an_odd_model() {
        let body = br#"{"stream":"yes","max_tokens":-1,"n":1.5,"model":3}"#;
        let envelope = Envelope::read(body).unwrap();
        assert!(!envelope.stream());
        assert_eq!((envelope.max_tokens(), envelope.answers()), (None, 1));
        assert_eq!(envelope.model(body).unwrap_err().param, Some("model"));
    }

    #[test]
    fn null_is_as_good_as_absent() {
        let body = br#"{"model":null,"tools":null,"input":null,"messages":[]}"#;
        let envelope = Envelope::read(body).unwrap();
        assert_eq!(envelope.model(body).unwrap(), None);
        assert_eq!(envelope.preamble(), [""; 4]);
        assert_eq!(envelope.prompt(Prompt::Input), Some("[]"));
    }

    #[test]
    fn deep_nesting_does_not_exhaust_the_stack() {
        let deep = format!("{{\"model\":\"m\",\"messages\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(Envelope::read(deep.as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(envelope) = Envelope::read(&body) {
                let _ = envelope.model(&body);
            }
        }

        #[test]
        fn any_model_name_is_found_where_it_stands(name in ".{0,40}", pad in " {0,5}") {
            let quoted = serde_json::to_string(&name).unwrap();
            let body = format!("{{{pad}\"a\":[{quoted}],\"model\":{pad}{quoted}{pad}}}");
            let envelope = Envelope::read(body.as_bytes()).unwrap();
            let model = envelope.model(body.as_bytes()).unwrap().unwrap();
            prop_assert_eq!(model.name.as_ref(), name.as_str());
            prop_assert_eq!(&body[model.span], quoted.as_str());
        }
    }
}
