//! Which prompts went where, by their prefix blocks: what cache-aware policies remember.

use std::collections::HashMap;

use gearshift_selector::Index;
use smallvec::SmallVec;

/// Backends by block hash, most recent last. A block's hash stands for all before it.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    blocks: HashMap<u64, SmallVec<[(Index, u64); 4]>>,
    clock: u64,
    /// Blocks held of each backend.
    held: Vec<usize>,
    /// How many blocks of one backend are remembered.
    limit: usize,
}

impl Prefixes {
    /// For so many backends, `limit` blocks each.
    pub(super) fn new(backends: usize, limit: usize) -> Self {
        Self { blocks: HashMap::new(), clock: 0, held: vec![0; backends], limit }
    }

    /// Leading blocks of `chain` that went to each backend; `matched` is by position in the fleet.
    pub(super) fn matched(&self, chain: &[u64], matched: &mut [usize]) {
        matched.fill(0);
        for (depth, hash) in chain.iter().enumerate() {
            let Some(here) = self.blocks.get(hash) else { return };
            for &(backend, _) in here {
                if matched[backend] == depth {
                    matched[backend] = depth + 1;
                }
            }
        }
    }

    /// The longest prefix that any backend got: how many blocks, and who got it last.
    pub(super) fn longest(&self, chain: &[u64]) -> Option<(usize, Index)> {
        let mut best = None;
        for (depth, hash) in chain.iter().enumerate() {
            let Some(here) = self.blocks.get(hash) else { break };
            let Some(last) = here.iter().max_by_key(|(_, used)| *used) else { break };
            best = Some((depth + 1, last.0));
        }
        best
    }

    /// The prompt goes to `backend`. Gives how many of its blocks were new there.
    pub(super) fn insert(&mut self, chain: &[u64], backend: Index) -> usize {
        self.clock += 1;
        let mut new = 0;
        for &hash in chain {
            let here = self.blocks.entry(hash).or_default();
            match here.iter_mut().find(|(other, _)| *other == backend) {
                Some((_, used)) => *used = self.clock,
                None => {
                    here.push((backend, self.clock));
                    new += 1;
                }
            }
        }
        self.held[backend] += new;
        if self.held[backend] > self.limit {
            self.forget(backend);
        }
        new
    }

    /// Drops the older half of what a backend holds: as good as least recently used, and seldom done.
    fn forget(&mut self, backend: Index) {
        let of =
            |here: &SmallVec<[(Index, u64); 4]>| here.iter().find(|(b, _)| *b == backend).map(|(_, u)| *u);
        let mut ages: Vec<u64> = self.blocks.values().filter_map(of).collect();
        let middle = ages.len() / 2;
        let (_, &mut median, _) = ages.select_nth_unstable(middle);
        self.blocks.retain(|_, here| {
            here.retain(|(other, used)| *other != backend || *used >= median);
            !here.is_empty()
        });
        self.held[backend] = self.blocks.values().filter_map(of).count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_and_who_got_it_last() {
        let mut prefixes = Prefixes::new(3, 100);
        assert_eq!(prefixes.insert(&[1, 2, 3], 0), 3);
        assert_eq!(prefixes.insert(&[1, 2, 9], 1), 3);
        assert_eq!(prefixes.longest(&[1, 2, 3, 4]), Some((3, 0)));
        assert_eq!(prefixes.longest(&[1, 2, 7]), Some((2, 1)), "the last to get it");
        assert_eq!(prefixes.longest(&[7]), None);
        let mut matched = [9; 3];
        prefixes.matched(&[1, 2, 9, 10], &mut matched);
        assert_eq!(matched, [2, 3, 0]);
        assert_eq!(prefixes.insert(&[1, 2, 3], 0), 0);
    }

    #[test]
    fn memory_is_bounded_and_the_recent_stays() {
        let mut prefixes = Prefixes::new(1, 10);
        for start in 0..100 {
            prefixes.insert(&[start * 10, start * 10 + 1], 0);
            assert!(prefixes.held[0] <= 10);
        }
        assert_eq!(prefixes.longest(&[990, 991]), Some((2, 0)));
        assert_eq!(prefixes.longest(&[0, 1]), None);
    }
}
