//! The network between router and engines.

use std::time::Duration;

use super::{Outcome, policy::Policy, run::Run};
use crate::sim::Moment;

/// Least time after which a lost packet is sent again: Linux's.
const LEAST_TIMEOUT: Duration = Duration::from_millis(200);

impl<P: Policy + ?Sized, V: FnMut(&Outcome)> Run<'_, P, V> {
    /// Half a round trip from `from`, and what the network loses on the way.
    pub(super) fn half_way(&mut self, engine: usize, from: Moment) -> Moment {
        let lost = self.lost(engine);
        from.after(self.fleet.members[engine].round_trip / 2 + lost)
    }

    /// Delay by losses on one way: each time a packet is lost it is sent again after a timeout that doubles, as TCP does.
    pub(super) fn lost(&mut self, engine: usize) -> Duration {
        let member = &self.fleet.members[engine];
        let (mut delay, mut timeout) = (Duration::ZERO, LEAST_TIMEOUT + member.round_trip);
        while member.loss > 0.0 && self.rng.f64() < member.loss {
            delay += timeout;
            timeout *= 2;
        }
        delay
    }
}
