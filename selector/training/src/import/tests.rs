use std::path::PathBuf;

use gearshift_config::{KvCacheDtype, Quantization};
use gearshift_perfdb::{Grain, Source};

use super::*;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Rows of a fixture of a benchmark's own format, on one H100.
fn benchmark(like: &str, more: &str, file: &str) -> Vec<Observation> {
    let text = format!("like: {like}\nconstants: {{hardware: h100_sxm{more}}}\n");
    files(&Mapping::parse("facts.yaml", &text).unwrap(), &[fixture(file)]).unwrap()
}

fn near(actual: Option<f64>, wanted: f64) {
    let actual = actual.unwrap();
    assert!((actual / wanted - 1.0).abs() < 1e-9, "{actual} is not {wanted}");
}

#[test]
fn the_example_is_read_as_it_says() {
    let mapping = Mapping::read(&example("mapping.yaml")).unwrap();
    let rows = files(&mapping, &[example("benchmarks.csv")]).unwrap();
    assert_eq!(rows.len(), 4);
    let first = &rows[0];
    assert_eq!((first.source, first.grain), (Source::Measured, Grain::Window));
    assert_eq!(first.facts.model, "qwen3-32b");
    assert_eq!(first.facts.model_facts.layers, 64);
    assert_eq!(first.facts.hardware_facts.architecture, "hopper");
    assert_eq!((first.facts.count, first.facts.knobs.tensor_parallel), (2, Some(2)));
    assert_eq!(first.context, "qwen3-32b|h100_sxm|1024x512|16");
    assert_eq!(rows[1].action, "vllm|2|prefix_caching=false|max_num_seqs=8|tensor_parallel=2");
    assert_eq!(first.provenance, "benchmarks.csv, record 1");
    near(first.outcome.ttft_s, 0.1432);
    near(first.outcome.e2e_s, 0.1432 + 511.0 * 0.0181);
    near(first.outcome.output_tokens_per_s, 160.0 * 512.0 / 97.5);
    near(Some(first.load.sequences), 15.0);
    // The other field, in other units; and the fourth repeats the third.
    near(rows[2].outcome.tpot_s, 0.0298);
    assert_eq!(rows.iter().map(|row| row.repeat).collect::<Vec<_>>(), [0, 0, 0, 1]);
}

#[test]
fn results_of_vllm_bench() {
    let rows = benchmark("vllm-bench", ", knob_max_num_seqs: 64", "vllm_bench.json");
    let [row] = rows.as_slice() else { panic!("one run") };
    assert_eq!((row.facts.model.as_str(), row.outcome.requests, row.outcome.failed), ("qwen3-8b", 48, 0));
    near(Some(row.workload.prompt_tokens), 49_051.0 / 48.0);
    near(Some(row.workload.output_tokens), 64.0);
    near(Some(row.workload.concurrency), 16.0);
    near(row.outcome.ttft_s, 0.177_368_850_375_008_46);
    near(row.outcome.ttft_p90_s, 0.256_038_396_598_523_83);
    near(row.outcome.tpot_s, 0.009_702_379_958_001_33);
    near(row.outcome.e2e_s, 0.788_618_787_729_092_2);
    near(row.outcome.output_tokens_per_s, 1_286.821_431_832);
    assert_eq!(row.facts.knobs.max_num_seqs, Some(64));
}

#[test]
fn vllm_bench_without_a_limit_has_the_load_that_came_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("open.json");
    let text = std::fs::read_to_string(fixture("vllm_bench.json")).unwrap();
    std::fs::write(&path, text.replace("\"max_concurrency\": 16", "\"max_concurrency\": null")).unwrap();
    let mapping = Mapping::parse("m", "like: vllm-bench\nconstants: {hardware: l4}\n").unwrap();
    near(
        Some(files(&mapping, &[path]).unwrap()[0].workload.concurrency),
        20.106_584_872_374_988 * 0.788_618_787_729_092_2,
    );
}

