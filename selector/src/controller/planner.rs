//! The planner: what is wished for, and what holds it back.

use std::{collections::BTreeMap, time::Duration};

use gearshift_config::{BackendId, ModelId, ProfileId};

use super::{
    Advice, Condition, Engine, Plan, Settings, Shift, Traffic, Verdict,
    effects::{Effects, Served},
    outlook::{Assignment, Outlook},
    parts::{Part, parts},
    record::{Patience, Record},
    search::{Survey, Wish, climb, survey, wishes, with},
};
use crate::Moment;

/// Plans shifts, and remembers what became of them. Deterministic: the same calls give the same plans.
#[derive(Debug, Clone)]
pub struct Planner {
    settings: Settings,
    effects: Effects,
    records: BTreeMap<BackendId, Record>,
}

impl Planner {
    /// Knows nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, effects: Effects::default(), records: BTreeMap::new() }
    }

    /// How eager it is.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Other settings from now on; what was learned stays.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// After a restart: the engine has been in its profile since then.
    pub fn remember(&mut self, backend: &BackendId, since: Moment) {
        self.records.entry(backend.clone()).or_default().remember(since);
    }

    /// A request was served. What engines are like, and what drafts looked up in the text gain, is learned from it; without
    /// it, [`ProfileOption::calibration`](super::ProfileOption::calibration) is all that is known.
    pub fn served(&mut self, served: &Served) {
        self.effects.learn(served);
    }

    /// A shift has ended: `took` from the beginning of the drain to the first request served again. Where it was not `ok`
    /// the engine is back in its old profile, or down.
    pub fn finished(&mut self, shift: &Shift, took: Duration, ok: bool, now: Moment) {
        self.recall(&shift.backend, (&shift.from, &shift.to), took, ok, now);
    }

    /// As [`finished`](Self::finished), of a shift from one profile into another that an earlier planner made and that ended at
    /// `at`. What was planned before a restart holds back what is planned after it, when all is told in order.
    pub fn recall(
        &mut self,
        backend: &BackendId,
        shift: (&ProfileId, &ProfileId),
        took: Duration,
        ok: bool,
        at: Moment,
    ) {
        let record = self.records.entry(backend.clone()).or_default();
        record.finished(shift, took.as_secs_f64(), ok, &self.settings, at);
    }

    /// How patient it has become with an engine.
    pub fn patience(&self, backend: &BackendId) -> Patience {
        self.records.get(backend).map(|record| record.patience).unwrap_or_default()
    }

    /// After a restart, once all is recalled: how patient an earlier planner had become.
    pub fn set_patience(&mut self, backend: &BackendId, patience: Patience) {
        self.records.entry(backend.clone()).or_default().patience = patience;
    }

    /// What keeps an engine out of a profile now, whatever it would gain there.
    pub fn hold(&self, backend: &BackendId, to: &ProfileId, now: Moment) -> Option<Verdict> {
        self.records.get(backend)?.hold(to, &self.settings, now)
    }

    /// What to do now, for all models. Engines without traffic stay as they are.
    ///
    /// Nothing is assumed to be done: a shift is in every plan until its engine is [`Condition::Switching`] or
    /// [`Self::finished`] was told of it.
    pub fn plan(&mut self, now: Moment, engines: &[Engine], traffic: &[Traffic]) -> Plan {
        let mut models: BTreeMap<&ModelId, Vec<&Engine>> = BTreeMap::new();
        for engine in engines {
            models.entry(&engine.model).or_default().push(engine);
        }
        let mut plan = Plan::default();
        for (model, engines) in models {
            let traffic = traffic.iter().find(|traffic| traffic.model == *model);
            let away = engines.iter().filter(|engine| engine.condition != Condition::Available).count();
            let settings = self.settings.of(model);
            let mut places = (settings.max_unavailable as usize).saturating_sub(away);
            let first = plan.advice.len();
            for Part { engines, share } in parts(&engines) {
                let traffic =
                    traffic.map(|all| Traffic { rate_per_s: all.rate_per_s * share, ..all.clone() });
                let places = &mut places;
                let (planner, settings, engines, plan) = (&mut *self, &settings, &engines, &mut plan);
                Group { planner, settings, now, engines, share, places, plan }.plan(traffic.as_ref());
            }
            let order = |advice: &Advice| engines.iter().position(|engine| engine.id == advice.backend);
            plan.advice[first..].sort_by_cached_key(order);
        }
        plan
    }
}

