//! The KV cache in blocks: who holds them, which are kept for prompts that begin alike, which go first.
//!
//! As in vLLM, a block whose tokens are known for good is published under its chain hash. A request whose prompt begins
//! with published blocks adopts them instead of computing them. Nobody's published blocks stay until room is needed;
//! the least recently used goes first, and of one sequence its tail, so what is cached is always whole from its start.
//!
//! Two things are simpler than in vLLM. A block without a hash has no identity here: it is a count. And where two
//! requests compute the same block, vLLM keeps both copies until they are evicted; here the second gives its copy back.

mod lru;
mod pool;
mod shadow;

pub(super) use pool::Pool;
pub(super) use shadow::Shadow;

/// What a lookup found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Hit {
    /// Published blocks the prompt begins with.
    pub blocks: u32,
    /// Those of them nobody holds: adopting them takes them from what is free.
    pub idle: u32,
}

impl Hit {
    /// Of blocks with so many holders each.
    fn sum(holders: impl Iterator<Item = u32>) -> Self {
        holders.fold(Self::default(), |hit, holders| Self {
            blocks: hit.blocks + 1,
            idle: hit.idle + u32::from(holders == 0),
        })
    }
}

/// Blocks as the scheduler sees them. `slot` names a sequence.
pub(super) trait Blocks {
    /// Blocks that can be had: blank ones, and published ones nobody holds.
    fn free(&self) -> u32;

    /// Whether there are so many that nobody need count them.
    fn is_plenty(&self) -> bool {
        false
    }

    /// How much of the sequence's first `limit` blocks is there.
    fn look_up(&self, slot: u32, limit: u32) -> Hit;

    /// Makes the sequence a holder of the blocks of a hit.
    fn adopt(&mut self, slot: u32, hit: Hit);

    /// Takes `count` blocks, which are free, evicting published ones where blank ones are short.
    fn take(&mut self, count: u32);

    /// Publishes the sequence's blocks up to `full`, whose tokens are computed.
    fn publish(&mut self, slot: u32, full: u32);

    /// Lets go of all `held` blocks of a sequence, after publishing those up to `full`.
    fn release(&mut self, slot: u32, held: u32, full: u32);
}
