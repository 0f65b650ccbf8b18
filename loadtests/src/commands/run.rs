//! `gearshift-loadtest run`: a workload, sent in an open loop.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use gearshift_loadtests::{
    Error,
    driver::{
        Endpoint, fetch,
        replay::{Conditions, Event, Outcome, Replay, Results, RunReport, Slo},
    },
    options::{Format, positive},
    system,
    workload::{Answers, Api, Arrivals, Workload, names},
};
use indicatif::{ProgressBar, ProgressStyle};

use super::print;

/// Options of `gearshift-loadtest run`.
#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// Servers, or one proxy: `http://HOST:PORT`. Several take turns.
    #[arg(long, value_name = "URL", required = true, value_delimiter = ',')]
    target: Vec<String>,
    #[arg(long, value_name = "NAME|FILE", default_value = "steady", help = workload_help())]
    workload: String,
    /// Requests per second on average; the workload's own unless given.
    #[arg(long, value_parser = positive)]
    rate: Option<f64>,
    /// How long requests come, seconds of the workload's clock.
    #[arg(long, value_name = "S", default_value = "60", value_parser = positive)]
    duration: f64,
    /// At most so many requests.
    #[arg(long, value_name = "N")]
    requests: Option<u64>,
    /// How gaps are spread: constant, poisson, gamma:CV or trace; the workload's own unless given.
    #[arg(long)]
    arrivals: Option<Arrivals>,
    /// One run for each, one after the other.
    #[arg(long, value_name = "N,…", default_value = "1", value_delimiter = ',')]
    seeds: Vec<u64>,
    /// Let a drifting workload pass its phases once within --duration.
    #[arg(long)]
    stretch: bool,
    /// Most tokens of a prompt with its answer; the workload's own unless given.
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(64..))]
    context: Option<u32>,
    /// The model asked for; the first one that the first target lists unless given.
    #[arg(long)]
    model: Option<String>,
    /// The endpoint asked.
    #[arg(long, value_enum, default_value_t = Api::Chat)]
    api: Api,
    /// How answers get their length: told to simulated engines, or forced on real ones.
    #[arg(long, value_enum, default_value_t = Answers::Told)]
    answers: Answers,
    /// How much faster than the wall the workload's clock runs; simulated engines must run as fast.
    #[arg(long, value_name = "X", default_value = "1", value_parser = super::engines::time_scale)]
    time_scale: f64,
    #[command(flatten)]
    limits: Limits,
    /// Where to write run.json, run.md and the plots.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where to write what became of each request, a JSON object a line.
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
    /// A response header that names the backend, for --records.
    #[arg(long, value_name = "NAME")]
    backend_header: Option<String>,
    /// What is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// What a request must stay within to be good.
#[derive(Debug, Args)]
struct Limits {
    /// Limit on the time to first token, milliseconds.
    #[arg(long, value_name = "MS", value_parser = positive)]
    slo_ttft_ms: Option<f64>,
    /// Limit on the time per output token, milliseconds.
    #[arg(long, value_name = "MS", value_parser = positive)]
    slo_tpot_ms: Option<f64>,
    /// Limit on the time to the end, milliseconds.
    #[arg(long, value_name = "MS", value_parser = positive)]
    slo_e2e_ms: Option<f64>,
}

impl From<&Limits> for Slo {
    fn from(limits: &Limits) -> Self {
        let seconds = |ms: Option<f64>| ms.map(|ms| ms / 1e3);
        Self {
            ttft_s: seconds(limits.slo_ttft_ms),
            tpot_s: seconds(limits.slo_tpot_ms),
            e2e_s: seconds(limits.slo_e2e_ms),
        }
    }
}

fn workload_help() -> String {
    format!("One of {}; or a JSON file (its form: the docs of `WorkloadSpec`)", names().join(", "))
}

/// Runs every seed, prints and writes the report.
pub(super) async fn run(options: RunOptions) -> Result<(), Error> {
    system::raise_open_files()?;
    let workload = workload(&options)?;
    let replay = replay(&options).await?;
    let mut records = options.records.as_deref().map(Records::create).transpose()?;
    let slo = Slo::from(&options.limits);
    let mut runs = Vec::new();
    for &seed in &options.seeds {
        runs.push((seed, run_seed(&replay, &workload, seed, slo, records.as_mut()).await?));
    }
    if let Some(records) = records {
        records.finish()?;
    }
    let conditions = Conditions {
        workload: workload.name().to_owned(),
        rate: workload.rate(),
        arrivals: workload.arrivals(),
        duration_s: workload.duration().map(|duration| duration.as_secs_f64()),
        time_scale: options.time_scale,
        targets: options.target,
        model: replay.bodies.model,
        slo,
    };
    let report = RunReport::new(conditions, &runs)?;
    if let Some(folder) = &options.out {
        report.write(folder)?;
    }
    match options.output {
        Format::Json => print(&(serde_json::to_string_pretty(&report)? + "\n")),
        Format::Text => {
            let spread = report.spread().map(|spread| format!("\n{}", spread.to_text())).unwrap_or_default();
            print(&format!("{}{spread}\n{}\n", report.table().to_text(), report.remarks()))
        }
    }
}

