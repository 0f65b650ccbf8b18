//! How many of the requests that could come may come: a slow start.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// All of them.
pub(crate) const ALL: u32 = 1000;

/// A share, handed out evenly: of a thousand requests exactly so many are admitted, without a random number.
#[derive(Debug)]
pub(crate) struct Share {
    permille: AtomicU32,
    handed_out: AtomicU32,
}

impl Default for Share {
    fn default() -> Self {
        Self { permille: AtomicU32::new(ALL), handed_out: AtomicU32::new(0) }
    }
}

impl Share {
    /// `permille` of a thousand; more means all.
    pub(crate) fn set(&self, permille: u32) {
        self.permille.store(permille.min(ALL), Relaxed);
    }

    /// Whether this request is among them.
    pub(crate) fn admits(&self) -> bool {
        let permille = self.permille.load(Relaxed);
        if permille >= ALL {
            return true;
        }
        // Wraps once in four billion thousandths, which costs one request its turn.
        self.handed_out.fetch_add(permille, Relaxed) % ALL + permille >= ALL
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn of_a_thousand_exactly_so_many(permille in 0_u32..=1200) {
            let share = Share::default();
            share.set(permille);
            let admitted = (0..1000).filter(|_| share.admits()).count();
            prop_assert_eq!(admitted, permille.min(1000) as usize);
        }

        #[test]
        fn none_waits_longer_than_its_turn(permille in 1_u32..1000) {
            let share = Share::default();
            share.set(permille);
            let turn = 1000_u32.div_ceil(permille) as usize;
            let admitted: Vec<bool> = (0..3000).map(|_| share.admits()).collect();
            prop_assert!(admitted.windows(turn).all(|window| window.contains(&true)));
        }
    }
}
