//! `gearshift-loadtest route`: routing policies side by side, in virtual time.

use std::{path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};
use gearshift_config::Objective;
use gearshift_loadtests::{
    Error,
    report::ReportFiles,
    scenario::Scenario,
    study::{
        Fleet,
        adapt::{Adaptation, Effort, adaptation, tables},
        compare::{
            Comparison, Kind, Plan, Predicted, Standing, calibration_plot, compare, markdown, plot,
            predicted, predictions, speed, standing,
        },
        grid,
    },
    workload::Workload,
};
use gearshift_selector::{Bundle, LoadOptions, OnnxRuntime};
use indicatif::{ProgressBar, ProgressStyle};

/// Options of `gearshift-loadtest route`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RouteOptions {
    /// Scenarios to route through: shipped ones by name, others by their file.
    #[arg(long, value_delimiter = ',', default_values_t = grid::FLEETS.map(|(name, _)| name.to_owned()))]
    fleets: Vec<String>,
    /// Workloads by name or file. Traces that are not there are left out, unless asked for.
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<String>,
    /// Rates of arrival, as shares of the fleet's capacity.
    #[arg(long, value_delimiter = ',', default_values_t = grid::LOADS)]
    loads: Vec<f64>,
    /// Policies.
    #[arg(long, value_delimiter = ',', value_enum)]
    policies: Vec<Kind>,
    /// A bundle for Gearshift to ask; it is then also run without.
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// ONNX Runtime's shared library, for the bundle.
    #[arg(long, value_name = "FILE", env = "ORT_DYLIB_PATH")]
    onnxruntime: Option<PathBuf>,
    /// What Gearshift makes best.
    #[arg(long, value_enum, default_value_t = Goal::Latency)]
    objective: Goal,
    /// Repetitions.
    #[arg(long, default_value_t = grid::SEEDS, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first repetition's seed: what is developed on some is reported on others.
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// Requests of one run, instead of as many as come in the grid's time.
    #[arg(long, value_parser = clap::value_parser!(u64).range(10..))]
    requests: Option<u64>,
    /// Threads to work on.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Write `route.json`, `route.md`, `route.svg` and `route-calibration.svg` into this folder.
    #[arg(long)]
    out: Option<PathBuf>,
    /// What is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// Also run what changes or is not as claimed: impostors, a throttled backend, an unknown one.
    #[arg(long)]
    adapt: bool,
    /// Measure how fast the study itself is, and nothing else.
    #[arg(long)]
    speed: bool,
}

/// What is made best, as an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Goal {
    Latency,
    Cost,
    Energy,
    Throughput,
}

impl From<Goal> for Objective {
    fn from(goal: Goal) -> Self {
        match goal {
            Goal::Latency => Self::Latency,
            Goal::Cost => Self::Cost,
            Goal::Energy => Self::Energy,
            Goal::Throughput => Self::Throughput,
        }
    }
}

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables.
    Text,
    /// Everything, for scripts.
    Json,
}

/// Everything that is written as JSON.
#[derive(Debug, serde::Serialize)]
struct Report<'r> {
    simulated: bool,
    summary: &'r Standing,
    predictions: &'r [Predicted],
    #[serde(skip_serializing_if = "Option::is_none")]
    adaptation: Option<&'r Adaptation>,
    #[serde(flatten)]
    comparison: &'r Comparison,
}

/// Runs the study.
pub(crate) async fn run(options: RouteOptions) -> Result<(), Error> {
    // On a thread of its own, and not waited for: signals end the process at once.
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("route".into()).spawn(move || sender.send(study(&options)))?;
    let text = receiver.await.map_err(|_| Error::Failed("the study did not end".into()))??;
    super::print(&text)
}

