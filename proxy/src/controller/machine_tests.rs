use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    drain: Duration::from_secs(60),
    start: Duration::from_secs(300),
    agree: Duration::from_secs(30),
    slow_start: Duration::from_secs(10),
};

fn switch() -> Switch {
    Switch {
        id: "1".into(),
        from: "a".into(),
        to: "b".into(),
        reason: "a test".into(),
        planned: false,
        began: 0,
        step: Step::Draining,
        back: None,
        failed_back: 0,
        was_away: false,
    }
}

fn at(milliseconds: u64) -> Moment {
    Moment(1_000_000_000 + milliseconds * 1_000_000)
}

fn sight() -> Sight {
    let agreement = Agreement::Agrees;
    Sight { under_way: 0, counted: None, ended: None, answers: true, away: false, agreement }
}

/// What goes as it should; the milliseconds that each takes.
fn good(action: Action) -> (Event, u64) {
    match action {
        Action::Look | Action::Share(_) => (Event::Seen(sight()), 250),
        Action::Stop | Action::Release | Action::Start | Action::WarmUp => (Event::Done, 100),
    }
}

/// Runs a machine on good events to its end; the steps it went through.
fn finish(machine: &mut Machine, mut now: u64) -> (Vec<Step>, End) {
    let mut steps = Vec::new();
    for _ in 0..10_000 {
        let step = machine.switch().step;
        if steps.last() != Some(&step) {
            steps.push(step);
        }
        let (event, took) = good(machine.action(at(now)));
        now += took;
        if let Some(end) = machine.on(event, at(now)) {
            return (steps, end);
        }
    }
    panic!("it never ends: {machine:?}");
}

#[test]
fn a_switch_goes_through_every_step_in_order() {
    let mut machine = Machine::new(switch(), LIMITS, at(0));
    assert_eq!(finish(&mut machine, 0), (Step::ALL.to_vec(), (Outcome::Done, None)));
}

#[test]
fn an_engine_is_ended_only_when_nothing_was_under_way_for_a_while() {
    let mut machine = Machine::new(switch(), LIMITS, at(0));
    let busy = Sight { under_way: 1, ..sight() };
    for (now, sight) in [(0, sight()), (400, busy), (800, sight()), (1200, sight())] {
        machine.on(Event::Seen(sight), at(now));
        assert_eq!(machine.switch().step, Step::Draining, "{now}");
    }
    machine.on(Event::Seen(sight()), at(1300));
    assert_eq!(machine.switch().step, Step::Stopping);
}

#[test]
fn calm_is_what_the_engine_said_since_not_before() {
    let mut machine = Machine::new(switch(), LIMITS, at(0));
    let said = |when| Event::Seen(Sight { counted: Some(at(when)), ..sight() });
    for (now, when) in [(1_000, 900), (1_600, 900), (4_000, 999)] {
        machine.on(said(when), at(now));
        assert_eq!(machine.switch().step, Step::Draining, "{now}");
    }
    machine.on(said(1_001), at(4_200));
    assert_eq!(machine.switch().step, Step::Stopping);
}

#[test]
fn the_way_back_from_the_slow_start_drains_first() {
    let slow = Switch { step: Step::SlowStart, ..switch() };
    let fails = Event::Seen(Sight { ended: Some("it does not answer".into()), ..sight() });
    let busy = Event::Seen(Sight { under_way: 2, ..sight() });
    let back = |now| {
        let mut machine = Machine::new(slow.clone(), LIMITS, at(now));
        machine.on(fails.clone(), at(now));
        assert_eq!(machine.switch().step, Step::Draining);
        assert!(machine.switch().holds() && machine.switch().profile() == "b");
        machine
    };
    let mut machine = back(0);
    machine.on(busy.clone(), at(1_000));
    machine.on(Event::Seen(sight()), at(2_000));
    machine.on(Event::Seen(sight()), at(2_500));
    assert_eq!(machine.switch().step, Step::Stopping, "all were done");
    let mut machine = back(0);
    assert_eq!(machine.on(busy.clone(), at(59_000)), None);
    assert_eq!(machine.on(busy, at(61_000)), None, "it cannot stay");
    assert_eq!(machine.switch().step, Step::Stopping);
    let mut machine = back(0);
    machine.on(fails.clone(), at(1));
    assert_eq!(machine.switch().step, Step::Stopping, "nobody is there");
}

#[test]
fn the_second_way_back_drains_the_engine_that_serves() {
    let back = Switch { step: Step::SlowStart, back: Some("broken".into()), ..switch() };
    let mut machine = Machine::new(back, LIMITS, at(0));
    assert_eq!(machine.switch().profile(), "a");
    machine.on(Event::Seen(Sight { ended: Some("it does not answer".into()), ..sight() }), at(0));
    assert_eq!(
        (machine.switch().step, machine.switch().profile()),
        (Step::Draining, "a"),
        "clients are there"
    );
    machine.on(Event::Seen(Sight { under_way: 2, ..sight() }), at(1_000));
    assert_eq!(machine.switch().step, Step::Draining);
    let (steps, end) = finish(&mut machine, 2_000);
    assert_eq!((steps, end), (Step::ALL.to_vec(), (Outcome::RolledBack, Some("broken".into()))));
}

