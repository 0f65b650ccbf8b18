//! A simulated engine in real time: requests go in, notices come out, faults bend it.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::{
    ServeOptions,
    answer::Finish,
    clock::Clock,
    faults::{Faults, Mischief},
    job::{Job, Limits},
    mailbox::Mailbox,
    metrics::{self, Ending, HttpMeter, Meter, Reading, Timeline},
    state::{Flight, State},
};
use crate::{
    driver::Pacer,
    scenario::PlannedEngine,
    sim::{
        Engine, EngineSpec, Fault, Gauges, Moment, Pace, Refusal, RequestId, SimRequest, SpecError, Totals,
    },
    workload::Acceptance,
};

/// An engine, its clock, and whom it works for.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) spec: EngineSpec,
    pub(super) options: ServeOptions,
    pub(super) http: Rc<HttpMeter>,
    /// Requests being answered (`/load`).
    pub(super) in_flight: Cell<u32>,
    clock: Clock,
    round_trip: Duration,
    /// What is accepted of drafts.
    acceptance: Acceptance,
    /// Seconds since 1970 when the process started.
    started: Cell<f64>,
    state: RefCell<State>,
    /// Something came that the engine's task does not know of yet.
    news: Notify,
    /// Whether connections are accepted.
    there: Cell<bool>,
    there_changed: Notify,
}

/// A sequence for the engine, without its id.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) request: SimRequest,
    /// How it ends if nothing happens.
    pub(super) ending: Ending,
}

/// Sequences in the engine. Dropping it takes out what has not ended.
#[derive(Debug)]
pub(super) struct Ride {
    host: Rc<Host>,
    ids: Vec<RequestId>,
    pub(super) mailbox: Rc<Mailbox>,
}

impl Drop for Ride {
    fn drop(&mut self) {
        self.host.in_flight.set(self.host.in_flight.get() - 1);
        self.host.cancel(&self.ids);
    }
}

impl Host {
    /// An engine that is up and idle.
    ///
    /// # Errors
    /// Where the specification is impossible.
    pub(super) fn new(planned: &PlannedEngine, options: ServeOptions) -> Result<Self, SpecError> {
        let spec = planned.spec.clone();
        let mut engine = Engine::new(&spec, Pace::Steps, options.seed)?;
        let faults = Faults::new(options.seed, planned.slow);
        faults.apply_pace(&mut engine, Moment::default());
        let state = State {
            engine,
            flights: HashMap::new(),
            meter: Meter::new(context(&spec)),
            before: Totals::default(),
            faults,
            asleep: None,
            next_id: 0,
            outputs: Vec::new(),
            stale: None,
        };
        Ok(Self {
            acceptance: Acceptance::of(spec.knobs.speculative.as_ref()),
            spec,
            http: Rc::default(),
            in_flight: Cell::new(0),
            clock: Clock::new(options.time_scale),
            round_trip: Duration::try_from_secs_f64(planned.round_trip_s).unwrap_or_default(),
            started: Cell::new(super::since_1970().as_secs_f64()),
            state: RefCell::new(state),
            news: Notify::new(),
            there: Cell::new(true),
            there_changed: Notify::new(),
            options,
        })
    }

