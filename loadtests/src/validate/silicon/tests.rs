use std::path::{Path, PathBuf};

use super::*;
use crate::sim::StepModel;

const COLUMNS: &str = "id,silicon_data_source,backend,backend_version,model_path,system,precision,mode,isl,osl,batch_size,\
    tp_size,pp_size,attention_dp_size,moe_tp_size,moe_ep_size,silicon_ttft_ms,silicon_tpot_ms";

/// Reads rows of a table: what differs is precision, parallelism (tp, pp, dp, moe tp, moe ep) and what was measured.
fn rows(lines: &[&str]) -> Vec<SiliconRow> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.csv");
    let body: Vec<String> = lines
        .iter()
        .enumerate()
        .map(|(id, line)| {
            let notes = "source_file=x; silicon_concurrency=64";
            format!("r{id},{notes},vllm,0.19.0,MiniMaxAI/MiniMax-M2.5,b200_sxm,fp8,agg,1024,1024,16,{line}")
        })
        .collect();
    std::fs::write(&path, format!("{COLUMNS}\n{}\n", body.join("\n"))).unwrap();
    read(&path).unwrap()
}

fn parallel(line: &str) -> (u32, u32, u32, bool) {
    let found = rows(&[line]);
    (found[0].count, found[0].tensor, found[0].data, found[0].expert)
}

#[test]
fn parallelism_is_mended() {
    assert_eq!(parallel("8,1,1,8,1,100,10"), (8, 8, 1, false));
    assert_eq!(parallel("4,1,1,1,4,100,10"), (4, 4, 1, true));
    // Experts on 8 GPUs, written as 8 × 8.
    assert_eq!(parallel("64,1,1,8,8,100,10"), (8, 8, 1, true));
    assert_eq!(parallel("1,1,64,8,8,100,10"), (8, 1, 8, true));
    // Four replicas of attention over four GPUs.
    assert_eq!(parallel("4,1,4,1,16,100,10"), (4, 1, 4, true));
}

#[test]
fn one_measurement_under_two_parses_is_one_row() {
    let found = rows(&["64,1,1,8,8,100.0,10.0", "8,1,1,1,8,100.0,10.0", "8,1,1,1,8,101.0,10.0"]);
    assert_eq!(found.len(), 2);
}

#[test]
fn the_notes_give_concurrency_and_unusable_rows_go() {
    let found = rows(&["8,1,1,8,1,100,10", "8,2,1,8,1,100,10", "8,1,1,8,1,462052,10", "8,1,1,8,1,,10"]);
    assert_eq!(found.iter().map(|row| row.concurrency).collect::<Vec<_>>(), [64]);
}

#[test]
fn the_quick_loop_says_what_the_engine_says() {
    let mut row = rows(&["4,1,1,4,1,100,10"]).remove(0);
    for (isl, osl, concurrency) in [(1024, 1024, 4), (8192, 256, 16), (1024, 512, 64)] {
        (row.isl, row.osl, row.concurrency) = (isl, osl, concurrency);
        let spec = engine(&row).unwrap();
        let quick = closed_loop(&row, &StepModel::new(&spec)).unwrap();
        let whole = engine_loop::run(&row, &spec).unwrap();
        let off = |quick: f64, whole: f64| (quick / whole - 1.0).abs();
        assert!(off(quick.tpot_s, whole.tpot_s) < 0.05, "{quick:?} {whole:?}");
        assert!(off(quick.ttft_s, whole.ttft_s) < 0.15, "{quick:?} {whole:?}");
    }
}

/// The targets of the simulator's validation, on the table itself where it is at hand: GEARSHIFT_DATA, or what
/// tools/aiconfigurator_kernels.py left in .cache.
#[test]
fn measured_gpus_are_met_within_the_targets() {
    let Some(path) = table() else {
        println!("skipped: no silicon_sample.csv; set GEARSHIFT_DATA or run tools/aiconfigurator_kernels.py");
        return;
    };
    // A sample: a debug build would simulate a quarter of a million requests otherwise.
    let sample: Vec<SiliconRow> =
        read(&path).unwrap().into_iter().filter(|row| row.concurrency <= 64).step_by(12).collect();
    let report = report::of(&sample, crate::sim::FactorTable::shipped());
    assert!(report.all.fitted.tpot.median <= 0.15, "{:?}", report.all);
    assert!(report.all.held_out.tpot.median <= 0.25, "{:?}", report.all);
    assert!(report.all.fitted.ttft.median <= 0.30, "{:?}", report.all);
}

fn table() -> Option<PathBuf> {
    let data = std::env::var_os("GEARSHIFT_DATA").map(PathBuf::from);
    let cached = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/aiconfigurator");
    data.into_iter()
        .chain([cached])
        .map(|folder| folder.join("silicon_sample.csv"))
        .find(|path| path.exists())
}
