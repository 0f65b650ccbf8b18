//! Prometheus' text format, version 0.0.4, line by line.

use std::fmt::Write as _;

/// What stands before the samples of a family.
pub(crate) fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    text.push_str("# HELP ");
    text.push_str(name);
    text.push(' ');
    escaped(text, help, false);
    text.push_str("\n# TYPE ");
    text.push_str(name);
    text.push(' ');
    text.push_str(kind);
    text.push('\n');
}

/// A family with the samples that `write` puts there; nothing where it puts none.
pub(crate) fn family(text: &mut String, name: &str, help: &str, kind: &str, write: impl FnOnce(&mut String)) {
    let before = text.len();
    head(text, name, help, kind);
    let empty = text.len();
    write(text);
    if text.len() == empty {
        text.truncate(before);
    }
}

/// A label, after the others.
pub(crate) fn label(labels: &mut String, name: &str, value: &str) {
    if !labels.is_empty() {
        labels.push(',');
    }
    labels.push_str(name);
    labels.push_str("=\"");
    escaped(labels, value, true);
    labels.push('"');
}

/// Backslashes and line ends, and in labels quotes, must not stand as they are.
pub(crate) fn escaped(text: &mut String, raw: &str, quoted: bool) {
    let special = |c: char| c == '\\' || c == '\n' || (quoted && c == '"');
    if !raw.contains(special) {
        text.push_str(raw);
        return;
    }
    for c in raw.chars() {
        match c {
            '\n' => text.push_str("\\n"),
            '\\' => text.push_str("\\\\"),
            '"' if quoted => text.push_str("\\\""),
            other => text.push(other),
        }
    }
}

/// A whole number and the line's end.
pub(crate) fn count(text: &mut String, value: u64) {
    // The standard library's formatting takes longer than the rest of the line.
    text.push_str(itoa::Buffer::new().format(value));
    text.push('\n');
}

/// A number and the line's end.
pub(crate) fn number(text: &mut String, value: f64) {
    // Where every whole number is a float of its own.
    const WHOLE: std::ops::Range<f64> = 0.0..9e15;
    if WHOLE.contains(&value) && value.trunc() == value {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is whole, and in range"
        )]
        return count(text, value as u64);
    }
    if value == f64::INFINITY {
        text.push_str("+Inf");
    } else if value == f64::NEG_INFINITY {
        text.push_str("-Inf");
    } else {
        // Writing to a string cannot fail.
        let _ = write!(text, "{value}");
    }
    text.push('\n');
}
