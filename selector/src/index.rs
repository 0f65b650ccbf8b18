//! Which prefixes a backend's cache probably holds: a bounded, lock-free, approximate mirror of its prefix cache.
//!
//! A set-associative table of hashes, eight to a cache line, sized from the engine's KV capacity. Engines evict the
//! least recently used block; so does each set. A word is a 40-bit tag and a 24-bit stamp: a hash is mistaken for
//! another with probability 8 · 2⁻⁴⁰ a look-up. Racing updates may lose one entry; the index is a prediction, and the
//! next request repairs it.

use std::sync::{
    OnceLock,
    atomic::{
        AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};

use crate::num;

const WAYS: usize = 8;
const STAMP_BITS: u32 = 24;
const STAMP_MASK: u64 = (1 << STAMP_BITS) - 1;
/// At most 1 MiB for one backend: 131,072 blocks, about 8.4 million tokens.
const MAX_SETS: usize = 16_384;
/// KV capacity assumed where the engine's is unknown, tokens: 32 kiB of table.
const DEFAULT_KV_TOKENS: u64 = 262_144;
/// Tokens one block stands for, at about four bytes a token.
const TOKENS_PER_BLOCK: u64 = 64;
/// Prompts after which what was sent before the capacity was known counts no longer: the engine may have evicted it.
const REMEMBERED: u32 = 256;

#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

/// The approximate prefix index of one backend.
#[derive(Debug)]
pub(crate) struct PrefixIndex {
    /// Until the capacity is known.
    first: Box<[Set]>,
    /// Since it is.
    sized: OnceLock<Resized>,
    /// Counts insertions of chains; its low bits are the stamps.
    clock: AtomicU32,
}

#[derive(Debug)]
struct Resized {
    table: Box<[Set]>,
    /// The clock at that time.
    since: u32,
}

impl PrefixIndex {
    /// For an engine whose cache holds `kv_tokens`.
    pub(crate) fn new(kv_tokens: Option<u64>) -> Self {
        let kv_tokens = kv_tokens.filter(|&tokens| tokens > 0).unwrap_or(DEFAULT_KV_TOKENS);
        Self { first: table(kv_tokens), sized: OnceLock::new(), clock: AtomicU32::new(0) }
    }

    /// The engine's cache holds so many tokens. Where the table was made for another number it becomes one of the right size, once.
    /// vLLM tells its capacity after requests have come: what they left there is remembered for a while.
    pub(crate) fn resize(&self, kv_tokens: u64) {
        if kv_tokens > 0 && sets(kv_tokens) != self.sets().len() {
            self.sized.get_or_init(|| Resized { table: table(kv_tokens), since: self.clock.load(Relaxed) });
        }
    }

    fn sets(&self) -> &[Set] {
        self.sized.get().map_or(&self.first, |sized| &sized.table)
    }

    /// The first table, where it is not the one in use and still counts.
    fn before(&self) -> Option<&[Set]> {
        let since = self.sized.get()?.since;
        (self.clock.load(Relaxed).wrapping_sub(since) < REMEMBERED).then_some(&self.first)
    }

    /// Blocks it can hold.
    #[cfg(test)]
    fn capacity(&self) -> usize {
        self.sets().len() * WAYS
    }

    /// How many leading blocks of `chain` were sent here and are probably still cached.
    ///
    /// Presence along a chain is nearly monotone (a prefix is used whenever its extension is, so it is younger), so
    /// the end is found by galloping and bisection: one probe for a stranger, two for a repeat, else about
    /// 2·log₂(length), or four where `guess`, another backend's answer, is right. A hole (a set that filled up) makes
    /// the answer shorter, never longer: the answer's last block was itself found, and it stands for the whole prefix.
    pub(crate) fn matched(&self, chain: &[u64], guess: usize) -> usize {
        match chain {
            [] => return 0,
            [first, ..] if !self.contains(*first) => return 0,
            [.., last] if self.contains(*last) => return chain.len(),
            _ => {}
        }
        // The block at `held` was found, the one at `missing` was not.
        let (mut held, mut missing) = (0, chain.len() - 1);
        if let Some(at) = guess.checked_sub(1).filter(|&at| held < at && at < missing) {
            *if self.contains(chain[at]) { &mut held } else { &mut missing } = at;
        }
        let mut step = 1;
        while held + step < missing {
            if self.contains(chain[held + step]) {
                held += step;
                step *= 2;
            } else {
                missing = held + step;
            }
        }
        while missing - held > 1 {
            let middle = held.midpoint(missing);
            *if self.contains(chain[middle]) { &mut held } else { &mut missing } = middle;
        }
        held + 1
    }

    /// The prompt with this chain goes to the backend: its blocks are the most recently used now.
    ///
    /// Touches one cache line a block, [`crate::PREFIX_MAX_BLOCKS`] at most. Goes from the front and never evicts a
    /// block of its own, so a prompt larger than the cache leaves its head, which is what others share.
    pub(crate) fn insert(&self, chain: &[u64]) {
        if chain.is_empty() {
            return;
        }
        let stamp = u64::from(self.clock.fetch_add(1, Relaxed).wrapping_add(1)) & STAMP_MASK;
        chain.iter().for_each(|&hash| self.touch(hash, stamp));
    }

    /// The engine lost its cache (it restarted).
    pub(crate) fn clear(&self) {
        let all = self.sets().iter().chain(&self.first);
        all.flat_map(|set| &set.0).for_each(|way| way.store(0, Relaxed));
    }

    fn contains(&self, hash: u64) -> bool {
        let tag = tag(hash);
        let holds = |sets| set(sets, hash).iter().any(|way| way.load(Acquire) >> STAMP_BITS == tag);
        holds(self.sets()) || self.before().is_some_and(holds)
    }

    fn touch(&self, hash: u64, stamp: u64) {
        let tag = tag(hash);
        let entry = tag << STAMP_BITS | stamp;
        let (mut victim, mut victim_word, mut victim_age) = (None, 0, 0);
        for way in set(self.sets(), hash) {
            let word = way.load(Acquire);
            if word >> STAMP_BITS == tag {
                way.store(entry, Relaxed);
                return;
            }
            // An empty way is older than anything; age 0 is this very chain.
            let age = if word == 0 { u64::MAX } else { stamp.wrapping_sub(word) & STAMP_MASK };
            if age > victim_age {
                (victim, victim_word, victim_age) = (Some(way), word, age);
            }
        }
        if let Some(way) = victim {
            // Lost to another core: its entry is as young as this one.
            let _ = way.compare_exchange(victim_word, entry, AcqRel, Relaxed);
        }
    }
}

fn set(sets: &[Set], hash: u64) -> &[AtomicU64; WAYS] {
    &sets[num::slot(hash, sets.len())].0
}

/// Sets for a cache of so many tokens.
fn sets(kv_tokens: u64) -> usize {
    let blocks = usize::try_from(kv_tokens / TOKENS_PER_BLOCK).unwrap_or(usize::MAX);
    blocks.div_ceil(WAYS).clamp(1, MAX_SETS)
}

fn table(kv_tokens: u64) -> Box<[Set]> {
    (0..sets(kv_tokens)).map(|_| Set::default()).collect()
}

/// The low 40 bits, never 0: a word of 0 is an empty way. The set comes from the high bits.
fn tag(hash: u64) -> u64 {
    (hash & (u64::MAX >> STAMP_BITS)).max(1)
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
