//! Reading the Prometheus text format, as far as an engine's metrics need it.
//!
//! A scrape comes every second from every backend and six families of it matter, so this reads lines in place:
//! no maps, no regular expressions, nothing copied but label values with escapes. A line that is not a sample
//! is passed over; no input is an error.

use std::borrow::Cow;

/// One sample line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample<'a> {
    /// Metric name.
    pub(super) name: &'a str,
    /// What stands between the braces, unparsed.
    labels: &'a str,
    /// The value; may be NaN or infinite, as the format allows.
    pub(super) value: f64,
}

impl<'a> Sample<'a> {
    /// The value of the label `name`.
    pub(super) fn label(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut rest = self.labels;
        while let Some((label, after)) = take_label(rest) {
            if label.name == name {
                return Some(unescape(label.quoted));
            }
            rest = after;
        }
        None
    }
}

/// The samples of `text` whose names start with `prefix`. A last line without a line end is left out: it may be
/// half a number.
pub(super) fn samples<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = Sample<'a>> {
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete.lines().filter(move |line| line.starts_with(prefix)).filter_map(sample)
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let name_end = line.find(|c: char| c == '{' || c.is_ascii_whitespace())?;
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => {
            let end = labels_end(inside)?;
            (&inside[..end], &inside[end + 1..])
        }
        None => ("", rest),
    };
    // A timestamp may follow the value.
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Sample { name, labels, value })
}

/// Where the closing brace stands: outside quotes, for a value may hold braces.
fn labels_end(inside: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    inside.bytes().position(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return true,
            _ => {}
        }
        false
    })
}

struct Label<'a> {
    name: &'a str,
    /// The value as it stands between its quotes.
    quoted: &'a str,
}

/// The first label of `labels`, and what follows it.
fn take_label(labels: &str) -> Option<(Label<'_>, &str)> {
    let (name, rest) = labels.split_once('=')?;
    let name = name.trim_start_matches(',').trim();
    let rest = rest.trim_start().strip_prefix('"')?;
    let mut escaped = false;
    let end = rest.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })?;
    Some((Label { name, quoted: &rest[..end] }, &rest[end + 1..]))
}

fn unescape(quoted: &str) -> Cow<'_, str> {
    if !quoted.contains('\\') {
        return Cow::Borrowed(quoted);
    }
    let mut out = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => {}
            },
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &str) -> Vec<Sample<'_>> {
        samples(text, "").collect()
    }

    #[test]
    fn reads_names_labels_values_and_timestamps() {
        let text = "# TYPE up gauge\nup 1\nx{a=\"1\", b=\"two\",} +Inf 1700000000\ny{} NaN\n";
        let found = all(text);
        assert_eq!(found.iter().map(|s| s.name).collect::<Vec<_>>(), ["up", "x", "y"]);
        assert_eq!(found[1].label("a").as_deref(), Some("1"));
        assert_eq!(found[1].label("b").as_deref(), Some("two"));
        assert_eq!(found[1].label("c"), None);
        assert!(found[1].value.is_infinite() && found[2].value.is_nan());
    }

    #[test]
    fn values_may_hold_braces_commas_and_escapes() {
        let found = all("x{a=\"},{\\\"=\\\\\\n\",b=\"2\"} 3\n");
        assert_eq!(found[0].label("a").as_deref(), Some("},{\"=\\\n"));
        assert_eq!(found[0].label("b").as_deref(), Some("2"));
        assert_eq!(found[0].value, 3.0);
    }

    #[test]
    fn half_a_last_line_is_not_a_sample() {
        assert_eq!(all("a 1\nb 12").iter().map(|s| s.name).collect::<Vec<_>>(), ["a"]);
        assert!(all("a 1").is_empty());
    }

    #[test]
    fn lines_that_are_no_samples_are_passed_over() {
        assert!(all("\n{\nx{a=\"1\" 2\nx\nx{a=\"1\"}\nx one\n<html>\n").is_empty());
    }

    #[test]
    fn only_the_prefix_asked_for() {
        assert_eq!(samples("python_info 1\nvllm:a 2\n", "vllm:").count(), 1);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            for sample in samples(&text, "") {
                let _ = sample.label("a");
            }
        }

        #[test]
        fn nothing_shaped_like_metrics_panics(text in "([a-z:{}=\",\\\\ 0-9.\n#é]|NaN|Inf){0,200}") {
            for sample in samples(&text, "") {
                let _ = sample.label("a");
            }
        }

        #[test]
        fn what_is_written_is_read(name in "[a-z:_]{1,20}", label in "[a-z_]{1,9}", text in any::<String>(), value in any::<f64>()) {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let line = format!("{name}{{first=\"\",{label}=\"{escaped}\"}} {value}\n");
            let found = all(&line);
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(found[0].name, name.as_str());
            if label != "first" {
                let read = found[0].label(&label);
                prop_assert_eq!(read.as_deref(), Some(text.as_str()));
            }
            prop_assert!(found[0].value == value || value.is_nan());
        }
    }
}
