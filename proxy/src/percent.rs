//! Names in paths: percent-encoded as RFC 3986 has it.

use std::fmt::Write as _;

/// What stands for `text` as one segment of a path.
pub fn encoded(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
}

/// What a path's text stands for. What is no escape stays as it is.
pub(crate) fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = after.split_at_checked(2).filter(|_| byte == b'%');
        let decoded = escaped.and_then(|(digits, after)| Some((hexadecimal(digits)?, after)));
        let (byte, after) = decoded.unwrap_or((byte, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0, |value, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        u8::try_from(u32::from(value) * 16 + digit).ok()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_in_paths_are_decoded_as_sdks_encode_them() {
        for (path, name) in [
            ("org/name", "org/name"),
            ("org%2Fname", "org/name"),
            ("%c3%bc%22%25", "\u{fc}\"%"),
            ("a+b", "a+b"),
            ("100%", "100%"),
            ("%2", "%2"),
            ("%+1%zz", "%+1%zz"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(decoded(path), name);
        }
    }

    proptest! {
        #[test]
        fn a_name_is_a_segment_and_comes_back(name in "\\PC{0,40}") {
            let path = encoded(&name);
            prop_assert!(path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)), "{path}");
            prop_assert_eq!(decoded(&path), name);
        }
    }
}
