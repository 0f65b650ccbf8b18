//! One engine in a steady state: what classes of requests that keep coming at some rates take there.
//!
//! The router's prior says of one request at an engine what it takes under the load of that moment. A planner asks what
//! the load will be. Both are made of the same parts: a prefill's time, a decode step's time at a batch, slots, chunks.
//! Here they are put together by the usual results on queues: Little's law for the batch, Kingman's formula for waiting
//! behind prefills, Sakasegawa's for waiting for a slot.

use gearshift_config::Objective;

use super::{Engine, ProfileOption, RequestClass};
use crate::{
    objective::Power,
    prior::{Engine as Layout, Prior, PriorFactors},
};

/// Load from which queues are not extrapolated any further: beyond, a request is late by what the queue grows meanwhile.
const FULL: f64 = 0.97;
/// Seconds a queue is assumed to have grown for where more comes than an engine can do.
const OVERLOADED_S: f64 = 600.0;
/// Share of a step's token budget that is left to prefills at least.
const LEAST_CHUNK: f64 = 0.25;

/// An engine in one profile, ready to be asked about.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    classes: Vec<ClassAt>,
    prior: Prior,
    /// Actual over the prior's decode step.
    tpot: f64,
    round_trip_s: f64,
    price_usd_per_s: f64,
    power: Option<Power>,
    objective: Objective,
    /// Squared coefficient of variation of the gaps between arrivals.
    burstiness: f64,
}

/// One class at one engine. Seconds.
#[derive(Debug, Clone, Copy)]
struct ClassAt {
    /// Prefill as its request waits for it.
    own_s: f64,
    /// Prefill as it takes up the engine's time.
    work_s: f64,
    uncached: f64,
    /// Steps that its decoding takes.
    steps: f64,
    /// Tokens of context while it decodes.
    context: f64,
}

/// What an engine comes to at some rates.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Steady {
    /// What is made best, a second: requests in the house for latency, US dollars, joules; share of capacity for throughput.
    pub(super) total: f64,
    /// Share of its capacity that is asked for; above 1 it cannot keep up.
    pub(super) utilisation: f64,
}

/// What was learned, as factors on the prior.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Learned {
    /// On prefills.
    pub(super) prefill: f64,
    /// On decode steps.
    pub(super) step: f64,
    /// On the steps that an answer takes, by class.
    pub(super) steps: Vec<f64>,
}

/// What does not change while the traffic is the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) classes: &'a [RequestClass],
    pub(super) burstiness: f64,
    pub(super) objective: Objective,
}

impl Machine {
    /// `None` where facts are unknown, or the model or the longest class does not fit.
    pub(super) fn new(
        engine: &Engine,
        option: &ProfileOption,
        setting: Setting<'_>,
        learned: &Learned,
        cold: bool,
    ) -> Option<Self> {
        let deployment = option.deployment.as_ref()?;
        let layout =
            Layout::new(&deployment.hardware, deployment.count, &deployment.model, &deployment.knobs);
        // What calibration has learned is over this one, whichever bundle decides.
        let prior = Prior::new(deployment, &PriorFactors::default());
        let longest =
            setting.classes.iter().map(|class| class.prompt_tokens + class.output_tokens).fold(0.0, f64::max);
        let served = deployment.knobs.max_model_len.map_or(f64::INFINITY, f64::from);
        if layout.kv_room_tokens <= 0.0 || served < longest || prior.kv.sequences(longest) < 1.0 {
            return None;
        }
        let caches = !cold && deployment.knobs.prefix_caching != Some(false);
        let class = |(at, class): (usize, &RequestClass)| {
            let steps = learned.steps.get(at).copied().unwrap_or(1.0);
            ClassAt::new(class, &prior, learned.prefill, steps, caches)
        };
        let classes = setting.classes.iter().enumerate().map(class);
        let list_price = deployment.hardware.price_usd_per_hour * f64::from(deployment.count);
        Some(Self {
            classes: classes.collect(),
            tpot: learned.step,
            round_trip_s: engine.round_trip_s.max(0.0),
            price_usd_per_s: engine.price_usd_per_hour.unwrap_or(list_price).max(0.0) / 3600.0,
            power: Power::new(&deployment.hardware, deployment.count),
            objective: setting.objective,
            burstiness: setting.burstiness,
            prior,
        })
    }

    /// In a steady state at these rates, requests a second by class.
    pub(super) fn steady(&self, rates: &[f64]) -> Steady {
        let flow = Flow::of(&self.classes, rates);
        if flow.rate <= 0.0 {
            return Steady::default();
        }
        let slots = self.prior.slots.min(self.prior.kv.sequences(flow.context)).max(1.0);
        let full = self.step_s(slots, flow.context);
        let utilisation = flow.prefill + flow.steps * full / slots;
        let (batch, step) = self.batch(&flow, slots);
        let total = match self.objective {
            Objective::Latency => self.in_house(rates, &flow, batch, step, slots),
            Objective::Throughput => utilisation,
            Objective::Cost | Objective::Energy => self.paid(&flow, batch),
        };
        Steady { total: total + self.overload(utilisation, flow.rate), utilisation }
    }

