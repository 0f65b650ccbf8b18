//! `gearshift-train fit`.

use std::path::{Path, PathBuf};

use gearshift_config::Catalog;
use gearshift_loadtests::report::ReportFiles;
use gearshift_perfdb::Source;
use gearshift_selector::{Encoder, TextEncoder};
use gearshift_training::{
    Error,
    bundle::{self, Contents, Vectors},
    dataset::{Dataset, Protocol, read},
    eval::live::split,
    fit::{self, Bar, Fitted, Recipe},
    live::{self, Retraining},
    prepare::prepare,
    prior_fit::Priors,
};

/// What it looks like.
const EXAMPLES: &str = "\
Examples:
  gearshift-train fit --out models/mine
      from the shipped rows alone, in minutes
  gearshift-train fit --from s3://bucket/rows --warm-start models/default --out /tmp/live-1
      from the bundle that serves, on live rows (all but the newest fifth) and shipped ones
  gearshift-train eval --live s3://bucket/rows --bundle /tmp/live-1 --running models/default --offer models
      and into service, where it is better for sure";

/// Trains the meta-learner on the performance database and writes a bundle; or a bundle further, on live rows.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Live rows: a folder, file://, s3://, gs:// or az://, as `observations.url` in Gearshift's configuration. Needs --warm-start.
    #[arg(long, value_name = "URL", requires = "warm_start")]
    from: Option<String>,
    /// The bundle whose weights, and prior, to begin from.
    #[arg(long, value_name = "DIR", requires = "from")]
    warm_start: Option<PathBuf>,
    /// Share of the live rows that are left for judging: the newest.
    #[arg(long, default_value_t = 0.2, requires = "from")]
    held_out: f64,
    /// Share of the weight that live rows have; the rest is that of the shipped ones.
    #[arg(long, default_value_t = 0.5, requires = "from")]
    live_share: f64,
    /// Live rows at most, the newest.
    #[arg(long, default_value_t = 20_000, requires = "from")]
    live_rows: usize,
    /// Shipped simulated rows that are gone through again at most.
    #[arg(long, default_value_t = 3_000, requires = "from")]
    simulated_rows: usize,
    /// Passes over the rows, from the bundle's weights on; twelve where not given.
    #[arg(long, requires = "from")]
    epochs: Option<usize>,
    /// What is printed.
    #[arg(long, value_enum, default_value_t = super::Output::Text)]
    output: super::Output,
    /// Directory of the performance database's Parquet files.
    #[arg(long, default_value = "perfdb/data")]
    data: PathBuf,
    /// Directory of the bundle; its last part is the bundle's name.
    #[arg(long, default_value = "models/default")]
    out: PathBuf,
    /// The same rows, recipe and seed give the same bundle.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Members of the ensemble, beside those that know models and accelerators by heart; the recipe's where not given.
    #[arg(long, conflicts_with = "from")]
    members: Option<usize>,
    /// Hyperparameters as JSON; what it leaves out is the default.
    #[arg(long, conflicts_with = "from")]
    recipe: Option<PathBuf>,
    /// Also train on texts: directory of a text encoder, from tools/fetch_encoder.py. Needs ONNX Runtime.
    #[arg(long, conflicts_with = "from")]
    encoder: Option<PathBuf>,
    /// ONNX Runtime's shared library; ORT_DYLIB_PATH where not given.
    #[arg(long)]
    onnxruntime: Option<PathBuf>,
    /// Train on measured rows alone, without simulated rows before.
    #[arg(long, conflicts_with = "from")]
    no_pretraining: bool,
    /// Where the learning curves go.
    #[arg(long, default_value = "target/reports")]
    reports: PathBuf,
}

