//! A sweep of a tiny grid.

use std::collections::BTreeMap;

use gearshift_perfdb::{Grain, Observation};

use super::*;

fn tiny() -> Grid {
    let mut grid = Grid::load(None).unwrap();
    grid.hardware.retain(|name, _| name == "l4" || name == "epyc_9755");
    grid.models.retain(|name, _| name == "qwen3-0.6b");
    grid.concurrencies = vec![1, 8];
    grid.window =
        WindowShape { warm_up_per_place: 1, warm_up_least: 8, counted_per_place: 2, counted_least: 12 };
    grid.requests.requests = 60;
    grid.datasets.values_mut().for_each(|collection| {
        (collection.one_in, collection.knob_contexts, collection.runs, collection.rows_per_run) =
            (6, 3, 1, 10);
    });
    grid
}

fn all(grid: &Grid) -> Vec<Observation> {
    let bar = ProgressBar::hidden();
    let shards = grid.datasets.iter().flat_map(|(name, collection)| shards(grid, name, collection));
    shards.flat_map(|shard| rows(grid, &shard, 2, &bar).unwrap()).collect()
}

#[test]
fn a_sweep_is_the_same_again_and_every_row_is_whole() {
    let grid = tiny();
    let rows = all(&grid);
    assert_eq!(rows, all(&grid));
    assert!(rows.iter().any(|row| row.grain == Grain::Request));
    for row in &rows {
        let outcome = &row.outcome;
        let times = [outcome.ttft_s, outcome.tpot_s, outcome.e2e_s, outcome.joules_per_token];
        assert!(times.iter().all(|time| time.is_some_and(|time| time.is_finite() && time > 0.0)), "{row:?}");
        let (workload, load) = (&row.workload, &row.load);
        let counts = [workload.prompt_tokens, workload.output_tokens, workload.concurrency];
        assert!(counts.iter().all(|count| count.is_finite() && *count >= 1.0), "{row:?}");
        let loads =
            [load.sequences, load.decoding, load.prefill_tokens, load.decode_tokens, load.context_tokens];
        assert!(loads.iter().all(|one| one.is_finite() && *one >= 0.0), "{row:?}");
        assert!(workload.cached_tokens >= 0.0 && workload.cached_tokens < workload.prompt_tokens, "{row:?}");
        if row.facts.knobs.prefix_caching == Some(false) {
            assert_eq!((workload.cached_tokens, outcome.cached_tokens), (0.0, Some(0.0)));
        }
    }
}

#[test]
fn anchors_are_in_every_context_of_windows() {
    let mut contexts: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for row in all(&tiny()).into_iter().filter(|row| row.grain == Grain::Window) {
        contexts.entry((row.dataset, row.context)).or_default().push(row.action);
    }
    assert!(contexts.len() > 4);
    for ((_, context), actions) in contexts {
        for anchor in [ALL_OFF, VLLM_DEFAULTS] {
            assert!(actions.iter().any(|action| action == anchor), "{context} lacks {anchor}: {actions:?}");
        }
        let mut distinct = actions.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), actions.len(), "{context}");
    }
}

#[test]
fn a_second_run_goes_on_where_the_first_one_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grid.json");
    std::fs::write(&path, serde_json::to_string(&tiny()).unwrap()).unwrap();
    let options = SweepOptions {
        output: Format::Text,
        out: folder.path().join("rows"),
        grid: Some(path),
        datasets: vec!["simulated_engines".into()],
        estimates: None,
        threads: 2,
    };
    let first = run(&options).unwrap();
    let written = |file: &str| std::fs::metadata(options.out.join(file)).unwrap().modified().unwrap();
    let before = written("simulated_engines-named-0.parquet");
    std::fs::remove_file(options.out.join("simulated_engines-knobs-0.parquet")).unwrap();
    let second = run(&options).unwrap();
    assert_eq!(written("simulated_engines-named-0.parquet"), before);
    assert!(options.out.join("simulated_engines-knobs-0.parquet").exists());
    assert_eq!(first.lines().count(), second.lines().count());
    let told = run(&SweepOptions { output: Format::Json, ..options.clone() }).unwrap();
    assert_eq!(told, std::fs::read_to_string(options.out.join("sweep.json")).unwrap());
}
