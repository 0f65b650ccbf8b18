//! `gearshift-loadtest streams`: many streams at once, each of them checked.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use gearshift_loadtests::{
    Error,
    bench::Fixture,
    driver::{ChatRequest, Endpoint, Expected, Job, streams::Streams},
    mock::Settings,
    options::Format,
    procfs::ProcessTree,
    report, system,
};
use tokio::time::{MissedTickBehavior, interval};

use super::print;

/// Options of `gearshift-loadtest streams`.
#[derive(Debug, Args)]
pub(crate) struct StreamsOptions {
    #[command(flatten)]
    through: Through,
    /// Streams open at once.
    #[arg(long, default_value_t = 2_000)]
    count: usize,
    /// Chunks that each stream must deliver before `[DONE]`.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    chunks: u64,
    /// Between two chunks, milliseconds; the stub engine is told.
    #[arg(long, default_value_t = 500)]
    interval_ms: u64,
    /// The model asked for at --target.
    #[arg(long, default_value = "stub", conflicts_with = "gearshift")]
    model: String,
    /// The stub engine behind --target, which is told --chunks and --interval-ms.
    #[arg(long, value_name = "URL", conflicts_with = "gearshift")]
    mock: Option<String>,
    /// The process behind --target, whose memory is reported.
    #[arg(long, conflicts_with = "gearshift")]
    pid: Option<u32>,
    /// What is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// What the streams go through.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Through {
    /// A gearshift binary, started with a stub engine behind it.
    #[arg(long, value_name = "PATH")]
    gearshift: Option<PathBuf>,
    /// A server that runs already: `http://HOST:PORT`.
    #[arg(long, value_name = "URL")]
    target: Option<String>,
}

/// What was found, as it is printed.
#[derive(Debug, serde::Serialize)]
struct Report {
    streams: usize,
    /// Those that delivered every chunk and `[DONE]`.
    complete: u64,
    lost: u64,
    first_failure: Option<String>,
    /// Chunks in the complete ones.
    chunks: u64,
    #[serde(flatten)]
    memory: Option<Memory>,
}

/// Resident memory of the process in between, bytes.
#[derive(Debug, Clone, Copy, serde::Serialize)]
struct Memory {
    rss_before_bytes: u64,
    rss_peak_bytes: u64,
    rss_after_bytes: u64,
}

impl Report {
    fn text(&self) -> String {
        let mut text =
            format!("{} of {} streams complete, {} chunks", self.complete, self.streams, self.chunks);
        if let Some(failure) = &self.first_failure {
            text += &format!("; {} lost, the first: {failure}", self.lost);
        }
        if let Some(Memory { rss_before_bytes, rss_peak_bytes, rss_after_bytes }) = self.memory {
            let mb = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
            let [before, peak, after] = [rss_before_bytes, rss_peak_bytes, rss_after_bytes].map(mb);
            text += &format!("\nresident: {before} before, {peak} at the peak, {after} after");
        }
        text + "\n"
    }
}

/// Opens the streams, waits for their end, and prints what became of them.
pub(super) async fn run(options: StreamsOptions) -> Result<(), Error> {
    let settings = Settings { chunks: options.chunks, interval: Duration::from_millis(options.interval_ms) };
    if let Some(program) = &options.through.gearshift {
        let fixture = Fixture::start(program).await?;
        fixture.set(settings).await?;
        return hold(&options, fixture.endpoint(), fixture.model(), fixture.tree()).await;
    }
    system::raise_open_files()?;
    if let Some(mock) = &options.mock {
        settings.apply(&Endpoint::resolve(mock)?).await?;
    }
    let target = options.through.target.as_deref().unwrap_or_default();
    hold(&options, &Endpoint::resolve(target)?, &options.model, options.pid.map(ProcessTree::of)).await
}

async fn hold(
    options: &StreamsOptions,
    endpoint: &Endpoint,
    model: &str,
    tree: Option<ProcessTree>,
) -> Result<(), Error> {
    let request = ChatRequest { model: model.to_owned(), body_bytes: 1_000, stream: true };
    let job = Job::chat(endpoint, &request, Expected::Events(options.chunks));
    let before = tree.map(ProcessTree::resident_bytes).transpose()?;
    let mut peak = before.unwrap_or_default();
    let tally = tokio::select! {
        tally = Streams::open(&job, options.count)?.finish() => tally?,
        watched = watch_memory(tree, &mut peak) => return watched,
    };
    let after = tree.map(ProcessTree::resident_bytes).transpose()?;

    let lost = tally.failures.count();
    let report = Report {
        streams: options.count,
        complete: tally.requests,
        lost,
        first_failure: tally.failures.first().map(str::to_owned),
        chunks: tally.events,
        memory: before.zip(after).map(|(before, after)| Memory {
            rss_before_bytes: before,
            rss_peak_bytes: peak.max(after),
            rss_after_bytes: after,
        }),
    };
    print(&if options.output == Format::Json { report::json(&report)? } else { report.text() })?;
    if lost == 0 {
        Ok(())
    } else {
        Err(Error::Failed(format!("{lost} of {} streams were lost", options.count)))
    }
}

/// Keeps the greatest memory seen in `peak`; ends only where the process does.
async fn watch_memory(tree: Option<ProcessTree>, peak: &mut u64) -> Result<(), Error> {
    let Some(tree) = tree else { return std::future::pending().await };
    let mut ticks = interval(Duration::from_millis(100));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        *peak = tree.resident_bytes()?.max(*peak);
    }
}
