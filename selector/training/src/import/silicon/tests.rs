use std::{collections::HashMap, path::PathBuf};

use gearshift_selector::NEWEST_MONTH;

use super::*;
use crate::read::read;

const COLUMNS: &str = "id,silicon_data_source,backend,backend_version,model_path,system,precision,mode,isl,osl,\
    gemm_quant_mode,batch_size,tp_size,attention_dp_size,moe_tp_size,moe_ep_size,silicon_ttft_ms,silicon_tpot_ms";
const NOTES: &str = "source_file=x.csv; silicon_concurrency=64; measured=2026-04-17T00:00:00.000Z";
const BEGIN: &str = "vllm,0.19.0,MiniMaxAI/MiniMax-M2.5,b200_sxm,fp8,agg,1024,1024,fp8,16";

/// Rows of a table with these lines after the id.
fn table(lines: &[&str]) -> (Vec<Observation>, Counts) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.csv");
    let body: Vec<String> = lines.iter().enumerate().map(|(id, line)| format!("r{id},{line}\n")).collect();
    std::fs::write(&path, format!("{COLUMNS}\n{}", body.concat())).unwrap();
    rows(&path, None).unwrap()
}

/// Accelerators, tensor parallel, data parallel, experts of a run of these sizes: tp, dp, moe tp, moe ep.
fn parallel(sizes: &str) -> (u32, u32, u32, bool) {
    let (rows, _) = table(&[&format!("{NOTES},{BEGIN},{sizes},100,10")]);
    let Facts { count, knobs, .. } = &rows[0].facts;
    (*count, knobs.tensor_parallel.unwrap(), knobs.data_parallel.unwrap(), knobs.expert_parallel.unwrap())
}

#[test]
fn parallelism_is_mended() {
    assert_eq!(parallel("8,1,8,1"), (8, 8, 1, false));
    assert_eq!(parallel("4,1,1,4"), (4, 4, 1, true));
    // Experts on 8 and on 4 accelerators, written as 8 × 8 and 4 × 4.
    assert_eq!(parallel("64,1,8,8"), (8, 8, 1, true));
    assert_eq!(parallel("16,1,4,4"), (4, 4, 1, true));
    // Attention replicas: three ways to write them.
    assert_eq!(parallel("1,64,8,8"), (8, 1, 8, true));
    assert_eq!(parallel("4,4,1,16"), (4, 1, 4, true));
    assert_eq!(parallel("1,8,1,8"), (8, 1, 8, true));
    // Experts on 2 × 2 of 4.
    assert_eq!(parallel("4,1,2,2"), (4, 4, 1, true));
}

#[test]
fn one_measurement_under_two_parses_is_one_row() {
    let line = |sizes: &str, figures: &str| format!("{NOTES},{BEGIN},{sizes},{figures}");
    let lines = [
        line("64,1,8,8", "100.01,10.001"),
        line("8,1,1,8", "100.0,10.0"),
        line("8,1,1,8", "100.2,10.0"),
        line("8,1,8,1", "90.0,9.0"),
    ];
    let (rows, counts) = table(&lines.each_ref().map(String::as_str));
    assert_eq!(rows.iter().map(|row| row.repeat).collect::<Vec<_>>(), [0, 1, 0]);
    assert!(rows[0].provenance.ends_with(": r1"), "the plain parse stays");
    assert_eq!(counts, Counts { rows: 4, aggregated: 4, duplicates: 1, kept: 3, ..Counts::default() });
}

#[test]
fn concurrency_date_and_precision_come_from_where_they_stand() {
    let (rows, _) = table(&[
        &format!("{NOTES},{BEGIN},8,1,8,1,100,10"),
        "source_file=x.csv,vllm,unheard,Qwen/Qwen3-32B,h100_sxm,,agg,1024,512,,16,2,,,,100,10",
        "none,vllm,unheard,Qwen/Qwen3-32B,h100_sxm,,agg,1024,512,,16,2,,,,90,10",
    ]);
    let loads: Vec<f64> = rows.iter().map(|row| row.workload.concurrency).collect();
    assert_eq!(loads, [64.0, 16.0, 16.0]);
    assert_eq!(rows[0].at_unix_s, Some(1_776_384_000));
    let months: Vec<f64> = rows.iter().map(|row| row.facts.software.months.unwrap()).collect();
    assert!((months[0] - 290.0 / 30.4).abs() < 1e-9);
    assert!((months[1] - months[0]).abs() < 1e-9, "the median of its collection");
    assert!((months[2] - 7.0).abs() < 1e-9, "nothing is known");
    assert_eq!(rows[1].context, "Qwen/Qwen3-32B|h100_sxm|1024|512|16|na");
    assert_eq!(rows[1].action, "vllm|na|g2|dp0|ep0");
    assert_eq!(rows[1].facts.knobs.quantization, Some(Quantization::None));
    assert!(rows[1].facts.lossless && !rows[0].facts.lossless);
    assert!((rows[1].outcome.e2e_s.unwrap() - (0.1 + 511.0 * 0.01)).abs() < 1e-9);
}

