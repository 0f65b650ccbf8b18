//! What is predicted of one model's engines: under the present assignment, and under others.

use gearshift_config::Objective;

use super::{
    Condition, Engine, ProfileOption, Settings, Traffic,
    effects::{Effects, speculates_unmodelled},
    forecast::{Split, Splitter},
    steady::{Learned, Machine, Setting},
};

/// A profile for each engine, by position in [`Engine::profiles`]; `None` for an engine that takes nothing.
pub(super) type Assignment = Vec<Option<usize>>;

/// One model's engines under its traffic.
#[derive(Debug)]
pub(super) struct Outlook {
    /// By engine, then by profile; `None` where it does not fit.
    machines: Vec<Vec<Option<Machine>>>,
    /// The same with empty caches.
    cold: Vec<Vec<Option<Machine>>>,
    splitter: Splitter,
    /// What the objective is counted by: requests a second, or engines.
    per: f64,
    /// The engines as they are, those on their way as they will be.
    pub(super) present: Assignment,
    /// Those that take requests now.
    pub(super) serving: Assignment,
}

/// What is predicted of an assignment.
#[derive(Debug, Clone)]
pub(super) struct Forecast {
    split: Split,
    /// What is made best, a second.
    pub(super) total: f64,
}

impl Forecast {
    /// The load of the engine that is loaded most, as a share of its capacity.
    pub(super) fn utilisation(&self) -> f64 {
        self.split.utilisation()
    }
}

impl Outlook {
    /// `None` where the present assignment cannot be predicted: facts are unknown, or nobody takes requests.
    pub(super) fn new(
        settings: &Settings,
        engines: &[&Engine],
        traffic: &Traffic,
        effects: &Effects,
    ) -> Option<Self> {
        let objective = settings.objective;
        let setting = Setting { classes: &traffic.classes, burstiness: traffic.burstiness, objective };
        let group = mean(engines.iter().flat_map(|engine| known(engine))).unwrap_or((1.0, 1.0));
        let learned = |engine: &Engine, option: &ProfileOption| {
            let (prefill, step) = factors_of(engine, option, effects, group);
            let steps = traffic.classes.iter().map(|class| {
                let doubt = settings.curiosity;
                steps_factor(engine, option, effects, class, doubt)
            });
            Learned { prefill, step, steps: steps.collect() }
        };
        let machines = |cold| -> Vec<Vec<Option<Machine>>> {
            let machine = |engine: &&Engine| -> Vec<Option<Machine>> {
                let of = |option| Machine::new(engine, option, setting, &learned(engine, option), cold);
                engine.profiles.iter().map(of).collect()
            };
            engines.iter().map(machine).collect()
        };
        let (warm, cold) = (machines(false), machines(true));
        let present: Assignment = engines.iter().map(|engine| present(engine)).collect();
        let predictable = |(at, machines): (&Option<usize>, &Vec<Option<Machine>>)| {
            at.is_none_or(|at| machines.get(at).is_some_and(Option::is_some))
        };
        if !present.iter().zip(&warm).all(predictable) || present.iter().all(Option::is_none) {
            return None;
        }
        let mut serving = present.clone();
        for (profile, engine) in serving.iter_mut().zip(engines) {
            *profile = profile.filter(|_| engine.condition == Condition::Available);
        }
        let rate = |class: &super::RequestClass| class.share * traffic.rate_per_s;
        let rates: Vec<f64> = traffic.classes.iter().map(rate).collect();
        let work: Vec<f64> = traffic.classes.iter().map(|class| class.share * class.work()).collect();
        let per = if objective == Objective::Throughput { engines.len() as f64 } else { traffic.rate_per_s };
        Some(Self { machines: warm, cold, splitter: Splitter::new(&rates, &work), per, present, serving })
    }

    /// Whether a profile can run on an engine.
    pub(super) fn fits(&self, engine: usize, profile: usize) -> bool {
        self.machines[engine].get(profile).is_some_and(Option::is_some)
    }

    /// The objective as people read it: per request, or for throughput the mean share of capacity.
    pub(super) fn objective(&self, forecast: &Forecast) -> f64 {
        forecast.total / self.per.max(1e-12)
    }

    /// What an assignment comes to; `None` where nobody takes anything.
    pub(super) fn forecast(&self, assignment: &Assignment) -> Option<Forecast> {
        told(self.splitter.split(&self.at(assignment, None)))
    }

