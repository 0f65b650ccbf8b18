//! Text as tokens of four bytes, and the hashes of the blocks that a prefix cache shares.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::workload::BYTES_PER_TOKEN;

/// Tokens that `bytes` bytes of text are; what is left over is a token too.
pub(super) fn count(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u32::MAX)
}

/// Fills text up to whole tokens, so that what follows begins with one.
pub(super) fn pad(text: &mut Vec<u8>) {
    text.resize(text.len().next_multiple_of(BYTES_PER_TOKEN), b' ');
}

/// The tokens' ids: their bytes as a little-endian number.
pub(super) fn ids(text: &[u8]) -> Vec<u32> {
    let id = |piece: &[u8]| {
        let mut bytes = [b' '; BYTES_PER_TOKEN];
        bytes[..piece.len()].copy_from_slice(piece);
        u32::from_le_bytes(bytes)
    };
    text.chunks(BYTES_PER_TOKEN).map(id).collect()
}

/// The text that ids stand for.
pub(super) fn text(ids: &[u32]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.to_le_bytes()).collect()
}

/// The text of each token.
pub(super) fn pieces(text: &[u8]) -> impl Iterator<Item = Cow<'_, str>> {
    text.chunks(BYTES_PER_TOKEN).map(String::from_utf8_lossy)
}

/// Chain hashes of the whole blocks of `text`: element i stands for all bytes up to `(i + 1) · block_tokens` tokens.
/// Texts with different salts share nothing.
pub(super) fn chain(text: &[u8], block_tokens: u32, salt: u64) -> Vec<u64> {
    let block = block_tokens as usize * BYTES_PER_TOKEN;
    let link = |hash: &mut u64, block: &[u8]| {
        *hash = xxh3_64_with_seed(block, *hash);
        Some(*hash)
    };
    text.chunks_exact(block.max(1)).scan(salt, link).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_give_the_text_back(mut bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let tokens = count(bytes.len());
            let ids = ids(&bytes);
            prop_assert_eq!(ids.len(), tokens as usize);
            pad(&mut bytes);
            prop_assert_eq!(text(&ids), bytes);
        }

        #[test]
        fn chains_agree_as_far_as_the_texts(
            text in prop::collection::vec(any::<u8>(), 64..400), at in any::<prop::sample::Index>(), salt in any::<u64>(),
        ) {
            let mut other = text.clone();
            let at = at.index(text.len());
            other[at] ^= 1;
            let (one, two) = (chain(&text, 4, salt), chain(&other, 4, salt));
            prop_assert_eq!(one.len(), text.len() / 16);
            let shared = one.iter().zip(&two).take_while(|(a, b)| a == b).count();
            prop_assert_eq!(shared, (at / 16).min(one.len()));
            prop_assert!(chain(&text, 4, salt ^ 1).first() != one.first());
        }
    }
}
