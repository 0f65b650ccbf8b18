//! Fleets in which some are away, and large ones.

use super::*;

#[test]
fn one_that_is_on_its_way_carries_nothing_yet() {
    let settings = Settings { max_unavailable: 2, ..eager() };
    let shifts_up_to = |max_load: f64, engines: &[Engine], rate: f64| {
        let settings = Settings { max_load, ..settings.clone() };
        Planner::new(settings).plan(at(0.0), engines, &[agents(rate)]).shifts.len()
    };
    let shifts = |engines: &[Engine], rate: f64| shifts_up_to(settings.max_load, engines, rate);
    // One could not carry it, two could.
    let rate = (1..100)
        .map(f64::from)
        .find(|&rate| shifts(&fleet(2, "wide"), rate) == 0 && shifts(&fleet(3, "wide"), rate) == 1);
    let rate = rate.unwrap();
    let mut engines = fleet(3, "wide");
    engines[2].condition = Condition::Switching;
    engines[2].current = ProfileId::new("cached");
    assert_eq!(shifts(&engines, rate), 0, "at {rate} a second");
    assert_eq!(shifts_up_to(1e9, &engines, rate), 1, "it is the load that forbids it");
}

#[test]
fn many_engines_are_planned_for_in_parts() {
    let mut engines = fleet(40, "wide");
    engines.iter_mut().skip(30).for_each(|engine| engine.profiles = menu("a100_sxm_80gb"));
    engines[5].condition = Condition::Unavailable;
    let mut planner = Planner::new(Settings { max_unavailable: 3, ..eager() });
    let plan = planner.plan(at(0.0), &engines, &[agents(40.0)]);
    assert_eq!(plan.shifts.len(), 1, "one more at a time, whatever its part");
    assert!(plan.shifts[0].gain < 1.0 / 40.0, "of the whole: {:?}", plan.shifts[0]);
    let named: Vec<&str> = plan.advice.iter().step_by(3).map(|advice| advice.backend.as_str()).collect();
    let expected: Vec<&str> = engines.iter().map(|engine| engine.id.as_str()).collect();
    assert_eq!(named, expected);
    let alike = plan.advice.iter().filter(|advice| advice.verdict == Verdict::Running);
    let objectives: Vec<f64> = alike.filter_map(|advice| advice.objective).collect();
    let (least, most) = objectives.iter().fold((f64::MAX, 0.0_f64), |(a, b), &one| (a.min(one), b.max(one)));
    assert!(most < 1.1 * least, "parts are alike: {least} to {most}");
    for engine in &mut engines[..3] {
        engine.condition = Condition::Switching;
    }
    assert!(planner.plan(at(60.0), &engines, &[agents(40.0)]).shifts.is_empty(), "three are away in all");
}
