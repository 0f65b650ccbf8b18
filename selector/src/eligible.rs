//! Who may take a request: filter by profile and availability, and keep large groups to a bounded sample.

use smallvec::SmallVec;

use crate::{
    decision::NoCandidate,
    group::{BackendSpec, Group, Index},
    state::Availability,
};

/// Candidates looked at for one request at most: the cost of a decision does not grow with the fleet.
pub(crate) const MAX_CANDIDATES: usize = 64;
/// Backends of a large group asked for their availability before a smaller sample has to do.
const MAX_PROBES: usize = 4 * MAX_CANDIDATES;

/// The candidates, all of one standing.
#[derive(Debug)]
pub(crate) struct Eligible {
    pub(crate) indices: SmallVec<[Index; MAX_CANDIDATES]>,
    /// Not one of them is ready or unchecked.
    pub(crate) none_ready: bool,
}

/// Which candidates come first; the best standing that anybody has is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Ready,
    /// Ready, in a slow start, and this request is not among its share.
    Starting,
    Unchecked,
    /// Tried rather than refused: health may lag, and a connection failure costs one retry.
    Failing,
    /// Refuses new work, or soon will.
    Leaving,
    /// Takes requests and lets them hang until it is woken.
    Asleep,
}

impl Standing {
    /// `None` where nothing may be sent.
    fn of(backend: &BackendSpec) -> Option<Self> {
        Some(match backend.state.availability() {
            Availability::Shifting => return None,
            Availability::Ready if backend.state.share.admits() => Self::Ready,
            Availability::Ready => Self::Starting,
            // One request at a time, ranked like any other: without one it would never come back.
            Availability::Probation if backend.state.in_flight().requests == 0 => Self::Ready,
            Availability::Unknown => Self::Unchecked,
            Availability::Probation | Availability::Down | Availability::Hung => Self::Failing,
            Availability::Draining => Self::Leaving,
            Availability::Asleep => Self::Asleep,
        })
    }
}

/// Collects the candidates of best standing.
struct Collector<'a> {
    group: &'a Group,
    allow_lossy: bool,
    tried: &'a [Index],
    best: Standing,
    indices: SmallVec<[Index; MAX_CANDIDATES]>,
    /// Some backend's profile suits the route.
    suits: bool,
}

impl Collector<'_> {
    fn visit(&mut self, index: Index) {
        let backend = &self.group.backends()[index];
        if !(backend.lossless || self.allow_lossy) {
            return;
        }
        self.suits = true;
        if self.tried.contains(&index) {
            return;
        }
        let Some(standing) = Standing::of(backend) else { return };
        if standing < self.best {
            self.best = standing;
            self.indices.clear();
        }
        if standing == self.best && self.indices.len() < MAX_CANDIDATES && !self.indices.contains(&index) {
            self.indices.push(index);
        }
    }

    fn full(&self) -> bool {
        self.indices.len() == MAX_CANDIDATES && self.best == Standing::Ready
    }
}

/// Filters the group's backends for one request.
pub(crate) fn eligible(
    group: &Group,
    allow_lossy: bool,
    tried: &[Index],
    prefix: &[u64],
    rng: &mut fastrand::Rng,
) -> Result<Eligible, NoCandidate> {
    let len = group.backends().len();
    let mut found = Collector {
        group,
        allow_lossy,
        tried,
        best: Standing::Asleep,
        indices: SmallVec::new(),
        suits: false,
    };
    if len <= MAX_CANDIDATES {
        (0..len).for_each(|index| found.visit(index));
    } else {
        // Who probably holds the prefix first, then a random sample.
        group.hints(prefix).for_each(|index| found.visit(index));
        for (probes, index) in permutation(len, rng).enumerate() {
            if found.full() || probes >= MAX_PROBES && !found.indices.is_empty() {
                break;
            }
            found.visit(index);
        }
    }
    match found.indices.is_empty() {
        false => Ok(Eligible { none_ready: found.best > Standing::Unchecked, indices: found.indices }),
        true if len == 0 => Err(NoCandidate::NoneAvailable),
        true if !found.suits => Err(NoCandidate::OnlyLossy),
        true => Err(NoCandidate::AllTried),
    }
}

/// `0..len` in a random order: strides coprime to the length visit each position once, without a list.
fn permutation(len: usize, rng: &mut fastrand::Rng) -> impl Iterator<Item = usize> {
    let start = rng.usize(..len);
    let mut stride = rng.usize(1..len);
    while gcd(stride, len) != 1 {
        stride = stride % (len - 1) + 1;
    }
    (0..len).scan(start, move |at, _| {
        let here = *at;
        *at = (here + stride) % len;
        Some(here)
    })
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_permutation_visits_each_once(len in 2usize..2000, seed: u64) {
            let mut seen: Vec<_> = permutation(len, &mut fastrand::Rng::with_seed(seed)).collect();
            seen.sort_unstable();
            prop_assert!(seen.into_iter().eq(0..len));
        }
    }
}