/// One model's engines, or a part of them, while a plan is made.
struct Group<'p> {
    planner: &'p mut Planner,
    /// As they are for this model.
    settings: &'p Settings,
    now: Moment,
    engines: &'p [&'p Engine],
    /// Of the model's traffic.
    share: f64,
    /// How many of the model's engines may be sent away still.
    places: &'p mut usize,
    plan: &'p mut Plan,
}

/// What became of the wishes, by engine: what is wished for, and what follows.
type Verdicts = Vec<Option<(usize, Verdict)>>;

impl Group<'_> {
    fn plan(mut self, traffic: Option<&Traffic>) {
        let enough =
            |traffic: &&Traffic| traffic.requests >= self.settings.min_requests && traffic.rate_per_s > 0.0;
        let Some(traffic) = traffic.filter(enough) else { return self.stay(Verdict::TooFewRequests) };
        let outlook = Outlook::new(self.settings, self.engines, traffic, &self.planner.effects);
        let Some(outlook) = outlook else {
            return self.stay(Verdict::UnknownFacts);
        };
        let profiles: Vec<usize> = self.engines.iter().map(|engine| engine.profiles.len()).collect();
        let Some(survey) = survey(&outlook, &profiles) else { return self.stay(Verdict::UnknownFacts) };
        self.regret(&survey);
        let target = climb(&outlook, &survey, |engine, profile| self.hold(engine, profile).is_none());
        let (wishes, mut verdicts) = self.pay(&outlook, &survey, target);
        self.carry_out(&wishes, &mut verdicts);
        self.advise(&outlook, &survey, &verdicts);
    }

    /// Nothing can be said.
    fn stay(&mut self, verdict: Verdict) {
        for engine in self.engines {
            if let Some(record) = self.planner.records.get_mut(&engine.id) {
                record.wish_nothing();
            }
            self.plan.advice.extend(engine.profiles.iter().map(|option| Advice {
                model: engine.model.clone(),
                backend: engine.id.clone(),
                profile: option.id.clone(),
                objective: None,
                gain: None,
                verdict,
            }));
        }
    }

    /// What keeps an engine out of a profile, whatever it would gain.
    fn hold(&self, engine: usize, profile: usize) -> Option<Verdict> {
        let (engine, settings) = (self.engines[engine], self.settings);
        match engine.condition {
            Condition::Available => {}
            Condition::Switching => return Some(Verdict::Switching),
            Condition::Unavailable => return Some(Verdict::Unavailable),
        }
        let option = &engine.profiles[profile];
        if !option.lossless && !settings.allow_lossy {
            return Some(Verdict::Lossy);
        }
        self.planner.hold(&engine.id, &option.id, self.now)
    }

    fn switch_s(&self, engine: &Engine) -> f64 {
        self.planner
            .records
            .get(&engine.id)
            .map_or(engine.switch_s, |record| record.switch_s(engine.switch_s))
    }

    /// As a share of the whole model's objective.
    fn least_gain(&self) -> f64 {
        self.settings.min_gain / self.engines.len().max(1) as f64
    }

    /// Engines whose last shift would be taken back already are more patient from now on.
    fn regret(&mut self, survey: &Survey) {
        let least = self.least_gain();
        for (at, engine) in self.engines.iter().enumerate() {
            let Some(record) = self.planner.records.get_mut(&engine.id) else { continue };
            let left = record.left_lately(self.settings, self.now);
            let profile = left.and_then(|left| engine.profiles.iter().position(|option| option.id == *left));
            let back = profile.and_then(|profile| survey.single[at][profile].as_ref());
            if back.is_some_and(|back| back.total < survey.present.total * (1.0 - least)) {
                record.regret();
            }
        }
    }

    /// Leaves out of `target` what does not pay, the worst first, until all of the rest does.
    fn pay(&self, outlook: &Outlook, survey: &Survey, mut target: Assignment) -> (Vec<Wish>, Verdicts) {
        let settings = self.settings;
        let switch_s: Vec<f64> = self.engines.iter().map(|engine| self.switch_s(engine)).collect();
        let mut verdicts: Verdicts = vec![None; self.engines.len()];
        let least = self.least_gain();
        loop {
            let mut wishes = wishes(outlook, survey, &target, &switch_s);
            let fault = |wish: &Wish| {
                if wish.gain < least {
                    return Some(Verdict::GainTooSmall);
                }
                let too_late = wish.payback_s > settings.payback.as_secs_f64();
                too_late.then_some(Verdict::DoesNotPay { payback_s: wish.payback_s })
            };
            wishes.sort_by(|a, b| b.gain.total_cmp(&a.gain));
            let Some((worst, verdict)) =
                wishes.iter().rev().find_map(|wish| fault(wish).map(|verdict| (*wish, verdict)))
            else {
                return (wishes, verdicts);
            };
            verdicts[worst.engine] = Some((worst.profile, verdict));
            target = with(&target, worst.engine, outlook.present[worst.engine]);
        }
    }

    /// Shifts what may be shifted now, the best first.
    fn carry_out(&mut self, wishes: &[Wish], verdicts: &mut Verdicts) {
        let settings = self.settings;
        for (at, engine) in self.engines.iter().enumerate() {
            if !wishes.iter().any(|wish| wish.engine == at)
                && let Some(record) = self.planner.records.get_mut(&engine.id)
            {
                record.wish_nothing();
            }
        }
        for wish in wishes {
            let engine = self.engines[wish.engine];
            let to = &engine.profiles[wish.profile].id;
            let record = self.planner.records.entry(engine.id.clone()).or_default();
            let left_s = record.wish(to, settings, self.now);
            let verdict = if left_s > 0.0 {
                Verdict::Settling { left_s }
            } else if *self.places == 0 || wish.load_meanwhile > settings.max_load {
                Verdict::Capacity
            } else {
                // The others were not asked to do without two: one plan, one more engine away.
                *self.places = 0;
                Verdict::Shift
            };
            verdicts[wish.engine] = Some((wish.profile, verdict));
            if verdict == Verdict::Shift {
                self.plan.shifts.push(self.shift(wish));
            }
        }
    }

    fn shift(&self, wish: &Wish) -> Shift {
        let engine = self.engines[wish.engine];
        let (to, switch_cost_s) = (engine.profiles[wish.profile].id.clone(), self.switch_s(engine));
        let gain = wish.gain * self.share;
        let reason = format!(
            "{} into {to}: {} of {} {:.1} % less, paid for in {:.0} s",
            engine.id,
            named(self.settings.objective),
            engine.model,
            gain * 100.0,
            wish.payback_s
        );
        Shift {
            backend: engine.id.clone(),
            from: engine.current.clone(),
            to,
            gain,
            switch_cost_s,
            payback_s: wish.payback_s,
            reason,
        }
    }

    fn advise(&mut self, outlook: &Outlook, survey: &Survey, verdicts: &Verdicts) {
        let now = outlook.objective(&survey.present);
        for (at, engine) in self.engines.iter().enumerate() {
            for (profile, option) in engine.profiles.iter().enumerate() {
                let runs = outlook.present[at] == Some(profile);
                let then = survey.single[at][profile].as_ref().map(|forecast| outlook.objective(forecast));
                let objective = if runs { Some(now) } else { then };
                let gain = objective.map(|then| 1.0 - then / now.max(1e-12));
                let judged =
                    verdicts[at].filter(|(wished, _)| *wished == profile).map(|(_, verdict)| verdict);
                let verdict = judged.unwrap_or_else(|| self.verdict(at, profile, runs, gain));
                self.plan.advice.push(Advice {
                    model: engine.model.clone(),
                    backend: engine.id.clone(),
                    profile: option.id.clone(),
                    objective,
                    gain,
                    verdict,
                });
            }
        }
    }

    /// Of what was not wished for.
    fn verdict(&self, engine: usize, profile: usize, runs: bool, gain: Option<f64>) -> Verdict {
        let hold = self.hold(engine, profile);
        let least = self.least_gain();
        match (self.engines[engine].condition, hold, gain) {
            (Condition::Switching, ..) => Verdict::Switching,
            (Condition::Unavailable, ..) => Verdict::Unavailable,
            (Condition::Available, ..) if runs => Verdict::Running,
            (Condition::Available, Some(Verdict::Lossy), _) => Verdict::Lossy,
            (Condition::Available, _, None) => Verdict::DoesNotFit,
            (Condition::Available, _, Some(gain)) if gain <= 0.0 => Verdict::NotBetter,
            (Condition::Available, _, Some(gain)) if gain < least => Verdict::GainTooSmall,
            (Condition::Available, Some(hold), Some(_)) => hold,
            (Condition::Available, None, Some(_)) => Verdict::NotBetter,
        }
    }
}

fn named(objective: gearshift_config::Objective) -> &'static str {
    use gearshift_config::Objective::{Cost, Energy, Latency, Throughput};
    match objective {
        Latency => "mean end-to-end time",
        Cost => "cost",
        Energy => "energy",
        Throughput => "share of capacity in use",
    }
}
