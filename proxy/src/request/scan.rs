//! Finding the members of a JSON object, and the items of an array, without parsing them.
//!
//! Strings are jumped over at memory speed, because prompts are long. What is checked is what finding takes: the
//! outermost object (keys, colons, commas, its plain values, no raw control character in its strings) and, within
//! nested values, that strings end and that brackets match. All else, such as escapes in values and commas in nested
//! arrays, is left to the engine, which parses the body anyway and says best what is wrong with it.
//!
//! Whatever a strict parser accepts is accepted, with the same members at the same places.

use std::{borrow::Cow, ops::Range};

use serde::{Deserialize, de::IgnoredAny};

/// What is wrong with the JSON, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    what: Cow<'static, str>,
    at: usize,
}

impl Fault {
    /// `at` counts from the body's beginning, bytes.
    pub(super) fn new(what: impl Into<Cow<'static, str>>, at: usize) -> Self {
        Self { what: what.into(), at }
    }

    /// For the client, with line and column (in bytes, both from 1).
    pub(super) fn describe(&self, body: &[u8]) -> String {
        let before = body.get(..self.at).unwrap_or(body);
        let line = memchr::memchr_iter(b'\n', before).count() + 1;
        let column = before.len() - memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1) + 1;
        format!("{} at line {line} column {column}", self.what)
    }
}

/// A member of the outermost object.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member<'a> {
    /// Unescaped: two parsers must not read two different requests.
    pub(super) key: Cow<'a, str>,
    /// Where the value stands.
    pub(super) value: Range<usize>,
}

/// Goes through the members of the object that is the whole body.
pub(super) struct Members<'a> {
    cursor: Cursor<'a>,
    first: bool,
}

impl<'a> Members<'a> {
    /// None where the body does not begin as an object.
    pub(super) fn of(body: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor { bytes: body, at: 0 };
        cursor.take(b'{').then_some(Self { cursor, first: true })
    }

    /// The next member; none when the object, and the body with it, is at its end.
    pub(super) fn next(&mut self) -> Result<Option<Member<'a>>, Fault> {
        let cursor = &mut self.cursor;
        if cursor.take(b'}') {
            return cursor.peek().map_or(Ok(None), |_| Err(cursor.fault("trailing characters")));
        }
        if !self.first && !cursor.take(b',') {
            return Err(cursor.fault("expected `,` or `}`"));
        }
        self.first = false;
        let key = cursor.key()?;
        if !cursor.take(b':') {
            return Err(cursor.fault("expected `:`"));
        }
        let value = cursor.value()?;
        if cursor.bytes[value.start] == b'"' {
            cursor.check_escaped(value.start)?;
        }
        Ok(Some(Member { key, value }))
    }
}

/// Items of a JSON array. None where it is not one.
pub(super) fn items(array: &str) -> Option<usize> {
    let mut cursor = Cursor { bytes: array.as_bytes(), at: 0 };
    if !cursor.take(b'[') {
        return None;
    }
    if cursor.take(b']') {
        return Some(0);
    }
    let mut count = 1;
    loop {
        cursor.value().ok()?;
        if cursor.take(b']') {
            return Some(count);
        }
        if !cursor.take(b',') {
            return None;
        }
        count += 1;
    }
}

/// The text of a JSON string, quotes included. None where it is something else.
pub(super) fn unescape(quoted: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'t>(#[serde(borrow)] Cow<'t, str>);
    serde_json::from_slice(quoted).ok().map(|Text(text)| text)
}

