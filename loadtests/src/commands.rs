//! The commands of the binary.

mod collect;
mod day;
mod engine;
mod engines;
mod examples;
mod fit_hardware;
mod route;
mod run;
mod streams;
mod sweep;
mod validate;

use std::{io::Write as _, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use gearshift_loadtests::{
    Error,
    bench::{self, BenchOptions},
    collect::CollectOptions,
    demo::{self, DemoOptions},
    fit::FitOptions,
    manual,
    mock::{self, Settings},
    options::Format,
    report,
    sweep::SweepOptions,
    system,
    validate::ValidateOptions,
};

/// Load tests and benchmarks for Gearshift.
#[derive(Debug, Parser)]
#[command(name = "gearshift-loadtest", version, after_help = examples::ALL)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a stub in the shape of vLLM, for measuring proxies: it answers at once and computes nothing.
    #[command(after_help = examples::MOCK)]
    Mock(MockOptions),
    /// Serve a fleet of simulated vLLM engines, one for each backend of a configuration.
    #[command(after_help = examples::ENGINES)]
    Engines(engines::EnginesOptions),
    /// Serve one simulated vLLM engine, set up as `vllm serve` is.
    #[command(after_help = examples::ENGINE)]
    Engine(Box<engine::EngineOptions>),
    /// Measure what a request costs through Gearshift and its peers.
    #[command(after_help = examples::BENCH)]
    Bench(BenchOptions),
    /// Send a workload in an open loop, and report what its users would feel.
    #[command(after_help = examples::RUN)]
    Run(run::RunOptions),
    /// Open many streams at once and count those that do not deliver every chunk.
    #[command(after_help = examples::STREAMS)]
    Streams(streams::StreamsOptions),
    /// Fit the simulator's factors to measured kernels and measured serving.
    #[command(after_help = examples::FIT_HARDWARE)]
    FitHardware(FitOptions),
    /// Show Gearshift against round robin, live, over six simulated engines.
    #[command(after_help = examples::DEMO)]
    Demo(DemoOptions),
    /// Compare routing policies over simulated fleets, in virtual time.
    #[command(after_help = examples::ROUTE)]
    Route(route::RouteOptions),
    /// Shift simulated engines into other profiles over a day, by the profile controller and by hindsight.
    #[command(after_help = examples::LOOP)]
    Loop(day::LoopOptions),
    /// Write rows of the performance database from simulated engines, in virtual time.
    #[command(after_help = examples::SWEEP)]
    Sweep(SweepOptions),
    /// Measure profiles and workloads on a real engine that it starts, for the performance database.
    #[command(after_help = examples::COLLECT)]
    Collect(CollectOptions),
    /// Hold the simulated engine against real vLLM on this machine's CPU, and against measured GPUs.
    #[command(after_help = examples::VALIDATE)]
    Validate(ValidateOptions),
    /// Print what a shell needs to complete this command line.
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// The shell.
        shell: manual::Shell,
    },
    /// Print the manual page, or write one for every subcommand.
    #[command(after_help = examples::MAN)]
    Man {
        /// A folder for all pages, in place of one on standard output.
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
}

impl Command {
    /// Whether it runs until it is told to end.
    pub(crate) fn serves(&self) -> bool {
        matches!(self, Self::Mock(_) | Self::Engines(_) | Self::Engine(_))
    }
}

/// Options of `gearshift-loadtest mock`.
#[derive(Debug, Args)]
pub(crate) struct MockOptions {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// The model's name.
    #[arg(long, default_value = "stub")]
    model: String,
    /// Chunks per stream.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    chunks: u64,
    /// Between two chunks, milliseconds.
    #[arg(long, default_value_t = 10)]
    interval_ms: u64,
}

/// Runs a command to its end.
pub(crate) async fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Mock(options) => serve_mock(options).await,
        Command::Engines(options) => engines::run(options).await,
        Command::Engine(options) => engine::run(*options).await,
        Command::Bench(options) => {
            let report = bench::run(&options).await?;
            print(&if options.output == Format::Json { report::json(&report)? } else { report.table() })
        }
        Command::Run(options) => run::run(options).await,
        Command::Streams(options) => streams::run(options).await,
        Command::FitHardware(options) => fit_hardware::run(&options),
        Command::Demo(options) => print(&demo::run(&options).await?),
        Command::Route(options) => route::run(options).await,
        Command::Loop(options) => day::run(options).await,
        Command::Sweep(options) => sweep::run(options).await,
        Command::Collect(options) => collect::run(&options).await,
        Command::Validate(options) => validate::run(&options).await,
        Command::Completions { shell } => print(&manual::completions(Cli::command(), shell)),
        Command::Man { out } => print(&manual::pages(Cli::command(), out.as_deref())?),
    }
}

async fn serve_mock(options: MockOptions) -> Result<(), Error> {
    system::raise_open_files()?;
    let listener = system::listen(options.listen)?;
    print(&format!("listening on http://{}\n", listener.local_addr()?))?;
    let settings = Settings { chunks: options.chunks, interval: Duration::from_millis(options.interval_ms) };
    mock::serve(listener, &options.model, settings).await
}

fn print(text: &str) -> Result<(), Error> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes())?;
    Ok(output.flush()?)
}
