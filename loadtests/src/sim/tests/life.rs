//! Engines that fall asleep, crash, hang and come back.

use gearshift_config::Knobs;

use super::fixture::{request, seconds, spec};
use crate::sim::{Engine, Fault, Moment, Output, OutputKind, Pace, Refusal, RequestId};

fn engine() -> Engine {
    Engine::new(&spec(Knobs::default()), Pace::Skip, 1).unwrap()
}

fn at(engine: &mut Engine, moment: Moment) -> Vec<Output> {
    let mut outputs = Vec::new();
    engine.advance(moment, &mut outputs);
    outputs
}

/// Who was aborted by `moment`.
fn aborted(engine: &mut Engine, moment: Moment) -> Vec<u64> {
    let aborted = |output: &Output| output.kind == OutputKind::Aborted;
    at(engine, moment).iter().filter(|output| aborted(output)).map(|output| output.id.0).collect()
}

/// When a request that comes at `now` is answered, and what of it was cached.
fn answered(engine: &mut Engine, id: u64, now: f64) -> (f64, u32) {
    engine.submit(request(id, 1, 160, 200, 20), seconds(now)).unwrap();
    loop {
        let next = engine.next_event().unwrap();
        for output in at(engine, next) {
            if let OutputKind::Finished { cached_tokens, .. } = output.kind {
                return (output.at.seconds_since(seconds(now)), cached_tokens);
            }
        }
    }
}

#[test]
fn a_crash_aborts_all_and_empties_the_cache() {
    let mut engine = engine();
    assert_eq!(answered(&mut engine, 1, 0.0).1, 0);
    assert_eq!(answered(&mut engine, 2, 10.0).1, 160);
    engine.submit(request(4, 1, 0, 200, 100), seconds(20.0)).unwrap();
    engine.submit(request(3, 1, 0, 200, 100), seconds(20.0)).unwrap();
    engine.set_fault(Fault::Crash, seconds(20.1));
    assert_eq!(aborted(&mut engine, seconds(20.1)), [3, 4]);
    assert!(!engine.is_there());
    assert_eq!(engine.submit(request(5, 1, 0, 200, 100), seconds(21.0)), Err(Refusal::Down));
    assert_eq!(engine.next_event(), None);
    engine.clear_fault(&Fault::Crash, seconds(30.0));
    assert_eq!(engine.submit(request(5, 1, 0, 200, 100), seconds(89.9)), Err(Refusal::Down));
    assert_eq!(engine.next_event(), Some(seconds(90.0)));
    assert_eq!(answered(&mut engine, 6, 90.0).1, 0);
    assert_eq!(engine.totals().finished, 3, "counted over all starts");
}

#[test]
fn a_slow_start_is_used_up() {
    let mut engine = engine();
    engine.set_fault(Fault::SlowStart { seconds: 40.0 }, seconds(0.0));
    for (crash, up) in [(1.0, 101.0), (200.0, 260.0)] {
        engine.crash(seconds(crash));
        engine.start(seconds(crash));
        assert_eq!(engine.next_event(), Some(seconds(up)));
        at(&mut engine, seconds(up));
        assert!(engine.is_there());
    }
}

#[test]
fn who_sleeps_lets_requests_hang() {
    let mut engine = engine();
    let (awake, _) = answered(&mut engine, 1, 0.0);
    engine.submit(request(2, 1, 0, 200, 100), seconds(10.0)).unwrap();
    engine.sleep(seconds(10.1));
    assert_eq!(aborted(&mut engine, seconds(10.1)), [2]);
    engine.submit(request(3, 1, 0, 200, 20), seconds(11.0)).unwrap();
    assert!(engine.is_asleep() && engine.is_there());
    assert_eq!((engine.next_event(), engine.gauges().waiting), (None, 1));
    // Asleep at 12.1, awake three seconds later.
    engine.wake(seconds(11.5));
    let outputs =
        (0..10).flat_map(|_| engine.next_event().map(|next| at(&mut engine, next)).unwrap_or_default());
    let end = outputs.last().unwrap().at;
    assert!((end.seconds_since(seconds(15.1)) - awake).abs() < 1e-6);
    assert_eq!(answered(&mut engine, 4, 30.0).1, 0, "asleep it forgot");
}

#[test]
fn who_hangs_goes_on_where_it_stopped() {
    for pace in [Pace::Steps, Pace::Skip] {
        let end = |hang: Option<(f64, f64)>| {
            let mut engine = Engine::new(&spec(Knobs::default()), pace, 1).unwrap();
            engine.submit(request(1, 1, 0, 500, 100), seconds(0.0)).unwrap();
            if let Some((from, to)) = hang {
                engine.set_fault(Fault::Hang, seconds(from));
                at(&mut engine, seconds(from));
                assert_eq!(engine.next_event(), None);
                assert!(at(&mut engine, seconds(to)).is_empty());
                engine.clear_fault(&Fault::Hang, seconds(to));
            }
            let mut end = Moment(0);
            while let Some(next) = engine.next_event() {
                end = next;
                at(&mut engine, next);
            }
            end
        };
        assert_eq!(end(Some((1.0, 8.0))), Moment(end(None).0 + 7_000_000_000));
        assert_eq!(end(Some((0.001, 5.001))), Moment(end(None).0 + 5_000_000_000), "in its prefill");
    }
}

