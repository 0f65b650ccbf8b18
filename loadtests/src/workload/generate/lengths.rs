//! How long things are: quantiles taken from traces, and log-normals where there is none.
//!
//! The traces themselves are not part of this repository; a test takes the tables from them anew where they are at hand.

use super::super::random::{Random, tokens};

/// Shares of the values that the quantiles of a table stand for.
pub(super) const SHARES: [f64; 15] =
    [0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0];

/// Values at [`SHARES`], ascending; between them the logarithm is interpolated.
pub(super) type Quantiles = [u32; SHARES.len()];

/// Prompt tokens, Azure conversation trace (2023, 19,366 requests; CC-BY-4.0).
pub(super) const AZURE_CONV_PROMPT: Quantiles =
    [2, 29, 181, 207, 387, 403, 703, 1_020, 1_071, 1_130, 1_315, 2_735, 4_083, 4_142, 14_050];
/// Generated tokens of the same.
pub(super) const AZURE_CONV_OUTPUT: Quantiles =
    [7, 16, 41, 54, 77, 91, 103, 129, 177, 384, 400, 424, 451, 601, 1_000];
/// Prompt tokens, Azure code trace (2023, 8,819 requests; CC-BY-4.0).
pub(super) const AZURE_CODE_PROMPT: Quantiles =
    [3, 17, 75, 147, 386, 770, 1_075, 1_469, 1_909, 2_433, 3_192, 5_186, 7_302, 7_436, 7_437];
/// Generated tokens of the same.
pub(super) const AZURE_CODE_OUTPUT: Quantiles = [6, 6, 6, 7, 8, 9, 11, 13, 16, 20, 29, 55, 90, 252, 1_899];
/// What a follow-up adds beyond the answer before it, tokens; Mooncake conversation trace (12,031 requests; Apache-2.0),
/// requests whose prompt begins with an earlier prompt and is longer than it and its answer.
pub(super) const MOONCAKE_FOLLOW_UP: Quantiles =
    [1, 4, 6, 8, 11, 15, 22, 36, 84, 294, 1_278, 4_637, 7_509, 17_540, 91_467];
/// From a request to its follow-up, milliseconds; the same trace.
pub(super) const MOONCAKE_GAP_MS: Quantiles = [
    5_999, 14_999, 29_999, 42_000, 60_000, 75_000, 96_000, 123_001, 164_999, 228_000, 320_999, 477_000,
    606_000, 1_470_002, 3_030_000,
];
/// Share of conversations of at least n + 1 turns that go on to turn n + 2; the same trace. The last value holds for all
/// later turns.
pub(super) const MOONCAKE_GOES_ON: [f64; 7] = [0.31, 0.42, 0.51, 0.59, 0.59, 0.68, 0.75];

/// A length in tokens, or another positive amount.
#[derive(Debug, Clone, Copy)]
pub(super) enum Length {
    /// From a table, times a factor.
    Table(&'static Quantiles, f64),
    /// Log-normal: median, and standard deviation of the logarithm.
    LogNormal(f64, f64),
}

impl Length {
    /// One value, at least 1 and at most `most`.
    pub(super) fn tokens(self, random: &mut Random, most: u32) -> u32 {
        tokens(self.amount(random)).min(most)
    }

    /// One value.
    pub(super) fn amount(self, random: &mut Random) -> f64 {
        match self {
            Self::Table(quantiles, factor) => interpolate(quantiles, random.share()) * factor,
            Self::LogNormal(median, sigma) => random.log_normal(median, sigma),
        }
    }
}

/// The value that a share `share` of all values lies below.
fn interpolate(quantiles: &Quantiles, share: f64) -> f64 {
    let above = SHARES.partition_point(|&known| known <= share).clamp(1, SHARES.len() - 1);
    let (low, high) = (f64::from(quantiles[above - 1]), f64::from(quantiles[above]));
    let along = (share - SHARES[above - 1]) / (SHARES[above] - SHARES[above - 1]);
    low * (high / low).powf(along)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::workload::{KNOWN_TRACES, Trace, TraceRecord};

    /// A known trace, where the traces are at hand.
    fn trace(name: &str) -> Option<Trace> {
        if std::env::var_os("GEARSHIFT_DATA").is_none() {
            eprintln!("SKIPPED: GEARSHIFT_DATA is not set, the tables are not compared with {name}");
            return None;
        }
        let known = KNOWN_TRACES.iter().find(|known| known.name == name).unwrap();
        Some(Trace::known(known).unwrap())
    }

    fn quantiles(values: impl Iterator<Item = u32>) -> Quantiles {
        let mut sorted: Vec<u32> = values.collect();
        sorted.sort_unstable();
        SHARES.map(|share| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
            let index = (share * (sorted.len() - 1) as f64).round() as usize;
            sorted[index]
        })
    }

