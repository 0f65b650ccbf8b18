//! The scanner against serde_json, which reads the same fields the slow way.

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::*;

/// What an envelope holds, read by serde_json. It checks more, so what it accepts must be accepted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reference<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    stream: Option<&'a RawValue>,
    #[serde(borrow)]
    n: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
}

/// Holds the envelope against the reference: equal fields, at equal places.
fn compare(body: &[u8]) -> Result<(), TestCaseError> {
    let ours = Envelope::read(body);
    let Ok(theirs) = serde_json::from_slice::<Reference<'_>>(body) else { return Ok(()) };
    let refused = |error| TestCaseError::fail(format!("refused: {error:?}"));
    let ours = match ours {
        // To serde, `[]` is a struct too.
        Err(error) if error.message.contains("must be a JSON object") => return Ok(()),
        ours => ours.map_err(refused)?,
    };
    let place = |raw: Option<&str>| given(raw).map(|raw| (raw.as_ptr().addr(), raw.to_owned()));
    for (name, ours, theirs) in [
        ("model", ours.model, theirs.model),
        ("stream", ours.stream, theirs.stream),
        ("n", ours.n, theirs.n),
        ("messages", ours.messages, theirs.messages),
        ("prompt", ours.prompt, theirs.prompt),
        ("input", ours.input, theirs.input),
        ("tools", ours.tools, theirs.tools),
    ] {
        prop_assert_eq!(place(ours), place(theirs.map(RawValue::get)), "{}", name);
    }
    Ok(())
}

fn space() -> impl Strategy<Value = String> {
    "[ \n\t\r]{0,2}"
}

/// A JSON string, some of its characters escaped.
fn string(text: &'static str) -> impl Strategy<Value = String> {
    (text, any::<u64>()).prop_map(|(text, escaped)| {
        let escape = |(at, character): (usize, char)| {
            let must = matches!(character, '"' | '\\') || character < ' ';
            if !must && escaped >> (at % 64) & 1 == 0 {
                return character.to_string();
            }
            character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
        };
        format!("\"{}\"", text.chars().enumerate().map(escape).collect::<String>())
    })
}

fn value() -> impl Strategy<Value = String> {
    let quoted = any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap());
    let number = "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?";
    let leaf = prop_oneof![
        string("[\"\\\\a{}\\[\\],:\n]{0,9}"),
        quoted,
        number,
        "null|true|false",
        "\\[( ?[1-9]{5},){30}1\\]"
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let item =
            (space(), inner, space()).prop_map(|(before, item, after)| before + &item + &after).boxed();
        let member = (string(".{0,3}"), item.clone()).prop_map(|(key, item)| format!("{key}:{item}"));
        prop_oneof![
            prop::collection::vec(item, 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

/// A JSON object with routed fields among its members, none of them twice unless by chance.
fn object() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        4 => string("model|stream|n|messages|prompt|input|tools"),
        1 => string(".{0,6}"),
    ];
    let member = (space(), key, space(), space(), value(), space())
        .prop_map(|(a, key, b, c, value, d)| format!("{a}{key}{b}:{c}{value}{d}"));
    (space(), prop::collection::vec(member, 1..6), space())
        .prop_map(|(before, members, after)| format!("{before}{{{}}}{after}", members.join(",")))
}

/// A byte that means something to JSON, or is no UTF-8.
fn damage() -> impl Strategy<Value = u8> {
    prop::sample::select(&b"{}[]\",:\\ \n01e-n\xff"[..])
}

proptest! {
    #[test]
    fn a_valid_object_is_read_as_serde_reads_it(body in object()) {
        prop_assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "the generator is wrong: {body}");
        compare(body.as_bytes())?;
    }

    #[test]
    fn a_damaged_object_is_read_as_serde_reads_it_or_refused(
        body in object(), changes in prop::collection::vec((any::<prop::sample::Index>(), damage(), 0..3), 1..4),
    ) {
        let mut body = body.into_bytes();
        for (at, byte, change) in changes {
            let at = at.index(body.len());
            match change {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                _ => body.truncate(at.max(1)),
            }
        }
        compare(&body)?;
    }

    #[test]
    fn what_is_cut_short_is_refused(body in object(), cut in any::<prop::sample::Index>()) {
        let whole = body.trim_end().as_bytes();
        prop_assert!(Envelope::read(&whole[..cut.index(whole.len())]).is_err());
    }
}
