use std::sync::Arc;

use gearshift_perfdb::{Observation, Source};

use super::{question::Question, run::fold, splits::Axis, *};
use crate::{
    baselines::{Effort, MetaInf, Selector, Target, roster},
    bundle::Vectors,
    dataset::{Dataset, Protocol, tests::row},
    fit::Recipe,
};

const HARDWARE: [(&str, f64); 3] = [("a", 1.0), ("b", 1.7), ("c", 2.6)];

/// Three accelerators × three families × three loads, one to four accelerators each. `off` multiplies times on one
/// hardware, by action.
fn rows(off: impl Fn(&str, u32) -> f64) -> Vec<Observation> {
    let mut rows = Vec::new();
    for (hardware, speed) in HARDWARE {
        for family in 1..=3_u32 {
            for concurrency in [1.0, 8.0, 64.0] {
                for count in [1, 2, 4] {
                    let context = format!("{hardware}/f{family}/c{concurrency}");
                    let mut row = row(&context, &format!("x{count}"));
                    row.facts.hardware = hardware.into();
                    row.facts.hardware_facts.memory_gb_per_s *= speed;
                    row.facts.family = format!("f{family}");
                    row.facts.model_facts.parameters_b *= f64::from(family);
                    row.facts.model_facts.active_parameters_b *= f64::from(family);
                    row.facts.count = count;
                    row.facts.knobs.tensor_parallel = Some(count);
                    row.workload.concurrency = concurrency;
                    // More accelerators are worth it for large models.
                    let size = f64::from(family) / speed / f64::from(count) + 0.1 * f64::from(count);
                    let factor = (1.0 + 0.02 * concurrency) * size * off(hardware, count);
                    row.outcome.ttft_s = Some(0.2 * factor);
                    row.outcome.tpot_s = Some(0.01 * factor);
                    rows.push(row);
                }
            }
        }
    }
    rows
}

fn selectors() -> Vec<Box<dyn Selector>> {
    let mut recipe = Recipe::default();
    (recipe.training.epochs, recipe.shape.members) = (1, 1);
    (recipe.pretraining.epochs, recipe.early_stop) = (1, false);
    let vectors = Arc::new(Vectors::default());
    let mut selectors = MetaInf::with_ablations(&recipe, &vectors);
    selectors.truncate(1);
    selectors.extend(roster());
    selectors
}

fn options() -> Options {
    Options {
        effort: Effort::Quick,
        threads: 2,
        seeds: vec![1],
        only: Some("clean/all/unseen_gpu".into()),
        cache: None,
        simulated_rows: 100,
        progress: false,
    }
}

fn evaluated(options: &Options) -> Report {
    let questions: Vec<Question> = questions(rows(|_, _| 1.0));
    let simulated = Dataset::new(rows(|_, _| 1.1), Protocol::Clean);
    evaluate(&questions, &simulated, &selectors(), options).unwrap()
}

#[test]
fn the_same_rows_and_seed_give_the_same_report() {
    let folder = tempfile::tempdir().unwrap();
    let keeping = Options { cache: Some(folder.path().join("cache")), ..options() };
    let json = |report: &Report| serde_json::to_string(report).unwrap();
    let first = evaluated(&keeping);
    assert_eq!(json(&first), json(&evaluated(&options())), "two threads, no cache");
    assert_eq!(json(&first), json(&evaluated(&keeping)), "from the cache");
    let [report, text] = write(&first, folder.path()).unwrap();
    assert!(report.is_file() && std::fs::read_to_string(text).unwrap().contains("unseen_gpu"));
    let latency = first.splits.iter().find(|split| split.objective == "latency").unwrap();
    assert_eq!((latency.name.as_str(), latency.contexts, latency.clusters), ("unseen_gpu", 27, 3));
    let of = |name: &str| latency.selectors.iter().find(|s| s.name == name).unwrap();
    assert_eq!((of("oracle").accuracy, of("oracle").regret), (1.0, 1.0));
    assert!((0.2..0.9).contains(&of("rule").accuracy), "most accelerators are not always fastest");
    assert!(of("rule").metainf_ahead.is_some() && of("prior").time_error.is_some());
    assert!(latency.selectors.iter().all(|s| (0.0..=1.0).contains(&s.accuracy) && s.regret >= 1.0));
}

/// What is held out may be anything: no selector but the oracle may choose otherwise, and the prior may not change.
#[test]
fn nothing_held_out_is_learned_from() {
    let simulated = Dataset::new(rows(|_, _| 1.1), Protocol::Clean);
    let changed = |hardware: &str, count: u32| if hardware == "c" { 5.0 * f64::from(count) } else { 1.0 };
    let datasets =
        [Dataset::new(rows(|_, _| 1.0), Protocol::Clean), Dataset::new(rows(changed), Protocol::Clean)];
    let folds = datasets.map(|data| {
        let part = Axis::Hardware.parts(&data, 1).into_iter().find(|part| part.name == "hardware:c").unwrap();
        let allowed = part.allowed(&simulated);
        assert!(
            allowed.contexts.iter().all(|context| context.hardware != "c") && !allowed.samples.is_empty()
        );
        fold(&data, &part, Some(allowed))
    });
    assert!(folds[0].train.contexts.iter().all(|context| context.hardware != "c"));
    assert_eq!(folds[0].factors, folds[1].factors);
    assert_ne!(folds[0].test.samples[0].e2e_ms, folds[1].test.samples[0].e2e_ms);
    for selector in selectors().iter().filter(|selector| !selector.name().starts_with("oracle")) {
        let scores = |at: usize| selector.scores(&folds[at], &[Target::Latency], Effort::Quick, 1);
        let (first, second) = (scores(0), scores(1));
        assert_eq!(first.by_target, second.by_target, "{}", selector.name());
        assert_eq!(first.ln_e2e, second.ln_e2e, "{}", selector.name());
    }
}

#[test]
fn a_family_on_an_architecture_is_learned_from_others_on_others() {
    let mut rows = rows(|_, _| 1.0);
    for row in rows.iter_mut().filter(|row| row.facts.hardware == "a") {
        row.facts.hardware_facts.architecture = "blackwell".into();
    }
    let data = Dataset::new(rows, Protocol::Clean);
    let parts = Axis::FamilyAndArchitecture.parts(&data, 1);
    assert_eq!(parts.len(), 6);
    let part = parts.iter().find(|part| part.name == "both:f1+blackwell").unwrap();
    assert_eq!((part.test.len(), part.train.len()), (3, 12), "neither f1 nor a");
    assert_eq!(part.splits, ["unseen_family_and_architecture"]);
    let random = Axis::Random.parts(&data, 1);
    assert_eq!(random.iter().map(|part| part.test.len()).sum::<usize>(), data.contexts.len());
    assert!(questions(Vec::new()).is_empty() && Source::Live > Source::Measured);
}
