//! Blocks in a forecast: counts over the real pool, which stays as it is.

use std::collections::HashMap;

use super::{Blocks, Hit, Pool, pool::ByHash};

/// What would become of a [`Pool`]. Evictions are not foreseen: what is published now stays.
#[derive(Debug)]
pub(in crate::sim) struct Shadow<'p> {
    pool: &'p Pool,
    newcomer: Option<u32>,
    chain: &'p [u64],
    free: u32,
    /// Blocks suffice and nobody else waits: once the newcomer is in, blocks do not matter any more.
    plenty: bool,
    settled: bool,
    /// Holders of published blocks, where they differ from the pool's.
    holders: ByHash,
    /// Published blocks of each sequence, where they differ from the pool's.
    published: HashMap<u32, usize>,
}

impl<'p> Shadow<'p> {
    /// Of `pool`, where a newcomer will come with `chain`. `plenty` says that blocks suffice for all that is inside
    /// and that nobody waits.
    pub(in crate::sim) fn new(pool: &'p Pool, chain: &'p [u64], plenty: bool) -> Self {
        Self {
            pool,
            newcomer: None,
            chain,
            free: pool.free(),
            plenty,
            settled: false,
            holders: ByHash::default(),
            published: HashMap::new(),
        }
    }

    /// The newcomer is in `slot` now.
    pub(in crate::sim) fn came(&mut self, slot: u32) {
        self.newcomer = Some(slot);
        self.published.insert(slot, 0);
    }

    fn chain(&self, slot: u32) -> &'p [u64] {
        if self.newcomer == Some(slot) { self.chain } else { self.pool.chain(slot) }
    }

    fn holders(&self, hash: u64) -> Option<u32> {
        self.holders.get(&hash).copied().or_else(|| self.pool.holders(hash))
    }

    fn published(&self, slot: u32) -> usize {
        self.published.get(&slot).copied().unwrap_or_else(|| self.pool.published(slot))
    }

    fn hold(&mut self, hash: u64, holders: u32) {
        self.free -= u32::from(holders == 0);
        self.holders.insert(hash, holders + 1);
    }
}

impl Blocks for Shadow<'_> {
    fn free(&self) -> u32 {
        if self.settled { u32::MAX } else { self.free }
    }

    fn is_plenty(&self) -> bool {
        self.settled
    }

    fn look_up(&self, slot: u32, limit: u32) -> Hit {
        let chain = self.chain(slot);
        if self.holders.is_empty() {
            return self.pool.find(chain, limit);
        }
        Hit::sum(chain.iter().take(self.pool.limit(limit)).map_while(|hash| self.holders(*hash)))
    }

    fn adopt(&mut self, slot: u32, hit: Hit) {
        self.settled |= self.plenty && self.newcomer == Some(slot);
        if self.settled {
            return;
        }
        for hash in &self.chain(slot)[..hit.blocks as usize] {
            let holders = self.holders(*hash).unwrap_or(0);
            self.hold(*hash, holders);
        }
        self.published.insert(slot, hit.blocks as usize);
    }

    fn take(&mut self, count: u32) {
        self.free = self.free.saturating_sub(count);
    }

    fn publish(&mut self, slot: u32, full: u32) {
        if self.settled {
            return;
        }
        let from = self.published(slot);
        let chain = self.chain(slot);
        let to = chain.len().min(self.pool.limit(full)).max(from);
        for hash in &chain[from..to] {
            match self.holders(*hash) {
                Some(holders) => {
                    self.hold(*hash, holders);
                    self.free += 1;
                }
                None => {
                    self.holders.insert(*hash, 1);
                }
            }
        }
        self.published.insert(slot, to);
    }

    fn release(&mut self, slot: u32, held: u32, full: u32) {
        if self.settled {
            return;
        }
        self.publish(slot, full);
        let published = self.published(slot);
        for hash in &self.chain(slot)[..published] {
            let holders = self.holders(*hash).unwrap_or(1) - 1;
            self.holders.insert(*hash, holders);
            self.free += u32::from(holders == 0);
        }
        self.free += held - u32::try_from(published).unwrap_or(held);
        self.published.insert(slot, 0);
    }
}
