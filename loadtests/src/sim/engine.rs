//! The engine as the outside sees it.

use std::{collections::HashMap, sync::Arc};

use super::{
    EngineSpec, Fault, Forecast, Gauges, Moment, Output, OutputKind, RequestId, SimRequest, SimWork,
    SpecError, StepModel, Times, Totals, core::Core, forecast::forecast, kv::Pool, life::Life,
    limits::Limits, scheduler::Scheduler, sequence::Sequence, speculation::Drafts, ticks::Ticks,
};

/// How finely an engine reports. Both paces put out first tokens and ends at the same moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// Every step ends an event and every token is reported: for streaming.
    #[default]
    Steps,
    /// Steps between two changes of the batch are taken at once; only first tokens and ends are reported.
    Skip,
}

/// Why a request was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Longer than the engine's context or its whole KV cache: vLLM answers 400.
    #[error("the request is longer than the model's context")]
    TooLong,
    /// The queue is full: vLLM answers 503.
    #[error("the queue is full")]
    QueueFull,
    /// Crashed, or not started yet: connections are refused.
    #[error("the engine is not there")]
    Down,
}

/// One simulated engine.
///
/// Its methods take the time, which never goes back. Whatever is due by then happens first.
#[derive(Debug, Clone)]
pub struct Engine {
    core: Core<Pool>,
    times: Times,
    seed: u64,
    /// The latest time a method was called with.
    now: Ticks,
    life: Life,
    faults: Vec<Fault>,
    /// Since when nothing moves.
    hung: Option<Ticks>,
    /// Requests inside by name.
    slots: HashMap<RequestId, u32>,
    arrivals: u64,
    /// Put out, and not yet handed over by [`Self::advance`].
    pending: Vec<Output>,
}

impl Engine {
    /// An engine that is up and idle at moment 0. `seed` decides which drafts are accepted.
    ///
    /// # Errors
    /// Where the model does not fit or knobs contradict each other.
    pub fn new(spec: &EngineSpec, pace: Pace, seed: u64) -> Result<Self, SpecError> {
        Ok(Self {
            core: core(spec, pace)?,
            times: spec.times,
            seed,
            now: Ticks::default(),
            life: Life::Up,
            faults: Vec::new(),
            hung: None,
            slots: HashMap::new(),
            arrivals: 0,
            pending: Vec::new(),
        })
    }

    /// Takes a request in. `now` is not before the last call's.
    ///
    /// # Errors
    /// Where the engine refuses it; the request is not in the engine then.
    pub fn submit(&mut self, request: SimRequest, now: Moment) -> Result<(), Refusal> {
        self.catch_up(now);
        if let Err(refusal) = self.admits(&request) {
            self.core.scheduler.totals.refused += u64::from(refusal == Refusal::QueueFull);
            return Err(refusal);
        }
        let sequence = self.sequence(&request, self.now);
        self.arrivals += 1;
        let slot = self.core.arrive(sequence);
        self.core.scheduler.blocks.open(slot, request.blocks);
        self.slots.insert(request.id, slot);
        Ok(())
    }

    /// Takes a request out, as when its client leaves; a running one leaves the batch with the step under way.
    /// Unknown ids are ignored: it may just have ended.
    pub fn cancel(&mut self, id: RequestId, now: Moment) {
        self.catch_up(now);
        if let Some(slot) = self.slots.remove(&id) {
            self.core.interrupt();
            self.core.scheduler.cancel(slot);
            self.pending.retain(|output| output.id != id);
        }
    }

    /// When something next happens if nothing else comes: an output, mostly; `None` while idle.
    pub fn next_event(&self) -> Option<Moment> {
        if let Some(output) = self.pending.first() {
            return Some(output.at);
        }
        if let Some(up) = self.life.up_at() {
            return Some(up.moment());
        }
        let moves = self.life == Life::Up && self.hung.is_none();
        moves.then(|| self.core.next_event()).flatten().map(Ticks::moment)
    }

    /// Carries the engine to `now`; what it put out until then goes to `outputs`, in order of time.
    pub fn advance(&mut self, now: Moment, outputs: &mut Vec<Output>) {
        self.catch_up(now);
        outputs.append(&mut self.pending);
    }