/// A place in the body.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The next byte that is not space, which is passed.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                byte => return byte.copied(),
            }
        }
    }

    /// Passes the next byte if it is this one, space aside.
    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn key(&mut self) -> Result<Cow<'a, str>, Fault> {
        if self.peek() != Some(b'"') {
            return Err(self.fault("expected a key"));
        }
        let start = self.at;
        self.string()?;
        self.check_escaped(start)?;
        let quoted = &self.bytes[start..self.at];
        let inner = &quoted[1..quoted.len() - 1];
        if memchr::memchr(b'\\', inner).is_none() {
            return utf8(self.bytes, start + 1..self.at - 1).map(Cow::Borrowed);
        }
        unescape(quoted).ok_or(Fault::new("invalid string", start))
    }

    fn value(&mut self) -> Result<Range<usize>, Fault> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'"') => self.string()?,
            Some(b'[' | b'{') => self.nested()?,
            _ => self.scalar()?,
        }
        Ok(start..self.at)
    }

    /// Passes a number or a literal.
    fn scalar(&mut self) -> Result<(), Fault> {
        let rest = &self.bytes[self.at..];
        let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\t' | b'\r');
        let scalar = &rest[..rest.iter().position(ends).unwrap_or(rest.len())];
        match serde_json::from_slice::<IgnoredAny>(scalar) {
            Ok(_) => self.at += scalar.len(),
            Err(_) => return Err(self.fault("expected a value")),
        }
        Ok(())
    }

    /// Refuses a bare control character in the string that began at `start` and ends here.
    fn check_escaped(&self, start: usize) -> Result<(), Fault> {
        let string = &self.bytes[start..self.at];
        // The least byte first: that loop becomes SIMD, a search does not.
        if string.iter().fold(u8::MAX, |least, byte| least.min(*byte)) < b' ' {
            let at = string.iter().position(|byte| *byte < b' ').unwrap_or(0);
            return Err(Fault::new("control character in a string", start + at));
        }
        Ok(())
    }

    /// Passes the string whose opening quote is here.
    ///
    /// Looks for quotes alone and then back from each: text is full of `\n`, and each would be a stop.
    fn string(&mut self) -> Result<(), Fault> {
        // A quote ends each run of backslashes; so none is looked at twice.
        let mut from = self.at + 1;
        loop {
            let Some(length) = memchr::memchr(b'"', &self.bytes[from..]) else {
                return Err(Fault::new("unterminated string", self.bytes.len()));
            };
            let before = &self.bytes[from..from + length];
            from += length + 1;
            let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
            if backslashes % 2 == 0 {
                self.at = from;
                return Ok(());
            }
        }
    }

    /// Passes the array or object that opens here.
    fn nested(&mut self) -> Result<(), Fault> {
        let mut open = Brackets::default();
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => self.string()?,
                b'[' | b'{' => {
                    open.push(*byte == b'{');
                    self.at += 1;
                }
                b']' | b'}' => {
                    if open.pop() != Some(*byte == b'}') {
                        return Err(self.fault("mismatched bracket"));
                    }
                    self.at += 1;
                    if open.depth == 0 {
                        return Ok(());
                    }
                }
                // Where one number is, there are often many: token ids.
                b'0'..=b'9' => self.at += 1 + unstructured(&self.bytes[self.at + 1..]),
                _ => self.at += 1,
            }
        }
        Err(Fault::new("unclosed bracket", self.at))
    }

    fn fault(&self, what: &'static str) -> Fault {
        Fault::new(if self.at < self.bytes.len() { what } else { "unexpected end" }, self.at)
    }
}

/// Bytes that can be passed at once because they hold no quote and no bracket; in whole blocks, for SIMD.
fn unstructured(bytes: &[u8]) -> usize {
    const BLOCK: usize = 32;
    // This bit is all that tells `[` from `{` and `]` from `}`.
    let structural = |byte: &u8| *byte == b'"' || matches!(byte | 0x20, b'{' | b'}');
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    let plain = |block: &&[u8; BLOCK]| !block.iter().fold(false, |any, byte| any | structural(byte));
    blocks.iter().take_while(plain).count() * BLOCK
}

/// The open brackets, one bit each, because a body may be nothing else: set for an object.
#[derive(Default)]
struct Brackets {
    depth: usize,
    innermost: u64,
    outer: Vec<u64>,
}

impl Brackets {
    const WORD: usize = 64;

    fn push(&mut self, object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(Self::WORD) {
            self.outer.push(self.innermost);
        }
        self.innermost = self.innermost << 1 | u64::from(object);
        self.depth += 1;
    }

    fn pop(&mut self) -> Option<bool> {
        self.depth = self.depth.checked_sub(1)?;
        let object = self.innermost & 1 == 1;
        self.innermost >>= 1;
        if self.depth.is_multiple_of(Self::WORD) {
            self.innermost = self.outer.pop().unwrap_or(0);
        }
        Some(object)
    }
}