#[test]
fn requests_that_do_not_end_keep_their_engine() {
    let mut machine = Machine::new(switch(), LIMITS, at(0));
    let busy = Event::Seen(Sight { under_way: 3, ..sight() });
    assert_eq!(machine.on(busy.clone(), at(59_000)), None);
    let (outcome, why) = machine.on(busy, at(61_000)).unwrap();
    assert_eq!((outcome, why.unwrap().contains("3 requests")), (Outcome::Abandoned, true));
}

#[test]
fn the_share_grows_from_little_to_all() {
    let slow = Switch { step: Step::SlowStart, ..switch() };
    let machine = Machine::new(slow.clone(), LIMITS, at(0));
    let shares: Vec<Action> = [0, 5_000, 20_000].map(|now| machine.action(at(now))).to_vec();
    assert_eq!(shares, [Action::Share(50), Action::Share(500), Action::Share(1000)]);
    let at_once = Limits { slow_start: Duration::ZERO, ..LIMITS };
    assert_eq!(Machine::new(slow, at_once, at(0)).action(at(0)), Action::Share(1000));
}

#[test]
fn another_profile_is_borne_for_a_while_and_not_longer() {
    let verifying = Switch { step: Step::Verifying, ..switch() };
    let mut machine = Machine::new(verifying, LIMITS, at(0));
    let differs = Event::Seen(Sight { agreement: Agreement::Differs("max_num_seqs".into()), ..sight() });
    machine.on(differs.clone(), at(1_000));
    machine.on(differs.clone(), at(30_000));
    assert_eq!(machine.switch().step, Step::Verifying);
    machine.on(differs, at(32_000));
    assert_eq!((machine.switch().step, machine.switch().target()), (Step::Stopping, "a"));
    assert!(machine.switch().back.as_deref().unwrap().contains("max_num_seqs"));
}

#[test]
fn an_engine_that_says_nothing_in_time_is_given_up() {
    for step in [Step::Starting, Step::Verifying] {
        let mut machine = Machine::new(Switch { step, ..switch() }, LIMITS, at(0));
        machine.on(Event::Done, at(0));
        let silent = Sight { answers: false, agreement: Agreement::Unknown, ..sight() };
        machine.on(Event::Seen(silent.clone()), at(299_000));
        assert_eq!(machine.switch().step, step);
        machine.on(Event::Seen(silent), at(301_000));
        assert_eq!((machine.switch().step, machine.switch().target()), (Step::Stopping, "a"));
    }
}

#[test]
fn nothing_starts_on_memory_that_is_not_free() {
    let mut machine = Machine::new(Switch { step: Step::Releasing, ..switch() }, LIMITS, at(0));
    assert_eq!(machine.on(Event::Failed("it is in use".into()), at(0)), None);
    assert_eq!((machine.switch().step, machine.switch().target()), (Step::Stopping, "a"));
    for _ in 0..2 {
        machine.on(Event::Done, at(0));
        assert_eq!(machine.on(Event::Failed("it is in use".into()), at(0)), None);
    }
    machine.on(Event::Done, at(0));
    let end = machine.on(Event::Failed("it is in use".into()), at(0));
    assert_eq!(end, Some((Outcome::Failed, Some("it is in use".into()))));
}

/// It is all that tells a new engine from the old one, where nothing else shows.
#[test]
fn the_journal_keeps_that_an_engine_was_away_on_this_way() {
    let away = Sight { answers: false, away: true, agreement: Agreement::Unknown, ..sight() };
    let mut machine = Machine::new(switch(), LIMITS, at(0));
    machine.on(Event::Seen(away.clone()), at(0));
    assert!(!machine.switch().was_away, "it has not been told yet");
    let mut machine = Machine::new(Switch { step: Step::Starting, ..switch() }, LIMITS, at(0));
    machine.on(Event::Done, at(0));
    machine.on(Event::Seen(away), at(0));
    let kept = serde_json::to_string(machine.switch()).unwrap();
    let mut machine = Machine::new(serde_json::from_str(&kept).unwrap(), LIMITS, at(0));
    assert!(machine.switch().was_away);
    machine.on(Event::Failed("the order is not accepted".into()), at(0));
    assert!(machine.switch().back.is_some() && !machine.switch().was_away, "the way back is another order");
}

