//! What is going to happen outside the engines, in order of time.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use super::policy::Ticket;
use crate::sim::Moment;

/// Something that happens at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Event {
    /// A request reaches the engine it was sent to.
    Reaches(Ticket),
    /// What an engine sent back reaches the router.
    Comes(Ticket, Answer),
    /// An engine's health is checked. `true`: the regular check, which is repeated.
    Check(usize, bool),
    /// An engine's metrics are read.
    Scrape(usize),
    /// The engines' busy seconds are noted.
    Sample,
    /// A plan is made for which engine runs what.
    Plan,
    /// An engine that is being shifted is looked at.
    Shifting(usize),
    /// A fault begins (`true`) or is lifted; by its position in the settings.
    Fault(usize, bool),
}

/// What an engine's side sends back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Answer {
    /// The first token.
    First,
    /// The end of the answer.
    Last(Ending),
    /// A connection refused or reset before a response head.
    Broken,
    /// 503: the queue is full, or a fault says so.
    Busy,
    /// An error status that is passed on.
    Error,
    /// The stream broke off.
    Cut,
}

/// What is known when an answer is whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ending {
    pub(super) cached_tokens: u32,
    pub(super) preemptions: u32,
    pub(super) joules: f64,
}

/// Events by time; those of one moment in the order they were entered.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Reverse<Entry>>,
    entered: u64,
}

impl Agenda {
    pub(super) fn enter(&mut self, at: Moment, event: Event) {
        self.entered += 1;
        self.heap.push(Reverse(Entry { at, number: self.entered, event }));
    }

    pub(super) fn next_at(&self) -> Option<Moment> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    pub(super) fn pop(&mut self) -> Option<(Moment, Event)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.event))
    }
}

#[derive(Debug)]
struct Entry {
    at: Moment,
    number: u64,
    event: Event,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn events_come_in_order_of_time_then_of_entry(times in prop::collection::vec(0u64..10, 0..100)) {
            let mut agenda = Agenda::default();
            for (number, &at) in times.iter().enumerate() {
                agenda.enter(Moment(at), Event::Scrape(number));
            }
            let mut sorted: Vec<_> = times.iter().enumerate().map(|(number, &at)| (at, number)).collect();
            sorted.sort_unstable();
            for (at, number) in sorted {
                prop_assert_eq!(agenda.next_at(), Some(Moment(at)));
                prop_assert_eq!(agenda.pop(), Some((Moment(at), Event::Scrape(number))));
            }
            prop_assert_eq!(agenda.pop(), None);
        }
    }
}