    /// As [`Self::forecast`], for an assignment that differs from a known one in one engine.
    pub(super) fn forecast_from(
        &self,
        assignment: &Assignment,
        from: &Forecast,
        changed: usize,
    ) -> Option<Forecast> {
        told(self.splitter.split_from(&self.at(assignment, None), &from.split, changed))
    }

    /// As [`Self::forecast_from`] of the same assignment while one engine's cache is empty.
    pub(super) fn forecast_cold(
        &self,
        assignment: &Assignment,
        from: &Forecast,
        cold: usize,
    ) -> Option<Forecast> {
        told(self.splitter.split_from(&self.at(assignment, Some(cold)), &from.split, cold))
    }

    fn at(&self, assignment: &Assignment, cold: Option<usize>) -> Vec<Option<&Machine>> {
        let machine = |(engine, profile): (usize, &Option<usize>)| {
            let all = if cold == Some(engine) { &self.cold } else { &self.machines };
            all[engine].get((*profile)?)?.as_ref()
        };
        assignment.iter().enumerate().map(machine).collect()
    }
}

fn told(split: Option<Split>) -> Option<Forecast> {
    split.map(|split| Forecast { total: split.total(), split })
}

fn present(engine: &Engine) -> Option<usize> {
    if engine.condition == Condition::Unavailable {
        return None;
    }
    engine.profiles.iter().position(|option| option.id == engine.current)
}

/// Factors on an engine's prefills and decode steps: what its requests taught, or else what its calibration says; of the profile, of
/// its others; or else what is known of the other engines.
fn factors_of(engine: &Engine, option: &ProfileOption, effects: &Effects, group: (f64, f64)) -> (f64, f64) {
    let exp = |(ttft, tpot): (f64, f64)| (ttft.exp(), tpot.exp());
    let own = effects.engine(&engine.id).map(exp).or(option.calibration).or_else(|| mean(known(engine)));
    let (ttft, tpot) = own.or_else(|| effects.others().map(exp)).unwrap_or(group);
    factors(ttft, tpot)
}

/// Outcomes after which a way of speculation is known well enough not to be tried for its own sake.
const KNOWN: f64 = 100.0;

/// Factor on the steps that answers of a class take, in profiles whose speculation the prior takes as neutral. What is not
/// known yet is thought a bit better than it looks, so that it is found out.
fn steps_factor(
    engine: &Engine,
    option: &ProfileOption,
    effects: &Effects,
    class: &super::RequestClass,
    curiosity: f64,
) -> f64 {
    let speculates = |deployment: &crate::Deployment| speculates_unmodelled(&deployment.knobs);
    if !option.deployment.as_ref().is_some_and(speculates) {
        return 1.0;
    }
    let (effect, count) = effects.profile(&engine.model, &option.id, class);
    (effect - curiosity * (1.0 - count / KNOWN).max(0.0)).exp()
}

/// By how much what is learned of TTFT may be above what is learned of TPOT before it is taken for waiting.
const WAITING: f64 = 1.5;

/// Factors on prefills and on decode steps. Waiting is in what was learned of TTFT, and the planner works out waiting itself:
/// an engine's prefills are taken to be slower than their prior by little more than its steps are. Faster they may be: that is no waiting.
fn factors(ttft: f64, tpot: f64) -> (f64, f64) {
    let positive = |factor: f64| if factor.is_finite() && factor > 0.0 { factor } else { 1.0 };
    let tpot = positive(tpot);
    (positive(ttft).min(tpot * WAITING), tpot)
}

fn known(engine: &Engine) -> impl Iterator<Item = (f64, f64)> {
    engine.profiles.iter().filter_map(|option| option.calibration)
}

/// Geometric mean.
fn mean(all: impl Iterator<Item = (f64, f64)>) -> Option<(f64, f64)> {
    let (ttft, tpot, count) =
        all.fold((0.0, 0.0, 0.0), |(a, b, n), (ttft, tpot)| (a + ttft.ln(), b + tpot.ln(), n + 1.0));
    (count > 0.0).then(|| ((ttft / count).exp(), (tpot / count).exp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_makes_prefills_no_slower_and_quick_ones_stay_quick() {
        assert_eq!(factors(6.0, 2.0), (3.0, 2.0));
        assert_eq!(factors(2.5, 2.0), (2.5, 2.0));
        // A CPU whose steps are slower than its figures say, and its prefills faster.
        assert_eq!(factors(0.4, 2.0), (0.4, 2.0));
        assert_eq!(factors(f64::NAN, 0.0), (1.0, 1.0));
    }
}
