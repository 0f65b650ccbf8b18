//! What a router holds of the requests that are under way, and how often it may try again.

use std::sync::Arc;

use gearshift_selector::{Index, Moment};
use smallvec::SmallVec;

use super::{event::Ending, policy::Ticket, station::Doom, trip::Trip};

/// A request that is under way.
#[derive(Debug)]
pub(super) struct Ride {
    pub(super) trip: Arc<Trip>,
    serial: u32,
    pub(super) tried: SmallVec<[Index; 4]>,
    pub(super) backend: Index,
    /// Whether an engine has taken it in: its response head is out, and nothing is retried any more.
    pub(super) taken: bool,
    pub(super) doom: Option<Doom>,
    pub(super) first: Option<Moment>,
    /// Tokens the policy was told of.
    pub(super) tokens: u32,
    /// When something last came.
    pub(super) last: Moment,
    /// When the last thing that is on the wire to the router gets there: a connection delivers in order.
    pub(super) wire: Moment,
    /// What came with the end of the answer.
    pub(super) ending: Option<Ending>,
}

/// Rides by slot; slots are used again.
#[derive(Debug, Default)]
pub(super) struct Rides {
    slots: Vec<Option<Ride>>,
    free: Vec<u32>,
    live: u32,
    serial: u32,
}

impl Rides {
    pub(super) fn live(&self) -> u32 {
        self.live
    }

    /// A request comes; it is nowhere yet.
    pub(super) fn enter(&mut self, trip: Arc<Trip>) -> Ticket {
        self.live += 1;
        self.serial = self.serial.wrapping_add(1);
        let ride = Ride {
            last: trip.at,
            wire: trip.at,
            trip,
            serial: self.serial,
            tried: SmallVec::new(),
            backend: 0,
            taken: false,
            doom: None,
            first: None,
            tokens: 0,
            ending: None,
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        self.slots[slot as usize] = Some(ride);
        Ticket { slot, serial: self.serial }
    }

    /// The ride of an attempt; `None` where that attempt is over.
    pub(super) fn get(&mut self, ticket: Ticket) -> Option<&mut Ride> {
        self.slots.get_mut(ticket.slot as usize)?.as_mut().filter(|ride| ride.serial == ticket.serial)
    }

    /// Another attempt of the same request, in the same slot.
    pub(super) fn again(&mut self, ticket: Ticket) -> Option<Ticket> {
        self.serial = self.serial.wrapping_add(1);
        let serial = self.serial;
        let ride = self.get(ticket)?;
        ride.serial = serial;
        Some(Ticket { slot: ticket.slot, serial })
    }

    /// The request has ended.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Ride> {
        self.get(ticket)?;
        self.live -= 1;
        self.free.push(ticket.slot);
        self.slots[ticket.slot as usize].take()
    }

    /// Attempts that `wanted` picks.
    pub(super) fn find(&self, wanted: impl Fn(&Ride) -> bool) -> Vec<Ticket> {
        let ticket = |(slot, ride): (usize, &Option<Ride>)| {
            let ride = ride.as_ref().filter(|ride| wanted(ride))?;
            Some(Ticket { slot: u32::try_from(slot).ok()?, serial: ride.serial })
        };
        self.slots.iter().enumerate().filter_map(ticket).collect()
    }
}

/// Retries as a share of requests, as the proxy saves them up: each request pays in, each retry takes one out.
#[derive(Debug)]
pub(super) struct RetryBudget {
    share: f64,
    saved: f64,
}

impl RetryBudget {
    /// Retries that may be saved up.
    const CAP: f64 = 100.0;
    /// Retries in hand at the start.
    const START: f64 = 10.0;

    pub(super) fn new(share: f64) -> Self {
        Self { share, saved: Self::START }
    }

    pub(super) fn deposit(&mut self) {
        self.saved = (self.saved + self.share).min(Self::CAP);
    }

    pub(super) fn withdraw(&mut self) -> bool {
        let affordable = self.saved >= 1.0;
        if affordable {
            self.saved -= 1.0;
        }
        affordable
    }
}
