//! The loop, small enough for every test run.

use gearshift_perfdb::{Source, to_parquet};

use super::*;
use crate::{
    bundle::{self, Contents, Vectors},
    dataset::{Dataset, Protocol, read},
    fit::{Recipe, Schedule, Silent, fit, sample::small_shape},
    live::Left,
    prepare::prepare,
    prior_fit::Priors,
    runtime_for_tests::onnxruntime,
};

/// A bundle of a few shipped rows with a small network, and these rows.
fn base(folder: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../perfdb/data/silicon.parquet");
    let mut rows = read(&shipped, &[Source::Measured]).unwrap();
    rows.retain(|row| row.facts.model.contains("8b"));
    rows.truncate(150);
    let data = folder.join("data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("few.parquet"), to_parquet(&rows).unwrap()).unwrap();
    let dataset = Dataset::new(rows, Protocol::Era);
    let (priors, vectors) = (Priors::default(), Vectors::default());
    let prepared = prepare(&dataset, &priors.ranking, &vectors);
    let training = Schedule { epochs: 3, batch: 32, rate: 5e-3 };
    let recipe = Recipe { shape: small_shape(), training, window: 1, ..Recipe::default() };
    let fitted = fit(&prepared, None, &recipe, 1, &Silent).unwrap();
    let contents = Contents {
        id: "base",
        fitted: &fitted,
        rows: &prepared,
        priors: &priors,
        encoder: None,
        vectors: &vectors,
        training: Vec::new(),
        evaluation: serde_json::Value::Null,
    };
    let directory = folder.join("base");
    bundle::write(&directory, &contents).unwrap();
    (directory, data)
}

/// A few epochs on few rows do not make its predictions worse by more than a twentieth. In a run as short as this it hardly earns a say, so
/// routing may not lose by it.
#[test]
fn a_bundle_trained_on_what_was_served_predicts_no_worse_there_and_costs_routing_nothing() {
    let Some(runtime) = onnxruntime("the retraining loop") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (base, data) = base(folder.path());
    let retraining = Retraining { epochs: Some(6), simulated_rows: 0, ..Retraining::default() };
    let plan = Plan {
        logged: 900,
        explore: 0.05,
        retraining,
        judging: Options { held_out: 0.3, ..Options::default() },
        routed: 300,
        loads: vec![0.6],
        seeds: 2,
        ..Plan::default()
    };
    let new = folder.path().join("new");
    let (study, rows) = study(&plan, &base, &data, &new, runtime, &Silent).unwrap();
    assert!(rows.len() > 850 && rows.iter().all(|row| row.provenance.contains("simulated")));
    assert!(rows.iter().any(|row| row.live.as_ref().unwrap().explored));
    assert_eq!(study.live.rows.left_out, Left::new(), "every row of the study is learned from or judged by");
    let [new, running, _] = &study.live.policies[..] else { panic!("{:?}", study.live.policies) };
    let mape = |policy: &crate::eval::live::PolicyReport| policy.tpot.unwrap().median_ln;
    eprintln!("held out: {:?}\nrouting: {:?}", study.live.verdict, study.routing);
    assert!(mape(new) < 1.05 * mape(running), "{} {}", mape(new), mape(running));
    assert!(study.routing.over_running.0 > 0.98, "{:?}", study.routing);
    let written = write(&study, folder.path()).unwrap();
    assert!(std::fs::read_to_string(&written[1]).unwrap().contains("simulated"));
}
