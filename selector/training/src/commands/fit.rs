//! `gearshift-train fit`.

use std::path::{Path, PathBuf};

use gearshift_config::Catalog;
use gearshift_loadtests::report::ReportFiles;
use gearshift_perfdb::Source;
use gearshift_selector::{Encoder, TextEncoder, TrainingRows};
use gearshift_training::{
    Error,
    bundle::{self, Contents, Vectors},
    dataset::{Dataset, Protocol, read},
    fit::{self, Bar, Fitted, Recipe},
    prepare::prepare,
    prior_fit::Priors,
};

/// Trains the meta-learner on the performance database and writes a bundle.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory of the performance database's Parquet files.
    #[arg(long, default_value = "perfdb/data")]
    data: PathBuf,
    /// Directory of the bundle; its last part is the bundle's name.
    #[arg(long, default_value = "models/default")]
    out: PathBuf,
    /// The same rows, recipe and seed give the same bundle.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Members of the ensemble; the recipe's where not given.
    #[arg(long)]
    members: Option<usize>,
    /// Hyperparameters as JSON; what it leaves out is the default.
    #[arg(long)]
    recipe: Option<PathBuf>,
    /// Also train on texts: directory of a text encoder, from tools/fetch_encoder.py. Needs ONNX Runtime.
    #[arg(long)]
    encoder: Option<PathBuf>,
    /// ONNX Runtime's shared library; ORT_DYLIB_PATH where not given.
    #[arg(long)]
    onnxruntime: Option<PathBuf>,
    /// Train on measured rows alone, without simulated rows before.
    #[arg(long)]
    no_pretraining: bool,
    /// Where the learning curves go.
    #[arg(long, default_value = "target/reports")]
    reports: PathBuf,
}

/// Runs it; what came of it.
pub(crate) fn run(args: &Args) -> Result<String, Error> {
    let recipe = recipe(args)?;
    let rows = read(&args.data, &[Source::Measured, Source::Live])?;
    // Engines and their ages are told apart across eras, all else is compared within them.
    let priors = Priors::fit(&Dataset::new(rows.clone(), Protocol::Clean));
    let measured = Dataset::new(rows, Protocol::Era);
    let simulated =
        if args.no_pretraining { Vec::new() } else { vec![Source::Simulated, Source::SimulatedKernel] };
    let simulated = Dataset::new(read(&args.data, &simulated)?, Protocol::Clean);
    let (encoder, vectors) = texts(args, &[&measured, &simulated])?;
    let rows = prepare(&measured, &priors.ranking, &vectors);
    let before = prepare(&simulated, &priors.ranking, &vectors);
    let before = (!before.is_empty()).then_some(&before);
    #[expect(clippy::disallowed_methods, reason = "only to say how long it took")]
    let started = std::time::Instant::now();
    let fitted = fit::fit(&rows, before, &recipe, args.seed, &Bar::default())?;
    let seconds = started.elapsed().as_secs_f64();
    let id = args.out.file_name().and_then(|name| name.to_str()).unwrap_or("default");
    let contents = Contents {
        id,
        fitted: &fitted,
        rows: &rows,
        priors: &priors,
        encoder: encoder.as_ref(),
        vectors: &vectors,
        training: counts(&[&measured, &simulated]),
        evaluation: serde_json::Value::Null,
    };
    let manifest = bundle::write(&args.out, &contents)?;
    let curves = curves(&fitted, &args.reports)?;
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

fn recipe(args: &Args) -> Result<Recipe, Error> {
    let mut recipe = match &args.recipe {
        Some(path) => {
            let text = std::fs::read(path).map_err(Error::file(path))?;
            serde_json::from_slice(&text)
                .map_err(|error| Error::Failed(format!("{}: {error}", path.display())))?
        }
        None => Recipe::default(),
    };
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

/// Rows by source and data set.
fn counts(datasets: &[&Dataset]) -> Vec<TrainingRows> {
    let mut counts: Vec<TrainingRows> = Vec::new();
    for sample in datasets.iter().flat_map(|dataset| &dataset.samples) {
        let (source, dataset) = (source_name(sample.row.source), sample.row.dataset.as_str());
        match counts.iter_mut().find(|rows| rows.source == source && rows.dataset == dataset) {
            Some(rows) => rows.rows += 1,
            None => {
                counts.push(TrainingRows { source: source.to_owned(), dataset: dataset.to_owned(), rows: 1 });
            }
        }
    }
    counts
}

fn source_name(source: Source) -> &'static str {
    match source {
        Source::Simulated => "simulated",
        Source::SimulatedKernel => "simulated_kernel",
        Source::Measured => "measured",
        Source::Live => "live",
    }
}

/// Writes the learning curves.
fn curves(fitted: &Fitted, reports: &Path) -> Result<PathBuf, Error> {
    let failed = |error: &dyn ToString| Error::Failed(error.to_string());
    let files = ReportFiles::create(reports, "fit").map_err(|error| failed(&error))?;
    files.svg("learning_curves", fit::chart(&fitted.curves).svg()).map_err(|error| failed(&error))
}
