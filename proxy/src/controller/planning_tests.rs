use std::path::Path;

use gearshift_config::KvCacheDtype;
use gearshift_selector::controller::{Patience, Verdict};
use serde_json::json;

use super::*;

fn config(text: &str) -> Config {
    let backends = "
profiles: {a: {}, b: {}}
backends: [{name: x, url: 'http://x:1', profile: a, profiles: [a, b], actuator: {process: {command: [vllm]}}}]
";
    gearshift_config::parse("t", &format!("{backends}{text}"), Path::new("")).unwrap()
}

#[test]
fn the_planner_is_as_eager_as_the_file_says() {
    let settings = settings(&config("controller: {min_gain: 0.5, min_dwell: 2m, every: 10s}\n"));
    assert_eq!((settings.min_gain, settings.min_dwell), (0.5, Duration::from_secs(120)));
    assert_eq!((settings.allow_lossy, settings.settle), (false, Duration::from_secs(20)));
}

#[test]
fn what_an_engine_says_of_its_cache_holds_while_memory_stays() {
    let plain = Knobs { max_num_seqs: Some(4), ..Knobs::default() };
    let fp8 = Knobs { kv_cache_dtype: Some(KvCacheDtype::Fp8), ..Knobs::default() };
    assert!(same_memory(&plain, &Knobs::default()) && !same_memory(&fp8, &plain));
}

fn record(to: &str, ago: u64, outcome: Outcome, planned: bool) -> super::super::journal::Record {
    let (began, from) = (clock::unix_seconds() - ago, if to == "b" { "a" } else { "b" });
    let text = json!({"backend": "x", "id": "1", "from": from, "to": to, "reason": "", "began": began, "seconds": 0,
        "planned": planned, "outcome": outcome, "problem": null, "verified": [], "declared": []});
    serde_json::from_value(text).unwrap()
}

/// Nobody asks anything.
fn nothing() -> Workload {
    Workload {
        traffic: Box::new(Vec::new),
        routes: Box::new(|_| BTreeMap::new()),
        served: Box::new(|_| Vec::new()),
    }
}

/// What the planner would be held back by.
fn hold(book: &Book) -> Verdict {
    let config = config("controller: {min_dwell: 1ms}\n");
    let thinker = Thinker::new(&config, book, nothing());
    thinker.planner.hold(&BackendId::new("x"), &ProfileId::new("b"), clock::now()).unwrap_or(Verdict::Shift)
}

#[test]
fn a_restart_forgets_no_failure_and_no_shift_of_the_day() {
    let with = |history: Vec<_>| Book { history, ..Book::default() };
    assert_eq!(hold(&with(vec![record("b", 7200, Outcome::Done, true)])), Verdict::Shift);
    let failed = vec![record("b", 60, Outcome::RolledBack, true)];
    assert!(matches!(hold(&with(failed)), Verdict::BackingOff { left_s } if left_s > 500.0));
    let operators = vec![record("b", 60, Outcome::RolledBack, false)];
    assert_eq!(hold(&with(operators)), Verdict::Shift, "no plan failed");
    let busy = |ago: u64| {
        with(
            (0..30)
                .map(|n| record(if n % 2 == 0 { "b" } else { "a" }, ago - n, Outcome::Done, true))
                .collect(),
        )
    };
    assert_eq!(hold(&busy(20 * 3600)), Verdict::TooOften);
    assert_eq!(hold(&busy(30 * 3600)), Verdict::Shift, "the day is over");
}

#[test]
fn a_restart_forgets_no_patience() {
    let mut book = Book { history: vec![record("a", 3, Outcome::Done, true)], ..Book::default() };
    let patience = Patience { doublings: 4, regretted: true };
    book.backends.insert("x".to_owned(), Entry { patience, ..Entry::default() });
    book.history.push(record("a", 0, Outcome::Done, true));
    let config = config("");
    let thinker = Thinker::new(&config, &book, nothing());
    assert_eq!(thinker.planner.patience(&BackendId::new("x")), patience);
    let hold = thinker.planner.hold(&BackendId::new("x"), &ProfileId::new("b"), clock::now());
    assert!(matches!(hold, Some(Verdict::Dwelling { left_s }) if left_s > 3600.0), "{hold:?}");
}

#[test]
fn a_switch_takes_as_long_as_the_last_one() {
    let config = config("");
    let mut book = Book::default();
    assert_eq!(switch_seconds(&config.backends[0], &book), PROCESS_S);
    let text = r#"{"backend": "x", "id": "1", "from": "a", "to": "b", "reason": "", "began": 0, "seconds": 77,
        "outcome": "done", "problem": null, "verified": [], "declared": []}"#;
    book.history.push(serde_json::from_str(text).unwrap());
    assert_eq!(switch_seconds(&config.backends[0], &book), 77.0);
}
