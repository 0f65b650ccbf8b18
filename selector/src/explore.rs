//! Chance in the choice: who may be drawn, with which probability, and the small share of requests that go elsewhere on
//! purpose.
//!
//! What an engine that is never chosen would have done is never seen, and a bundle that would choose otherwise cannot be judged
//! by what happened. So some requests explore, where that is safe; and of every choice the *propensity* is known: the
//! probability with which the chosen candidate would be chosen again among the same candidates in the same state, over all lots
//! that are drawn after the candidates are fixed. (Groups of more than 64 are sampled first; that sample is given.)
//!
//! Whoever is hardly known is *introduced*: until it has answered as often as it takes to say that it is not what it claims, every other
//! request goes to such a backend ([`Exploration::introduce`]), for a while at most: not every answer teaches. Left to the rule, the first late answer would keep the others away
//! for long, and so what is wrong with it would not be told.

use smallvec::SmallVec;

use crate::{
    choose::MAX_DOUBT,
    eligible::MAX_CANDIDATES,
    num,
    rank::{Candidate, Class},
};

/// How much is explored.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Exploration {
    /// Probability with which a request explores, where there is anybody else whom it may safely go to; 0 for never.
    pub share: f64,
    /// By how much the objective of a candidate may be worse than the best one's, as a share of it, to be explored.
    pub max_loss: f64,
    /// Probability with which a request goes to a backend that is hardly known, where there is one that it may safely go to; 0 for
    /// never.
    pub introduce: f64,
}

impl Exploration {
    /// [`Exploration::introduce`] as it serves. Chosen with `gearshift-loadtest route --adapt`.
    pub const INTRODUCE: f64 = 0.5;
}

/// Positions among the surveyed candidates.
pub(crate) type Positions = SmallVec<[usize; MAX_CANDIDATES]>;

/// Whom a rule draws from.
#[expect(clippy::large_enum_variant, reason = "one for each decision, on the stack")]
#[derive(Debug, Clone)]
pub(crate) enum Draw {
    /// Two random ones of these (one at least); the less loaded is taken, of equals the first drawn.
    LessLoaded(Positions),
    /// Two random ones of all, and this one; the least `value` is taken, of equals the first of this one, first drawn, second
    /// drawn.
    Fastest(Option<usize>),
}

/// What was drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Lot {
    /// Position of the chosen one.
    pub(crate) chosen: usize,
    /// Whether it was drawn to explore, or to be introduced. The rule might have drawn the same.
    pub(crate) explored: bool,
    /// Probability with which it is chosen, by the rule or to explore.
    pub(crate) propensity: f64,
}

/// The whole lottery over some candidates.
#[derive(Debug, Clone)]
pub(crate) struct Lottery {
    draw: Draw,
    /// With which probability one of `safe` is drawn, each alike, in place of the rule's.
    share: f64,
    safe: Positions,
    /// With which probability one of `strangers` is drawn before that, each alike.
    introduce: f64,
    strangers: Positions,
}

/// By how much the objective of a stranger may be worse than the best one's, as a share of it: as far as what is not known of engines
/// makes candidates equal, see [`MAX_DOUBT`]. Without a bound nothing was found out sooner, and newcomers were worse off.
const STRANGER_LOSS: f64 = MAX_DOUBT - 1.0;

impl Lottery {
    /// The rule alone.
    pub(crate) fn rule(draw: Draw) -> Self {
        Self { draw, share: 0.0, safe: Positions::new(), introduce: 0.0, strangers: Positions::new() }
    }

    /// The rule, introductions, and a share that explores. Whoever is introduced or explored is predicted to meet all limits (by the
    /// times that most requests stay below) and to lose little of the objective: a stranger as far as what is not known of
    /// engines makes candidates equal, others `max_loss`.
    pub(crate) fn exploring(draw: Draw, candidates: &[Candidate], exploration: Exploration) -> Self {
        let Exploration { share, max_loss, introduce } = exploration;
        let rule = Self::rule(draw);
        let asked = share > 0.0 || introduce > 0.0 && candidates.iter().any(|candidate| candidate.is_new);
        if candidates.len() < 2 || !asked {
            return rule;
        }
        let meets = |candidate: &&Candidate| candidate.class == Class::Meets && candidate.ranked.meets_slo;
        let best = candidates.iter().filter(meets).map(|c| c.value).fold(f64::INFINITY, f64::min);
        let within = |at: &usize, loss: f64| {
            meets(&&candidates[*at]) && candidates[*at].value <= best * (1.0 + loss.max(0.0))
        };
        let of = |share: f64, least: usize, among: Positions| {
            let some = share > 0.0 && among.len() >= least;
            if some { (share.min(1.0), among) } else { (0.0, Positions::new()) }
        };
        let safe = (0..candidates.len()).filter(|at| within(at, max_loss)).collect();
        let (share, safe) = of(share, 2, safe);
        let strangers =
            (0..candidates.len()).filter(|at| candidates[*at].is_new && within(at, STRANGER_LOSS));
        let (introduce, strangers) = of(introduce, 1, strangers.collect());
        Self { share, safe, introduce, strangers, ..rule }
    }

