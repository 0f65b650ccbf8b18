//! Sums in which what is older counts less, whatever the order it is told in.

use crate::Moment;

/// Weights of this many half-lives from the origin are where doubles still add up well; then the origin moves.
const MOVE_AFTER_HALF_LIVES: f64 = 64.0;

/// Forward decay: a thing of time `t` weighs 2^((t − origin) / half-life), and sums are divided by the weight of now when
/// they are read. So nothing has to be aged between, and things may be told late: the sum is the same in any order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Decay {
    half_life_s: f64,
    origin: Moment,
}

impl Decay {
    /// `half_life_s`: at least a millisecond.
    pub(super) fn new(half_life_s: f64, origin: Moment) -> Self {
        Self { half_life_s: if half_life_s > 1e-3 { half_life_s } else { 1e-3 }, origin }
    }

    /// What a thing of `at` weighs in a sum.
    pub(super) fn weight(&self, at: Moment) -> f64 {
        self.half_lives(at).exp2()
    }

    /// What the weights of a steady one a second would add up to by `now`, had they begun `elapsed_s` ago, over the weight
    /// of now: seconds.
    pub(super) fn window_s(&self, elapsed_s: f64) -> f64 {
        self.half_life_s / std::f64::consts::LN_2
            * -(-elapsed_s / self.half_life_s * std::f64::consts::LN_2).exp_m1()
    }

    /// Where `now` is far from the origin, moves that; gives the factor that all sums have to be multiplied with then.
    pub(super) fn moved(&mut self, now: Moment) -> Option<f64> {
        let half_lives = self.half_lives(now);
        (half_lives > MOVE_AFTER_HALF_LIVES).then(|| {
            self.origin = now;
            (-half_lives).exp2()
        })
    }

    fn half_lives(&self, at: Moment) -> f64 {
        (at.seconds_since(self.origin) - self.origin.seconds_since(at)) / self.half_life_s
    }
}