    /// Tokens each running request has so far, for a router that counts progress.
    pub fn progress(&self, mut visit: impl FnMut(RequestId, u32)) {
        self.core.scheduler.progress(|sequence, tokens| visit(sequence.id, tokens));
    }

    /// What a scrape would show.
    pub fn gauges(&self) -> Gauges {
        self.core.scheduler.gauges(self.core.scheduler.blocks.total())
    }

    /// What was counted so far, over all starts.
    pub fn totals(&self) -> &Totals {
        &self.core.scheduler.totals
    }

    /// KV-cache capacity in tokens.
    pub fn kv_tokens(&self) -> u64 {
        let limits = &self.core.scheduler.limits;
        u64::from(limits.blocks) * u64::from(limits.block)
    }

    /// Whether connections are accepted: neither crashed nor starting.
    pub fn is_there(&self) -> bool {
        self.life.accepts()
    }

    /// Whether it is asleep, or falling asleep or waking up.
    pub fn is_asleep(&self) -> bool {
        matches!(self.life, Life::Asleep(_) | Life::Waking(_))
    }

    /// What `request` would see if it came at `now` and nothing came after it: the same scheduler, run forward on a
    /// copy. Evictions from the prefix cache until then are not foreseen.
    pub fn what_if(&self, request: &SimRequest, now: Moment) -> Forecast {
        let arrived = Ticks::from(now).max(self.now);
        let start = match self.life {
            Life::Up => arrived,
            Life::Waking(at) => arrived.max(at),
            Life::Starting(_) | Life::Asleep(_) | Life::Down => return Forecast::NEVER,
        };
        if self.hung.is_some() || self.admits(request).is_err() {
            return Forecast::NEVER;
        }
        forecast(&self.core, request, self.sequence(request, arrived), start)
    }

    /// Empties the prefix cache unless a request inside may hold blocks of it; whether it did.
    pub fn reset_prefix_cache(&mut self, now: Moment) -> bool {
        self.catch_up(now);
        let idle = self.slots.is_empty() && self.core.scheduler.in_flight() == 0;
        if idle {
            self.core.clear(self.now);
        }
        idle
    }

    /// Falls asleep: what is inside is aborted and the cache is lost; what comes waits until the engine woke up.
    pub fn sleep(&mut self, now: Moment) {
        self.catch_up(now);
        if self.life == Life::Up {
            self.drop_all();
            self.life = Life::Asleep(self.now + Ticks::from_seconds(self.times.sleep_s));
        }
    }

    /// Wakes up, once it is wholly asleep.
    pub fn wake(&mut self, now: Moment) {
        self.catch_up(now);
        if let Life::Asleep(asleep) = self.life {
            self.life = Life::Waking(asleep.max(self.now) + Ticks::from_seconds(self.times.wake_s));
        }
    }

    /// The process dies. All it had is aborted, and nothing is accepted until it started again.
    pub fn crash(&mut self, now: Moment) {
        self.catch_up(now);
        self.drop_all();
        self.life = Life::Down;
    }

    /// Starts the process where there is none. [`Fault::SlowStart`] is used up by this.
    pub fn start(&mut self, now: Moment) {
        self.catch_up(now);
        if self.life != Life::Down {
            return;
        }
        let mut seconds = self.times.start_s;
        self.faults.retain(|fault| {
            if let Fault::SlowStart { seconds: more } = fault {
                seconds += more;
                return false;
            }
            true
        });
        self.life = Life::Starting(self.now + Ticks::from_seconds(seconds));
    }

    /// Switches to another profile, or to whatever `spec` is: a restart.
    ///
    /// # Errors
    /// Where the engine cannot be; it stays as it was then.
    pub fn restart(&mut self, spec: &EngineSpec, now: Moment) -> Result<(), SpecError> {
        let mut core = core(spec, self.core.pace)?;
        self.crash(now);
        core.continue_from(&self.core);
        self.core = core;
        self.times = spec.times;
        self.start(now);
        Ok(())
    }

    /// Begins a fault, in place of the last of its kind. Those of the process act here; those of connections and
    /// metrics are only kept, for who serves them to read.
    pub fn set_fault(&mut self, fault: Fault, now: Moment) {
        self.catch_up(now);
        self.faults.retain(|other| !other.same_kind(&fault));
        self.faults.push(fault);
        if fault == Fault::Crash {
            self.crash(now);
        } else if fault == Fault::Hang {
            self.hung = self.hung.or(Some(self.now));
        } else if let Fault::Slow { factor } = fault {
            self.set_slow(factor);
        }
    }