/// Runs it; what came of it.
pub(crate) fn run(args: &Args) -> Result<String, Error> {
    if let (Some(from), Some(warm_start)) = (&args.from, &args.warm_start) {
        return on_live(args, from, warm_start);
    }
    let recipe = recipe(args)?;
    let rows = read(&args.data, &[Source::Measured])?;
    // Engines and their ages are told apart across eras, by the prior and what is known by heart; all else is compared within them.
    let across = Dataset::new(rows.clone(), Protocol::Clean);
    let priors = Priors::fit(&across);
    let measured = Dataset::new(rows, Protocol::Era);
    let simulated =
        if args.no_pretraining { Vec::new() } else { vec![Source::Simulated, Source::SimulatedKernel] };
    let simulated = Dataset::new(read(&args.data, &simulated)?, Protocol::Clean);
    let (encoder, vectors) = texts(args, &[&measured, &simulated])?;
    let rows = prepare(&measured, &priors.ranking, &vectors);
    let known = prepare(&across, &priors.ranking, &vectors);
    let before = prepare(&simulated, &priors.ranking, &vectors);
    let before = (!before.is_empty()).then_some(&before);
    #[expect(clippy::disallowed_methods, reason = "only to say how long it took")]
    let started = std::time::Instant::now();
    let fitted = fit::fit_known(&rows, &known, before, &recipe, args.seed, &Bar::default())?;
    let seconds = started.elapsed().as_secs_f64();
    let id = args.out.file_name().and_then(|name| name.to_str()).unwrap_or("default");
    let contents = Contents {
        id,
        fitted: &fitted,
        rows: &rows,
        priors: &priors,
        encoder: encoder.as_ref(),
        vectors: &vectors,
        training: bundle::counts(&[&measured, &simulated]),
        evaluation: serde_json::Value::Null,
    };
    let manifest = bundle::write(&args.out, &contents)?;
    let curves = curves(&fitted, &args.reports)?;
    if args.output == super::Output::Json {
        return super::json(&serde_json::json!({
            "bundle": args.out,
            "rows": rows.len(),
            "rows_before": before.map_or(0, fit::Prepared::len),
            "training": manifest.training,
            "epochs": fitted.epochs,
            "seconds": seconds,
            "spread_scale": manifest.spread_scale,
            "learning_curves": curves,
        }));
    }
    Ok(format!(
        "{}: {} rows, {} before them; {} epochs, {seconds:.0} s; spread scale {:.3}; learning curves in {}",
        args.out.display(),
        rows.len(),
        before.map_or(0, fit::Prepared::len),
        fitted.epochs,
        manifest.spread_scale,
        curves.display(),
    ))
}

/// Trains a bundle further.
fn on_live(args: &Args, from: &str, warm_start: &Path) -> Result<String, Error> {
    let fetched = live::fetch(from, args.live_rows.saturating_mul(2))?;
    let (journeys, mut left) = live::journeys(fetched.rows);
    if !fetched.unreadable.is_empty() {
        left.insert("unreadable file", fetched.unreadable.len());
    }
    let trained = &journeys[..split(&journeys, args.held_out)];
    let until_s = trained.last().map_or(0.0, |journey| journey.ended_s);
    let how = Retraining {
        live_share: args.live_share,
        simulated_rows: args.simulated_rows,
        live_rows: args.live_rows,
        epochs: args.epochs,
        seed: args.seed,
    };
    #[expect(clippy::disallowed_methods, reason = "only to say how long it took")]
    let started = std::time::Instant::now();
    let retrained = live::retrain(trained, &args.data, warm_start, &how, &Bar::default())?;
    let seconds = started.elapsed().as_secs_f64();
    let id = args.out.file_name().and_then(|name| name.to_str()).unwrap_or("live");
    let manifest = retrained.write(&args.out, id, until_s)?;
    let curves = curves(&retrained.fitted, &args.reports)?;
    Ok(match args.output {
        super::Output::Json => serde_json::json!({
            "bundle": args.out,
            "warm_start": retrained.warm_start,
            "answers": journeys.len(),
            "held_out": journeys.len() - trained.len(),
            "left_out": left,
            "training": manifest.training,
            "epochs": retrained.fitted.epochs,
            "seconds": seconds,
            "trained_until_unix_s": until_s,
        })
        .to_string(),
        super::Output::Text => format!(
            "{}: from {} on {} live answers ({} more are held out) and {} rows in all; {} epochs, {seconds:.0} s; learning curves in {}",
            args.out.display(),
            retrained.warm_start,
            trained.len(),
            journeys.len() - trained.len(),
            retrained.rows.len(),
            retrained.fitted.epochs,
            curves.display(),
        ),
    })
}

fn recipe(args: &Args) -> Result<Recipe, Error> {
    let mut recipe = super::recipe(args.recipe.as_deref())?;
    if let Some(members) = args.members {
        recipe.shape.members = members;
    }
    Ok(recipe)
}

/// The encoder, and the vectors of all texts; none and no texts where no encoder was asked for.
fn texts(args: &Args, datasets: &[&Dataset]) -> Result<(Option<Encoder>, Vectors), Error> {
    let Some(directory) = &args.encoder else { return Ok((None, Vectors::default())) };
    let runtime = super::onnxruntime(args.onnxruntime.as_deref())?;
    let mut encoder =
        TextEncoder::open(directory, &runtime).map_err(|error| Error::Failed(error.to_string()))?;
    let vectors = Vectors::new(&mut encoder, Catalog::shipped(), datasets)?;
    Ok((Some(encoder.describe("all-MiniLM-L6-v2")), vectors))
}

/// Writes the learning curves.
fn curves(fitted: &Fitted, reports: &Path) -> Result<PathBuf, Error> {
    let failed = |error: &dyn ToString| Error::Failed(error.to_string());
    let files = ReportFiles::create(reports, "fit").map_err(|error| failed(&error))?;
    files.svg("learning_curves", fit::chart(&fitted.curves).svg()).map_err(|error| failed(&error))
}
