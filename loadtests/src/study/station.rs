//! One engine on the far side of the wire, and what goes wrong there.

use super::{Member, event::Answer, policy::Ticket, trip::Trip};
use crate::{
    sim::{
        Engine, EngineSpec, Fault, Forecast, Gauges, Moment, Output, Pace, Refusal, RequestId, SimRequest,
        SimWork, SpecError, Totals,
    },
    workload::Acceptance,
};

/// An engine, and its faults.
#[derive(Debug)]
pub(super) struct Station {
    engine: Engine,
    block_tokens: u32,
    /// What is accepted of its drafts; no router is told.
    acceptance: Acceptance,
    /// As [`Member::slow`].
    slow: f64,
    /// Gauges as they were when they froze.
    frozen: Option<Gauges>,
}

/// What a fault does to a stream that has been let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doom {
    /// It breaks off, or ends too early.
    Cut,
    /// It is garbled on its way: the router sees nothing of it, the client cannot read it.
    Garbled,
}

impl Station {
    pub(super) fn new(member: &Member, seed: u64) -> Result<Self, SpecError> {
        let mut engine = Engine::new(&member.engine, Pace::Skip, seed)?;
        if member.slow != 1.0 {
            engine.set_fault(Fault::Slow { factor: member.slow }, Moment(0));
        }
        let EngineSpec { block_tokens, ref knobs, .. } = member.engine;
        let acceptance = Acceptance::of(knobs.speculative.as_ref());
        Ok(Self { engine, block_tokens, acceptance, slow: member.slow, frozen: None })
    }

    /// KV-cache capacity in tokens.
    pub(super) fn kv_tokens(&self) -> u64 {
        self.engine.kv_tokens()
    }

    /// When something next happens there, [`u64::MAX`] for never.
    pub(super) fn due(&self) -> Moment {
        self.engine.next_event().unwrap_or(Moment(u64::MAX))
    }

    /// Carries the engine to `now`; what it put out goes to `outputs`.
    pub(super) fn advance(&mut self, now: Moment, outputs: &mut Vec<Output>) {
        self.engine.advance(now, outputs);
    }

    /// A request arrives. `Err` is what goes back instead of a stream.
    pub(super) fn arrive(
        &mut self,
        ticket: Ticket,
        trip: &Trip,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) -> Result<Option<Doom>, Answer> {
        let request = self.request(RequestId(ticket.key()), trip);
        let doom = if self.engine.is_there() { self.wire(rng)? } else { None };
        match self.engine.submit(request, now) {
            Ok(()) => Ok(doom),
            Err(Refusal::Down) => Err(Answer::Broken),
            Err(Refusal::QueueFull) => Err(Answer::Busy),
            Err(Refusal::TooLong) => Err(Answer::Error),
        }
    }

    /// What the faults of connections do to one request.
    fn wire(&self, rng: &mut fastrand::Rng) -> Result<Option<Doom>, Answer> {
        let mut doom = None;
        for fault in self.engine.faults() {
            match *fault {
                Fault::ResetBeforeFirstByte { share } if rng.f64() < share => return Err(Answer::Broken),
                Fault::Status { code, share } if rng.f64() < share => {
                    return Err(if code == 503 { Answer::Busy } else { Answer::Error });
                }
                Fault::ResetMidStream { share } | Fault::TruncatedStream { share } if rng.f64() < share => {
                    doom = Some(Doom::Cut);
                }
                Fault::MalformedStream { share } if rng.f64() < share => doom = doom.or(Some(Doom::Garbled)),
                Fault::ResetBeforeFirstByte { .. }
                | Fault::Status { .. }
                | Fault::ResetMidStream { .. }
                | Fault::TruncatedStream { .. }
                | Fault::MalformedStream { .. }
                | Fault::Crash
                | Fault::Hang
                | Fault::Slow { .. }
                | Fault::HealthFails
                | Fault::StaleMetrics
                | Fault::NanMetrics
                | Fault::SlowStart { .. } => {}
            }
        }
        Ok(doom)
    }

    /// The request as the engine computes it.
    fn request(&self, id: RequestId, trip: &Trip) -> SimRequest {
        SimRequest {
            id,
            work: SimWork::Generate,
            prompt_tokens: trip.prompt_tokens,
            output_tokens: trip.output_tokens,
            blocks: trip.blocks(self.block_tokens),
            priority: 0,
            acceptance: self.acceptance.in_text(trip.class),
        }
    }

    /// What the answer would take if nothing else came.
    pub(super) fn forecast(&self, trip: &Trip, now: Moment) -> Forecast {
        self.engine.what_if(&self.request(RequestId(u64::MAX), trip), now)
    }

    /// Takes a request out.
    pub(super) fn cancel(&mut self, ticket: Ticket, now: Moment) {
        self.engine.cancel(RequestId(ticket.key()), now);
    }

    /// Tokens each running request has so far.
    pub(super) fn progress(&self, mut visit: impl FnMut(Ticket, u32)) {
        self.engine.progress(|id, tokens| visit(Ticket::from_key(id.0), tokens));
    }

    /// What a scrape shows; `None` where it fails or is no number.
    pub(super) fn scrape(&self) -> Option<Gauges> {
        let readable = self.engine.is_there() && !self.has(&Fault::NanMetrics);
        readable.then(|| self.frozen.unwrap_or_else(|| self.engine.gauges()))
    }

    /// Whether `/health` says that all is well; a hung engine says so too.
    pub(super) fn healthy(&self) -> bool {
        self.engine.is_there() && !self.has(&Fault::HealthFails)
    }

    /// Prompt and output tokens counted so far, as a scrape shows them.
    pub(super) fn tokens(&self) -> u64 {
        let totals = self.engine.totals();
        totals.prompt_tokens + totals.generation_tokens
    }

    /// A fault begins.
    pub(super) fn begin(&mut self, fault: Fault, now: Moment) {
        if fault == Fault::StaleMetrics {
            self.frozen = Some(self.engine.gauges());
        }
        self.engine.set_fault(self.on_top(fault), now);
    }

    /// A fault is lifted. An engine that crashed starts again.
    pub(super) fn lift(&mut self, fault: Fault, now: Moment) {
        if fault == Fault::StaleMetrics {
            self.frozen = None;
        }
        self.engine.clear_fault(&fault, now);
        if matches!(fault, Fault::Slow { .. }) && self.slow != 1.0 {
            self.engine.set_fault(Fault::Slow { factor: self.slow }, now);
        }
    }

    /// Starts again as another engine; nothing is inside.
    pub(super) fn restart(&mut self, spec: &EngineSpec, now: Moment) -> Result<(), SpecError> {
        self.engine.restart(spec, now)?;
        self.acceptance = Acceptance::of(spec.knobs.speculative.as_ref());
        Ok(())
    }

    /// What it counted over all its lives.
    pub(super) fn totals(&self) -> &Totals {
        self.engine.totals()
    }

    /// A fault of an engine that was slow before is slower still.
    fn on_top(&self, fault: Fault) -> Fault {
        if let Fault::Slow { factor } = fault { Fault::Slow { factor: factor * self.slow } } else { fault }
    }

    fn has(&self, fault: &Fault) -> bool {
        self.engine.faults().contains(fault)
    }
}
