//! Steps over folders of rows and bundles.

use gearshift_perfdb::{Ended, Observation, Outcome, to_parquet};

use super::*;
use crate::{fit::Silent, live::made, runtime_for_tests::onnxruntime};

const BOUNDS: Next = Next { patience_s: 100.0, probation: 300, margin: 0.15 };

/// Folders with the shipped bundle as `old` and as `live-1`, and a state in which the second is on probation.
fn on_probation(folder: &Path, rows: &[Observation]) -> Settings {
    let models = folder.join("models");
    fs::create_dir_all(&models).unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/default");
    for name in ["old", "live-1"] {
        bundle::offer(&shipped, &models, name).unwrap();
    }
    let state = models.join(".watch");
    fs::create_dir_all(&state).unwrap();
    let phase =
        Phase::Probation { bundle: "live-1".into(), before: Some("old".into()), since_s: now_s(), looked: 0 };
    State { phase, trained_until_s: 1e12, offers: 1 }.write(&state).unwrap();
    let from = folder.join("rows");
    fs::create_dir_all(&from).unwrap();
    fs::write(from.join("rows.parquet"), to_parquet(rows).unwrap()).unwrap();
    Settings {
        from: from.display().to_string(),
        models,
        state,
        shipped: folder.to_owned(),
        reports: folder.join("reports"),
        most_rows: 10_000,
        least_new: 100,
        retraining: Retraining::default(),
        // A row every half second.
        judging: Options {
            estimate: Estimating { block_s: 5.0, ..Estimating::default() },
            ..Options::default()
        },
        bounds: BOUNDS,
        admins: Vec::new(),
    }
}

/// Rows that `old` decided well, then rows that `live-1` decided by a lottery over the true times.
fn rows(lottery: impl Fn(&[f64; 3]) -> [f64; 3]) -> Vec<Observation> {
    let true_s = |e2e_s: &[f64; 3]| std::array::from_fn(|at| e2e_s[at] * made::FLEET[at].2);
    let of = |seed, bundle: &str, later_s: i64, lottery: &dyn Fn(&[f64; 3]) -> [f64; 3]| {
        let mut rows = made::rows_by(350, seed, |e2e_s| lottery(&true_s(e2e_s)));
        for row in &mut rows {
            row.at_unix_s = row.at_unix_s.map(|at| at + later_s);
            row.live.as_deref_mut().unwrap().bundle = Some(bundle.into());
        }
        rows
    };
    let mut all = of(1, "old", 0, &mostly_best);
    all.extend(of(2, "live-1", 1000, &lottery));
    all
}

fn mostly_best(e2e_s: &[f64; 3]) -> [f64; 3] {
    let best = (0..3).min_by(|&a, &b| e2e_s[a].total_cmp(&e2e_s[b])).unwrap();
    std::array::from_fn(|at| 0.03 + if at == best { 0.91 } else { 0.0 })
}

fn runtime() -> Option<&'static OnnxRuntime> {
    onnxruntime("probation of bundles")
}

#[test]
fn a_bad_bundle_is_taken_back() {
    let Some(runtime) = runtime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = on_probation(folder.path(), &rows(|_| [0.05, 0.9, 0.05]));
    let mut watcher = Watcher::new(&settings, runtime).unwrap();
    let said = watcher.step(&Silent).unwrap();
    assert!(said.contains("is taken back") && said.contains("was taken back"), "{said}");
    assert_eq!(watcher.state().phase, Phase::Waiting);
    assert!(!settings.models.join("live-1").exists());
    // The newest decides, and that is the one before.
    assert_eq!(newest(&settings.models).unwrap(), settings.models.join("old-again-1"));
    assert!(watcher.step(&Silent).unwrap().starts_with("waiting: 0 of 100"), "and goes on");
}

#[test]
fn a_good_bundle_stays() {
    let Some(runtime) = runtime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = on_probation(folder.path(), &rows(mostly_best));
    let mut watcher = Watcher::new(&settings, runtime).unwrap();
    let said = watcher.step(&Silent).unwrap();
    assert!(said.contains("live-1 stays"), "{said}");
    assert!(settings.models.join("live-1").exists());
    // A restart finds the same.
    assert_eq!(Watcher::new(&settings, runtime).unwrap().state().phase, Phase::Waiting);
}

#[test]
fn a_bad_bundle_goes_also_where_the_one_before_was_deleted_or_nobody_answers() {
    let Some(runtime) = runtime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut settings = on_probation(folder.path(), &rows(|_| [0.05, 0.9, 0.05]));
    let phase = |before: &str| Phase::TakingBack {
        bundle: "live-1".into(),
        before: Some(before.into()),
        because: "it was bad".into(),
    };
    State { phase: phase("old"), trained_until_s: 1e12, offers: 1 }.write(&settings.state).unwrap();
    // Two replicas of which neither can be reached: it is hidden all the same, and they are told again.
    let nobody = || Admin { url: "http://127.0.0.1:1".into(), token: None };
    settings.admins = vec![nobody(), nobody()];
    let problem = Watcher::new(&settings, runtime).unwrap().step(&Silent).unwrap_err().to_string();
    assert!(
        problem.contains("not taken back everywhere") && problem.matches("127.0.0.1:1/").count() == 4,
        "{problem}"
    );
    assert!(!settings.models.join("live-1").exists());
    settings.admins.clear();
    fs::remove_dir_all(settings.models.join("old")).unwrap();
    let mut watcher = Watcher::new(&settings, runtime).unwrap();
    let said = watcher.step(&Silent).unwrap();
    assert!(said.contains("the bundle before it has gone"), "{said}");
    assert_eq!(watcher.state().phase, Phase::Waiting);
}

