//! The blocks of an engine.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use super::{
    Blocks, Hit,
    lru::{Link, Linked, Lru},
};

/// All KV blocks of an engine.
#[derive(Debug, Clone)]
pub(in crate::sim) struct Pool {
    total: u32,
    caching: bool,
    /// Blocks that hold nothing anybody could look up.
    blank: u32,
    /// Published blocks, and the holes where such were.
    published: Vec<Published>,
    holes: Vec<u32>,
    by_hash: ByHash,
    /// Published blocks nobody holds.
    idle: Lru,
    /// What each sequence holds, by slot.
    tables: Vec<Table>,
}

#[derive(Debug, Clone, Copy)]
struct Published {
    hash: u64,
    holders: u32,
    link: Link,
}

impl Linked for Published {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    chain: Arc<[u64]>,
    /// The sequence's first blocks, as far as they are published.
    published: Vec<u32>,
}

impl Pool {
    /// `total` blank blocks. Without `caching` nothing is ever published.
    pub(in crate::sim) fn new(total: u32, caching: bool) -> Self {
        Self {
            total,
            caching,
            blank: total,
            published: Vec::new(),
            holes: Vec::new(),
            by_hash: ByHash::default(),
            idle: Lru::new(),
            tables: Vec::new(),
        }
    }

    /// Blocks in all.
    pub(in crate::sim) fn total(&self) -> u32 {
        self.total
    }

    /// Opens the table of a sequence that holds nothing yet.
    pub(in crate::sim) fn open(&mut self, slot: u32, chain: Arc<[u64]>) {
        let slot = slot as usize;
        if slot >= self.tables.len() {
            self.tables.resize_with(slot + 1, Table::default);
        }
        let table = &mut self.tables[slot];
        debug_assert!(table.published.is_empty(), "the slot's last sequence let go of its blocks");
        table.chain = chain;
    }

    /// How many of `chain`'s first `limit` blocks are published, and how many of these nobody holds.
    pub(super) fn find(&self, chain: &[u64], limit: u32) -> Hit {
        let found = chain.iter().take(self.limit(limit)).map_while(|hash| self.holders(*hash));
        Hit::sum(found)
    }

    pub(super) fn chain(&self, slot: u32) -> &[u64] {
        &self.tables[slot as usize].chain
    }

    /// Published blocks a sequence holds.
    pub(super) fn published(&self, slot: u32) -> usize {
        self.tables[slot as usize].published.len()
    }

    /// Who holds the block published under `hash`.
    pub(super) fn holders(&self, hash: u64) -> Option<u32> {
        self.by_hash.get(&hash).map(|&index| self.published[index as usize].holders)
    }

    /// As many of `blocks` blocks as may be published.
    pub(super) fn limit(&self, blocks: u32) -> usize {
        if self.caching { blocks as usize } else { 0 }
    }

    fn evict(&mut self) {
        let Some(index) = self.idle.pop(&mut self.published) else { return };
        self.by_hash.remove(&self.published[index as usize].hash);
        self.holes.push(index);
        self.blank += 1;
    }

    fn hold(&mut self, index: u32) {
        if self.published[index as usize].holders == 0 {
            self.idle.remove(&mut self.published, index);
        }
        self.published[index as usize].holders += 1;
    }

    /// Publishes a block that one sequence holds.
    fn insert(&mut self, hash: u64) -> u32 {
        let block = Published { hash, holders: 1, link: Link::LOOSE };
        if let Some(index) = self.holes.pop() {
            self.published[index as usize] = block;
            index
        } else {
            self.published.push(block);
            u32::try_from(self.published.len() - 1).unwrap_or(u32::MAX)
        }
    }

    /// Every block is blank, idle, or held.
    #[cfg(test)]
    pub(in crate::sim) fn assert_conserved(&self, private: u32) {
        let held = self.published.iter().filter(|block| block.holders > 0).count();
        assert_eq!(self.blank + self.idle.len() + u32::try_from(held).unwrap() + private, self.total);
        assert_eq!(self.by_hash.len() + self.holes.len(), self.published.len());
    }
}

