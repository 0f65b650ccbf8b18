use std::{path::Path, sync::Arc};

use gearshift_perfdb::{Observation, Source};
use gearshift_selector::PriorFactors;

use super::{question::Question, run::fold, splits::Axis, *};
use crate::{
    baselines::{Effort, MetaInf, Selector, Target, roster},
    bundle::Vectors,
    dataset::{Dataset, Protocol, read, tests::row},
    fit::Recipe,
    net::Gate,
    prepare::prepare,
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
        recipe: Recipe::default(),
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

#[test]
fn other_simulated_rows_or_texts_make_what_was_kept_anew() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let keeping = Options { cache: Some(cache.clone()), ..options() };
    let mut rule = selectors();
    rule.retain(|selector| selector.name() == "rule");
    let kept = |factor: f64| {
        let simulated = Dataset::new(rows(|_, _| factor), Protocol::Clean);
        evaluate(&questions(rows(|_, _| 1.0)), &simulated, &rule, &keeping).unwrap();
        std::fs::read_dir(&cache).unwrap().count()
    };
    let first = kept(1.1);
    assert!(first > 0);
    assert_eq!(kept(1.1), first, "from the cache");
    assert_eq!(kept(1.2), 2 * first, "as many rows, but others");
    let recipes = |value: f32| {
        let vectors = [("a".to_owned(), vec![value])].into_iter().collect();
        let all = MetaInf::with_ablations(&Recipe::default(), &Arc::new(Vectors { width: 1, vectors }));
        all.iter().map(|selector| selector.recipe()).collect::<Vec<_>>()
    };
    let differ = recipes(0.1).iter().zip(&recipes(0.2)).filter(|(one, other)| one != other).count();
    assert_eq!(differ, 2, "those that read texts");
}

/// The learner compares within eras, so what is kept comes from these too.
#[test]
fn rows_of_other_eras_make_another_question() {
    let hashes = |first_is_older: bool| {
        let mut rows = rows(|_, _| 1.0);
        let later = rows.iter().map(|row| {
            let mut row = Observation { repeat: 1, ..row.clone() };
            row.outcome.tpot_s = row.outcome.tpot_s.map(|seconds| 2.0 * seconds);
            row.outcome.ttft_s = row.outcome.ttft_s.map(|seconds| 2.0 * seconds);
            row.facts.software.months = Some(if first_is_older { 6.0 } else { 0.0 });
            row
        });
        let later: Vec<_> = later.collect();
        rows.iter_mut()
            .for_each(|row| row.facts.software.months = Some(if first_is_older { 0.0 } else { 6.0 }));
        rows.extend(later);
        questions(rows).into_iter().map(|question| (question.title(), question.hash)).collect::<Vec<_>>()
    };
    let (older, newer) = (hashes(true), hashes(false));
    assert_eq!(older, hashes(true));
    for (older, newer) in older.iter().zip(&newer) {
        assert_eq!(older.0, newer.0);
        assert_ne!(older.1, newer.1, "{}", older.0);
    }
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
fn before_measured_rows_nothing_fitted_to_them_is_learned() {
    let of = |source: Source, dataset: &str| Observation {
        source,
        dataset: dataset.into(),
        ..row("x", "all-off")
    };
    let rows = [
        of(Source::Measured, "silicon"),
        of(Source::Simulated, "simulated_engines"),
        of(Source::Simulated, "simulated_unfitted"),
        of(Source::SimulatedKernel, "aiconfigurator"),
    ];
    let learned: Vec<String> = not_measured(&rows).into_iter().map(|row| row.dataset).collect();
    assert_eq!(learned, ["simulated_unfitted", "aiconfigurator"]);
    // They go by these names.
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../perfdb/data");
    for (file, dataset) in [("engines", "simulated_engines"), ("unfitted", "simulated_unfitted")] {
        let file = directory.join(format!("simulated_{file}-knobs-0.parquet"));
        let rows = read(&file, &[Source::Simulated]).expect("shipped rows");
        assert!(!rows.is_empty() && rows.iter().all(|row| row.dataset == dataset));
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

/// Members that know by heart have no say about what was held out: the gate is of the rows that were trained on, in each part anew.
#[test]
fn nothing_held_out_is_known_by_heart() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../perfdb/data");
    let rows = read(&directory.join("silicon.parquet"), &[Source::Measured]).expect("the shipped rows");
    let dataset = Dataset::new(rows, Protocol::Clean);
    let prepared = |contexts: &[usize]| {
        prepare(&run::subset(&dataset, contexts), &PriorFactors::default(), &Vectors::default())
    };
    for axis in [Axis::Hardware, Axis::Family, Axis::FamilyAndArchitecture] {
        for part in axis.parts(&dataset, 1) {
            let gate = Gate::new(&prepared(&part.train));
            let open = gate.open(&prepared(&part.test)).into_iter().fold(0.0, f32::max);
            eprintln!("{}: open by {open:e}", part.name);
            assert!(open < 0.02, "{}: open by {open}", part.name);
        }
    }
    for part in Axis::Random.parts(&dataset, 1) {
        let open = Gate::new(&prepared(&part.train)).open(&prepared(&part.test));
        let wide = open.iter().filter(|&&open| open == 1.0).count();
        assert!(wide * 10 > open.len() * 8, "{}: {wide} of {}", part.name, open.len());
    }
}
