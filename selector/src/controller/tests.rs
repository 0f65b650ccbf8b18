//! The planner over engines and traffic that are made up, in virtual time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gearshift_config::{BackendId, Catalog, Knobs, ModelId, Objective, ProfileId, Speculative};
use proptest::prelude::*;

use super::*;
use crate::{Deployment, Moment, Software};

mod fleets;

const MODEL: &str = "llama-3.1-8b";

fn at(seconds: f64) -> Moment {
    Moment(0).after_seconds(seconds)
}

fn option(hardware: &str, id: &str, knobs: Knobs) -> ProfileOption {
    let catalog = Catalog::shipped();
    ProfileOption {
        id: ProfileId::new(id),
        lossless: knobs.lossless(),
        deployment: Some(Deployment {
            hardware: Arc::clone(catalog.hardware(hardware).unwrap()),
            count: 1,
            model: Arc::clone(catalog.model(MODEL).unwrap()),
            knobs,
            software: Software::default(),
            kv_tokens: None,
        }),
        calibration: None,
    }
}

/// Profiles that suit different traffic: caching saves prompts that are shared, `wide` runs many sequences, and `narrow` is there
/// to be the worst.
fn menu(hardware: &str) -> Vec<ProfileOption> {
    let knobs = |caches, sequences| Knobs {
        prefix_caching: Some(caches),
        max_num_seqs: Some(sequences),
        ..Knobs::default()
    };
    vec![
        option(hardware, "narrow", knobs(false, 2)),
        option(hardware, "wide", knobs(false, 256)),
        option(hardware, "cached", knobs(true, 256)),
    ]
}

fn engine(name: &str, profiles: Vec<ProfileOption>, current: &str) -> Engine {
    Engine {
        id: BackendId::new(name),
        model: ModelId::new(MODEL),
        current: ProfileId::new(current),
        profiles,
        condition: Condition::Available,
        price_usd_per_hour: None,
        round_trip_s: 0.001,
        switch_s: 120.0,
    }
}

fn fleet(count: usize, current: &str) -> Vec<Engine> {
    (0..count).map(|at| engine(&format!("e{at}"), menu("h100_sxm"), current)).collect()
}

fn traffic(rate_per_s: f64, classes: &[(f64, f64, f64, f64)]) -> Traffic {
    let class = |&(share, prompt_tokens, shared_tokens, output_tokens): &(f64, f64, f64, f64)| RequestClass {
        share,
        prompt_tokens,
        shared_tokens,
        output_tokens,
    };
    Traffic {
        model: ModelId::new(MODEL),
        rate_per_s,
        burstiness: 1.0,
        requests: 1000.0,
        classes: classes.iter().map(class).collect(),
    }
}

/// Agents: long prompts that are mostly shared.
fn agents(rate: f64) -> Traffic {
    traffic(rate, &[(1.0, 6000.0, 5500.0, 100.0)])
}

fn eager() -> Settings {
    Settings { settle: Duration::ZERO, min_dwell: Duration::ZERO, ..Settings::default() }
}

fn verdict(plan: &Plan, backend: &str, profile: &str) -> Verdict {
    let of = |advice: &&Advice| advice.backend.as_str() == backend && advice.profile.as_str() == profile;
    plan.advice.iter().find(of).unwrap().verdict
}

#[test]
fn shared_prompts_want_a_cache() {
    let mut planner = Planner::new(eager());
    let plan = planner.plan(at(0.0), &fleet(2, "wide"), &[agents(2.0)]);
    assert_eq!(plan.shifts.len(), 1, "one at a time: {:?}", plan.advice);
    assert_eq!(plan.shifts[0].to.as_str(), "cached");
    assert!(plan.shifts[0].gain > 0.0 && plan.shifts[0].payback_s < 3600.0, "{:?}", plan.shifts[0]);
    let other = if plan.shifts[0].backend.as_str() == "e0" { "e1" } else { "e0" };
    assert_eq!(verdict(&plan, other, "cached"), Verdict::Capacity);
    assert_eq!(verdict(&plan, other, "wide"), Verdict::Running);
    assert_eq!(plan.advice.len(), 6);
}

#[test]
fn a_wish_has_to_last() {
    let mut planner = Planner::new(Settings { settle: Duration::from_secs(120), ..eager() });
    let engines = fleet(2, "wide");
    let first = planner.plan(at(0.0), &engines, &[agents(2.0)]);
    assert!(first.shifts.is_empty());
    assert!(planner.plan(at(60.0), &engines, &[agents(2.0)]).shifts.is_empty());
    assert_eq!(planner.plan(at(121.0), &engines, &[agents(2.0)]).shifts.len(), 1);
}

