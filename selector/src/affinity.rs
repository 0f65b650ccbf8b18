//! Who last got a prefix: how a large group finds its warm backends without asking every index.
//!
//! A small lossy map per served model from prefix hashes to backends. Chains enter at positions 1, 2, 4, 8, … only,
//! so entering and asking cost at most twelve words each, whatever the prompt's length and the group's size.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use gearshift_config::BackendId;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use crate::num;

/// Words in the map: 64 KiB a served model, from its first prompt on. Most adapters of a long list are never asked for.
const SLOTS: usize = 8192;
/// Hints taken from one look-up at most.
pub(crate) const MAX_HINTS: usize = 8;

/// Short name of a backend in the map; outlives snapshots, as the backend's id does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tag(u32);

impl Tag {
    pub(crate) fn of(id: &BackendId) -> Self {
        // 0 marks an empty slot.
        Self(num::low(xxh3_64(id.as_str().as_bytes())).max(1))
    }
}

/// The map.
#[derive(Debug)]
pub(crate) struct Affinity {
    /// High half: part of the prefix hash. Low half: the backend's tag.
    slots: OnceLock<Box<[AtomicU64]>>,
}

impl Affinity {
    pub(crate) fn new() -> Self {
        Self { slots: OnceLock::new() }
    }

    /// A prompt goes to this backend.
    pub(crate) fn insert(&self, chain: &[u64], backend: Tag) {
        if chain.is_empty() {
            return;
        }
        let slots = self.slots.get_or_init(|| (0..SLOTS).map(|_| AtomicU64::new(0)).collect());
        for hash in checkpoints(chain) {
            slots[num::slot(hash, SLOTS)].store(num::pack(num::low(hash), backend.0), Relaxed);
        }
    }

    /// Backends that got this prefix last, those with the longest first.
    pub(crate) fn hints(&self, chain: &[u64]) -> SmallVec<[Tag; MAX_HINTS]> {
        let mut hints = SmallVec::new();
        let Some(slots) = self.slots.get() else { return hints };
        for hash in checkpoints(chain).rev() {
            let word = slots[num::slot(hash, SLOTS)].load(Relaxed);
            let tag = Tag(num::low(word));
            if tag.0 != 0 && num::high(word) == num::low(hash) && !hints.contains(&tag) {
                hints.push(tag);
                if hints.len() == MAX_HINTS {
                    break;
                }
            }
        }
        hints
    }
}

/// The chain's elements number 1, 2, 4, 8, ….
fn checkpoints(chain: &[u64]) -> impl DoubleEndedIterator<Item = u64> {
    let powers = usize::BITS - chain.len().leading_zeros();
    (0..powers).map(|power| chain[(1 << power) - 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefix::{PREFIX_BLOCK_BYTES, prefix_chain};

    fn tag(name: &str) -> Tag {
        Tag::of(&BackendId::new(name))
    }

    #[test]
    fn the_longest_shared_prefix_comes_first() {
        let affinity = Affinity::new();
        let mut text = vec![1; 64 * PREFIX_BLOCK_BYTES];
        affinity.insert(&prefix_chain(0, &text).0, tag("long"));
        text[5 * PREFIX_BLOCK_BYTES..].fill(2);
        affinity.insert(&prefix_chain(0, &text).0, tag("fork"));
        text[40 * PREFIX_BLOCK_BYTES..].fill(3);
        let hints = affinity.hints(&prefix_chain(0, &text).0);
        assert_eq!(hints.as_slice(), [tag("fork")], "the fork overwrote what both share");
        text.fill(1);
        text[50 * PREFIX_BLOCK_BYTES..].fill(4);
        let hints = affinity.hints(&prefix_chain(0, &text).0);
        assert_eq!(hints.as_slice(), [tag("long"), tag("fork")]);
    }

    #[test]
    fn strangers_get_no_hint() {
        let affinity = Affinity::new();
        affinity.insert(&prefix_chain(0, &[1; 4096]).0, tag("a"));
        assert!(affinity.hints(&prefix_chain(0, &[2; 4096]).0).is_empty());
        assert!(affinity.hints(&[]).is_empty());
    }
}
