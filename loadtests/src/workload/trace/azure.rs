//! Azure's LLM inference traces: <https://github.com/Azure/AzurePublicDataset> (CC-BY-4.0).

use super::{TraceError, TraceRecord, at_least_one, numbered_lines, time};

/// Reads `TIMESTAMP,ContextTokens,GeneratedTokens`; the header may be missing.
pub(super) fn parse(text: &str) -> Result<Vec<TraceRecord>, TraceError> {
    let lines =
        numbered_lines(text).filter(|(number, line)| !(*number == 1 && line.starts_with("TIMESTAMP")));
    lines.map(|(line, row)| record(row).map_err(|reason| TraceError::Line { line, reason })).collect()
}

fn record(row: &str) -> Result<TraceRecord, String> {
    let fields: Vec<&str> = row.split(',').map(str::trim).collect();
    let [at, prompt, output] = fields[..] else {
        return Err(format!("expected 3 fields, found {}", fields.len()));
    };
    let count = |text: &str| text.parse().map_err(|_| format!("{text:?} is no number of tokens"));
    Ok(TraceRecord {
        at: time::parse(at).ok_or_else(|| format!("{at:?} is no time"))?,
        prompt_tokens: at_least_one(count(prompt)?),
        output_tokens: at_least_one(count(output)?),
        blocks: Box::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n";

    #[test]
    fn rows_are_read_with_and_without_a_header() {
        let rows = "2023-11-16 18:17:03.9799600,4808,10\r\n\n2023-11-16 18:17:04.0319600,0,8";
        let records = parse(&format!("{HEADER}{rows}")).unwrap();
        assert_eq!((records[0].prompt_tokens, records[0].output_tokens), (4_808, 10));
        assert_eq!(records[1].prompt_tokens, 1, "nothing counts as one token");
        assert_eq!(records[1].at - records[0].at, std::time::Duration::from_millis(52));
        assert_eq!(parse(rows).unwrap(), records);
    }

    #[test]
    fn errors_name_the_line() {
        for (row, reason) in [
            ("1,2", "line 3: expected 3 fields, found 2"),
            ("yesterday,1,2", "line 3: \"yesterday\" is no time"),
            ("2023-11-16 18:17:03,-1,2", "line 3: \"-1\" is no number of tokens"),
        ] {
            let text = format!("{HEADER}2023-11-16 18:17:03,1,2\n{row}\n");
            assert_eq!(parse(&text).unwrap_err().to_string(), reason);
        }
    }

    proptest! {
        #[test]
        fn written_rows_read_back(rows in prop::collection::vec((0_u64..60_000, 1_u32..200_000, 1_u32..9_000), 1..30)) {
            let line = |&(ms, prompt, output): &(u64, u32, u32)| {
                format!("2023-11-16 18:17:{:02}.{:03}0000,{prompt},{output}\n", ms / 1_000, ms % 1_000)
            };
            let records = parse(&(HEADER.to_owned() + &rows.iter().map(line).collect::<String>())).unwrap();
            prop_assert_eq!(records.len(), rows.len());
            for (record, (_, prompt, output)) in records.iter().zip(&rows) {
                prop_assert_eq!((record.prompt_tokens, record.output_tokens), (*prompt, *output));
            }
        }

        #[test]
        fn arbitrary_text_never_panics(text in "([0-9: .,-]{0,40}\n|\\PC{0,20}\r?\n){0,6}") {
            let _ = parse(&text);
        }
    }
}
