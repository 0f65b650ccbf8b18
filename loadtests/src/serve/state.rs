//! What one engine's task and connections share.

use std::{collections::HashMap, rc::Rc};

use super::{
    faults::Faults,
    mailbox::{End, Mailbox, Notice},
    metrics::{Ending, Meter, Timeline},
};
use crate::sim::{Engine, Fault, Moment, Output, OutputKind, RequestId, Totals};

/// The engine and what is known of its requests: one thread's, behind one `RefCell`.
#[derive(Debug)]
pub(super) struct State {
    pub(super) engine: Engine,
    pub(super) flights: HashMap<RequestId, Flight>,
    pub(super) meter: Meter,
    /// The engine's totals when the process last started: what it counted is lost with it.
    pub(super) before: Totals,
    pub(super) faults: Faults,
    /// Sleep level.
    pub(super) asleep: Option<u8>,
    pub(super) next_id: u64,
    pub(super) outputs: Vec<Output>,
    /// The page as it was when the metrics went stale.
    pub(super) stale: Option<String>,
}

/// A sequence in the engine.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) mailbox: Rc<Mailbox>,
    pub(super) choice: usize,
    pub(super) timeline: Timeline,
    pub(super) ending: Ending,
}

impl State {
    /// Carries the engine to `now` and tells everybody what came.
    pub(super) fn advance(&mut self, now: Moment) {
        let Self { engine, flights, meter, outputs, .. } = self;
        engine.advance(now, outputs);
        if outputs.is_empty() {
            return;
        }
        meter.stepped(engine.totals());
        for output in outputs.drain(..) {
            let Some(flight) = flights.get_mut(&output.id) else { continue };
            let notice = flight.take(output.kind, output.at, meter);
            flight.mailbox.post(notice);
            if notice.end.is_some() {
                flights.remove(&output.id);
            }
        }
    }

    /// What the process counted is lost with it.
    pub(super) fn crashed(&mut self, context: u32) {
        self.meter = Meter::new(context);
        self.before = *self.engine.totals();
        self.asleep = None;
        self.stale = None;
    }

    pub(super) fn lifted(&mut self, fault: &Fault, now: Moment) {
        if let Fault::Slow { .. } = fault {
            self.faults.apply_pace(&mut self.engine, now);
        } else {
            self.engine.clear_fault(fault, now);
        }
        if *fault == Fault::StaleMetrics {
            self.stale = None;
        }
    }
}

impl Flight {
    /// Counts an output and puts it in words for the reader.
    fn take(&mut self, kind: OutputKind, at: Moment, meter: &mut Meter) -> Notice {
        let notice = Notice { choice: self.choice, tokens: 0, end: None };
        match kind {
            OutputKind::Tokens { count, .. } => {
                meter.tokens(&mut self.timeline, count, at);
                Notice { tokens: count, ..notice }
            }
            OutputKind::Finished { cached_tokens, preemptions, .. } => {
                meter.finished(&self.timeline, self.ending, cached_tokens, preemptions);
                Notice { end: Some(End::Finished { cached_tokens }), ..notice }
            }
            OutputKind::Aborted => {
                meter.finished(&self.timeline, Ending::Abort, 0, 0);
                Notice { end: Some(End::Aborted), ..notice }
            }
        }
    }
}
