//! `gearshift-train eval`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use gearshift_config::Catalog;
use gearshift_loadtests::report::ReportFiles;
use gearshift_perfdb::Source;
use gearshift_selector::TextEncoder;
use gearshift_training::{
    Error, aslib,
    baselines::{self, MetaInf},
    bundle::Vectors,
    dataset::{Dataset, Protocol, read},
    eval::{self, Options},
};

/// What it looks like.
const EXAMPLES: &str = "\
Examples:
  gearshift-train eval --quick --only measured/silicon/clean/all/unseen_gpu
      how well each selector chooses on GPUs that it has not seen
  gearshift-train eval --live observations --running models/default
      how well the bundle that serves has done, on the newest fifth of live rows
  gearshift-train eval --live s3://bucket/rows --bundle /tmp/live-1 --running models/default --offer models
      whether a new one would have been better; if so, into service. Exit code 0: better for sure, 3: not, 1: failed";

/// Measures how well each selector chooses where it has not been; or how good a bundle would have been for live traffic.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    live: super::live::Args,
    /// The performance database.
    #[arg(long, default_value = "perfdb/data")]
    rows: PathBuf,
    /// Where `eval.json`, `eval.md` and the plots go.
    #[arg(long, default_value = "target/reports")]
    out: PathBuf,
    /// Where choices are kept for the next run.
    #[arg(long, default_value = "target/eval-cache")]
    cache: PathBuf,
    /// Only splits whose name contains this; names are like `measured/silicon/clean/all/unseen_gpu`.
    #[arg(long)]
    only: Option<String>,
    /// A scenario of the algorithm-selection library to run ISAC, ALORS and the forest on, instead of the database.
    #[arg(long, value_name = "DIR")]
    aslib: Option<PathBuf>,
    /// Directory of the text encoder, from tools/fetch_encoder.py: variants of the learner that read descriptions are measured too.
    #[arg(long)]
    encoder: Option<PathBuf>,
    /// ONNX Runtime's shared library; ORT_DYLIB_PATH where not given. Only the encoder needs it.
    #[arg(long)]
    onnxruntime: Option<PathBuf>,
    /// Only these selectors.
    #[arg(long, value_delimiter = ',')]
    selectors: Vec<String>,
    /// Hyperparameters of the learner as JSON; what it leaves out is the default.
    #[arg(long, conflicts_with = "live")]
    recipe: Option<PathBuf>,
    /// For trying out: a quarter of the trees, one seed.
    #[arg(long)]
    quick: bool,
    /// Seeds that stochastic selectors are averaged over.
    #[arg(long, value_delimiter = ',', default_values_t = [1])]
    seeds: Vec<u64>,
    /// Simulated rows that are learned from in every fold, at most; the shipped bundle takes all.
    #[arg(long, default_value_t = 2500)]
    simulated_rows: usize,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// Runs it; what came of it in words.
pub(crate) fn run(args: &Args) -> Result<super::Said, Error> {
    match args.live.url() {
        Some(url) => super::live::run(&args.live, url, &args.out, args.onnxruntime.as_deref()),
        None => on_rows(args).map(super::Said::from),
    }
}

fn on_rows(args: &Args) -> Result<String, Error> {
    if let Some(directory) = &args.aslib {
        return on_aslib(directory, args);
    }
    let sources = [Source::Simulated, Source::SimulatedKernel, Source::Measured];
    let rows = read(&args.rows, &sources)?;
    let simulated = Dataset::new(eval::not_measured(&rows), Protocol::Clean);
    let measured = Dataset::new(
        rows.iter().filter(|row| row.source == Source::Measured).cloned().collect(),
        Protocol::Clean,
    );
    let vectors = Arc::new(vectors(args, &[&measured, &simulated])?);
    let questions = eval::questions(rows);
    let recipe = super::recipe(args.recipe.as_deref())?;
    let mut selectors = MetaInf::with_ablations(&recipe, &vectors);
    selectors.extend(baselines::roster());
    selectors.retain(|s| args.selectors.is_empty() || args.selectors.contains(&s.name()));
    let effort = if args.quick { baselines::Effort::Quick } else { baselines::Effort::Full };
    let seeds = if args.quick { args.seeds.iter().take(1).copied().collect() } else { args.seeds.clone() };
    let options = Options {
        effort,
        threads: args.threads,
        seeds,
        only: args.only.clone(),
        cache: Some(args.cache.clone()),
        simulated_rows: args.simulated_rows,
        progress: true,
        recipe,
    };
    let report = eval::evaluate(&questions, &simulated, &selectors, &options)?;
    if args.live.output() == super::Output::Json {
        eval::write(&report, &args.out).map_err(|error| Error::Failed(error.to_string()))?;
        return super::json(&report);
    }
    let written = eval::write(&report, &args.out).map_err(|error| Error::Failed(error.to_string()))?;
    Ok(written.map(|path| path.display().to_string()).join("\n"))
}

/// Vectors of all descriptions; none where no encoder was asked for.
fn vectors(args: &Args, datasets: &[&Dataset]) -> Result<Vectors, Error> {
    let Some(directory) = &args.encoder else { return Ok(Vectors::default()) };
    let runtime = super::onnxruntime(args.onnxruntime.as_deref())?;
    let mut encoder =
        TextEncoder::open(directory, &runtime).map_err(|error| Error::Failed(error.to_string()))?;
    Vectors::new(&mut encoder, Catalog::shipped(), datasets)
}

fn on_aslib(directory: &Path, args: &Args) -> Result<String, Error> {
    let failed = |error: gearshift_loadtests::Error| Error::Failed(error.to_string());
    let seed = args.seeds.first().copied().unwrap_or(1);
    let report = aslib::evaluate(&aslib::Scenario::read(directory)?, seed);
    let document = aslib::document(&report);
    let files = ReportFiles::create(&args.out, "aslib").map_err(failed)?;
    files.json(&report).map_err(failed)?;
    files.markdown(&document).map_err(failed)?;
    if args.live.output() == super::Output::Json {
        return super::json(&report);
    }
    Ok(document.as_str().to_owned())
}