    #[test]
    fn the_tables_are_the_traces() {
        for (name, prompt, output) in [
            ("azure-conv", AZURE_CONV_PROMPT, AZURE_CONV_OUTPUT),
            ("azure-code", AZURE_CODE_PROMPT, AZURE_CODE_OUTPUT),
        ] {
            let Some(trace) = trace(name) else { return };
            let records = trace.records();
            assert_eq!(quantiles(records.iter().map(|record| record.prompt_tokens)), prompt);
            assert_eq!(quantiles(records.iter().map(|record| record.output_tokens)), output);
        }
    }

    /// Follow-ups in a trace with block hashes: the request each goes on from, and which turn it is, from 0.
    fn follow_ups(records: &[TraceRecord]) -> (Vec<(usize, usize)>, Vec<usize>) {
        let mut last: HashMap<u64, usize> = HashMap::new();
        let (mut pairs, mut turns) = (Vec::new(), Vec::new());
        for (index, record) in records.iter().enumerate() {
            let shared: Vec<usize> =
                record.blocks.iter().map_while(|block| last.get(block).copied()).collect();
            // All requests share their first block: only a second one tells a conversation.
            let before = shared.last().copied().filter(|_| shared.len() > 1);
            turns.push(before.map_or(0, |before| turns[before] + 1));
            let whole = |before: &usize| {
                let earlier = &records[*before];
                shared.len() + 1 >= earlier.blocks.len() && record.prompt_tokens > earlier.prompt_tokens
            };
            pairs.extend(before.filter(whole).map(|before| (before, index)));
            last.extend(record.blocks.iter().map(|&block| (block, index)));
        }
        (pairs, turns)
    }

    #[test]
    fn conversations_are_mooncakes() {
        let Some(trace) = trace("mooncake") else { return };
        let records = trace.records();
        let (pairs, turns) = follow_ups(records);
        let added = pairs.iter().filter_map(|&(before, after)| {
            let known = records[before].prompt_tokens + records[before].output_tokens;
            records[after].prompt_tokens.checked_sub(known).filter(|&added| added > 0)
        });
        assert_eq!(quantiles(added), MOONCAKE_FOLLOW_UP);
        let gaps = pairs.iter().map(|&(before, after)| (records[after].at - records[before].at).as_millis());
        assert_eq!(quantiles(gaps.map(|gap| u32::try_from(gap).unwrap())), MOONCAKE_GAP_MS);
        let with = |turn: usize| turns.iter().filter(|&&one| one == turn).count() as f64;
        for (turn, known) in MOONCAKE_GOES_ON[..6].iter().enumerate() {
            assert!((with(turn + 1) / with(turn) - known).abs() < 0.006, "turn {turn}");
        }
    }

    #[test]
    fn drawn_values_have_the_tables_quantiles() {
        let mut random = Random::new(5, 0);
        let drawn = (0..40_000).map(|_| Length::Table(&AZURE_CODE_PROMPT, 1.0).tokens(&mut random, u32::MAX));
        let drawn = quantiles(drawn);
        for (drawn, known) in drawn[1..14].iter().zip(&AZURE_CODE_PROMPT[1..14]) {
            let ratio = f64::from(*drawn) / f64::from(*known);
            assert!((0.85..1.15).contains(&ratio), "{drawn} for {known}");
        }
    }
}