#[test]
fn what_is_as_it_should_be_stays() {
    let mut planner = Planner::new(eager());
    let plan = planner.plan(at(0.0), &fleet(3, "cached"), &[agents(2.0)]);
    assert!(plan.shifts.is_empty());
    assert_eq!(verdict(&plan, "e0", "cached"), Verdict::Running);
    assert_eq!(verdict(&plan, "e0", "wide"), Verdict::NotBetter);
}

#[test]
fn a_failure_is_not_repeated_at_once() {
    let mut planner = Planner::new(eager());
    let engines = fleet(2, "wide");
    let mut now = 0.0;
    for expected_s in [600.0, 1200.0] {
        let plan = planner.plan(at(now), &engines, &[agents(2.0)]);
        let shift = plan.shifts.into_iter().find(|shift| shift.backend.as_str() == "e0");
        let shift = shift.unwrap_or_else(|| Shift {
            backend: BackendId::new("e0"),
            from: ProfileId::new("wide"),
            to: ProfileId::new("cached"),
            gain: 0.1,
            switch_cost_s: 1.0,
            payback_s: 1.0,
            reason: String::new(),
        });
        planner.finished(&shift, Duration::from_secs(30), false, at(now));
        let plan = planner.plan(at(now + 1.0), &engines, &[agents(2.0)]);
        let Verdict::BackingOff { left_s } = verdict(&plan, "e0", "cached") else { panic!("{plan:?}") };
        assert!((left_s - (expected_s - 1.0)).abs() < 1e-6, "{left_s}");
        now += expected_s;
    }
}

#[test]
fn an_engine_alone_is_not_taken_away_by_default() {
    let mut planner = Planner::new(eager());
    let plan = planner.plan(at(0.0), &fleet(1, "wide"), &[agents(3.0)]);
    assert!(plan.shifts.is_empty(), "nobody would carry its load");
}

#[test]
fn others_must_be_able_to_carry_the_load() {
    let mut planner = Planner::new(Settings { max_load: 0.01, ..eager() });
    let plan = planner.plan(at(0.0), &fleet(2, "wide"), &[agents(2.0)]);
    assert!(plan.shifts.is_empty());
    assert!(plan.advice.iter().any(|advice| advice.verdict == Verdict::Capacity), "{:?}", plan.advice);
}

#[test]
fn an_engine_of_its_own_kind_is_not_judged_by_others_before_its_calibration() {
    let served = |backend: &str, ratio: f64| Served {
        model: ModelId::new(MODEL),
        backend: BackendId::new(backend),
        profile: ProfileId::new("wide"),
        speculates: false,
        class: RequestClass { share: 1.0, prompt_tokens: 800.0, shared_tokens: 0.0, output_tokens: 200.0 },
        ttft_ratio: Some(ratio),
        tpot_ratio: Some(ratio),
    };
    let objective = |calibration: Option<(f64, f64)>, taught: bool| {
        let mut engines = fleet(2, "wide");
        engines[1].condition = Condition::Unavailable;
        engines[0].profiles.iter_mut().for_each(|option| option.calibration = calibration);
        let mut planner = Planner::new(eager());
        if taught {
            (0..100).for_each(|_| planner.served(&served("e1", 2.5)));
        }
        let plan = planner.plan(at(0.0), &engines, &[traffic(1.0, &[(1.0, 800.0, 0.0, 200.0)])]);
        plan.advice.iter().find(|advice| advice.verdict == Verdict::Running).unwrap().objective.unwrap()
    };
    assert!(objective(None, true) > 1.5 * objective(None, false), "nothing else is known");
    assert_eq!(objective(Some((1.0, 1.0)), true), objective(Some((1.0, 1.0)), false));
}

#[test]
fn lossy_profiles_want_permission() {
    let mut engines = fleet(2, "cached");
    let knobs = Knobs {
        quantization: Some(gearshift_config::Quantization::Fp8),
        ..menu("h100_sxm")[2].deployment.clone().unwrap().knobs
    };
    engines.iter_mut().for_each(|engine| engine.profiles.push(option("h100_sxm", "fp8", knobs.clone())));
    let chat = traffic(10.0, &[(1.0, 500.0, 0.0, 300.0)]);
    let plan = Planner::new(eager()).plan(at(0.0), &engines, std::slice::from_ref(&chat));
    assert_eq!((plan.shifts.len(), verdict(&plan, "e0", "fp8")), (0, Verdict::Lossy));
    let allowed = Settings { allow_lossy: true, ..eager() };
    let mut planner = Planner::new(allowed.clone());
    assert_eq!(planner.plan(at(0.0), &engines, std::slice::from_ref(&chat)).shifts[0].to.as_str(), "fp8");
    // Each model's requests are asked.
    let wants = Wants { objective: Objective::Latency, allow_lossy: false };
    let models = BTreeMap::from([(ModelId::new(MODEL), wants)]);
    let plan = Planner::new(Settings { models, ..allowed }).plan(at(0.0), &engines, &[chat]);
    assert_eq!((plan.shifts.len(), verdict(&plan, "e0", "fp8")), (0, Verdict::Lossy));
}