#[test]
fn a_report_of_guidellm() {
    let rows = benchmark("guidellm", ", model: Qwen/Qwen3-8B", "guidellm.json");
    let [row] = rows.as_slice() else { panic!("one run") };
    assert_eq!((row.at_unix_s, row.outcome.requests, row.outcome.failed), (Some(1_795_385_875), 32, 0));
    near(Some(row.workload.prompt_tokens), 668.593_75);
    near(Some(row.workload.prompt_spread), 13.853_833_799_259_323 / 668.593_75);
    near(Some(row.workload.concurrency), 8.0);
    near(row.outcome.ttft_s, 0.028_687_521_815_3);
    near(row.outcome.ttft_p90_s, 0.039_635_181_427_001_95);
    near(row.outcome.tpot_s, 0.008_152_372_543_773_954);
    near(row.outcome.e2e_s, 0.542_613_700_032_234_2);
    near(row.outcome.output_tokens_per_s, 911.795_925_992_602_1);
    // First answer and steps make up the whole.
    let steps = row.outcome.ttft_s.unwrap() + 63.0 * row.outcome.tpot_s.unwrap();
    assert!((steps / row.outcome.e2e_s.unwrap() - 1.0).abs() < 0.01);
}

#[test]
fn exports_of_aiperf() {
    let [json] = &benchmark("aiperf", ", model: Qwen/Qwen3-8B", "aiperf.json")[..] else { panic!("one run") };
    near(Some(json.workload.prompt_tokens), 17_555.0 / 32.0);
    // As the engine counts: AIPerf's tokenizer made 130 of these.
    near(Some(json.workload.output_tokens), 64.0);
    near(Some(json.workload.concurrency), 8.0);
    assert_eq!((json.outcome.requests, json.outcome.failed, json.outcome.cached_tokens), (32, 0, Some(0.0)));
    near(json.outcome.ttft_s, 0.094_553_713_25);
    near(json.outcome.e2e_s, 0.597_746_001_718_75);
    near(json.outcome.tpot_s, (0.597_746_001_718_75 - 0.094_553_713_25) / 63.0);
    // The same run as CSV, which has two decimals.
    let [csv] = &benchmark("aiperf-csv", ", model: Qwen/Qwen3-8B", "aiperf.csv")[..] else {
        panic!("one run")
    };
    let pairs = [
        (csv.outcome.ttft_s, json.outcome.ttft_s),
        (csv.outcome.ttft_p90_s, json.outcome.ttft_p90_s),
        (csv.outcome.tpot_s, json.outcome.tpot_s),
        (csv.outcome.e2e_s, json.outcome.e2e_s),
        (csv.outcome.output_tokens_per_s, json.outcome.output_tokens_per_s),
        (Some(csv.workload.prompt_tokens), Some(json.workload.prompt_tokens)),
        (Some(csv.workload.concurrency), Some(json.workload.concurrency)),
    ];
    for (csv, json) in pairs {
        assert!((csv.unwrap() / json.unwrap() - 1.0).abs() < 0.005, "{csv:?} {json:?}");
    }
}

fn parsed(text: &str) -> String {
    Mapping::parse("mine.yaml", text).unwrap_err().to_string()
}

#[test]
fn mistakes_in_a_mapping_are_explained() {
    assert!(parsed("colums: {}\n").contains("mine.yaml:1"), "{}", parsed("colums: {}\n"));
    assert!(parsed("constants: {ttft_ms: 1}\n").contains("there is no column \"ttft_ms\""));
    assert!(parsed("like: vllm\n").contains("none of vllm-bench, guidellm"));
    assert!(parsed("columns: {ttft_s: {from: x, unit: min}}\n").contains("\"min\""));
}

