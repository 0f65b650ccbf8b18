//! The search for a better assignment, and what each of its shifts is worth.

use super::outlook::{Assignment, Forecast, Outlook};

/// A step of the search has to improve the objective by this share of an engine's part of it: less is rounding.
const STEP: f64 = 0.018;
/// How long a cache that was lost is missed, seconds: until what is asked often has been asked again.
const COLD_S: f64 = 120.0;

/// What single shifts from the present assignment come to.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) present: Forecast,
    /// By engine and profile; `None` for what runs already or cannot run.
    pub(super) single: Vec<Vec<Option<Forecast>>>,
}

/// A shift that the search ended with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Wish {
    pub(super) engine: usize,
    pub(super) profile: usize,
    /// What it adds to the others, as a share of the present objective.
    pub(super) gain: f64,
    /// After how many seconds it has paid for the switch; infinite where it gains nothing.
    pub(super) payback_s: f64,
    /// The load of the others while the engine is away.
    pub(super) load_meanwhile: f64,
}

/// Looks at every engine × profile, the others staying as they are.
pub(super) fn survey(outlook: &Outlook, profiles: &[usize]) -> Option<Survey> {
    let present = outlook.forecast(&outlook.present)?;
    let single = |engine: usize, profile: usize| {
        let now = outlook.present[engine]?;
        if now == profile || !outlook.fits(engine, profile) {
            return None;
        }
        outlook.forecast_from(&with(&outlook.present, engine, Some(profile)), &present, engine)
    };
    let engine =
        |(engine, &count): (usize, &usize)| (0..count).map(|profile| single(engine, profile)).collect();
    let single = profiles.iter().enumerate().map(engine).collect();
    Some(Survey { present, single })
}

/// The assignment that single shifts lead to, one after the other, each the best at its time: of engines and profiles that
/// `may` be shifted, each engine once. At most as many rounds as there are engines.
pub(super) fn climb(outlook: &Outlook, survey: &Survey, may: impl Fn(usize, usize) -> bool) -> Assignment {
    let (mut at, mut forecast) = (outlook.present.clone(), survey.present.clone());
    let step = STEP / at.len().max(1) as f64;
    for round in 0..at.len() {
        let mut best: Option<(usize, usize, Forecast)> = None;
        for (engine, profiles) in survey.single.iter().enumerate() {
            if at[engine] != outlook.present[engine] {
                continue;
            }
            for profile in
                (0..profiles.len()).filter(|&profile| profiles[profile].is_some() && may(engine, profile))
            {
                let then = if round == 0 {
                    profiles[profile].clone()
                } else {
                    outlook.forecast_from(&with(&at, engine, Some(profile)), &forecast, engine)
                };
                let Some(then) = then else { continue };
                if best.as_ref().is_none_or(|(.., least)| then.total < least.total) {
                    best = Some((engine, profile, then));
                }
            }
        }
        match best {
            Some((engine, profile, then)) if then.total < forecast.total * (1.0 - step) => {
                at[engine] = Some(profile);
                forecast = then;
            }
            _ => break,
        }
    }
    at
}

/// What each shift of `target` is worth beside the others. `switch_s`: seconds that a switch takes, by engine.
pub(super) fn wishes(outlook: &Outlook, survey: &Survey, target: &Assignment, switch_s: &[f64]) -> Vec<Wish> {
    let Some(goal) = outlook.forecast(target) else { return Vec::new() };
    let changed = |engine: &usize| target[*engine] != outlook.present[*engine];
    let wish = |engine: usize| {
        let profile = target[engine]?;
        let back = with(target, engine, outlook.present[engine]);
        let gained = outlook.forecast_from(&back, &goal, engine)?.total - goal.total;
        let away = outlook.forecast_from(&with(&outlook.present, engine, None), &survey.present, engine);
        // Where nobody else is there, all that comes meanwhile waits.
        let lost = away
            .as_ref()
            .map_or(f64::INFINITY, |away| (away.total - survey.present.total).max(0.0) * switch_s[engine]);
        // Those on their way carry nothing yet.
        let alone = outlook.serving != outlook.present;
        let away = if alone { outlook.forecast(&with(&outlook.serving, engine, None)) } else { away };
        let load_meanwhile = away.map_or(f64::INFINITY, |away| away.utilisation());
        let cold = outlook.forecast_cold(target, &goal, engine)?.total - goal.total;
        let cost = lost + cold.max(0.0) * COLD_S;
        let payback_s = if gained > 0.0 { cost / gained } else { f64::INFINITY };
        let gain = gained / survey.present.total.max(1e-12);
        Some(Wish { engine, profile, gain, payback_s, load_meanwhile })
    };
    (0..target.len()).filter(changed).filter_map(wish).collect()
}

/// `at` with another profile on one engine.
pub(super) fn with(at: &Assignment, engine: usize, profile: Option<usize>) -> Assignment {
    let mut changed = at.clone();
    changed[engine] = profile;
    changed
}
