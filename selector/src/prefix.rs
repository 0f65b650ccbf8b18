//! Hash chains over prompts: two prompts share a prefix exactly as far as their chains agree.

use xxhash_rust::xxh3::xxh3_64;

/// Bytes of prompt text one prefix block covers (about 64 tokens).
pub const PREFIX_BLOCK_BYTES: usize = 256;
/// Blocks beyond this are not hashed: longer prompts are told apart long before.
pub const PREFIX_MAX_BLOCKS: usize = 2048;

/// Hash chain over the blocks of a prompt: element i covers bytes `0..(i+1)·PREFIX_BLOCK_BYTES`.
///
/// Because an element covers all bytes before it, finding element i somewhere means that the whole prefix was there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrefixChain(pub Vec<u64>);

/// Hashes a prompt's bytes. `seed` separates what the engine's cache separates: model, tools, cache salt.
///
/// The rest after the last whole block is left out, as engines cache whole blocks. Costs about 30 µs for 400 kB: the
/// blocks are hashed independently (the CPU overlaps them) and only the cheap mixing is sequential. The hash is not
/// cryptographic: a forged collision mispredicts the cache, and nothing else.
pub fn prefix_chain(seed: u64, text: &[u8]) -> PrefixChain {
    let link = |chain: &mut u64, block: &[u8]| {
        *chain = mix(*chain, xxh3_64(block));
        Some(*chain)
    };
    let blocks = text.chunks_exact(PREFIX_BLOCK_BYTES).take(PREFIX_MAX_BLOCKS);
    PrefixChain(blocks.scan(seed, link).collect())
}

/// Seed for [`prefix_chain`] from the parts that come before the messages in the prompt.
///
/// Where one part ends and the next begins counts: `["ab", "c"]` and `["a", "bc"]` differ.
pub fn prefix_seed(parts: &[&[u8]]) -> u64 {
    parts.iter().fold(parts.len() as u64, |seed, part| mix(seed, xxh3_64(part)))
}

/// Order-dependent, full-avalanche combination of two hashes (a folded 64 × 64 → 128-bit product).
pub(crate) fn mix(chain: u64, hash: u64) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15; // 2⁶⁴ / golden ratio: no fixed point at zero
    let product = u128::from(chain.rotate_left(29) ^ hash ^ ODD) * u128::from(ODD ^ hash.rotate_left(32));
    crate::num::fold(product)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_whole_blocks_count() {
        assert_eq!(prefix_chain(1, &[7; PREFIX_BLOCK_BYTES - 1]), PrefixChain::default());
        assert_eq!(prefix_chain(1, &[7; 3 * PREFIX_BLOCK_BYTES + 5]).0.len(), 3);
    }

    #[test]
    fn the_chain_is_bounded() {
        let text = vec![0; (PREFIX_MAX_BLOCKS + 9) * PREFIX_BLOCK_BYTES];
        assert_eq!(prefix_chain(1, &text).0.len(), PREFIX_MAX_BLOCKS);
    }

    #[test]
    fn seeds_separate() {
        let text = [7; 512];
        assert_ne!(prefix_chain(1, &text), prefix_chain(2, &text));
        assert_ne!(prefix_seed(&[b"ab", b"c"]), prefix_seed(&[b"a", b"bc"]));
        assert_ne!(prefix_seed(&[b"a"]), prefix_seed(&[b"a", b""]));
    }

    #[test]
    fn equal_blocks_do_not_cancel() {
        let chain = prefix_chain(0, &[0; 64 * PREFIX_BLOCK_BYTES]).0;
        let distinct: std::collections::HashSet<_> = chain.iter().collect();
        assert_eq!(distinct.len(), chain.len());
    }

    proptest! {
        #[test]
        fn chains_agree_exactly_as_far_as_the_texts(
            text in prop::collection::vec(any::<u8>(), 0..6000), at in 0usize..6000, flip in 1u8..,
        ) {
            let mut other = text.clone();
            let shared = if at < text.len() { other[at] ^= flip; at / PREFIX_BLOCK_BYTES } else { usize::MAX };
            let (a, b) = (prefix_chain(3, &text).0, prefix_chain(3, &other).0);
            for (i, (x, y)) in a.iter().zip(&b).enumerate() {
                prop_assert_eq!(x == y, i < shared);
            }
        }
    }
}