fn workload(options: &RunOptions) -> Result<Workload, Error> {
    let duration = Duration::from_secs_f64(options.duration);
    let mut workload = Workload::find(&options.workload)?.lasting(duration);
    if options.stretch {
        workload = workload.drifting_over(duration);
    }
    if let Some(rate) = options.rate {
        workload = workload.at_rate(rate);
    }
    if let Some(count) = options.requests {
        workload = workload.limited(count);
    }
    if let Some(context) = options.context {
        workload = workload.within_context(context);
    }
    match options.arrivals {
        Some(Arrivals::Trace) if workload.arrivals() != Arrivals::Trace => {
            Err(Error::Failed(format!("--arrivals trace: workload {} is no trace", workload.name())))
        }
        Some(arrivals) => Ok(workload.with_arrivals(arrivals)),
        None => Ok(workload),
    }
}

async fn replay(options: &RunOptions) -> Result<Replay, Error> {
    let targets = options.target.iter().map(|url| Endpoint::resolve(url)).collect::<Result<Vec<_>, _>>()?;
    let model = match (&options.model, targets.first()) {
        (Some(model), _) => model.clone(),
        (None, Some(target)) => first_model(target).await?,
        (None, None) => String::new(),
    };
    let mut replay = Replay::new(targets, &model);
    replay.bodies.api = options.api;
    replay.bodies.answers = options.answers;
    replay.time_scale = options.time_scale;
    replay.backend_header.clone_from(&options.backend_header);
    Ok(replay)
}

/// The first model that a server lists.
async fn first_model(target: &Endpoint) -> Result<String, Error> {
    #[derive(serde::Deserialize)]
    struct Models {
        data: Vec<Model>,
    }
    #[derive(serde::Deserialize)]
    struct Model {
        id: String,
    }
    let models: Models = serde_json::from_slice(&fetch(target, "/v1/models").await?)?;
    let first = models.data.into_iter().next();
    first
        .map(|model| model.id)
        .ok_or_else(|| Error::Failed("the target lists no models: name one with --model".into()))
}

async fn run_seed(
    replay: &Replay,
    workload: &Workload,
    seed: u64,
    slo: Slo,
    mut records: Option<&mut Records>,
) -> Result<Results, Error> {
    let progress = Progress::new(workload, seed, replay.time_scale);
    let (mut sent, mut ended, mut failed) = (0, 0, 0);
    let results = replay
        .run(workload.requests(seed), slo, |event| {
            match event {
                Event::Sent { .. } => sent += 1,
                Event::FirstToken { .. } => {}
                Event::Finished(outcome) | Event::Failed(outcome) => {
                    ended += 1;
                    failed += u64::from(outcome.failure.is_some());
                    records.iter_mut().for_each(|records| records.write(seed, outcome));
                }
            }
            progress.show(sent, ended, failed);
        })
        .await?;
    progress.bar.finish_and_clear();
    Ok(results)
}

/// A bar on standard error, where that is a terminal.
struct Progress {
    bar: ProgressBar,
    start: tokio::time::Instant,
    time_scale: f64,
}

impl Progress {
    fn new(workload: &Workload, seed: u64, time_scale: f64) -> Self {
        let seconds = workload.duration().unwrap_or_default().as_secs();
        let bar = ProgressBar::new(seconds).with_prefix(format!("{} seed {seed}", workload.name()));
        if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} s  {msg}") {
            bar.set_style(style);
        }
        Self { bar, start: tokio::time::Instant::now(), time_scale }
    }

    fn show(&self, sent: u64, ended: u64, failed: u64) {
        if self.bar.is_hidden() {
            return;
        }
        let clock = self.start.elapsed().mul_f64(self.time_scale);
        self.bar.set_message(format!("{sent} sent, {} running, {failed} failed", sent - ended));
        self.bar.set_position(clock.as_secs());
    }
}

/// What became of each request, a line each.
struct Records {
    path: PathBuf,
    file: BufWriter<File>,
    failed: Option<std::io::Error>,
}

impl Records {
    fn create(path: &Path) -> Result<Self, Error> {
        let file = File::create(path).map_err(Error::file(path))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), failed: None })
    }

    /// The first error is kept for the end: a full disk must not change the load.
    fn write(&mut self, seed: u64, outcome: &Outcome) {
        #[derive(serde::Serialize)]
        struct Line<'a> {
            seed: u64,
            #[serde(flatten)]
            outcome: &'a Outcome,
        }
        let written =
            serde_json::to_vec(&Line { seed, outcome }).map_err(std::io::Error::from).and_then(|mut line| {
                line.push(b'\n');
                self.file.write_all(&line)
            });
        if let Err(error) = written {
            self.failed.get_or_insert(error);
        }
    }

    fn finish(mut self) -> Result<(), Error> {
        let flushed = self.file.flush();
        self.failed.map_or(flushed, Err).map_err(Error::file(self.path))
    }
}
