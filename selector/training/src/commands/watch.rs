//! `gearshift-train watch`.

use std::{path::PathBuf, sync::mpsc, thread, time::Duration};

use gearshift_training::{
    Error,
    bundle::rfc3339,
    eval::live::{Options, Settings as Estimating},
    fit::Bar,
    live::Retraining,
    watch::{Admin, Lock, Next, Settings, Watcher},
};
use tokio::signal::unix::{SignalKind, signal};

use super::Output;

/// What it looks like.
const EXAMPLES: &str = "\
Examples:
  gearshift-train watch --from s3://bucket/rows --models models --every 1h --admin http://127.0.0.1:9090
  gearshift-train watch --from observations --models models --once
      one step, for cron; without --admin what decides is read off the rows, and a bundle is taken back by offering the one before again

It keeps its state in MODELS/.watch, ends at SIGTERM at any time, and goes on where it was.";

/// Retrains by itself: waits for live rows, trains, judges, offers, looks on, takes back what costs more for sure.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Live rows: a folder, file://, s3://, gs:// or az://.
    #[arg(long, value_name = "URL")]
    from: String,
    /// The folder of bundles that Gearshift watches (`paths.models`).
    #[arg(long, value_name = "DIR")]
    models: PathBuf,
    /// How often it looks: 90s, 15m, 1h.
    #[arg(long, default_value = "1h", value_parser = duration)]
    every: Duration,
    /// One step, and the end.
    #[arg(long)]
    once: bool,
    /// Gearshift's admin listener, of each replica: its word on what decides, and a way back at once.
    #[arg(long, value_name = "URL")]
    admin: Vec<String>,
    /// File with the admin token.
    #[arg(long, value_name = "FILE", requires = "admin")]
    token_file: Option<PathBuf>,
    /// New answers that are waited for before a training.
    #[arg(long, default_value_t = 2_000)]
    least_new: usize,
    /// Live rows that are read at most, the newest.
    #[arg(long, default_value_t = 100_000)]
    most_rows: usize,
    /// What a new bundle must gain for sure before it is offered, as a share of what the best candidate was expected to take.
    #[arg(long, default_value_t = 0.005)]
    margin: f64,
    /// Decisions of a new bundle after which it stays.
    #[arg(long, default_value_t = 2_000)]
    probation: usize,
    /// What it may cost more for sure before it is taken back. Exploring costs about a thousandth.
    #[arg(long, default_value_t = 0.01)]
    worse: f64,
    /// How long an offered bundle may be left lying, and a probation may take.
    #[arg(long, default_value = "24h", value_parser = duration)]
    patience: Duration,
    /// Share of the weight that live rows have in a training.
    #[arg(long, default_value_t = 0.5)]
    live_share: f64,
    /// Passes over the rows, from the bundle's weights on; twelve where not given.
    #[arg(long)]
    epochs: Option<usize>,
    /// For how long decisions may depend on one another: it judges by blocks as long as this, of which it takes 20.
    #[arg(long, default_value = "2m", value_parser = duration)]
    block: Duration,
    /// Decisions that exploring must tell two bundles apart on before there is a verdict: with fewer it is the reward
    /// model's word; 0 takes that.
    #[arg(long, value_name = "N", default_value_t = 30.0)]
    least_telling: f64,
    /// The shipped rows.
    #[arg(long, default_value = "perfdb/data")]
    data: PathBuf,
    /// Where it keeps its state; `.watch` in the folder of bundles where not given.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Where reports go.
    #[arg(long, default_value = "target/reports")]
    out: PathBuf,
    /// ONNX Runtime's shared library; ORT_DYLIB_PATH where not given.
    #[arg(long)]
    onnxruntime: Option<PathBuf>,
    /// The same rows and seed give the same bundle.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What is printed, a line a step.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// `90s`, `15m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration: write 90s, 15m or 1h");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1.0,
        'm' => 60.0,
        'h' => 3600.0,
        _ => return Err(wrong()),
    };
    let count: f64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(count * seconds).map_err(|_| wrong())
}

