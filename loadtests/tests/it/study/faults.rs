//! What faults do, and what they leave alone.

use std::collections::HashSet;

use gearshift_config::{Objective, Slo};
use gearshift_loadtests::{
    sim::{Fault, Moment},
    study::{End, Gearshift, LeastOutstanding, Logbook, Outcome, Policy, Settings, Summary, TimedFault},
};
use gearshift_perfdb::Ended;
use gearshift_selector::Exploration;

use super::{fleet, rows, trips};

fn at(seconds: f64) -> Moment {
    Moment(0).after_seconds(seconds)
}

fn fault(fault: Fault, from: f64, until: f64) -> Settings {
    let faults = vec![TimedFault { engine: 0, fault, from: at(from), until: at(until) }];
    Settings { faults, ..Settings::default() }
}

fn gearshift() -> Gearshift {
    Gearshift::new(Objective::Latency, Slo::default(), 1)
}

/// Three equals, ten requests a second for a minute.
fn minute(policy: &mut dyn Policy, settings: &Settings) -> (Vec<Outcome>, Summary) {
    let fleet = fleet(&["h100_sxm"; 3]);
    rows(&fleet, &trips(&fleet, 600, 10.0, 6), policy, settings)
}

#[test]
fn a_killed_engine_loses_only_what_it_was_streaming() {
    for policy in [&mut gearshift() as &mut dyn Policy, &mut LeastOutstanding::new(1)] {
        let (rows, _) = minute(policy, &fault(Fault::Crash, 20.0, 1e6));
        assert_eq!(rows.len(), 600);
        for row in rows.iter().filter(|row| row.end != End::Whole) {
            let (began, ended) = (row.at, row.at.after_seconds(row.e2e_s));
            assert_eq!((row.end, row.backend), (End::Cut, Some(0)), "{row:?}");
            assert!(began < at(20.0) && ended >= at(20.0) && ended < at(20.01), "{row:?}");
        }
        assert!(rows.iter().any(|row| row.end == End::Cut), "nothing was streaming");
        let later = rows.iter().filter(|row| row.at > at(22.0));
        assert!(later.clone().count() > 100 && later.clone().all(|row| row.backend != Some(0)));
    }
}

#[test]
fn an_engine_that_comes_back_is_used_again() {
    let start_s = gearshift_loadtests::scenario::times().start_s;
    let fleet = fleet(&["h100_sxm"; 3]);
    let trips = trips(&fleet, 3000, 10.0, 6);
    let (rows, _) = rows(&fleet, &trips, &mut gearshift(), &fault(Fault::Crash, 20.0, 30.0));
    let used = |from: f64, to: f64| {
        rows.iter().filter(|row| row.at > at(from) && row.at < at(to) && row.backend == Some(0)).count()
    };
    assert_eq!(used(22.0, 30.0 + start_s - 0.1), 0, "it starts for a while");
    assert!(used(30.0 + start_s + 5.0, 280.0) > 200);
}

#[test]
fn a_reset_before_the_first_byte_is_tried_elsewhere() {
    let (rows, summary) =
        minute(&mut LeastOutstanding::new(1), &fault(Fault::ResetBeforeFirstByte { share: 0.1 }, 0.0, 1e6));
    assert!(rows.iter().all(|row| row.end == End::Whole));
    assert!(summary.retries > 5, "{}", summary.retries);
    assert!(rows.iter().filter(|row| row.retries > 0).all(|row| row.backend != Some(0)));
}

#[test]
fn retries_stop_at_the_budget() {
    let fleet = fleet(&["h100_sxm"; 3]);
    let faults = |engine| TimedFault {
        engine,
        fault: Fault::ResetBeforeFirstByte { share: 1.0 },
        from: at(0.0),
        until: at(1e6),
    };
    let settings = Settings { faults: (0..3).map(faults).collect(), ..Settings::default() };
    let trips = trips(&fleet, 1000, 10.0, 6);
    let (rows, summary) = rows(&fleet, &trips, &mut LeastOutstanding::new(1), &settings);
    assert!(rows.iter().all(|row| row.end == End::Unreachable && row.retries <= 2));
    assert!(summary.retries <= 10 + 200, "{}", summary.retries);
}