impl Blocks for Pool {
    fn free(&self) -> u32 {
        self.blank + self.idle.len()
    }

    fn look_up(&self, slot: u32, limit: u32) -> Hit {
        self.find(self.chain(slot), limit)
    }

    fn adopt(&mut self, slot: u32, hit: Hit) {
        let mut table = std::mem::take(&mut self.tables[slot as usize]);
        for hash in &table.chain[..hit.blocks as usize] {
            let Some(&index) = self.by_hash.get(hash) else { break };
            self.hold(index);
            table.published.push(index);
        }
        self.tables[slot as usize] = table;
    }

    fn take(&mut self, count: u32) {
        debug_assert!(count <= self.free(), "blocks are taken only where they are free");
        while self.blank < count {
            self.evict();
        }
        self.blank -= count;
    }

    fn publish(&mut self, slot: u32, full: u32) {
        let full = self.limit(full);
        let mut table = std::mem::take(&mut self.tables[slot as usize]);
        for hash in table.chain.iter().take(full).skip(table.published.len()) {
            let index = match self.by_hash.get(hash) {
                Some(&index) => {
                    self.hold(index);
                    self.blank += 1;
                    index
                }
                None => {
                    let index = self.insert(*hash);
                    self.by_hash.insert(*hash, index);
                    index
                }
            };
            table.published.push(index);
        }
        self.tables[slot as usize] = table;
    }

    fn release(&mut self, slot: u32, held: u32, full: u32) {
        self.publish(slot, full);
        let mut table = std::mem::take(&mut self.tables[slot as usize].published);
        self.blank += held - u32::try_from(table.len()).unwrap_or(held);
        // From the end, so that the end is evicted first.
        for index in table.drain(..).rev() {
            let block = &mut self.published[index as usize];
            block.holders -= 1;
            if block.holders == 0 {
                self.idle.push(&mut self.published, index);
            }
        }
        self.tables[slot as usize].published = table;
    }
}

/// A number for each chain hash.
pub(super) type ByHash = HashMap<u64, u32, BuildHasherDefault<Identity>>;

/// Chain hashes are well mixed already.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The chain of one family of prompts: ten blocks in common with the next, twenty in all.
    fn chain(family: u64) -> Arc<[u64]> {
        (0..20)
            .map(|block| if block < 10 { 100 * (family / 2) + block } else { 100 * family + 50 + block })
            .collect()
    }

    /// That no block is published without those before it.
    fn is_whole(pool: &Pool) -> bool {
        (0..6).map(chain).all(|chain| {
            let published = chain.iter().map(|hash| pool.holders(*hash).is_some());
            published.is_sorted_by(|before, after| before >= after)
        })
    }

    proptest! {
        #[test]
        fn blocks_are_conserved_and_chains_stay_whole(
            total in 20u32..80, caching in any::<bool>(),
            actions in prop::collection::vec((0u32..8, 0u64..6, 1u32..25, 0u32..25), 1..60),
        ) {
            let mut pool = Pool::new(total, caching);
            // What each slot holds.
            let mut held = [None; 8];
            for (slot, family, tokens, full) in actions {
                if let Some(blocks) = held[slot as usize].take() {
                    pool.release(slot, blocks, full.min(blocks));
                } else {
                    pool.open(slot, chain(family));
                    let hit = pool.look_up(slot, tokens);
                    prop_assert!(hit.idle <= hit.blocks && hit.blocks <= tokens.min(20));
                    prop_assert!(caching || hit.blocks == 0);
                    if tokens - hit.blocks + hit.idle <= pool.free() {
                        pool.adopt(slot, hit);
                        pool.take(tokens - hit.blocks);
                        pool.publish(slot, full.min(tokens));
                        held[slot as usize] = Some(tokens);
                    }
                }
                let private = |(slot, blocks): (usize, &Option<u32>)| {
                    blocks.map_or(0, |blocks| blocks as usize - pool.tables[slot].published.len())
                };
                let private: usize = held.iter().enumerate().map(private).sum();
                pool.assert_conserved(u32::try_from(private).unwrap());
                prop_assert!(is_whole(&pool));
            }
        }
    }
}
