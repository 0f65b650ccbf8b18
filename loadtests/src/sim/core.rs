//! The engine's loop: plan a step, let it take its time, report what came of it, again.

use std::sync::Arc;

use super::{
    DecodeLine, Output, Pace, StepModel, StepWork,
    kv::{Blocks, Pool},
    limits::Limits,
    scheduler::Scheduler,
    sequence::Sequence,
    ticks::{Pacing, Ticks},
};

/// A scheduler in time.
#[derive(Debug, Clone)]
pub(super) struct Core<B> {
    pub scheduler: Scheduler<B>,
    pub model: Arc<StepModel>,
    pub pace: Pace,
    /// Factor on the duration of steps.
    slow: f64,
    /// Power while no step runs, W.
    pub idle_w: f64,
    /// Where the last step ended, or up to when nothing was to do.
    clock: Ticks,
    /// When the last step began: what a scheduler that runs ahead knew when it planned the next one.
    last_start: Ticks,
    span: Option<Span>,
}

/// Steps under way.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: Ticks,
    end: Ticks,
    work: StepWork,
    pace: SpanPace,
}

#[derive(Debug, Clone, Copy)]
enum SpanPace {
    /// One step, by itself.
    Step { joules: f64 },
    /// That many decoding steps in a row.
    Run { steps: u64, pacing: Pacing, line: DecodeLine },
}

impl<B: Blocks> Core<B> {
    pub(super) fn new(scheduler: Scheduler<B>, model: Arc<StepModel>, pace: Pace, idle_w: f64) -> Self {
        Self {
            scheduler,
            model,
            pace,
            slow: 1.0,
            idle_w,
            clock: Ticks::default(),
            last_start: Ticks::default(),
            span: None,
        }
    }

    /// This core's state of time and batch over other blocks: for forecasts.
    pub(super) fn fork<F: Blocks>(&self, scheduler: Scheduler<F>) -> Core<F> {
        Core {
            scheduler,
            model: Arc::clone(&self.model),
            pace: Pace::Skip,
            slow: self.slow,
            idle_w: self.idle_w,
            clock: self.clock,
            last_start: self.last_start,
            span: self.span,
        }
    }

    /// When the steps under way end, or the next would begin.
    pub(super) fn next_event(&self) -> Option<Ticks> {
        match &self.span {
            Some(span) => Some(span.end),
            None => self.scheduler.first_mail().map(|arrived| arrived.max(self.clock)),
        }
    }

    /// Takes a sequence in, which comes now; its slot.
    pub(super) fn arrive(&mut self, sequence: Sequence) -> u32 {
        // Where others wait already, whoever comes waits behind them, and the batch stays as it is.
        if self.scheduler.is_open() {
            self.interrupt();
        }
        self.scheduler.arrive(sequence)
    }

    /// Carries on until `until`.
    pub(super) fn advance(&mut self, until: Ticks, outputs: &mut Vec<Output>) {
        loop {
            match self.span {
                Some(span) if span.end <= until => self.finish(span, outputs),
                Some(_) => return self.catch_up(until),
                None => {
                    let start = self.next_event().filter(|start| *start <= until);
                    self.rest_until(start.unwrap_or(until));
                    if start.is_none() || !self.begin() {
                        return;
                    }
                }
            }
        }
    }

    /// Something changed at `now`, up to which the core was advanced: a run of steps ends with the one under way.
    pub(super) fn interrupt(&mut self) {
        if let Some(Span { pace: SpanPace::Run { steps, pacing, .. }, start, end, .. }) = &mut self.span {
            *steps = 1;
            *end = *start + pacing.elapsed(1);
        }
    }

    /// From `now` on, up to which the core was advanced, steps take `slow` times as long as the model says: those that
    /// begin later, and what is left of the one under way.
    pub(super) fn set_slow(&mut self, slow: f64, now: Ticks) {
        let before = self.slow;
        self.interrupt();
        if let Some(span) = self.span {
            let joules = match span.pace {
                SpanPace::Step { joules } => joules,
                SpanPace::Run { steps, pacing, line } => self.joules(&line, &pacing, steps),
            };
            let left = span.end.saturating_sub(now);
            let rescaled = Ticks::from_seconds(left.seconds() * slow / before);
            let end = now.max(span.start) + rescaled;
            // Energy goes with time; a step that takes no time has none of it to change.
            let took = (span.end - span.start).seconds();
            let stretch = if took > 0.0 { (end - span.start).seconds() / took } else { 1.0 };
            self.span = Some(Span { end, pace: SpanPace::Step { joules: joules * stretch }, ..span });
        }
        self.slow = slow;
    }

