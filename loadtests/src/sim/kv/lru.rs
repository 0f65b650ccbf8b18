//! A list through a slab: order of use without allocation.

/// Ends a list.
const NONE: u32 = u32::MAX;

/// Where an element of the slab hangs in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    before: u32,
    after: u32,
}

impl Link {
    /// Of an element in no list.
    pub(super) const LOOSE: Self = Self { before: NONE, after: NONE };
}

/// A slab whose elements carry a [`Link`].
pub(super) trait Linked {
    fn link(&mut self) -> &mut Link;
}

/// Elements of a slab, least recently used first.
#[derive(Debug, Clone)]
pub(super) struct Lru {
    first: u32,
    last: u32,
    len: u32,
}

impl Lru {
    pub(super) fn new() -> Self {
        Self { first: NONE, last: NONE, len: 0 }
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Appends `index`, which is in no list, as the most recently used.
    pub(super) fn push<T: Linked>(&mut self, slab: &mut [T], index: u32) {
        *slab[index as usize].link() = Link { before: self.last, after: NONE };
        match self.last {
            NONE => self.first = index,
            last => slab[last as usize].link().after = index,
        }
        self.last = index;
        self.len += 1;
    }

    /// Takes `index`, which is in this list, out of it.
    pub(super) fn remove<T: Linked>(&mut self, slab: &mut [T], index: u32) {
        let Link { before, after } = std::mem::replace(slab[index as usize].link(), Link::LOOSE);
        match before {
            NONE => self.first = after,
            before => slab[before as usize].link().after = after,
        }
        match after {
            NONE => self.last = before,
            after => slab[after as usize].link().before = before,
        }
        self.len -= 1;
    }

    /// Takes the least recently used out.
    pub(super) fn pop<T: Linked>(&mut self, slab: &mut [T]) -> Option<u32> {
        let first = (self.first != NONE).then_some(self.first)?;
        self.remove(slab, first);
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    impl Linked for Link {
        fn link(&mut self) -> &mut Link {
            self
        }
    }

    proptest! {
        #[test]
        fn it_orders_like_a_queue(actions in prop::collection::vec((0u8..3, 0u32..16), 0..200)) {
            let mut slab = [Link::LOOSE; 16];
            let (mut lru, mut model) = (Lru::new(), VecDeque::new());
            for (action, index) in actions {
                let at = model.iter().position(|&held| held == index);
                match (action, at) {
                    (0, None) => {
                        lru.push(&mut slab, index);
                        model.push_back(index);
                    }
                    (1, Some(at)) => {
                        lru.remove(&mut slab, index);
                        model.remove(at);
                    }
                    (2, _) => prop_assert_eq!(lru.pop(&mut slab), model.pop_front()),
                    _ => {}
                }
                prop_assert_eq!(lru.len() as usize, model.len());
            }
        }
    }
}