#[test]
fn the_way_back_is_tried_three_times() {
    let back = Switch { step: Step::Starting, back: Some("broken".into()), ..switch() };
    let mut machine = Machine::new(back, LIMITS, at(0));
    let dead = Sight { ended: Some("gone".into()), ..sight() };
    for _ in 0..2 {
        machine.on(Event::Done, at(0));
        assert_eq!(machine.on(Event::Seen(dead.clone()), at(0)), None);
        assert_eq!(machine.switch().step, Step::Stopping);
        machine.on(Event::Done, at(0));
        machine.on(Event::Done, at(0));
    }
    machine.on(Event::Done, at(0));
    assert_eq!(machine.on(Event::Seen(dead), at(0)), Some((Outcome::Failed, Some("gone".into()))));
}

fn any_event() -> impl Strategy<Value = Event> {
    let agreement = prop_oneof![
        Just(Agreement::Unknown),
        Just(Agreement::Agrees),
        Just(Agreement::Differs("a knob".to_owned()))
    ];
    let ended = prop::option::weighted(0.1, Just("it died".to_owned()));
    let seen = (0_u32..3, ended, any::<bool>(), agreement);
    let seen = seen.prop_map(|(under_way, ended, answers, agreement)| {
        Event::Seen(Sight { under_way, counted: None, ended, answers, away: !answers, agreement })
    });
    prop_oneof![8 => seen, 4 => Just(Event::Done), 1 => Just(Event::Failed("it failed".to_owned()))]
}

proptest! {
    /// Whatever happens, in whatever order: an engine is ended only after it was drained or was never in service, the
    /// profile is one of the two, and once things go well the switch ends in a sound state.
    #[test]
    fn whatever_happens_it_ends_soundly(events in prop::collection::vec((any_event(), 0_u64..20_000), 0..60)) {
        let mut machine = Machine::new(switch(), LIMITS, at(0));
        let mut now = 0;
        for (event, took) in events {
            let before = machine.switch().clone();
            now += took;
            let end = machine.on(event.clone(), at(now));
            let after = machine.switch();
            prop_assert!(after.profile() == "a" || after.profile() == "b");
            if before.step == Step::Draining && after.step == Step::Stopping {
                let calm = matches!(&event, Event::Seen(sight) if sight.under_way == 0);
                prop_assert!(calm || before.back.is_some(), "only one that cannot stay is stopped while it serves");
            }
            prop_assert!(before.step != Step::SlowStart || after.step != Step::Stopping);
            if before.step == Step::SlowStart && after.step == Step::Draining {
                prop_assert_eq!(after.profile(), before.profile(), "those that are drained are where they were sent");
            }
            if let Some((outcome, _)) = end {
                prop_assert_eq!(outcome == Outcome::Abandoned, after.step == Step::Draining);
                prop_assert_eq!(outcome == Outcome::Done, after.step == Step::SlowStart && after.back.is_none());
                return Ok(());
            }
        }
        let (_, (outcome, _)) = finish(&mut machine, now);
        let sound = match outcome {
            Outcome::Done => machine.switch().back.is_none(),
            Outcome::Abandoned => machine.switch().step == Step::Draining,
            Outcome::RolledBack => machine.switch().back.is_some(),
            Outcome::Failed => false,
        };
        prop_assert!(sound, "{:?} {:?}", outcome, machine);
    }

    /// A crash at any moment, after which the journal's switch is begun anew, changes nothing of how it ends.
    #[test]
    fn what_the_journal_kept_goes_on(
        events in prop::collection::vec((any_event(), 0_u64..5_000), 0..40),
        crash in 0_usize..40,
    ) {
        let mut machine = Machine::new(switch(), LIMITS, at(0));
        let mut now = 0;
        for (index, (event, took)) in events.into_iter().enumerate() {
            if index == crash {
                let kept = serde_json::to_string(machine.switch()).unwrap();
                machine = Machine::new(serde_json::from_str(&kept).unwrap(), LIMITS, at(now));
            }
            now += took;
            if machine.on(event, at(now)).is_some() {
                return Ok(());
            }
        }
        let mut kept = Machine::new(machine.switch().clone(), LIMITS, at(now));
        let (steps, (outcome, _)) = finish(&mut machine, now);
        let (steps_anew, (outcome_anew, _)) = finish(&mut kept, now);
        // Requests get their time to finish anew.
        if outcome == Outcome::Abandoned {
            prop_assert_eq!(outcome_anew, Outcome::Done);
        } else {
            prop_assert_eq!((steps, outcome), (steps_anew, outcome_anew));
        }
    }
}

#[test]
fn an_engine_that_was_away_while_its_start_was_ordered_was_away() {
    let mut machine = Machine::new(switch(), LIMITS, at(0));
    machine.saw_away();
    assert!(!machine.switch().was_away, "not before it is told to become another");
    machine = Machine::new(Switch { step: Step::Starting, ..switch() }, LIMITS, at(0));
    machine.saw_away();
    assert_eq!(machine.action(at(1)), Action::Start, "the order is still on its way");
    machine.on(Event::Done, at(2));
    assert!(machine.switch().was_away && machine.action(at(2)) == Action::Look);
    machine.on(Event::Failed("it is refused".into()), at(3));
    assert!(!machine.switch().was_away, "the way back is another order");
}
