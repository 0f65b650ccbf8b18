//! W3C trace context: which trace a request belongs to, and who its parent is there.
//!
//! <https://www.w3.org/TR/trace-context/>

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that names trace and parent.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Bytes of a `tracestate` that spans keep: what the standard wants to be passed on at least. A longer one passes upstream all
/// the same.
const STATE: usize = 512;

/// What tracing systems say to each other: of all `tracestate` headers, in order; `None` where it is empty, too long or no text.
pub(super) fn state(headers: &HeaderMap) -> Option<Box<str>> {
    let mut all = String::new();
    for value in headers.get_all(TRACESTATE) {
        let value = value.to_str().ok()?.trim();
        if value.is_empty() {
            continue;
        }
        if !all.is_empty() {
            all.push(',');
        }
        if all.len() + value.len() > STATE {
            return None;
        }
        all.push_str(value);
    }
    (!all.is_empty()).then(|| all.into())
}

/// A span, as `traceparent` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The trace; never 0.
    pub trace: u128,
    /// The span; never 0.
    pub span: u64,
    /// Whether the trace is recorded.
    pub sampled: bool,
}

impl Context {
    /// What the headers say; `None` where they name no span, or more than one.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut all = headers.get_all(TRACEPARENT).iter();
        let (first, second) = (all.next()?, all.next());
        if second.is_some() { None } else { Self::parse(first.as_bytes()) }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = (text.get(..55)?, text.get(55..)?);
        // Later versions may add fields, of which nothing is known.
        let version = hex(&known[..2])?;
        let fits = if version == 0 { rest.is_empty() } else { rest.is_empty() || rest[0] == b'-' };
        let dashes = [2, 35, 52].into_iter().all(|at| known[at] == b'-');
        if version == 0xff || !fits || !dashes {
            return None;
        }
        let trace = hex(&known[3..35])?;
        let span = u64::try_from(hex(&known[36..52])?).ok()?;
        let flags = hex(&known[53..])?;
        (trace != 0 && span != 0).then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }

    /// As the header has it.
    pub fn header(&self) -> HeaderValue {
        let mut text = String::with_capacity(55);
        // Writing to a string cannot fail.
        let _ = write!(text, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled));
        // Digits and dashes are always a header value.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// Lower-case digits only, as the standard has it.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPAN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parse(text: &str) -> Option<Context> {
        Context::parse(text.as_bytes())
    }

    #[test]
    fn reads_the_standards_example() {
        let expected = Context {
            trace: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            span: 0x00f0_67aa_0ba9_02b7,
            sampled: true,
        };
        assert_eq!(parse(SPAN), Some(expected));
        assert_eq!(expected.header(), SPAN);
    }

    #[test]
    fn later_versions_may_be_longer_and_this_one_may_not() {
        let with = |start: &str, end: &str| format!("{start}{}{end}", &SPAN[2..]);
        assert!(parse(&with("cc", "-what-else")).is_some() && parse(&with("cc", "")).is_some());
        for wrong in [with("00", "-x"), with("cc", "x"), with("ff", ""), with("0g", "")] {
            assert_eq!(parse(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_span_is_none() {
        let zero_trace = format!("00-{:032x}-00f067aa0ba902b7-01", 0);
        let zero_span = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{:016x}-01", 0);
        for wrong in [&zero_trace, &zero_span, &SPAN.to_uppercase(), &SPAN[..54], "", &SPAN.replace('-', "_")]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn two_parents_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(SPAN));
        assert!(Context::read(&headers).is_some());
        headers.append(TRACEPARENT, HeaderValue::from_static(SPAN));
        assert_eq!(Context::read(&headers), None);
    }

    #[test]
    fn states_are_joined_in_order_and_long_ones_left_out() {
        let state_of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(TRACESTATE, HeaderValue::from_str(value).unwrap());
            }
            state(&headers)
        };
        assert_eq!(state_of(&["a=1, b=2", "", "c=3"]).as_deref(), Some("a=1, b=2,c=3"));
        assert_eq!((state_of(&[]), state_of(&[" "])), (None, None));
        let long = format!("a={}", "x".repeat(STATE - 2));
        assert_eq!(state_of(&[&long]).as_deref(), Some(&*long));
        assert_eq!(state_of(&[&long, "b=2"]), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace in 1_u128.., span in 1_u64.., sampled: bool) {
            let context = Context { trace, span, sampled };
            prop_assert_eq!(Context::parse(context.header().as_bytes()), Some(context));
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Context::parse(&bytes);
        }
    }
}
