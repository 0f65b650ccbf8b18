//! The part of the loop that hears what comes back: answers, their ends, and what is tried again.

use gearshift_selector::Usage;

use super::{
    End, Outcome,
    event::{Answer, Ending, Event},
    policy::{News, Policy, Signal, Ticket},
    router::Ride,
    run::Run,
    station::Doom,
};
use crate::sim::Moment;

impl<P: Policy + ?Sized, V: FnMut(&Outcome)> Run<'_, P, V> {
    /// Something is back at the router.
    pub(super) fn comes(&mut self, ticket: Ticket, answer: Answer) {
        let Some(ride) = self.rides.get(ticket) else { return };
        let backend = ride.backend;
        match answer {
            Answer::First => {
                ride.first = Some(self.now);
                ride.last = self.now;
                self.watches[backend].heard(self.now);
                self.policy.heard(ticket, backend, Signal::FirstToken, self.now);
                self.tell_tokens(ticket, 1);
            }
            Answer::Last(ending) => self.last(ticket, ending),
            Answer::Broken => {
                self.policy.learned(backend, News::Failed, self.now);
                self.agenda.enter(self.now, Event::Check(backend, false));
                self.retry(ticket, End::Unreachable);
            }
            Answer::Busy => {
                self.policy.learned(backend, News::Failed, self.now);
                self.retry(ticket, End::Error);
            }
            Answer::Error => {
                self.lose(ticket);
                self.end(ticket, End::Error);
            }
            Answer::Cut => {
                self.lose(ticket);
                self.end(ticket, End::Cut);
            }
        }
    }

    /// The whole answer is here.
    fn last(&mut self, ticket: Ticket, ending: Ending) {
        let Some(ride) = self.rides.get(ticket) else { return };
        let (backend, doom, tokens) = (ride.backend, ride.doom, ride.trip.output_tokens);
        let (prompt_tokens, cached) = (ride.trip.prompt_tokens, ending.cached_tokens);
        ride.ending = Some(ending);
        ride.last = self.now;
        self.watches[backend].heard(self.now);
        if doom == Some(Doom::Cut) {
            return self.comes(ticket, Answer::Cut);
        }
        self.tell_tokens(ticket, tokens);
        let usage = Usage {
            prompt_tokens,
            completion_tokens: tokens,
            cached_tokens: self.settings.reports_cached.then_some(cached),
        };
        self.outstanding[backend] -= 1;
        self.policy.heard(ticket, backend, Signal::Finished(usage), self.now);
        self.summary.backends[backend].whole += 1;
        self.end(ticket, if doom.is_some() { End::Cut } else { End::Whole });
    }

    /// Another backend is tried, where there is one and the budget allows it.
    fn retry(&mut self, ticket: Ticket, otherwise: End) {
        self.lose(ticket);
        let Some(ride) = self.rides.get(ticket) else { return };
        let tried = ride.tried.len();
        let others = tried < self.settings.retries.attempts as usize && tried + 1 < self.stations.len();
        if !(others && self.budget.withdraw()) {
            return self.end(ticket, otherwise);
        }
        ride.tried.push(ride.backend);
        self.summary.retries += 1;
        if let Some(ticket) = self.rides.again(ticket) {
            self.send(ticket);
        }
    }

    /// The attempt came to nothing.
    fn lose(&mut self, ticket: Ticket) {
        let Some(ride) = self.rides.get(ticket) else { return };
        self.outstanding[ride.backend] -= 1;
        self.policy.heard(ticket, ride.backend, Signal::Lost, self.now);
    }

    /// The request is over; it has left its backend's count.
    pub(super) fn end(&mut self, ticket: Ticket, end: End) {
        let Some(ride) = self.rides.leave(ticket) else { return };
        self.summary.ended = self.now;
        let row = outcome(&ride, end, self.now);
        if let Some(shifter) = &mut self.shifter {
            shifter.served(&ride.trip, &row, self.policy.expected(ticket), self.now);
        }
        (self.visit)(&row);
    }
}

fn outcome(ride: &Ride, end: End, now: Moment) -> Outcome {
    let trip = &ride.trip;
    let between = |first: Moment| ride.last.seconds_since(first) / f64::from(ride.tokens.max(2) - 1);
    let ending = ride.ending;
    Outcome {
        id: trip.id,
        class: trip.class,
        backend: (end != End::Unreachable).then_some(ride.backend),
        retries: u32::try_from(ride.tried.len()).unwrap_or(u32::MAX),
        end,
        at: trip.at,
        ttft_s: ride.first.map(|first| first.seconds_since(trip.at)),
        tpot_s: ride.first.filter(|_| ride.tokens > 1).map(between),
        e2e_s: now.seconds_since(trip.at),
        prompt_tokens: trip.prompt_tokens,
        cached_tokens: ending.map_or(0, |ending| ending.cached_tokens),
        output_tokens: ride.tokens,
        preemptions: ending.map_or(0, |ending| ending.preemptions),
        joules: ending.map_or(0.0, |ending| ending.joules),
    }
}