#[test]
fn unknown_facts_and_thin_traffic_are_left_alone() {
    let mut engines = fleet(2, "wide");
    let thin = Traffic { requests: 3.0, ..agents(2.0) };
    let plan = Planner::new(eager()).plan(at(0.0), &engines, &[thin]);
    assert_eq!((plan.shifts.len(), verdict(&plan, "e0", "cached")), (0, Verdict::TooFewRequests));
    engines[1].profiles.iter_mut().for_each(|option| option.deployment = None);
    let plan = Planner::new(eager()).plan(at(0.0), &engines, &[agents(2.0)]);
    assert_eq!((plan.shifts.len(), verdict(&plan, "e0", "cached")), (0, Verdict::UnknownFacts));
}

#[test]
fn what_lookups_gain_is_found_out_and_kept() {
    let ngram = Speculative { method: "ngram".into(), num_speculative_tokens: 3, model: None };
    let plain = Knobs::default();
    let lookup = Knobs { speculative: Some(ngram), ..Knobs::default() };
    let profiles =
        || vec![option("h100_sxm", "plain", plain.clone()), option("h100_sxm", "lookup", lookup.clone())];
    let engines = |current: &str| vec![engine("e0", profiles(), current), engine("e1", profiles(), "plain")];
    let class = RequestClass { share: 1.0, prompt_tokens: 800.0, shared_tokens: 0.0, output_tokens: 200.0 };
    let chat = traffic(4.0, &[(1.0, 800.0, 0.0, 200.0)]);
    let served = |tpot: f64| Served {
        model: ModelId::new(MODEL),
        backend: BackendId::new("e0"),
        profile: ProfileId::new("lookup"),
        speculates: true,
        class,
        ttft_ratio: Some(1.0),
        tpot_ratio: Some(tpot),
    };
    let mut planner = Planner::new(eager());
    assert_eq!(
        planner.plan(at(0.0), &engines("plain"), std::slice::from_ref(&chat)).shifts[0].to.as_str(),
        "lookup"
    );
    let mut bad = planner.clone();
    (0..300).for_each(|_| planner.served(&served(0.7)));
    (0..300).for_each(|_| bad.served(&served(1.3)));
    let good = planner.plan(at(60.0), &engines("lookup"), std::slice::from_ref(&chat));
    assert_eq!((good.shifts[0].backend.as_str(), good.shifts[0].to.as_str()), ("e1", "lookup"));
    let bad = bad.plan(at(60.0), &engines("lookup"), &[chat]);
    assert_eq!((bad.shifts[0].backend.as_str(), bad.shifts[0].to.as_str()), ("e0", "plain"));
}

#[test]
fn every_objective_is_finite_and_prefers_less() {
    for objective in [Objective::Latency, Objective::Cost, Objective::Energy, Objective::Throughput] {
        let settings = Settings { objective, ..eager() };
        let plan = Planner::new(settings).plan(at(0.0), &fleet(2, "wide"), &[agents(2.0)]);
        let of = |profile: &str| {
            plan.advice.iter().find(|advice| advice.profile.as_str() == profile).unwrap().objective.unwrap()
        };
        assert!(of("cached") < of("wide"), "{objective:?}: {} {}", of("cached"), of("wide"));
    }
}

/// Carries out a planner's shifts in virtual time: each takes its engine away for two minutes.
struct World {
    planner: Planner,
    engines: Vec<Engine>,
    away: BTreeMap<usize, (f64, Shift)>,
    shifts: Vec<f64>,
    most_away: usize,
}

impl World {
    fn new(settings: Settings, engines: Vec<Engine>) -> Self {
        let (away, shifts) = (BTreeMap::new(), Vec::new());
        Self { planner: Planner::new(settings), engines, away, shifts, most_away: 0 }
    }

