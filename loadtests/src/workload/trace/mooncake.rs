//! Mooncake's traces: <https://github.com/kvcache-ai/Mooncake> (Apache-2.0; Qin et al., FAST '25).

use std::time::Duration;

use serde::Deserialize;

use super::{TRACE_BLOCK_TOKENS, TraceError, TraceRecord, at_least_one, numbered_lines};

/// A line as it is written.
#[derive(Debug, Deserialize)]
struct Line {
    /// Milliseconds.
    timestamp: f64,
    input_length: u32,
    output_length: u32,
    #[serde(default)]
    hash_ids: Box<[u64]>,
}

/// Reads one request from each line.
pub(super) fn parse(text: &str) -> Result<Vec<TraceRecord>, TraceError> {
    numbered_lines(text)
        .map(|(line, row)| record(row).map_err(|reason| TraceError::Line { line, reason }))
        .collect()
}

fn record(row: &str) -> Result<TraceRecord, String> {
    let line: Line = serde_json::from_str(row).map_err(|error| error.to_string())?;
    let at = Duration::try_from_secs_f64(line.timestamp / 1e3)
        .map_err(|_| format!("timestamp {} is no time", line.timestamp))?;
    let needed = line.input_length.div_ceil(TRACE_BLOCK_TOKENS);
    let covered = u32::try_from(line.hash_ids.len()).unwrap_or(u32::MAX);
    if covered != 0 && covered != needed {
        return Err(format!("{} tokens have {needed} blocks, not {covered}", line.input_length));
    }
    Ok(TraceRecord {
        at,
        prompt_tokens: at_least_one(line.input_length),
        output_tokens: at_least_one(line.output_length),
        blocks: line.hash_ids,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_read() {
        let text = r#"{"timestamp": 3000, "input_length": 513, "output_length": 7, "hash_ids": [0, 14]}"#;
        let records = parse(&format!("\n{text}\n")).unwrap();
        let expected = TraceRecord {
            at: Duration::from_secs(3),
            prompt_tokens: 513,
            output_tokens: 7,
            blocks: Box::new([0, 14]),
        };
        assert_eq!(records, [expected]);
    }

    #[test]
    fn errors_name_the_line() {
        for (line, reason) in [
            (
                r#"{"timestamp":0,"input_length":513,"output_length":1,"hash_ids":[1]}"#,
                "513 tokens have 2 blocks, not 1",
            ),
            (r#"{"timestamp":-1,"input_length":1,"output_length":1}"#, "timestamp -1 is no time"),
            (r#"{"timestamp":0,"output_length":1}"#, "missing field `input_length`"),
            ("{", "EOF while parsing"),
        ] {
            let error = parse(&format!("\n{line}")).unwrap_err().to_string();
            assert!(error.starts_with(&format!("line 2: {reason}")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn written_lines_read_back(rows in prop::collection::vec((0_u32..9_000_000, 1_u32..5_000, 1_u32..900), 1..20)) {
            let line = |&(at, prompt, output): &(u32, u32, u32)| {
                let blocks: Vec<u32> = (0..prompt.div_ceil(512)).collect();
                serde_json::json!({"timestamp": at, "input_length": prompt, "output_length": output, "hash_ids": blocks})
                    .to_string()
            };
            let text: Vec<String> = rows.iter().map(line).collect();
            let records = parse(&text.join("\n")).unwrap();
            for (record, (at, prompt, output)) in records.iter().zip(&rows) {
                prop_assert_eq!(record.at, Duration::from_millis(u64::from(*at)));
                prop_assert_eq!((record.prompt_tokens, record.output_tokens), (*prompt, *output));
                prop_assert_eq!(record.blocks.len(), prompt.div_ceil(512) as usize);
            }
        }

        #[test]
        fn arbitrary_text_never_panics(text in "(\\{\"timestamp\":[0-9eE.+-]{0,8},\"input_length\":[0-9-]{0,11}\\}\n|\\PC{0,30}\n){0,5}") {
            let _ = parse(&text);
        }
    }
}