    /// Draws.
    pub(crate) fn draw(&self, candidates: &[Candidate], rng: &mut fastrand::Rng) -> Lot {
        let introduced = self.introduce > 0.0 && rng.f64() < self.introduce;
        let explored = !introduced && self.share > 0.0 && rng.f64() < self.share;
        let chosen = match (introduced, explored) {
            (true, _) => self.strangers[rng.usize(..self.strangers.len())],
            (false, true) => self.safe[rng.usize(..self.safe.len())],
            (false, false) => self.draw.draw(candidates, rng),
        };
        Lot { chosen, explored: introduced || explored, propensity: self.propensity(candidates, chosen) }
    }

    /// With which probability the candidate at this position is drawn.
    pub(crate) fn propensity(&self, candidates: &[Candidate], at: usize) -> f64 {
        let evenly = |among: &Positions| if among.contains(&at) { (among.len() as f64).recip() } else { 0.0 };
        let others =
            (1.0 - self.share) * self.draw.propensity(candidates, at) + self.share * evenly(&self.safe);
        self.introduce * evenly(&self.strangers) + (1.0 - self.introduce) * others
    }
}

impl Draw {
    fn draw(&self, candidates: &[Candidate], rng: &mut fastrand::Rng) -> usize {
        match self {
            Self::LessLoaded(among) => {
                let (first, second) = two_of(among.len(), rng);
                let (first, second) = (among[first], among[second]);
                if candidates[second].outstanding < candidates[first].outstanding { second } else { first }
            }
            Self::Fastest(warmest) => {
                let (first, second) = two_of(candidates.len(), rng);
                let contenders = [warmest.unwrap_or(first), first, second];
                let faster = |a: &usize, b: &usize| candidates[*a].value.total_cmp(&candidates[*b].value);
                contenders.into_iter().min_by(faster).unwrap_or(first)
            }
        }
    }

    fn propensity(&self, candidates: &[Candidate], at: usize) -> f64 {
        match self {
            Self::LessLoaded(among) => {
                if !among.contains(&at) {
                    return 0.0;
                }
                let own = candidates[at].outstanding;
                wins(among.len(), among.iter().map(|&other| candidates[other].outstanding.cmp(&own)))
            }
            Self::Fastest(warmest) => {
                let own = candidates[at].value;
                let of = |at: usize| {
                    let own = candidates[at].value;
                    wins(candidates.len(), candidates.iter().map(|other| other.value.total_cmp(&own)))
                };
                match warmest {
                    None => of(at),
                    // It contends whatever is drawn, and is passed over for the strictly faster alone.
                    Some(warm) if candidates[*warm].value.total_cmp(&own).is_gt() => of(at),
                    Some(warm) if *warm == at => {
                        let slower =
                            candidates.iter().filter(|other| other.value.total_cmp(&own).is_ge()).count();
                        if candidates.len() < 2 { 1.0 } else { pairs(slower) / pairs(candidates.len()) }
                    }
                    Some(_) => 0.0,
                }
            }
        }
    }
}

/// Probability of being in a random pair of `len` and winning it: against each that is greater, and half against each equal.
/// `others` are all of them compared with this one, itself included.
fn wins(len: usize, others: impl Iterator<Item = std::cmp::Ordering>) -> f64 {
    if len < 2 {
        return 1.0;
    }
    // In halves; against itself there is no pair.
    let halves: u32 = others.map(|other| if other.is_gt() { 2 } else { u32::from(other.is_eq()) }).sum();
    f64::from(halves - 1) * 0.5 / pairs(len)
}

/// Pairs of so many.
fn pairs(len: usize) -> f64 {
    let len = f64::from(num::to_u32(len as f64));
    len * (len - 1.0) / 2.0
}

/// Two distinct random positions; the same one twice where there is only one. `len` is at least 1.
fn two_of(len: usize, rng: &mut fastrand::Rng) -> (usize, usize) {
    let first = rng.usize(..len);
    if len == 1 {
        return (first, first);
    }
    (first, (first + rng.usize(1..len)) % len)
}

#[cfg(test)]
#[path = "explore_tests.rs"]
mod tests;
