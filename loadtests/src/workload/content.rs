//! What prompts consist of, without text: segments of tokens that are equal where their seeds are.

use std::sync::Arc;

/// A run of tokens. Two segments with one seed agree as far as the shorter one goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Segment {
    /// Which tokens.
    pub seed: u64,
    /// How many.
    pub tokens: u32,
}

/// A prompt and its answer, as segments. The next turn of a conversation begins with both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The prompt, first to last.
    pub prompt: Arc<[Segment]>,
    /// The answer.
    pub answer: Segment,
}

impl Content {
    /// Tokens of the prompt.
    pub fn prompt_tokens(&self) -> u32 {
        self.prompt.iter().map(|segment| segment.tokens).sum()
    }

    /// Tokens of the answer.
    pub fn output_tokens(&self) -> u32 {
        self.answer.tokens
    }

    /// Chain hashes of the whole blocks of `block_tokens` over prompt and answer, salted: element i stands for all tokens up
    /// to `(i + 1) · block_tokens`.
    pub fn chain(&self, block_tokens: u32, salt: u64) -> Vec<u64> {
        let all = self.prompt.iter().chain(std::iter::once(&self.answer));
        chain(all, block_tokens, salt)
    }

    /// As [`Self::chain`], over the prompt alone.
    pub fn prompt_chain(&self, block_tokens: u32, salt: u64) -> Vec<u64> {
        chain(self.prompt.iter(), block_tokens, salt)
    }
}

fn chain<'s>(segments: impl Iterator<Item = &'s Segment>, block_tokens: u32, salt: u64) -> Vec<u64> {
    let block_tokens = block_tokens.max(1);
    let mut blocks = Vec::new();
    let (mut hash, mut room) = (salt, block_tokens);
    for segment in segments {
        let mut offset = 0;
        while offset < segment.tokens {
            let take = room.min(segment.tokens - offset);
            hash = mix(hash, segment.seed, (u64::from(offset) << 32) | u64::from(take));
            offset += take;
            room -= take;
            if room == 0 {
                blocks.push(hash);
                room = block_tokens;
            }
        }
    }
    blocks
}

/// Order-dependent combination with full avalanche: two folded 64 × 64 → 128-bit products.
fn mix(hash: u64, seed: u64, piece: u64) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15; // 2⁶⁴ / golden ratio
    fold(fold(hash ^ ODD, seed.rotate_left(23) ^ piece ^ ODD.rotate_left(32)), piece | 1)
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the product")]
    let (high, low) = ((product >> 64) as u64, product as u64);
    high ^ low
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(prompt: &[(u64, u32)], answer: (u64, u32)) -> Content {
        let segment = |&(seed, tokens): &(u64, u32)| Segment { seed, tokens };
        Content { prompt: prompt.iter().map(segment).collect(), answer: segment(&answer) }
    }

    #[test]
    fn a_chain_has_one_element_for_each_whole_block() {
        let content = content(&[(1, 10), (2, 25)], (3, 30));
        assert_eq!((content.prompt_tokens(), content.output_tokens()), (35, 30));
        assert_eq!(content.prompt_chain(16, 0).len(), 2);
        assert_eq!(content.chain(16, 0).len(), 4);
        assert_eq!(content.chain(16, 0)[..2], content.prompt_chain(16, 0));
    }

    #[test]
    fn the_next_turn_begins_with_the_last_one() {
        let first = content(&[(1, 100), (2, 50)], (3, 40));
        let second = content(&[(1, 100), (2, 50), (3, 40), (4, 30)], (5, 10));
        let other = content(&[(1, 100), (9, 50), (3, 40), (4, 30)], (5, 10));
        let shared = |a: &[u64], b: &[u64]| a.iter().zip(b).take_while(|(a, b)| a == b).count();
        let turn = first.chain(16, 7);
        assert_eq!(shared(&turn, &second.prompt_chain(16, 7)), 190 / 16);
        assert_eq!(shared(&turn, &other.prompt_chain(16, 7)), 100 / 16);
        assert_eq!(shared(&turn, &second.prompt_chain(16, 8)), 0, "salted apart");
    }
}