#[test]
fn a_full_queue_is_tried_elsewhere_and_other_errors_are_passed_on() {
    let busy = fault(Fault::Status { code: 503, share: 0.1 }, 0.0, 1e6);
    let (rows, summary) = minute(&mut LeastOutstanding::new(1), &busy);
    assert!(rows.iter().all(|row| row.end == End::Whole) && summary.retries > 0);
    let broken = fault(Fault::Status { code: 500, share: 1.0 }, 0.0, 1e6);
    let (rows, summary) = minute(&mut LeastOutstanding::new(1), &broken);
    assert!(rows.iter().all(|row| (row.end == End::Error) == (row.backend == Some(0))));
    assert_eq!(summary.retries, 0);
}

#[test]
fn a_stream_that_breaks_is_cut_and_never_repeated() {
    for kind in [
        Fault::ResetMidStream { share: 1.0 },
        Fault::TruncatedStream { share: 1.0 },
        Fault::MalformedStream { share: 1.0 },
    ] {
        let (rows, summary) = minute(&mut LeastOutstanding::new(1), &fault(kind, 0.0, 1e6));
        assert!(rows.iter().all(|row| (row.end == End::Cut) == (row.backend == Some(0))), "{kind:?}");
        assert_eq!(summary.retries, 0);
    }
}

#[test]
fn a_hung_engine_is_found_out_and_its_streams_are_given_up() {
    let fleet = fleet(&["h100_sxm"; 3]);
    let trips = trips(&fleet, 4000, 10.0, 6);
    let (rows, _) = rows(&fleet, &trips, &mut gearshift(), &fault(Fault::Hang, 20.0, 1e6));
    let cut: Vec<_> = rows.iter().filter(|row| row.end == End::Cut).collect();
    assert!(!cut.is_empty() && cut.iter().all(|row| row.backend == Some(0) && row.e2e_s >= 300.0));
    let after = rows.iter().filter(|row| row.at > at(90.0) && row.backend == Some(0)).count();
    assert!(after < 10, "{after} requests went to an engine known to hang");
}

#[test]
fn a_slow_engine_gets_less() {
    let (even, _) = minute(&mut gearshift(), &Settings::default());
    let (slow, _) = minute(&mut gearshift(), &fault(Fault::Slow { factor: 5.0 }, 10.0, 1e6));
    let late =
        |rows: &[Outcome]| rows.iter().filter(|row| row.at > at(30.0) && row.backend == Some(0)).count();
    assert!(late(&slow) * 2 < late(&even), "{} {}", late(&slow), late(&even));
    assert!(slow.iter().all(|row| row.end == End::Whole));
}

#[test]
fn health_that_lies_takes_an_engine_out_and_metrics_that_lie_do_not() {
    let (rows, _) = minute(&mut gearshift(), &fault(Fault::HealthFails, 10.0, 1e6));
    assert!(rows.iter().all(|row| row.end == End::Whole));
    assert!(rows.iter().filter(|row| row.at > at(12.0)).all(|row| row.backend != Some(0)));
    for kind in [Fault::StaleMetrics, Fault::NanMetrics] {
        let (rows, summary) = minute(&mut gearshift(), &fault(kind, 10.0, 1e6));
        assert!(rows.iter().all(|row| row.end == End::Whole));
        assert!(summary.backends[0].sent > 100, "{kind:?}");
    }
}

/// As where it serves: each attempt is a row, those that failed too, and no two have one context.
#[test]
fn rows_of_a_study_hold_every_attempt() {
    let mut policy = gearshift().logging(Logbook::new(0, None), Exploration::default());
    let mut settings = fault(Fault::Crash, 20.0, 1e6);
    let resets = fault(Fault::ResetBeforeFirstByte { share: 0.1 }, 0.0, 1e6).faults;
    settings.faults.extend(resets.into_iter().map(|resets| TimedFault { engine: 1, ..resets }));
    let (requests, summary) = minute(&mut policy, &settings);
    let rows = policy.into_rows();
    let ended = |how: Ended| rows.iter().filter(|row| row.live.as_ref().unwrap().ended == how).count();
    let cut = requests.iter().filter(|row| row.end == End::Cut).count();
    assert!(summary.retries > 2 && cut > 0, "{} {cut}", summary.retries);
    assert_eq!((ended(Ended::UpstreamError) as u64, ended(Ended::Cut)), (summary.retries, cut));
    assert_eq!(ended(Ended::Ok), requests.len() - cut);
    assert_eq!(rows.iter().filter(|row| row.outcome.failed == 1).count(), rows.len() - ended(Ended::Ok));
    let second = rows.iter().filter(|row| row.live.as_ref().unwrap().attempt == 2).count();
    assert!(second > 0 && second as u64 <= summary.retries);
    let contexts: HashSet<&str> = rows.iter().map(|row| row.context.as_str()).collect();
    assert_eq!(contexts.len(), rows.len());
}
