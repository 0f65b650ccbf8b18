//! The study of a day, with hours of two minutes and two engines.

use std::time::Duration;

use gearshift_loadtests::{
    scenario::Scenario,
    study::{
        Fleet,
        day::{Arm, ArmResult, Day, HOURS, Loop, Menu, run_loop},
    },
};
use gearshift_selector::controller::Settings;

fn short(seed: u64) -> (Day, Vec<ArmResult>) {
    let mut fleet = Fleet::of(&Scenario::shipped("day").unwrap());
    fleet.members.truncate(2);
    let eagerness = Settings { every: Duration::from_secs(10), ..Settings::default() };
    let hour = Duration::from_secs(120);
    let plan = Loop { fleet, menu: Menu::drafting(), eagerness, hindsight: false, seed, hour, threads: 2 };
    run_loop(&plan, &|| ()).unwrap()
}

#[test]
fn arms_serve_the_same_requests_lose_none_and_are_repeatable() {
    let (day, arms) = short(7);
    let [on, off] = &arms[..] else { panic!("{}", arms.len()) };
    assert_eq!((on.arm, off.arm), (Arm::On, Arm::Off));
    let sum = |arm: &ArmResult, of: fn(&gearshift_loadtests::study::day::HourFigures) -> u64| -> u64 {
        arm.hours.iter().map(of).sum()
    };
    assert!(day.requests() > 500, "{}", day.requests());
    for arm in [on, off] {
        assert_eq!(arm.hours.len(), HOURS);
        assert_eq!(sum(arm, |hour| hour.requests), day.requests() as u64, "every request belongs to an hour");
        assert_eq!(sum(arm, |hour| hour.lost), 0, "a switch loses nothing");
        assert!(arm.hours.iter().all(|hour| hour.requests == 0 || hour.e2e_s > hour.ttft_s));
        assert!(arm.hours.iter().map(|hour| hour.usd).sum::<f64>() > 0.0);
    }
    // The same answers, whoever gives them.
    assert_eq!(sum(on, |hour| hour.output_tokens), sum(off, |hour| hour.output_tokens));

    assert_eq!(off.profiles, [["default", "default"]], "nobody shifts");
    assert!(off.shifts.is_empty() && !on.shifts.is_empty(), "drafting heads pay from the first hour on");
    assert_eq!(on.profiles.len(), HOURS);
    let mut at = vec!["default".to_owned(); 2];
    for shift in &on.shifts {
        let engine = usize::from(!on_first(&shift.engine));
        assert_eq!(at[engine], shift.from, "{:?}", on.shifts);
        at[engine].clone_from(&shift.to);
    }
    assert_eq!(*on.profiles.last().unwrap(), at);
    assert_eq!(short(7).1, arms);
    assert_ne!(short(8).1, arms);
}

/// Whether this is the first engine of the scenario.
fn on_first(name: &str) -> bool {
    Fleet::of(&Scenario::shipped("day").unwrap()).members[0].engine.name == name
}
