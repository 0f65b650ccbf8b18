//! Requests that wait.

use std::collections::{BTreeSet, VecDeque};

use crate::sim::{Scheduling, sequence::Sequence};

/// Slots of waiting requests, in the order they are taken in.
#[derive(Debug, Clone)]
pub(in crate::sim) enum Queue {
    /// By arrival; preempted ones go to the front.
    Fcfs(VecDeque<u32>),
    /// By priority, then by arrival.
    Priority(BTreeSet<(i32, u64, u32)>),
}

impl Queue {
    pub(in crate::sim) fn new(order: Scheduling) -> Self {
        match order {
            Scheduling::Fcfs => Self::Fcfs(VecDeque::new()),
            Scheduling::Priority => Self::Priority(BTreeSet::new()),
        }
    }

    pub(in crate::sim) fn len(&self) -> usize {
        match self {
            Self::Fcfs(queue) => queue.len(),
            Self::Priority(queue) => queue.len(),
        }
    }

    pub(in crate::sim) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(in crate::sim) fn push(&mut self, slot: u32, sequence: &Sequence) {
        match self {
            Self::Fcfs(queue) => queue.push_back(slot),
            Self::Priority(queue) => {
                queue.insert(key(slot, sequence));
            }
        }
    }

    /// Puts a preempted request back.
    pub(in crate::sim) fn push_front(&mut self, slot: u32, sequence: &Sequence) {
        match self {
            Self::Fcfs(queue) => queue.push_front(slot),
            Self::Priority(queue) => {
                queue.insert(key(slot, sequence));
            }
        }
    }

    pub(in crate::sim) fn peek(&self) -> Option<u32> {
        match self {
            Self::Fcfs(queue) => queue.front().copied(),
            Self::Priority(queue) => queue.first().map(|&(.., slot)| slot),
        }
    }

    pub(in crate::sim) fn pop(&mut self) -> Option<u32> {
        match self {
            Self::Fcfs(queue) => queue.pop_front(),
            Self::Priority(queue) => queue.pop_first().map(|(.., slot)| slot),
        }
    }

    /// Takes a request out; whether it was there.
    pub(in crate::sim) fn remove(&mut self, slot: u32, sequence: &Sequence) -> bool {
        match self {
            Self::Fcfs(queue) => {
                let at = queue.iter().position(|&waiting| waiting == slot);
                at.and_then(|at| queue.remove(at)).is_some()
            }
            Self::Priority(queue) => queue.remove(&key(slot, sequence)),
        }
    }

    pub(in crate::sim) fn iter(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        match self {
            Self::Fcfs(queue) => Box::new(queue.iter().copied()),
            Self::Priority(queue) => Box::new(queue.iter().map(|&(.., slot)| slot)),
        }
    }
}

fn key(slot: u32, sequence: &Sequence) -> (i32, u64, u32) {
    (sequence.priority, sequence.arrival, slot)
}