fn study(options: &RouteOptions) -> Result<String, Error> {
    if options.speed {
        return speed(&fleet("hardware")?, &Workload::find("azure-conv").map_err(failed)?);
    }
    let (plan, left_out) = plan(options)?;
    let bar = ProgressBar::new(plan.steps() as u64).with_style(style());
    let comparison = compare(&plan, |steps| bar.inc(steps as u64));
    bar.finish_and_clear();
    let comparison = comparison.map_err(failed)?;
    let standing = standing(&comparison);
    let predictions = predictions(&comparison);
    let adaptation = options.adapt.then(|| adapt(options)).transpose()?;
    let report = Report {
        simulated: true,
        summary: &standing,
        predictions: &predictions,
        adaptation: adaptation.as_ref(),
        comparison: &comparison,
    };
    let mut document = markdown(&comparison, &standing, PLOT);
    predicted(&mut document, &predictions, CALIBRATION_PLOT);
    adaptation.iter().for_each(|adaptation| tables(&mut document, adaptation));
    document.block(&left_out);
    if let Some(folder) = &options.out {
        let files = ReportFiles::create(folder, "route")?;
        files.json(&report)?;
        files.markdown(&document)?;
        files.svg("", plot(&standing))?;
        if let Some(plot) = calibration_plot(&predictions) {
            files.svg("calibration", plot)?;
        }
    }
    Ok(match options.output {
        Format::Json => serde_json::to_string_pretty(&report)? + "\n",
        Format::Text => document.as_str().to_owned(),
    })
}

/// The plot, as the text beside it refers to it.
const PLOT: &str = "route.svg";
const CALIBRATION_PLOT: &str = "route-calibration.svg";

fn adapt(options: &RouteOptions) -> Result<Adaptation, Error> {
    let effort = Effort { threads: options.threads, ..Effort::REPORT };
    let bar = ProgressBar::new(3 * effort.seeds).with_style(style());
    let adaptation = adaptation(&effort, || bar.inc(1));
    bar.finish_and_clear();
    adaptation
}

/// The plan, and a note on the workloads that could not be had.
fn plan(options: &RouteOptions) -> Result<(Plan, String), Error> {
    let fleets = options.fleets.iter().map(|name| fleet(name)).collect::<Result<_, _>>()?;
    let mut left_out = String::new();
    let mut workloads = Vec::new();
    for name in &options.workloads {
        workloads.push(Workload::find(name).map_err(failed)?);
    }
    for name in grid::WORKLOADS.iter().filter(|_| options.workloads.is_empty()) {
        match Workload::find(name) {
            Ok(workload) => workloads.push(workload),
            Err(error) => left_out += &format!("Left out: workload {name}: {error}\n\n"),
        }
    }
    if let Some(load) = options.loads.iter().find(|load| !(load.is_finite() && **load > 0.0)) {
        return Err(Error::Failed(format!("{load} is no load: a share of capacity above 0 is")));
    }
    let (bundle, asked) = (bundle(options)?, options.policies.clone());
    let plan = Plan {
        fleets,
        workloads,
        loads: options.loads.clone(),
        policies: if asked.is_empty() { Kind::usual(bundle.is_some()) } else { asked },
        objective: options.objective.into(),
        bundle,
        seeds: options.first_seed..options.first_seed.saturating_add(options.seeds),
        requests: options.requests,
        threads: options.threads,
    };
    Ok((plan, left_out))
}

fn bundle(options: &RouteOptions) -> Result<Option<Arc<Bundle>>, Error> {
    let Some(directory) = &options.bundle else { return Ok(None) };
    let library = options.onnxruntime.as_deref().ok_or_else(|| {
        Error::Failed(
            "--bundle needs ONNX Runtime: name its library by --onnxruntime or ORT_DYLIB_PATH".into(),
        )
    })?;
    let runtime = OnnxRuntime::load(library).map_err(failed)?;
    let bundle = Bundle::load(directory, &runtime, &LoadOptions::unhurried()).map_err(failed)?;
    Ok(Some(Arc::new(bundle)))
}

fn fleet(name: &str) -> Result<Fleet, Error> {
    let path = std::path::Path::new(name);
    let scenario = if path.exists() { Scenario::load(path, None) } else { Scenario::shipped(name) };
    Ok(Fleet::of(&scenario.map_err(failed)?))
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Failed(error.to_string())
}

fn style() -> ProgressStyle {
    let template = "{bar:32} {pos}/{len} runs, {eta} left";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