    /// Lifts the fault of this kind, whatever its figures.
    pub fn clear_fault(&mut self, fault: &Fault, now: Moment) {
        self.catch_up(now);
        let before = self.faults.len();
        self.faults.retain(|other| !other.same_kind(fault));
        if self.faults.len() == before {
            return;
        }
        if *fault == Fault::Crash {
            self.start(now);
        } else if let Some(since) = self.hung.take_if(|_| *fault == Fault::Hang) {
            self.core.postpone(self.now - since);
        } else if let Fault::Slow { .. } = fault {
            self.set_slow(1.0);
        }
    }

    /// The faults there are.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    fn set_slow(&mut self, factor: f64) {
        // Who hangs stands where the hang began.
        self.core.set_slow(factor, self.hung.unwrap_or(self.now));
    }

    /// Does what is due by `now`.
    fn catch_up(&mut self, now: Moment) {
        self.now = self.now.max(Ticks::from(now));
        if let Some(up) = self.life.up_at().filter(|up| *up <= self.now) {
            self.rest_until(up);
            self.life = Life::Up;
        }
        if self.life != Life::Up {
            self.rest_until(self.now);
        } else if self.hung.is_none() {
            let before = self.pending.len();
            self.core.advance(self.now, &mut self.pending);
            for output in &self.pending[before..] {
                if matches!(output.kind, OutputKind::Finished { .. }) {
                    self.slots.remove(&output.id);
                }
            }
        }
    }

    /// Does nothing until `until`, for it is not up; a hang counts from when it is.
    fn rest_until(&mut self, until: Ticks) {
        self.core.rest_until(until);
        self.hung = self.hung.map(|_| until);
    }

    fn admits(&self, request: &SimRequest) -> Result<(), Refusal> {
        let scheduler = &self.core.scheduler;
        let answer = if request.work == SimWork::Encode { 0 } else { request.output_tokens };
        if !self.life.accepts() {
            Err(Refusal::Down)
        } else if request.prompt_tokens.saturating_add(answer) > scheduler.limits.context {
            Err(Refusal::TooLong)
        } else if scheduler.in_flight() >= scheduler.limits.in_flight as usize {
            Err(Refusal::QueueFull)
        } else {
            Ok(())
        }
    }

    fn sequence(&self, request: &SimRequest, arrived: Ticks) -> Sequence {
        let seed = self.seed ^ request.id.0.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let drafts = Drafts::new(seed, self.core.scheduler.limits.drafts, request.acceptance);
        Sequence::new(request, drafts, self.arrivals, arrived)
    }

    /// Aborts everything inside and empties the cache.
    fn drop_all(&mut self) {
        let mut ids: Vec<_> = self.slots.drain().map(|(id, _)| id).collect();
        ids.sort_unstable();
        let at = self.now.moment();
        self.pending.extend(ids.into_iter().map(|id| Output { id, at, kind: OutputKind::Aborted }));
        if let Some(since) = &mut self.hung {
            self.core.postpone(self.now - std::mem::replace(since, self.now));
        }
        self.core.clear(self.now);
    }
}

fn core(spec: &EngineSpec, pace: Pace) -> Result<Core<Pool>, SpecError> {
    let model = StepModel::new(spec);
    let limits = Limits::new(spec, model.kv_tokens())?;
    let pool = Pool::new(limits.blocks, limits.caching);
    let idle_w = spec.hardware.idle_w * f64::from(spec.count);
    Ok(Core::new(Scheduler::new(limits, pool), Arc::new(model), pace, idle_w))
}

#[cfg(test)]
impl Engine {
    /// Nothing is inside, and nothing holds a block.
    pub(super) fn assert_empty(&self) {
        use super::kv::Blocks;

        let scheduler = &self.core.scheduler;
        assert_eq!((self.slots.len(), scheduler.in_flight()), (0, 0));
        assert_eq!(scheduler.blocks.free(), scheduler.blocks.total());
        scheduler.blocks.assert_conserved(0);
    }
}