    /// What jobs are checked against.
    pub(super) fn limits(&self) -> Limits<'_> {
        Limits {
            model: &self.spec.model_name,
            context: context(&self.spec),
            block_tokens: self.spec.block_tokens,
            acceptance: self.acceptance,
        }
    }

    /// Takes sequences in, all or none; their ids are given here.
    pub(super) fn submit(self: &Rc<Self>, entries: impl Iterator<Item = Entry>) -> Result<Ride, Refusal> {
        let now = self.clock.now();
        self.in_flight.set(self.in_flight.get() + 1);
        let mailbox = Rc::new(Mailbox::new(self.options.merge_tokens));
        let mut ride = Ride { host: Rc::clone(self), ids: Vec::new(), mailbox };
        let mut state = self.state.borrow_mut();
        state.advance(now);
        for (choice, Entry { request, ending }) in entries.enumerate() {
            let id = RequestId(state.next_id);
            state.next_id += 1;
            let timeline = Timeline::new(now, request.prompt_tokens);
            if let Err(refusal) = state.engine.submit(SimRequest { id, ..request }, now) {
                if refusal == Refusal::QueueFull {
                    state.meter.rejected();
                }
                // What the ride holds is taken out when it drops, which needs the state.
                drop(state);
                return Err(refusal);
            }
            ride.ids.push(id);
            let mailbox = Rc::clone(&ride.mailbox);
            state.flights.insert(id, Flight { mailbox, choice, timeline, ending });
        }
        drop(state);
        self.news.notify_one();
        Ok(ride)
    }

    /// Takes a job in.
    pub(super) fn submit_job(self: &Rc<Self>, job: &Job) -> Result<Ride, Refusal> {
        let ending = |finish: &Finish| match finish {
            Finish::Stop(_) => Ending::Stop,
            Finish::Length => Ending::Length,
            Finish::Abort => Ending::Abort,
        };
        let ride = self.submit(job.sequences.iter().map(|sequence| Entry {
            request: sequence.request(),
            ending: ending(&sequence.answer.finish),
        }))?;
        self.state.borrow_mut().meter.accepted(job.choices, job.max_tokens);
        Ok(ride)
    }

    fn cancel(&self, ids: &[RequestId]) {
        let now = self.clock.now();
        let mut state = self.state.borrow_mut();
        for id in ids {
            if let Some(flight) = state.flights.remove(id) {
                state.engine.cancel(*id, now);
                state.meter.finished(&flight.timeline, Ending::Abort, 0, 0);
            }
        }
    }

    /// Runs the engine until the future is dropped: one task, however many requests.
    ///
    /// # Errors
    /// Where the system refuses the timer.
    pub(super) async fn run(&self) -> std::io::Result<()> {
        let pacer = Pacer::new()?;
        loop {
            match self.tick() {
                None => self.news.notified().await,
                Some(due) => tokio::select! {
                    biased;
                    () = self.news.notified() => {}
                    slept = pacer.sleep_until(due) => slept?,
                },
            }
        }
    }

    /// Does all that is due; gives when something is again.
    fn tick(&self) -> Option<Instant> {
        let now = self.clock.now();
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        for fault in state.faults.expire(now) {
            state.lifted(&fault, now);
        }
        state.advance(now);
        let there = state.engine.is_there();
        if self.there.replace(there) != there {
            self.started.set(super::since_1970().as_secs_f64());
            self.there_changed.notify_waiters();
        }
        let next = [state.engine.next_event(), state.faults.next_expiry()].into_iter().flatten().min()?;
        Some(self.clock.instant(next))
    }

    /// Waits until connections are accepted, or are not.
    pub(super) async fn until_there(&self, there: bool) {
        loop {
            let changed = self.there_changed.notified();
            if self.there.get() == there {
                return;
            }
            changed.await;
        }
    }

    /// Begins a fault; it lifts itself after `seconds` of simulated time where given.
    pub(super) fn inject(&self, fault: Fault, seconds: Option<f64>) {
        let now = self.clock.now();
        let stale = matches!(fault, Fault::StaleMetrics).then(|| self.metrics());
        let mut state = self.state.borrow_mut();
        state.faults.add(fault, seconds.map(|seconds| now.after_seconds(seconds)));
        state.stale = stale.or(state.stale.take());
        if fault == Fault::Crash {
            // Nobody is told: a dead process does not say goodbye, its connections are reset.
            state.flights.clear();
        }
        if let Fault::Slow { .. } = fault {
            let State { faults, engine, .. } = &mut *state;
            faults.apply_pace(engine, now);
        } else {
            state.engine.set_fault(fault, now);
        }
        state.advance(now);
        if fault == Fault::Crash {
            state.crashed(context(&self.spec));
        }
        drop(state);
        self.news.notify_one();
    }

    /// Lifts the fault of a kind; all where none is named. Returns how many.
    pub(super) fn lift(&self, name: Option<&str>) -> usize {
        let now = self.clock.now();
        let mut state = self.state.borrow_mut();
        let lifted = state.faults.remove(name);
        for fault in &lifted {
            state.lifted(fault, now);
        }
        drop(state);
        self.news.notify_one();
        lifted.len()
    }

    /// Puts the engine to sleep; returns when it is.
    pub(super) async fn fall_asleep(&self, level: u8) {
        let (times, now) = (self.spec.times, self.clock.now());
        self.with_state(|state| {
            state.engine.sleep(now);
            state.advance(now);
            state.asleep = Some(level);
        });
        sleep(self.clock.real(times.sleep_s)).await;
        self.with_state(|state| state.meter.slept(false, times.sleep_s));
    }

    /// Wakes the engine up; returns when it is.
    pub(super) async fn wake_up(&self) {
        if self.asleep().is_none() {
            return;
        }
        let (times, now) = (self.spec.times, self.clock.now());
        self.with_state(|state| state.engine.wake(now));
        sleep(self.clock.real(times.wake_s)).await;
        self.with_state(|state| {
            state.asleep = None;
            state.meter.slept(true, times.wake_s);
        });
    }

    /// Empties the prefix cache; whether it could.
    pub(super) fn reset_prefix_cache(&self) -> bool {
        self.state.borrow_mut().engine.reset_prefix_cache(self.clock.now())
    }

    fn with_state(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.borrow_mut());
        self.news.notify_one();
    }

    /// Sleep level, while asleep.
    pub(super) fn asleep(&self) -> Option<u8> {
        self.state.borrow().asleep
    }

    /// What is done to the next request.
    pub(super) fn strike(&self, stream: bool) -> Option<Mischief> {
        self.state.borrow_mut().faults.strike(stream)
    }

    /// Whether `/health` fails though all is well.
    pub(super) fn health_fails(&self) -> bool {
        self.state.borrow().faults.has(&Fault::HealthFails)
    }

    /// Active faults.
    pub(super) fn faults(&self) -> Vec<Fault> {
        self.state.borrow().faults.iter().copied().collect()
    }

    /// What the network adds to every request.
    pub(super) async fn cross_network(&self) {
        if !self.round_trip.is_zero() {
            sleep(self.round_trip).await;
        }
    }

    /// Gauges as of now.
    pub(super) fn gauges(&self) -> Gauges {
        self.state.borrow().engine.gauges()
    }

    /// Counts since the beginning, over all starts.
    pub(super) fn totals(&self) -> Totals {
        *self.state.borrow().engine.totals()
    }

    /// The metrics page.
    pub(super) fn metrics(&self) -> String {
        let state = self.state.borrow();
        if let Some(stale) = &state.stale {
            return stale.clone();
        }
        metrics::page(&Reading {
            spec: &self.spec,
            kv_tokens: state.engine.kv_tokens(),
            context: context(&self.spec),
            gauges: state.engine.gauges(),
            totals: &metrics::since(state.engine.totals(), &state.before),
            meter: &state.meter,
            http: &self.http,
            asleep: state.asleep,
            started: self.started.get(),
            nan_gauges: state.faults.has(&Fault::NanMetrics),
        })
    }
}

/// The longest sequence, tokens.
fn context(spec: &EngineSpec) -> u32 {
    spec.knobs.max_model_len.unwrap_or(spec.model.context)
}
