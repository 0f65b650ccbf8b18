//! What a model's traffic comes to under an assignment of profiles to its engines.

use super::steady::{Machine, Steady};

/// Parts that the traffic is split into, by work: what is smaller than that is not told apart.
const PARTS: f64 = 64.0;
/// Rounds in which parts are moved to where they cost less: what is left then is rounding.
const ROUNDS: usize = 3;

/// Traffic split over engines.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Split {
    /// Parts by engine, then by class.
    parts: Vec<Vec<u32>>,
    /// What each engine comes to.
    pub(super) engines: Vec<Steady>,
}

impl Split {
    /// The objective a second, over all engines.
    pub(super) fn total(&self) -> f64 {
        self.engines.iter().map(|steady| steady.total).sum()
    }

    /// The load of the engine that is loaded most.
    pub(super) fn utilisation(&self) -> f64 {
        self.engines.iter().map(|steady| steady.utilisation).fold(0.0, f64::max)
    }
}

/// Splits traffic as the router does: each request to where it takes least, what it delays others by counted as its own. In
/// the mean that is the split that makes the sum least.
#[derive(Debug, Clone)]
pub(super) struct Splitter {
    /// Requests a second of one part, by class.
    part: Vec<f64>,
    /// Parts by class.
    count: Vec<u32>,
}

impl Splitter {
    /// For classes with these rates, requests a second, and these shares of the work.
    pub(super) fn new(rates: &[f64], work: &[f64]) -> Self {
        let all: f64 = work.iter().sum();
        let parts = |work: &f64| crate::num::to_u32((PARTS * work / all.max(1e-12)).ceil()).max(2);
        let count: Vec<u32> = work.iter().map(parts).collect();
        let part = rates.iter().zip(&count).map(|(rate, &count)| rate / f64::from(count)).collect();
        Self { part, count }
    }

    /// The split over `machines`, of which those that are `None` take nothing. `None` where there is none at all.
    pub(super) fn split(&self, machines: &[Option<&Machine>]) -> Option<Split> {
        machines.iter().flatten().next()?;
        let mut state = State::new(self, machines);
        // The classes in turn, so that none finds all engines taken.
        let most = self.count.iter().copied().max().unwrap_or(0);
        for turn in 0..most {
            for class in (0..self.count.len()).filter(|&class| turn < self.count[class]) {
                state.place(class);
            }
        }
        state.improve();
        Some(state.split)
    }

    /// As [`Self::split`], beginning with the split of an assignment that differs in one engine.
    pub(super) fn split_from(
        &self,
        machines: &[Option<&Machine>],
        from: &Split,
        changed: usize,
    ) -> Option<Split> {
        machines.iter().flatten().next()?;
        let mut state = State::new(self, machines);
        state.split = from.clone();
        let moved = std::mem::take(&mut state.split.parts[changed]);
        state.split.parts[changed] = vec![0; self.part.len()];
        state.split.engines[changed] = Steady::default();
        for (class, count) in moved.into_iter().enumerate() {
            (0..count).for_each(|_| state.place(class));
        }
        state.improve();
        Some(state.split)
    }
}

struct State<'a> {
    splitter: &'a Splitter,
    machines: &'a [Option<&'a Machine>],
    split: Split,
    rates: Vec<f64>,
}

impl<'a> State<'a> {
    fn new(splitter: &'a Splitter, machines: &'a [Option<&'a Machine>]) -> Self {
        let classes = splitter.part.len();
        let split = Split {
            parts: vec![vec![0; classes]; machines.len()],
            engines: vec![Steady::default(); machines.len()],
        };
        Self { splitter, machines, split, rates: vec![0.0; classes] }
    }

    /// What an engine would come to with one part of a class more, or less.
    fn with(&mut self, engine: usize, class: usize, more: bool) -> Option<Steady> {
        let machine = self.machines[engine]?;
        for (at, rate) in self.rates.iter_mut().enumerate() {
            let parts = f64::from(self.split.parts[engine][at]);
            let change = if at != class {
                0.0
            } else if more {
                1.0
            } else {
                -1.0
            };
            *rate = (parts + change) * self.splitter.part[at];
        }
        Some(machine.steady(&self.rates))
    }

    /// Where one more part of a class costs least, what the engine then comes to, and the cost.
    fn cheapest(&mut self, class: usize, but: Option<usize>) -> Option<(usize, Steady, f64)> {
        let mut best: Option<(usize, Steady, f64)> = None;
        for engine in (0..self.machines.len()).filter(|&engine| Some(engine) != but) {
            let Some(then) = self.with(engine, class, true) else { continue };
            let cost = then.total - self.split.engines[engine].total;
            if best.is_none_or(|(.., least)| cost < least) {
                best = Some((engine, then, cost));
            }
        }
        best
    }

    fn place(&mut self, class: usize) {
        if let Some((engine, then, _)) = self.cheapest(class, None) {
            self.split.parts[engine][class] += 1;
            self.split.engines[engine] = then;
        }
    }

    /// Moves parts to where they cost less.
    fn improve(&mut self) {
        for _ in 0..ROUNDS {
            if !self.improved() {
                return;
            }
        }
    }

    /// Looks at every part once; whether any was moved.
    fn improved(&mut self) -> bool {
        let mut moved = false;
        for engine in 0..self.machines.len() {
            for class in 0..self.splitter.part.len() {
                while self.split.parts[engine][class] > 0 {
                    let Some(without) = self.with(engine, class, false) else { break };
                    let saved = self.split.engines[engine].total - without.total;
                    let Some((to, then, cost)) = self.cheapest(class, Some(engine)) else { break };
                    if cost >= saved * (1.0 - 1e-6) {
                        break;
                    }
                    self.split.parts[engine][class] -= 1;
                    self.split.engines[engine] = without;
                    self.split.parts[to][class] += 1;
                    self.split.engines[to] = then;
                    moved = true;
                }
            }
        }
        moved
    }
}