fn cached(name: &str) -> Option<PathBuf> {
    let data = std::env::var_os("GEARSHIFT_DATA").map(PathBuf::from);
    let cached = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/aiconfigurator");
    data.into_iter().chain([cached]).map(|folder| folder.join(name)).find(|path| path.exists())
}

#[test]
fn the_whole_table_comes_to_the_counts_that_are_published() {
    let Some(path) = cached("silicon_sample.csv") else {
        println!("skipped: no silicon_sample.csv; set GEARSHIFT_DATA or run tools/aiconfigurator_kernels.py");
        return;
    };
    let (rows, counts) = rows(&path, None).unwrap();
    let wanted =
        Counts { rows: 5221, aggregated: 3619, other_models: 11, mended: 252, duplicates: 600, kept: 3008 };
    assert_eq!(counts, wanted);
    let shipped = shipped();
    assert_eq!(rows.len(), shipped.len());
    for (row, shipped) in rows.iter().zip(&shipped) {
        let mut stripped = shipped.clone();
        (stripped.outcome.reference_e2e_s, stripped.outcome.reference_tpot_s) = (None, None);
        assert_eq!(*row, stripped, "perfdb/data/silicon.parquet is out of date; see perfdb/data/README.md");
    }
}

fn shipped() -> Vec<Observation> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../perfdb/data/silicon.parquet");
    read(&path, &[Source::Measured]).unwrap()
}

#[test]
fn the_shipped_rows_are_those_of_the_published_study() {
    let rows = shipped();
    let mut contexts: HashMap<&str, HashMap<&str, usize>> = HashMap::new();
    for row in &rows {
        *contexts.entry(&row.context).or_default().entry(&row.action).or_default() += 1;
    }
    assert_eq!(rows.len(), 3008);
    assert_eq!(contexts.len(), 975);
    assert_eq!(contexts.values().map(HashMap::len).sum::<usize>(), 2754);
    assert_eq!(contexts.values().filter(|actions| actions.len() > 1).count(), 623);
    let newest = rows.iter().filter_map(|row| row.facts.software.months).fold(0.0, f64::max);
    assert!((newest - NEWEST_MONTH).abs() < 1e-9, "{newest}: beyond it age is not said to do anything");
}

#[test]
fn spot_rows() {
    let rows = shipped();
    let row = |id: &str| {
        let end = format!(": {id}");
        rows.iter().find(|row| row.provenance.ends_with(&end)).unwrap()
    };
    let first = row("minimaxm2_5_b300_vllm_fp8_agg_8192x1024_c128_cfg733");
    assert_eq!(first.context, "MiniMaxAI/MiniMax-M2.5|b300_sxm|8192|1024|128|fp8");
    assert_eq!(first.action, "vllm|fp8|g4|dp0|ep0");
    assert_eq!((first.facts.model.as_str(), first.facts.count), ("minimax-m2", 4));
    assert!((first.outcome.ttft_s.unwrap() - 0.972_310_982_335_512).abs() < 1e-12);
    assert!((first.outcome.tpot_s.unwrap() - 0.033_442_908_754_168).abs() < 1e-12);
    let families: HashMap<&str, &str> =
        rows.iter().map(|row| (row.facts.model.as_str(), row.facts.family.as_str())).collect();
    assert_eq!(families["kimi-k2.5"], "deepseek-v3");
    assert_eq!(families["llama-3.1-8b"], "llama-3.1-8b");
    assert_eq!(families.len(), 10);
}