#[test]
fn mistakes_in_a_table_name_record_and_column() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.jsonl");
    let problem = |mapping: &str, lines: &str| {
        std::fs::write(&path, lines).unwrap();
        let constants = "dataset: d, prompt_tokens: 10, output_tokens: 5, concurrency: 1";
        let mapping =
            Mapping::parse("m", &format!("constants: {{{constants}}}\ncolumns: {mapping}\n")).unwrap();
        files(&mapping, &[&path]).unwrap_err().to_string()
    };
    let columns = "{model: m, hardware: h, ttft_s: t.first}";
    let good = r#"{"m": "qwen3-8b", "h": "l4", "t": {"first": 1}}"#;
    let error =
        problem(columns, &format!("{good}\n{{\"m\": \"qwen3-8b\", \"h\": \"l5\", \"t\": {{\"first\": 1}}}}"));
    assert!(error.contains("rows.jsonl, record 2: hardware \"l5\" is not in the catalog"), "{error}");
    let error = problem(columns, r#"{"m": "qwen3-8b", "h": "l4", "t": {"first": "soon"}}"#);
    assert!(error.contains("record 1: column ttft_s: \"soon\" is no DOUBLE"), "{error}");
    let error = problem(columns, r#"{"m": "qwen3-8b", "h": "l4"}"#);
    assert!(error.contains("none of ttft_s, tpot_s and e2e_s"), "{error}");
    let error = problem("{model: m, hardware: {from: h, values: {H100: h100_sxm}}}", good);
    assert!(error.contains("h \"l4\" is not among the values of hardware"), "{error}");
    let error = problem("{hardware: h, ttft_s: t.first}", good);
    assert!(error.contains("column model: which one was it?"), "{error}");
}

#[test]
fn hardware_and_models_that_no_catalog_knows_are_stated() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.jsonl");
    std::fs::write(&path, "{\"ttft\": 0.5, \"tpot\": 0.02}\n").unwrap();
    let text = "
constants:
  dataset: d
  model: my-model
  model_parameters_b: 3.5
  model_active_parameters_b: 3.5
  model_layers: 30
  model_hidden: 2048
  model_heads: 16
  model_kv_heads: 8
  model_head_dim: 128
  model_weight_bytes: 2
  model_context_tokens: 8192
  hardware: my-card
  hardware_bf16_tflops: 100
  hardware_memory_gb_per_s: 500
  hardware_memory_gib: 24
  hardware_interconnect_gb_per_s: 32
  hardware_price_usd_per_hour: 0.5
  hardware_tdp_w: 200
  hardware_idle_w: 20
  knob_kv_cache_dtype: fp8
  knob_quantization: int4
  prompt_tokens: 100
  output_tokens: 50
  concurrency: 4
columns: {ttft_s: ttft, tpot_s: tpot}
";
    let rows = files(&Mapping::parse("m", text).unwrap(), &[&path]).unwrap();
    assert_eq!(rows[0].facts.model_facts.layers, 30);
    assert!((rows[0].facts.hardware_facts.memory_gb_per_s - 500.0).abs() < 1e-9);
    assert_eq!(rows[0].facts.knobs.quantization, Some(Quantization::Int4));
    assert_eq!(rows[0].facts.knobs.kv_cache_dtype, Some(KvCacheDtype::Fp8));
    assert!(!rows[0].facts.lossless);
    // Dropping one of the numbers is found out.
    let without = text.replace("  model_heads: 16\n", "");
    let error = files(&Mapping::parse("m", &without).unwrap(), &[&path]).unwrap_err().to_string();
    assert!(error.contains("column model_heads: there is no value"), "{error}");
}

const MAPPING: &str = include_str!("../../examples/mapping.yaml");

proptest::proptest! {
    #[test]
    fn any_text_is_a_mapping_or_refused_by_its_name(text in "(like|columns|constants|records|[a-z:{}\\[\\]\"'&*!|> \n-]|.){0,60}") {
        if let Err(error) = Mapping::parse("facts.yaml", &text) {
            proptest::prop_assert!(error.to_string().contains("facts.yaml"), "{}", error);
        }
    }

    #[test]
    fn a_damaged_mapping_is_read_or_refused_by_its_name(at in proptest::prelude::any::<proptest::sample::Index>(), with in ".{0,3}", cut: bool) {
        let at = MAPPING.floor_char_boundary(at.index(MAPPING.len()));
        let rest = if cut { "" } else { &MAPPING[at..] };
        if let Err(error) = Mapping::parse("facts.yaml", &format!("{}{with}{rest}", &MAPPING[..at])) {
            proptest::prop_assert!(error.to_string().contains("facts.yaml"), "{}", error);
        }
    }
}