    /// Everything stood still for `pause`.
    pub(super) fn postpone(&mut self, pause: Ticks) {
        self.scheduler.totals.joules += self.idle_w * pause.seconds();
        if let Some(span) = &mut self.span {
            span.start += pause;
            span.end += pause;
        } else {
            self.clock += pause;
        }
    }

    /// Idles until `until`.
    pub(super) fn rest_until(&mut self, until: Ticks) {
        let idle = until.saturating_sub(self.clock).seconds();
        self.scheduler.totals.joules += self.idle_w * idle;
        self.clock = self.clock.max(until);
    }

    /// Begins the next step; whether there is one.
    fn begin(&mut self) -> bool {
        let start = self.clock;
        self.scheduler.sweep();
        // A scheduler that runs ahead planned this step when the last one began.
        let known = self.scheduler.limits.overlapped.then_some(self.last_start);
        self.scheduler.deliver(known);
        let mut plan = self.scheduler.schedule();
        self.scheduler.release_leaving();
        let mut all_known = false;
        while plan.is_empty() {
            // With nothing under way it plans again as long as there may be something to plan.
            if all_known && !plan.preempted {
                return false;
            }
            self.scheduler.deliver(None);
            all_known = true;
            plan = self.scheduler.schedule();
        }
        let work = plan.work;
        let (duration, pace) = if work.prefills == 0 {
            let line = self.model.decode_line(work.decodes, work.decode_width);
            let pacing = Pacing::new(line, self.slow, plan.context, plan.growth);
            let steps = if plan.repeats && self.pace == Pace::Skip { self.scheduler.repeats() } else { 1 };
            (pacing.elapsed(steps), SpanPace::Run { steps, pacing, line })
        } else {
            let cost = self.model.step(&work);
            (
                Ticks::from_seconds(cost.seconds * self.slow),
                SpanPace::Step { joules: cost.joules * self.slow },
            )
        };
        self.span = Some(Span { start, end: start + duration, work, pace });
        true
    }

    /// Ends the steps under way.
    fn finish(&mut self, span: Span, outputs: &mut Vec<Output>) {
        self.last_start = match span.pace {
            SpanPace::Step { joules } => {
                self.pass(1, &span.work, span.end - span.start, joules);
                span.start
            }
            SpanPace::Run { steps, pacing, line } => {
                if steps > 1 {
                    self.scheduler.settle(steps - 1);
                }
                let joules = self.joules(&line, &pacing, steps);
                self.pass(steps, &span.work, span.end - span.start, joules);
                span.start + pacing.elapsed(steps - 1)
            }
        };
        self.clock = span.end;
        self.span = None;
        self.scheduler.report(span.end.moment(), self.pace, outputs);
        self.begin();
    }

    /// Lets the steps of a run pass that have ended by `until`.
    fn catch_up(&mut self, until: Ticks) {
        let Some(Span { start, work, pace: SpanPace::Run { steps, pacing, line }, .. }) = self.span else {
            return;
        };
        let passed = pacing.steps_within(until.saturating_sub(start), steps - 1);
        if passed == 0 {
            return;
        }
        let duration = pacing.elapsed(passed);
        let joules = self.joules(&line, &pacing, passed);
        if let Some(span) = &mut self.span {
            span.start += duration;
            span.pace = SpanPace::Run { steps: steps - passed, pacing: pacing.after(passed), line };
        }
        self.scheduler.settle(passed);
        self.pass(passed, &work, duration, joules);
    }

    /// Energy of the first `steps` of a run.
    fn joules(&self, line: &DecodeLine, pacing: &Pacing, steps: u64) -> f64 {
        self.slow * (line.base_j * steps as f64 + line.per_context_j * pacing.context_read(steps))
    }

    fn pass(&mut self, steps: u64, work: &StepWork, duration: Ticks, joules: f64) {
        let totals = &mut self.scheduler.totals;
        totals.busy_s += duration.seconds();
        totals.joules += joules;
        self.scheduler.pass(steps, work, joules);
    }
}

impl Core<Pool> {
    /// Loses everything inside, and the cache; what was counted stays.
    pub(super) fn clear(&mut self, now: Ticks) {
        let Limits { blocks, caching, .. } = self.scheduler.limits;
        let totals = self.scheduler.totals;
        self.scheduler = Scheduler::new(self.scheduler.limits, Pool::new(blocks, caching));
        self.scheduler.totals = totals;
        self.span = None;
        self.clock = now;
    }

    /// Goes on where `last` ended, which was another engine in this one's place.
    pub(super) fn continue_from(&mut self, last: &Self) {
        self.scheduler.totals = last.scheduler.totals;
        self.slow = last.slow;
        self.clock = last.clock;
        self.last_start = last.last_start;
    }
}
