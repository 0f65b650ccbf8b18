//! Which starts of prompts have been seen: how much of a workload a prefix cache could save.

use smallvec::SmallVec;

use crate::{
    PREFIX_BLOCK_BYTES,
    features::{RequestFacts, Work},
    index::PrefixIndex,
    tokens::ModelState,
};

/// Entries for this many tokens if each block had one: 131,072, 1 MiB.
const TOKENS: u64 = 1 << 23;

/// The prompts of all models (chains are seeded with the model's name), whatever backend they went to and whether it caches:
/// hashes of blocks, no text. Shared by all cores; atomics only.
///
/// Not every block is looked at: the first 16 are, then every 4th, 16th and 64th, and the last one. So a prompt costs 81 words at
/// most, and what is said to be repeated is less than a quarter too short.
#[derive(Debug)]
pub struct SeenPrefixes(PrefixIndex);

impl Default for SeenPrefixes {
    fn default() -> Self {
        Self(PrefixIndex::new(Some(TOKENS)))
    }
}

impl SeenPrefixes {
    /// Takes in a request's prompt, and says how many of its leading tokens an earlier prompt had too: an estimate. Once for
    /// each request, not for each attempt.
    pub fn repeated_tokens(&self, facts: &RequestFacts, model: &ModelState) -> f64 {
        if facts.work != Work::Generate {
            return 0.0;
        }
        let chain = &facts.prefix.0;
        let mut marks: SmallVec<[u64; 81]> = (0..)
            .map(mark)
            .take_while(|&blocks| blocks < chain.len())
            .map(|blocks| chain[blocks - 1])
            .collect();
        marks.extend(chain.last().copied());
        let blocks = match self.0.matched(&marks, 0) {
            0 => 0,
            found if found == marks.len() => chain.len(),
            found => mark(found - 1),
        };
        self.0.insert(&marks);
        let tokens = (blocks * PREFIX_BLOCK_BYTES) as f64 / model.bytes_per_token();
        tokens.min(f64::from(model.prompt_tokens(facts)) - 1.0).max(0.0)
    }
}

/// Blocks up to the mark of this number, from 0: 1, 2, … 16, 20, … 64, 80, … 512, 576, ….
fn mark(number: usize) -> usize {
    match number {
        ..16 => number + 1,
        16..28 => 16 + 4 * (number - 15),
        28..56 => 64 + 16 * (number - 27),
        56.. => 512 + 64 * (number - 55),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{PREFIX_MAX_BLOCKS, prefix_chain, prefix_seed};

    fn facts(text: &[u8]) -> RequestFacts {
        RequestFacts {
            work: Work::Generate,
            prompt_bytes: text.len() as u64,
            prompt_tokens_exact: None,
            max_tokens: None,
            sequences: 1,
            stream: true,
            prefix: prefix_chain(prefix_seed(&[b"model"]), text),
        }
    }

    #[test]
    fn what_an_earlier_prompt_began_with_is_repeated() {
        let (seen, model) = (SeenPrefixes::default(), ModelState::new());
        let mut text = vec![b'x'; 4096];
        assert_eq!(seen.repeated_tokens(&facts(&text), &model), 0.0);
        assert_eq!(seen.repeated_tokens(&facts(&text), &model), 1023.0, "the last token is always computed");
        text[2048..].fill(b'y');
        assert!((seen.repeated_tokens(&facts(&text), &model) - 512.0).abs() < 0.01);
        assert_eq!(seen.repeated_tokens(&facts(b"short"), &model), 0.0);
    }

    #[test]
    fn marks_ascend_and_are_few() {
        let marks: Vec<usize> = (0..).map(mark).take_while(|&blocks| blocks <= PREFIX_MAX_BLOCKS).collect();
        assert!(
            marks.len() <= 80 && marks.windows(2).all(|pair| pair[1] * 3 <= pair[0] * 4 || pair[0] < 16),
            "{marks:?}"
        );
        assert!(marks.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(marks.last(), Some(&PREFIX_MAX_BLOCKS));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn less_than_a_quarter_is_missed(
            shared in 0usize..PREFIX_MAX_BLOCKS, one in 0usize..600, other in 0usize..600,
        ) {
            let (seen, model) = (SeenPrefixes::default(), ModelState::new());
            let chain = |own: usize, tag: u64| {
                let mut rng = fastrand::Rng::with_seed(1);
                let common = std::iter::repeat_with(move || rng.u64(..)).take(shared);
                let mut rng = fastrand::Rng::with_seed(tag);
                let own = std::iter::repeat_with(move || rng.u64(..)).take(own);
                crate::PrefixChain(common.chain(own).take(PREFIX_MAX_BLOCKS).collect())
            };
            let of = |prefix: crate::PrefixChain| RequestFacts {
                prompt_bytes: ((prefix.0.len() + 1) * PREFIX_BLOCK_BYTES) as u64,
                prefix,
                ..facts(b"")
            };
            seen.repeated_tokens(&of(chain(one, 2)), &model);
            let blocks = seen.repeated_tokens(&of(chain(other, 3)), &model) * 4.0 / PREFIX_BLOCK_BYTES as f64;
            let truth = shared as f64;
            prop_assert!(blocks <= truth + 0.01 && blocks >= 0.75 * truth - 0.01, "{} of {}", blocks, truth);
        }
    }
}