    /// Requests in the house.
    fn in_house(&self, rates: &[f64], flow: &Flow, batch: f64, step: f64, slots: f64) -> f64 {
        let width = self.prior.tokens_per_step.ceil();
        let budget = self.prior.step_tokens;
        let budget = (budget - batch * width).max(LEAST_CHUNK * budget);
        let chunks = |class: &ClassAt| if budget.is_finite() { class.uncached / budget } else { 0.0 };
        // A chunk rides on a decode step: the queue of prefills moves by steps.
        let (mut busy, mut squares) = (0.0, 0.0);
        for (class, rate) in self.classes.iter().zip(rates) {
            let service = class.work_s + chunks(class) * step;
            busy += rate * service;
            squares += rate * service * service;
        }
        let mean = busy / flow.rate;
        let variation = (squares / flow.rate / (mean * mean).max(1e-18) - 1.0).max(0.0);
        let load = busy.min(FULL);
        let prefill_wait = (self.burstiness + variation) / 2.0 * load / (1.0 - load) * mean;
        let speed = 1.0 / (1.0 - flow.prefill.min(FULL));
        let slot_wait = self.slot_wait(flow, batch, step * speed, slots);
        let per_step = step * speed;
        let shared = self.round_trip_s + prefill_wait + slot_wait;
        let e2e = |class: &ClassAt| {
            shared + class.own_s + (chunks(class).ceil().max(1.0) + 0.5) * step + class.steps * per_step
        };
        self.classes.iter().zip(rates).map(|(class, rate)| rate * e2e(class)).sum()
    }

    fn slot_wait(&self, flow: &Flow, batch: f64, step: f64, slots: f64) -> f64 {
        let load = (batch / slots).min(FULL);
        let residence = flow.steps / flow.rate * step;
        let queued = load.powf((2.0 * (slots + 1.0)).sqrt() - 1.0) / (slots * (1.0 - load));
        (self.burstiness + 1.0) / 2.0 * queued * residence
    }

    /// What the time costs in which a step runs, a second: US dollars, or joules.
    fn paid(&self, flow: &Flow, batch: f64) -> f64 {
        let prefill = flow.prefill.min(1.0);
        let decode = (1.0 - prefill) * (1.0 - (-batch).exp());
        if self.objective == Objective::Energy {
            let busy_share = self.prior.step(batch.max(1.0), flow.context).busy_share();
            self.power.map_or(0.0, |power| prefill * power.at(1.0) + decode * power.at(busy_share))
        } else {
            self.price_usd_per_s * (prefill + decode)
        }
    }

    /// What is added where more comes than it can do; steep, and finite so that a search finds its way out.
    fn overload(&self, utilisation: f64, rate: f64) -> f64 {
        let over = (utilisation - FULL).max(0.0);
        let weight = match self.objective {
            Objective::Latency => rate,
            Objective::Throughput => 1.0,
            Objective::Cost => self.price_usd_per_s,
            Objective::Energy => self.power.map_or(1.0, |power| power.at(1.0)),
        };
        over * OVERLOADED_S * weight
    }

    /// Sequences that decode at a time, and the seconds of a step.
    fn batch(&self, flow: &Flow, slots: f64) -> (f64, f64) {
        let free = 1.0 - flow.prefill.min(FULL);
        let mut batch: f64 = 1.0;
        let mut step = self.step_s(batch, flow.context);
        // A step is a straight line in the batch for dense models, and nearly so for mixtures: each round solves the line
        // through two points of it.
        for _ in 0..3 {
            let more = batch * 1.5;
            let slope = (self.step_s(more, flow.context) - step) / (more - batch);
            let base = step - slope * batch;
            let left = free - flow.steps * slope;
            let next = if left > 1e-6 { (flow.steps * base / left).clamp(0.05, slots) } else { slots };
            step = self.step_s(next, flow.context);
            if (next / batch - 1.0).abs() < 1e-3 {
                return (next, step);
            }
            batch = next;
        }
        (batch, step)
    }

    fn step_s(&self, batch: f64, context: f64) -> f64 {
        self.prior.step(batch.max(1.0), context).step_ms() * self.tpot * 1e-3
    }
}

impl ClassAt {
    fn new(class: &RequestClass, prior: &Prior, prefill: f64, steps: f64, caches: bool) -> Self {
        let prompt = class.prompt_tokens.max(1.0);
        let cached = if caches { class.shared_tokens.clamp(0.0, (prompt - 1.0).max(0.0)) } else { 0.0 };
        let (own, work) = prior.prefill_ms(cached, prompt);
        let decoded = (class.output_tokens - 1.0).max(0.0);
        Self {
            own_s: own * prefill * 1e-3,
            work_s: work * prefill * 1e-3,
            uncached: prompt - cached,
            steps: decoded / prior.tokens_per_step * steps,
            context: prompt + class.output_tokens / 2.0,
        }
    }
}

/// What comes, added up.
struct Flow {
    /// Requests a second.
    rate: f64,
    /// Share of time that prefills take.
    prefill: f64,
    /// Sequence-steps a second.
    steps: f64,
    /// Mean context of a sequence that decodes.
    context: f64,
}

impl Flow {
    fn of(classes: &[ClassAt], rates: &[f64]) -> Self {
        let mut flow = Self { rate: 0.0, prefill: 0.0, steps: 0.0, context: 0.0 };
        for (class, rate) in classes.iter().zip(rates) {
            flow.rate += rate;
            flow.prefill += rate * class.work_s;
            flow.steps += rate * class.steps;
            flow.context += rate * class.steps * class.context;
        }
        flow.context /= flow.steps.max(1e-12);
        flow
    }
}