/// A part of the body as text.
pub(super) fn utf8(body: &[u8], part: Range<usize>) -> Result<&str, Fault> {
    let bytes = &body[part.clone()];
    simdutf8::basic::from_utf8(bytes).map_err(|_| {
        // Which byte, only the slower of the two tells.
        let valid = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
        Fault::new("invalid UTF-8", part.start + valid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys and values of a body, or what is wrong with it.
    fn members(body: &str) -> Result<Vec<(String, &str)>, String> {
        let mut members = Members::of(body.as_bytes()).ok_or("no object")?;
        let mut all = Vec::new();
        while let Some(Member { key, value }) =
            members.next().map_err(|fault| fault.describe(body.as_bytes()))?
        {
            all.push((key.into_owned(), &body[value]));
        }
        Ok(all)
    }

    fn fault(body: &str) -> String {
        members(body).unwrap_err()
    }

    #[test]
    fn members_are_found_whatever_their_values_hold() {
        let body = r#" { "a" : "\\\"}" , "\u0062":[{"]":"\\"},"}"],"a":-1.5e3,"":{} } "#;
        let expected = [("a", r#""\\\"}""#), ("b", r#"[{"]":"\\"},"}"]"#), ("a", "-1.5e3"), ("", "{}")]
            .map(|(k, v)| (k.to_owned(), v));
        assert_eq!(members(body).unwrap(), expected);
        assert_eq!(members("{}").unwrap(), []);
    }

    #[test]
    fn faults_say_what_and_where() {
        assert_eq!(fault("{"), "unexpected end at line 1 column 2");
        assert_eq!(fault("{\"a\"\n 1}"), "expected `:` at line 2 column 2");
        assert_eq!(fault("{\"a\":1 \"b\":2}"), "expected `,` or `}` at line 1 column 8");
        assert_eq!(fault("{\"a\":1,}"), "expected a key at line 1 column 8");
        assert_eq!(fault("{,\"a\":1}"), "expected a key at line 1 column 2");
        assert_eq!(fault("{\"a\\x\":1}"), "invalid string at line 1 column 2");
        assert_eq!(fault("{\"a\":}"), "expected a value at line 1 column 6");
        assert_eq!(fault("{\"a\":"), "unexpected end at line 1 column 6");
        assert_eq!(fault("{\"a\":01}"), "expected a value at line 1 column 6");
        assert_eq!(fault("{\"a\":nul}"), "expected a value at line 1 column 6");
        assert_eq!(fault("{\"a\":\"b\\\"}"), "unterminated string at line 1 column 11");
        assert_eq!(fault("{\"a\":\"b\tc\"}"), "control character in a string at line 1 column 8");
        assert_eq!(fault("{\"a\":[1}"), "mismatched bracket at line 1 column 8");
        assert_eq!(fault("{\"a\":[1"), "unclosed bracket at line 1 column 8");
        assert_eq!(fault("{}\n{}"), "trailing characters at line 2 column 1");
    }

    #[test]
    fn what_is_wrong_within_a_value_is_left_to_the_engine() {
        assert!(members("{\"a\":[1 2,,tru,\"\t\",\"\\x\"],\"b\":\"\\x\"}").is_ok());
    }

    #[test]
    fn brackets_match_at_any_depth() {
        for depth in [1, 63, 64, 65, 128, 129, 1_000] {
            for bad in [0, depth / 2, depth - 1] {
                let open: String = (0..depth).map(|level| if level % 3 == 0 { '{' } else { '[' }).collect();
                let mut close: Vec<char> =
                    open.chars().rev().map(|open| if open == '{' { '}' } else { ']' }).collect();
                let body = |close: &[char]| format!("{{\"a\":{open}{}}}", close.iter().collect::<String>());
                assert!(members(&body(&close)).is_ok(), "{depth}");
                close[bad] = if close[bad] == '}' { ']' } else { '}' };
                assert!(fault(&body(&close)).starts_with("mismatched bracket"), "{depth}, {bad}");
            }
        }
    }

    #[test]
    fn numbers_are_passed_in_blocks_that_stop_at_quotes_and_brackets() {
        for digits in 0..100 {
            let digits = "1".repeat(digits);
            for end in ["", "\"]\"", "{\"[\":1}", "[[]]"] {
                let body = format!("{{\"a\":[1{digits}{end}],\"b\":2}}");
                assert_eq!(members(&body).unwrap()[1], ("b".into(), "2"), "{body}");
            }
        }
    }

    #[test]
    fn items_are_counted_in_arrays_alone() {
        assert_eq!(items("[]"), Some(0));
        assert_eq!(items(" [ \"a,b\" , [1,2], {\"c\":[3,4]},5 ]"), Some(4));
        assert_eq!(items("[1,]"), None);
        assert_eq!(items("[1 2]"), None);
        assert_eq!(items("\"a\""), None);
    }
}