    fn step(&mut self, now: f64, traffic: &Traffic) {
        let done: Vec<usize> =
            self.away.iter().filter(|(_, (until, _))| *until <= now).map(|(engine, _)| *engine).collect();
        for engine in done {
            let (_, shift) = self.away.remove(&engine).unwrap();
            self.planner.finished(&shift, Duration::from_secs(120), true, at(now));
            self.engines[engine].condition = Condition::Available;
        }
        for shift in self.planner.plan(at(now), &self.engines, std::slice::from_ref(traffic)).shifts {
            let engine = self.engines.iter().position(|engine| engine.id == shift.backend).unwrap();
            assert_eq!(self.engines[engine].condition, Condition::Available);
            assert_eq!(self.engines[engine].current, shift.from);
            self.engines[engine].condition = Condition::Switching;
            self.engines[engine].current = shift.to.clone();
            self.away.insert(engine, (now + 120.0, shift));
            self.shifts.push(now);
        }
        self.most_away = self.most_away.max(self.away.len());
    }
}

/// Two kinds of traffic that each want another profile: short prompts in numbers that need many slots, and long shared ones.
fn menu_of_two() -> Vec<ProfileOption> {
    let knobs = |caches, sequences| Knobs {
        prefix_caching: Some(caches),
        max_num_seqs: Some(sequences),
        ..Knobs::default()
    };
    vec![option("l4", "wide", knobs(false, 256)), option("l4", "cached", knobs(true, 6))]
}

#[test]
fn a_week_of_alternating_traffic_does_not_thrash() {
    let wide = traffic(5.0, &[(1.0, 200.0, 0.0, 60.0)]);
    let shared = traffic(2.0, &[(1.0, 3000.0, 2900.0, 8.0)]);
    // Half-periods: faster than the dwell, at it, and slow enough to follow.
    for (half_s, most_per_day) in [(1200.0, 24.0), (1800.0, 24.0), (6.0 * 3600.0, 24.0)] {
        let engines = (0..3).map(|at| engine(&format!("e{at}"), menu_of_two(), "wide")).collect();
        let mut world =
            World::new(Settings { every: Duration::from_secs(600), ..Settings::default() }, engines);
        let mut now: f64 = 0.0;
        while now < 7.0 * 86_400.0 {
            let first = (now / half_s).floor() % 2.0 == 0.0;
            world.step(now, if first { &wide } else { &shared });
            now += 600.0;
        }
        let per_day = world.shifts.len() as f64 / 7.0;
        eprintln!("{half_s} s: {per_day:.1} shifts a day of three engines");
        assert!(per_day <= most_per_day, "{half_s} s: {per_day} shifts a day");
        assert!(world.most_away <= 1);
        assert!(half_s < 10_000.0 || per_day > 1.0, "what lasts is followed");
    }
}

fn any_traffic() -> impl Strategy<Value = Traffic> {
    let class = (0.1..1.0_f64, 10.0..8000.0_f64, 0.0..1.0_f64, 1.0..800.0_f64);
    (0.1..30.0_f64, 0.0..5.0_f64, prop::collection::vec(class, 1..5)).prop_map(
        |(rate, burstiness, classes)| {
            let all: f64 = classes.iter().map(|class| class.0).sum();
            let classes: Vec<_> = classes
                .iter()
                .map(|&(share, prompt, shared, output)| (share / all, prompt, shared * prompt, output))
                .collect();
            Traffic { burstiness, ..traffic(rate, &classes) }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_comes_capacity_is_kept_and_plans_are_the_same_again(
        traffic in prop::collection::vec(any_traffic(), 8),
        most in 1_u32..3,
    ) {
        let settings = || Settings { max_unavailable: most, max_shifts_per_day: 2, ..eager() };
        let kinds = ["h100_sxm", "l4", "a100_sxm_80gb"];
        let engines: Vec<Engine> =
            kinds.iter().map(|kind| engine(kind, menu(kind), "wide")).collect();
        let run = || {
            let mut world = World::new(settings(), engines.clone());
            for step in 0..40 {
                world.step(f64::from(step) * 60.0, &traffic[usize::try_from(step / 5).unwrap()]);
            }
            world
        };
        let world = run();
        prop_assert!(world.most_away <= most as usize);
        prop_assert!(world.shifts.len() <= 2 * kinds.len(), "a bounded number a day");
        prop_assert_eq!(&world.shifts, &run().shifts);
    }

    #[test]
    fn equal_profiles_are_left_as_they_are(traffic in any_traffic()) {
        let same = || ["a", "b", "c"].map(|id| option("h100_sxm", id, Knobs::default())).to_vec();
        let engines = [engine("x", same(), "a"), engine("y", same(), "b")];
        let plan = Planner::new(eager()).plan(at(0.0), &engines, &[traffic]);
        prop_assert!(plan.shifts.is_empty(), "{:?}", plan.shifts);
    }
}