/// Runs it until SIGTERM or SIGINT; each step is said as one line.
pub(crate) fn run(args: &Args, say: impl Fn(&str)) -> Result<String, Error> {
    let settings = settings(args)?;
    std::fs::create_dir_all(&settings.state).map_err(Error::file(&settings.state))?;
    let _lock = Lock::take(&settings.state)?;
    let (wake, woken) = mpsc::channel::<()>();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::Failed(error.to_string()))?;
    let line = |text: &str, phase: &str| said(args.output, text, phase);
    let every = if args.once { None } else { Some(args.every.max(Duration::from_secs(1))) };
    let library = args.onnxruntime.clone();
    // Work is on a thread of its own: what a signal ends in the middle is begun again next time, for its state is on the disk.
    let work = move |say: tokio::sync::mpsc::UnboundedSender<(String, String)>| -> Result<(), Error> {
        let onnxruntime = super::onnxruntime(library.as_deref())?;
        let mut watcher = Watcher::new(&settings, &onnxruntime)?;
        loop {
            let result = watcher.step(&Bar::default());
            let phase = serde_json::to_value(&watcher.state().phase).unwrap_or_default();
            let phase = phase["phase"].as_str().unwrap_or("?").to_owned();
            match (result, every) {
                (Ok(text), _) => drop(say.send((text, phase))),
                (Err(error), None) => return Err(error),
                // A store that does not answer now may do so next time.
                (Err(error), Some(_)) => drop(say.send((format!("failed: {error}"), phase))),
            }
            let Some(every) = every else { return Ok(()) };
            if woken.recv_timeout(every) != Err(mpsc::RecvTimeoutError::Timeout) {
                return Ok(());
            }
        }
    };
    let (lines, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let worker = thread::Builder::new().name("watch".into()).spawn(move || work(lines));
    let worker = worker.map_err(|error| Error::Failed(error.to_string()))?;
    let ended = runtime.block_on(async {
        let handler = |kind| signal(kind).map_err(|error| Error::Failed(error.to_string()));
        let (mut term, mut int) = (handler(SignalKind::terminate())?, handler(SignalKind::interrupt())?);
        loop {
            tokio::select! {
                heard = heard.recv() => match heard {
                    Some((text, phase)) => say(&line(&text, &phase)),
                    None => return Ok(true),
                },
                _ = term.recv() => return Ok(false),
                _ = int.recv() => return Ok(false),
            }
        }
    });
    drop(wake);
    match ended? {
        true => worker
            .join()
            .map_err(|_| Error::Failed("the work ended badly".to_owned()))?
            .map(|()| String::new()),
        false => Ok(line("stopping; a step under way is begun again next time", "stopping")),
    }
}

fn said(output: Output, text: &str, phase: &str) -> String {
    let now = rfc3339(std::time::UNIX_EPOCH.elapsed().unwrap_or_default());
    match output {
        Output::Text => format!("{now} {phase}: {text}"),
        Output::Json => serde_json::json!({"at": now, "phase": phase, "said": text}).to_string(),
    }
}

fn settings(args: &Args) -> Result<Settings, Error> {
    let read = |path: &PathBuf| std::fs::read_to_string(path).map_err(Error::file(path));
    let token = args.token_file.as_ref().map(read).transpose()?.map(|token| token.trim().to_owned());
    let admins = args.admin.iter().map(|url| Admin { url: url.clone(), token: token.clone() }).collect();
    Ok(Settings {
        from: args.from.clone(),
        models: args.models.clone(),
        state: args.state.clone().unwrap_or_else(|| args.models.join(".watch")),
        shipped: args.data.clone(),
        reports: args.out.clone(),
        most_rows: args.most_rows,
        least_new: args.least_new,
        retraining: Retraining {
            live_share: args.live_share,
            epochs: args.epochs,
            seed: args.seed,
            ..Retraining::default()
        },
        judging: Options {
            margin: args.margin,
            estimate: Estimating {
                block_s: args.block.as_secs_f64(),
                least_effective: args.least_telling,
                ..Estimating::default()
            },
            ..Options::default()
        },
        bounds: Next {
            patience_s: args.patience.as_secs_f64(),
            probation: args.probation,
            margin: args.worse,
        },
        admins,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1.5h"), Ok(Duration::from_secs(5400)));
        for wrong in ["", "h", "10", "-1s", "1d", "1µ"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
