//! Any bytes as a request body: refused, or read without leaving the body, and what is spliced in is read back.
//! What a strict parser reads is read as that reads it.
//! Run with `cargo +nightly fuzz run envelope` in `proxy/`.
#![no_main]

use bytes::Bytes;
use gearshift_proxy::{
    endpoint::Prompt,
    request::{envelope::Envelope, prompt, splice},
};

use serde::Deserialize;
use serde_json::value::RawValue;

/// The routed fields, as a strict parser reads them.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
#[expect(dead_code, reason = "that they parse, and once, is what counts")]
struct Strict<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    stream: Option<&'a RawValue>,
    #[serde(borrow)]
    stream_options: Option<&'a RawValue>,
    #[serde(borrow)]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    max_completion_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    max_output_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    n: Option<&'a RawValue>,
    #[serde(borrow)]
    system: Option<&'a RawValue>,
    #[serde(borrow)]
    instructions: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_salt: Option<&'a RawValue>,
}

fn read_strictly(body: &[u8]) -> Option<Strict<'_>> {
    // serde_json would take an array for a struct, and does not look at bytes it skips.
    std::str::from_utf8(body).ok().filter(|text| text.trim_start().starts_with('{'))?;
    serde_json::from_slice(body).ok()
}

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let strict = read_strictly(body);
    let Ok(envelope) = Envelope::read(body) else {
        assert!(strict.is_none(), "a strict parser reads it");
        return;
    };
    if let Some(Strict { model, messages, .. }) = strict {
        assert_eq!(envelope.prompt(Prompt::Messages), messages.map(RawValue::get));
        let theirs = model.map(|raw| serde_json::from_str::<String>(raw.get()).ok());
        let ours = envelope.model(body).map(|named| named.map(|named| named.name.into_owned()));
        match theirs {
            None => assert_eq!(ours.unwrap(), None),
            Some(None) => assert!(ours.is_err()),
            Some(name) => assert_eq!(ours.unwrap(), name),
        }
    }
    for place in [Prompt::Messages, Prompt::Prompt, Prompt::Input, Prompt::Body] {
        if let Some(raw) = envelope.prompt(place) {
            assert!(prompt::of_messages(raw).bytes <= raw.len() as u64);
            prompt::of_batch(raw);
        }
    }
    let (has_options, bytes) = (envelope.has_stream_options(), Bytes::copy_from_slice(body));
    if let Ok(Some(model)) = envelope.model(body) {
        let renamed = splice::model(&bytes, model.span.clone(), "the \"other\"");
        assert_eq!(renamed.len() + model.span.len(), body.len() + r#""the \"other\"""#.len());
        let again = Envelope::read(&renamed).unwrap().model(&renamed).unwrap().unwrap();
        assert_eq!((again.name.as_ref(), again.span.start), ("the \"other\"", model.span.start));
    }
    if envelope.stream() && !has_options {
        let asking = splice::usage(&bytes);
        assert!(Envelope::read(&asking).unwrap().has_stream_options());
    }
});
