use std::sync::Arc;

use gearshift_config::Catalog;
use gearshift_perfdb::{Facts, Grain, Load, Outcome, Workload, to_batch, to_parquet};
use gearshift_selector::Software;
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;

use super::*;

fn example() -> Observation {
    let catalog = Catalog::shipped();
    Observation {
        source: Source::Measured,
        grain: Grain::Window,
        dataset: "own".into(),
        provenance: "test".into(),
        context: "c".into(),
        action: "a".into(),
        repeat: 0,
        at_unix_s: None,
        facts: Facts {
            model: "qwen3-8b".into(),
            family: "qwen3-8b".into(),
            model_facts: catalog.model("qwen3-8b").unwrap().as_ref().clone(),
            hardware: "l4".into(),
            hardware_facts: catalog.hardware("l4").unwrap().as_ref().clone(),
            count: 1,
            knobs: gearshift_config::Knobs::default(),
            lossless: true,
            software: Software::default(),
            engine_version: None,
            kv_tokens: None,
        },
        workload: Workload {
            name: "chat".into(),
            description: String::new(),
            prompt_tokens: 100.0,
            cached_tokens: 0.0,
            output_tokens: 10.0,
            concurrency: 1.0,
            prompt_spread: 0.0,
            output_spread: 0.0,
        },
        load: Load::default(),
        outcome: Outcome::default(),
        live: None,
    }
}

fn any_row() -> impl Strategy<Value = Observation> {
    let names = ("\\PC{0,12}", "[a-z]{1,4}", any::<u32>(), any::<Option<i64>>());
    let kinds = (0..4_usize, 0..3_usize, prop::option::of(0..5_usize), any::<Option<bool>>());
    let numbers = (0.0..1e9_f64, prop::option::of(-1e3..1e9_f64), any::<Option<u32>>(), 0..i64::MAX);
    (names, kinds, numbers).prop_map(
        |((text, word, count, at), (source, engine, weights, flag), (x, y, n, kv))| {
            let mut row = example();
            row.source = Source::NAMES[source].0;
            (row.context, row.action, row.repeat, row.at_unix_s) = (text.clone(), word, count, at);
            row.facts.software.engine = gearshift_selector::EngineKind::NAMES[engine].0;
            row.facts.software.months = y;
            row.facts.knobs.quantization =
                weights.map(|weights| gearshift_config::Quantization::NAMES[weights].0);
            row.facts.knobs.prefix_caching = flag;
            row.facts.knobs.max_num_seqs = n;
            row.facts.engine_version = flag.map(|_| text);
            row.facts.kv_tokens = y.map(|_| u64::try_from(kv).unwrap());
            row.workload.prompt_tokens = x;
            row.outcome.ttft_s = y;
            row
        },
    )
}

fn written(bytes: &[u8]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("rows.parquet"), bytes).unwrap();
    directory
}

const ALL: [Source; 4] = [Source::Simulated, Source::SimulatedKernel, Source::Measured, Source::Live];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_is_written_is_read(rows in prop::collection::vec(any_row(), 1..8)) {
        let directory = written(&to_parquet(&rows).unwrap());
        prop_assert_eq!(&read(directory.path(), &ALL).unwrap(), &rows);
        let live: Vec<Observation> = rows.into_iter().filter(|row| row.source == Source::Live).collect();
        prop_assert_eq!(read(directory.path(), &[Source::Live]).unwrap(), live);
    }
}

/// A file of the example row with some columns only, as another tool would write it.
fn with_columns(keep: impl Fn(&str) -> bool) -> tempfile::TempDir {
    let batch = to_batch(&[example()]).unwrap();
    let kept: Vec<usize> = batch
        .schema()
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, field)| keep(field.name()))
        .map(|(at, _)| at)
        .collect();
    let batch = batch.project(&kept).unwrap();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    written(&file)
}

#[test]
fn files_without_columns_that_need_no_value_are_read() {
    let required: Vec<&str> = columns().filter(|column| column.required).map(|column| column.name).collect();
    let directory = with_columns(|name| required.contains(&name));
    let mut wanted = example();
    wanted.facts.hardware_facts.fp8_tflops = None;
    assert_eq!(read(directory.path(), &ALL).unwrap(), [wanted]);
}

#[test]
fn problems_name_file_and_column() {
    let directory = with_columns(|name| name != "hardware_tdp_w");
    let error = read(directory.path(), &ALL).unwrap_err().to_string();
    assert!(error.ends_with("rows.parquet: column hardware_tdp_w is missing"), "{error}");

    let batch = to_batch(&[example()]).unwrap();
    let mut arrays = batch.columns().to_vec();
    let at = batch.schema().index_of("engine").unwrap();
    arrays[at] = Arc::new(StringArray::from(vec!["ollama"]));
    let batch = RecordBatch::try_new(batch.schema(), arrays).unwrap();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let error = read(written(&file).path(), &ALL).unwrap_err().to_string();
    assert!(error.contains("rows.parquet: row 1, column engine: \"ollama\" is none of"), "{error}");

    let error = read(written(b"PAR1 and no more").path(), &ALL).unwrap_err().to_string();
    assert!(error.contains("rows.parquet: "), "{error}");
    read(Path::new("nowhere"), &ALL).unwrap_err();
}

#[test]
fn a_directory_is_read_in_the_order_of_names_and_only_its_parquet_files() {
    let directory = tempfile::tempdir().unwrap();
    for (name, repeat) in [("b.parquet", 2), ("a.parquet", 1), ("half.parquet#1", 9)] {
        let row = Observation { repeat, ..example() };
        std::fs::write(directory.path().join(name), to_parquet(&[row]).unwrap()).unwrap();
    }
    let repeats: Vec<u32> = read(directory.path(), &ALL).unwrap().iter().map(|row| row.repeat).collect();
    assert_eq!(repeats, [1, 2]);
}

#[test]
fn rows_of_live_requests_come_back_with_their_candidates() {
    let live = gearshift_perfdb::Live {
        backend: "a".into(),
        route: "default".into(),
        attempt: 1,
        considered: 2,
        propensity: 0.25,
        explored: true,
        candidates: gearshift_perfdb::Candidates {
            backends: vec!["a".into(), "b".into()],
            scores: vec![1.5, f64::INFINITY],
            ..gearshift_perfdb::Candidates::default()
        },
        ..gearshift_perfdb::Live::default()
    };
    let live = Observation { source: Source::Live, live: Some(Box::new(live)), ..example() };
    // Rows of other sources stand beside them in one file, and files of theirs alone lack the columns.
    for rows in [vec![example(), live], vec![example()]] {
        let directory = written(&to_parquet(&rows).unwrap());
        assert_eq!(read(directory.path(), &[Source::Live, Source::Measured]).unwrap(), rows);
    }
}