#[test]
fn a_gearshift_that_has_yet_to_look_at_its_folder_has_not_lost_the_bundle() {
    use std::io::{Read, Write};
    let Some(runtime) = runtime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut settings = on_probation(folder.path(), &rows(mostly_best));
    let phase = Phase::Offered { bundle: "live-1".into(), before: Some("old".into()), since_s: now_s() };
    State { phase: phase.clone(), trained_until_s: 1e12, offers: 1 }.write(&settings.state).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    settings.admins = vec![Admin { url: format!("http://{}", listener.local_addr().unwrap()), token: None }];
    let served = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
        let body = r#"{"active": {"id": "old"}, "bundles": [{"id": "old", "status": "active"}]}"#;
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
    });
    let mut watcher = Watcher::new(&settings, runtime).unwrap();
    let said = watcher.step(&Silent).unwrap();
    served.join().unwrap();
    assert!(said.contains("not taken up yet") && watcher.state().phase == phase, "{said}");
}

#[test]
fn a_probation_ends_where_rows_name_another_bundle() {
    let Some(runtime) = runtime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut all = rows(mostly_best);
    for row in made::rows(300, 3) {
        let at_unix_s = row.at_unix_s.map(|at| at + 3000);
        all.push(Observation { at_unix_s, ..row });
    }
    let settings = on_probation(folder.path(), &all);
    let said = Watcher::new(&settings, runtime).unwrap().step(&Silent).unwrap();
    assert!(said.contains("no longer decides"), "{said}");
}

#[test]
fn what_nobody_could_judge_is_not_trained() {
    let Some(runtime) = runtime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut settings = on_probation(folder.path(), &rows(mostly_best));
    settings.judging = Options::default();
    settings.shipped = folder.path().join("nowhere");
    State::default().write(&settings.state).unwrap();
    let said = Watcher::new(&settings, runtime).unwrap().step(&Silent).unwrap();
    assert!(said.contains("blocks of 120 s, 20 are needed"), "{said}");
    // With enough to judge, a training that fails is not repeated with the same rows.
    settings.judging.estimate.block_s = 1.0;
    let mut watcher = Watcher::new(&settings, runtime).unwrap();
    watcher.step(&Silent).unwrap_err();
    assert!(watcher.step(&Silent).unwrap().starts_with("waiting: 0 of 100"));
}

#[test]
fn what_failed_is_no_answer_to_train_on() {
    let Some(runtime) = runtime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut failed = made::rows(300, 3);
    for row in &mut failed {
        row.outcome = Outcome::default();
        let live = row.live.as_deref_mut().unwrap();
        (live.ended, live.ended_after_s) = (Ended::UpstreamError, Some(0.1));
    }
    let settings = on_probation(folder.path(), &failed);
    State::default().write(&settings.state).unwrap();
    let said = Watcher::new(&settings, runtime).unwrap().step(&Silent).unwrap();
    assert!(said.starts_with("waiting: 0 of 100"), "{said}");
}

#[test]
fn taking_back_may_be_done_twice() {
    let Some(runtime) = runtime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = on_probation(folder.path(), &rows(mostly_best));
    let because = "it was bad".to_owned();
    let phase = Phase::TakingBack { bundle: "live-1".into(), before: Some("old".into()), because };
    State { phase: phase.clone(), trained_until_s: 1e12, offers: 1 }.write(&settings.state).unwrap();
    let watcher = Watcher::new(&settings, runtime).unwrap();
    watcher.take_back("live-1", Some("old")).unwrap();
    // Killed before it was written down.
    let mut watcher = Watcher::new(&settings, runtime).unwrap();
    assert_eq!(watcher.state().phase, phase);
    watcher.step(&Silent).unwrap();
    assert_eq!(watcher.state().phase, Phase::Waiting);
    assert!(settings.models.join("old-again-1").exists() && !settings.models.join("live-1").exists());
}

#[test]
fn an_offer_that_was_broken_off_is_made_after_a_restart() {
    let Some(runtime) = runtime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = on_probation(folder.path(), &rows(mostly_best));
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/default");
    bundle::offer(&shipped, &settings.state, CANDIDATE).unwrap();
    let id = read_manifest(&shipped).unwrap().id;
    let phase = Phase::Offered { bundle: id.clone(), before: None, since_s: now_s() };
    State { phase, trained_until_s: 1e12, offers: 2 }.write(&settings.state).unwrap();
    let said = Watcher::new(&settings, runtime).unwrap().step(&Silent).unwrap();
    assert!(said.contains("not taken up yet"), "{said}");
    assert!(settings.models.join(&id).exists() && !settings.state.join(CANDIDATE).exists());
    // Somebody removes it: it is not offered again.
    fs::remove_dir_all(settings.models.join(&id)).unwrap();
    let said = Watcher::new(&settings, runtime).unwrap().step(&Silent).unwrap();
    assert!(said.contains("has gone"), "{said}");
}