#[test]
fn a_hang_outlives_a_crash() {
    let mut engine = engine();
    engine.submit(request(1, 1, 0, 200, 100), seconds(0.0)).unwrap();
    engine.set_fault(Fault::Hang, seconds(1.0));
    engine.crash(seconds(10.0));
    engine.start(seconds(10.0));
    engine.submit(request(2, 1, 0, 200, 20), seconds(75.0)).unwrap();
    assert_eq!(aborted(&mut engine, seconds(75.0)), [1]);
    assert_eq!(engine.next_event(), None);
    engine.clear_fault(&Fault::Hang, seconds(80.0));
    assert!(answered(&mut engine, 3, 80.0).0 < 5.0);
    let busy = engine.totals().busy_s;
    assert!(engine.totals().joules > 30.0 * (80.0 - busy), "idle power all the while");
}

#[test]
fn slowness_stretches_the_steps_that_begin_then() {
    let mut engine = engine();
    let (fast, _) = answered(&mut engine, 1, 0.0);
    engine.set_fault(Fault::Slow { factor: 9.0 }, seconds(5.0));
    engine.set_fault(Fault::Slow { factor: 3.0 }, seconds(5.0));
    assert_eq!(engine.faults(), [Fault::Slow { factor: 3.0 }]);
    engine.crash(seconds(5.0));
    engine.start(seconds(5.0));
    let (slow, _) = answered(&mut engine, 2, 100.0);
    assert!((slow / fast - 3.0).abs() < 1e-6, "{slow} s, {fast} s");
    engine.clear_fault(&Fault::Slow { factor: 0.0 }, seconds(200.0));
    assert!(answered(&mut engine, 3, 200.0).0 < fast);
}

#[test]
fn the_step_under_way_takes_on_another_pace() {
    for pace in [Pace::Steps, Pace::Skip] {
        // When a request is answered whose engine changes its pace at those times, s, and the energy until 100 s, J.
        let run = |changes: &[(f64, f64)], hang: Option<(f64, f64)>| {
            let mut engine = Engine::new(&spec(Knobs::default()), pace, 1).unwrap();
            engine.submit(request(1, 1, 0, 200, 20), seconds(0.0)).unwrap();
            let first = engine.next_event().unwrap();
            if let Some((from, _)) = hang {
                engine.set_fault(Fault::Hang, seconds(from));
            }
            for &(moment, factor) in changes {
                engine.set_fault(Fault::Slow { factor }, seconds(moment));
            }
            if let Some((_, to)) = hang {
                engine.clear_fault(&Fault::Hang, seconds(to));
            }
            let mut end = first;
            while let Some(next) = engine.next_event() {
                end = next;
                at(&mut engine, next);
            }
            at(&mut engine, seconds(100.0));
            (end.seconds_since(Moment(0)), engine.totals().joules)
        };
        let (even, even_j) = run(&[], None);
        let early = even * 1e-3;
        let (jammed, jammed_j) = run(&[(early, 1e10), (early + 5.0, 1.0)], None);
        assert!((jammed - even - 5.0).abs() < 1e-4, "{pace:?}: {even} s, {jammed} s");
        assert!(jammed_j > even_j, "{pace:?}: the jammed step drew more than idle power");
        let (late, _) = run(&[(even * 0.9, 1e10), (even * 0.9 + 5.0, 1.0)], None);
        assert!((late - even - 5.0).abs() < 1e-4, "{pace:?}: {even} s, {late} s, amid decoding");
        let (slow, _) = run(&[(early, 3.0)], None);
        assert!((slow - early - 3.0 * (even - early)).abs() < 1e-6, "{pace:?}: {even} s, {slow} s");
        let (hung, _) = run(&[(4.0, 3.0)], Some((early, 9.0)));
        assert!((hung - 9.0 - 3.0 * (even - early)).abs() < 1e-6, "{pace:?}: {even} s, {hung} s");
    }
}

#[test]
fn another_profile_is_a_restart() {
    let mut engine = engine();
    engine.submit(request(1, 1, 0, 200, 100), seconds(0.0)).unwrap();
    let small = spec(Knobs { max_model_len: Some(150), ..Knobs::default() });
    engine.restart(&small, seconds(0.5)).unwrap();
    assert_eq!(aborted(&mut engine, seconds(0.5)), [1]);
    assert_eq!(engine.next_event(), Some(seconds(60.5)));
    assert_eq!(engine.submit(request(2, 1, 0, 100, 51), seconds(60.5)), Err(Refusal::TooLong));
    let impossible = spec(Knobs { max_num_seqs: Some(0), ..Knobs::default() });
    assert!(engine.restart(&impossible, seconds(61.0)).is_err());
    assert_eq!(engine.submit(request(3, 1, 0, 100, 50), seconds(61.0)), Ok(()), "it stays as it was");
}

#[test]
fn idle_engines_draw_idle_power() {
    let mut engine = engine();
    at(&mut engine, seconds(100.0));
    assert!((engine.totals().joules - 3000.0).abs() < 1e-6, "30 W");
    let before = engine.totals().joules;
    let (busy, _) = answered(&mut engine, 1, 100.0);
    assert!(engine.totals().joules - before > 30.0 * busy);
    assert!((engine.totals().busy_s - busy).abs() < 1e-6);
}

#[test]
fn who_left_is_heard_of_no_more() {
    for pace in [Pace::Steps, Pace::Skip] {
        let mut engine = Engine::new(&spec(Knobs::default()), pace, 1).unwrap();
        for id in [1, 2] {
            engine.submit(request(id, 1, 0, 500, 100), seconds(0.0)).unwrap();
        }
        at(&mut engine, seconds(1.0));
        engine.cancel(RequestId(1), seconds(1.0));
        let mut others = true;
        while let Some(next) = engine.next_event() {
            others &= at(&mut engine, next).iter().all(|output| output.id == RequestId(2));
        }
        assert!(others);
        engine.assert_empty();
    }
}
