use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::prefix::mix;

/// A chain of `len` hashes that shares exactly its first `shared` with every other chain of the same family.
fn chain(family: u64, own: u64, shared: usize, len: usize) -> Vec<u64> {
    let link = |hash: &mut u64, i: usize| {
        *hash = mix(*hash, if i < shared { family } else { own ^ (i as u64) << 32 });
        Some(*hash)
    };
    (0..len).scan(family, link).collect()
}

#[test]
fn sized_from_capacity_and_bounded() {
    assert_eq!(PrefixIndex::new(Some(1)).capacity(), WAYS);
    assert_eq!(PrefixIndex::new(Some(64 * 800)).capacity(), 800);
    assert_eq!(PrefixIndex::new(None).capacity(), 4096);
    assert_eq!(PrefixIndex::new(Some(u64::MAX)).capacity() * size_of::<AtomicU64>(), 1 << 20);
}

#[test]
fn sized_once_the_capacity_is_known() {
    let index = PrefixIndex::new(None);
    index.resize(0);
    assert_eq!(index.capacity(), 4096, "nobody knows");
    index.insert(&chain(1, 1, 0, 8));
    index.resize(DEFAULT_KV_TOKENS);
    assert_eq!(index.matched(&chain(1, 1, 0, 8), 0), 8, "as it was guessed");
    index.resize(64 * 80_000);
    assert_eq!(index.capacity(), 80_000);
    for own in 0..1_000 {
        index.insert(&chain(own, own, 0, 50));
    }
    let held = (0..1_000).filter(|&own| index.matched(&chain(own, own, 0, 50), 0) == 50).count();
    assert!(held > 950, "what the engine holds is known: {held}");
    index.resize(64 * 16);
    assert_eq!(index.capacity(), 80_000, "once");
    index.clear();
    assert_eq!(index.matched(&chain(1, 1, 0, 50), 0), 0);
}

#[test]
fn what_was_sent_before_the_capacity_was_known_is_remembered_for_a_while() {
    for kv_tokens in [64 * 2_000, 64 * 80_000] {
        let index = PrefixIndex::new(None);
        index.insert(&chain(1, 1, 0, 8));
        index.resize(kv_tokens);
        assert_eq!(index.matched(&chain(1, 1, 0, 8), 0), 8);
        (0..u64::from(REMEMBERED) - 1).for_each(|own| index.insert(&chain(2, 100 + own, 0, 4)));
        assert_eq!(index.matched(&chain(1, 1, 0, 8), 0), 8);
        index.insert(&chain(3, 3, 0, 4));
        assert_eq!(index.matched(&chain(1, 1, 0, 8), 0), 0, "the engine may have evicted it");
        index.resize(kv_tokens);
    }
    let index = PrefixIndex::new(None);
    index.insert(&chain(1, 1, 0, 8));
    index.resize(64 * 80_000);
    index.clear();
    assert_eq!(index.matched(&chain(1, 1, 0, 8), 0), 0, "it restarted");
}

#[test]
fn finds_the_longest_shared_prefix() {
    let index = PrefixIndex::new(None);
    index.insert(&chain(1, 1, 100, 300));
    for shared in [0, 1, 2, 3, 63, 64, 65, 99, 100] {
        let probe: Vec<_> = chain(1, 1, 100, shared).into_iter().chain(chain(2, 2, 0, 50)).collect();
        assert_eq!(index.matched(&probe, 0), shared);
    }
    assert_eq!(index.matched(&chain(1, 1, 100, 300), 0), 300, "a repeat matches whole");
    assert_eq!(index.matched(&chain(1, 9, 100, 1000), 0), 100, "another turn matches the shared part");
    assert_eq!(index.matched(&[], 0), 0);
}

#[test]
fn the_least_recently_used_prefix_is_forgotten_first() {
    let index = PrefixIndex::new(Some(64 * 1024));
    let (hot, cold) = (chain(1, 1, 0, 64), chain(2, 2, 0, 64));
    index.insert(&cold);
    for i in 0..200 {
        index.insert(&chain(100 + i, i, 0, 64));
        index.insert(&hot);
    }
    assert_eq!(index.matched(&hot, 0), 64);
    assert_eq!(index.matched(&cold, 0), 0);
}

#[test]
fn a_prompt_larger_than_the_cache_leaves_its_head() {
    let index = PrefixIndex::new(Some(64 * 64));
    let long = chain(1, 1, 0, 1000);
    index.insert(&long);
    let matched = index.matched(&long, 0);
    assert!((20..=64).contains(&matched), "{matched}");
}

#[test]
fn a_cleared_index_knows_nothing() {
    let index = PrefixIndex::new(None);
    index.insert(&chain(1, 1, 0, 10));
    index.clear();
    assert_eq!(index.matched(&chain(1, 1, 0, 10), 0), 0);
}

#[test]
fn stamps_wrap_without_evicting_the_young() {
    let index = PrefixIndex::new(Some(64 * 8));
    index.clock.store((1 << STAMP_BITS) - 3, Relaxed);
    for i in 0..8 {
        index.insert(&chain(i, i, 0, 1));
    }
    let before = (1..8).filter(|&i| index.matched(&chain(i, i, 0, 1), 0) == 1).count();
    index.insert(&chain(99, 99, 0, 1));
    let after = (1..8).filter(|&i| index.matched(&chain(i, i, 0, 1), 0) == 1).count();
    assert_eq!((before, after), (7, 7), "the oldest, from before the wrap, went");
}

proptest! {
    /// Against an exact, unbounded model: never longer than what was really sent; equal while everything fits
    /// (each set gets far fewer blocks than it has ways); never more entries than the capacity.
    #[test]
    fn agrees_with_an_exact_model(
        ops in prop::collection::vec((0u64..6, 0u64..4, 0usize..40, 0usize..80, 0usize..100, any::<bool>()), 1..60),
    ) {
        let (small, large) = (PrefixIndex::new(Some(64 * 64)), PrefixIndex::new(Some(64 * 131_072)));
        let mut sent: HashSet<u64> = HashSet::new();
        for (family, own, shared, len, guess, send) in ops {
            let chain = chain(family, own, shared, len);
            let exact = chain.iter().take_while(|hash| sent.contains(hash)).count();
            prop_assert!(small.matched(&chain, guess) <= exact);
            prop_assert_eq!(large.matched(&chain, guess), exact);
            if send {
                small.insert(&chain);
                large.insert(&chain);
                sent.extend(&chain);
            }
        }
        let held = sent.iter().filter(|&&hash| small.contains(hash)).count();
        prop_assert!(held <= small.capacity());
    }
}
