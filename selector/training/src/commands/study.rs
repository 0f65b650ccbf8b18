//! `gearshift-train study`.

use std::path::PathBuf;

use gearshift_perfdb::to_parquet;
use gearshift_training::{
    Error,
    fit::Bar,
    study::{Plan, study, write},
};

use super::Output;

/// Retraining in virtual time: simulated engines that are not what the shipped rows say, Gearshift's rows of them, a bundle trained further,
/// judged, and let route.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The bundle that serves at first.
    #[arg(long, default_value = "models/default")]
    bundle: PathBuf,
    /// The shipped rows.
    #[arg(long, default_value = "perfdb/data")]
    data: PathBuf,
    /// Requests that rows are logged of.
    #[arg(long, default_value_t = 12_000)]
    logged: u64,
    /// Share of the requests that explore.
    #[arg(long, default_value_t = 0.02)]
    explore: f64,
    /// Requests of each routing run.
    #[arg(long, default_value_t = 2_000)]
    routed: u64,
    /// Repetitions of each routing run.
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// Passes over the rows, from the bundle's weights on; twelve where not given.
    #[arg(long)]
    epochs: Option<usize>,
    /// Where the new bundle and the rows go.
    #[arg(long, default_value = "target/retrain")]
    work: PathBuf,
    /// Where `retrain.json`, `retrain.md` and the judgement go.
    #[arg(long, default_value = "target/reports")]
    out: PathBuf,
    /// ONNX Runtime's shared library; ORT_DYLIB_PATH where not given.
    #[arg(long)]
    onnxruntime: Option<PathBuf>,
    /// What is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Runs it; what came of it.
pub(crate) fn run(args: &Args) -> Result<String, Error> {
    let runtime = super::onnxruntime(args.onnxruntime.as_deref())?;
    let mut plan = Plan { logged: args.logged, explore: args.explore, ..Plan::default() };
    (plan.routed, plan.seeds, plan.retraining.epochs) = (args.routed, args.seeds, args.epochs);
    let rows = args.work.join("rows");
    std::fs::create_dir_all(&rows).map_err(Error::file(&rows))?;
    let (study, logged) =
        study(&plan, &args.bundle, &args.data, &args.work.join("new"), &runtime, &Bar::default())?;
    let file = to_parquet(&logged).map_err(|error| Error::Failed(error.to_string()))?;
    let path = rows.join("simulated-traffic.parquet");
    std::fs::write(&path, file).map_err(Error::file(&path))?;
    let [_, markdown] = write(&study, &args.out)?;
    match args.output {
        Output::Json => super::json(&study),
        Output::Text => std::fs::read_to_string(&markdown).map_err(Error::file(&markdown)),
    }
}
