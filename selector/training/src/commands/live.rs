//! `gearshift-train eval --live`.

use std::path::{Path, PathBuf};

use gearshift_selector::{Bundle, LoadOptions, OnnxRuntime};
use gearshift_training::{
    Error, bundle,
    eval::live::{Judged, LiveReport, Options, Settings, judge, write},
    live::{fetch, journeys, trained_until_s},
};

use super::{Output, Said};

/// How bundles are judged on live traffic.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// Judge on live rows: a folder, file://, s3://, gs:// or az://, as `observations.url` in Gearshift's configuration.
    #[arg(long, value_name = "URL")]
    live: Option<String>,
    /// The new bundle.
    #[arg(long, value_name = "DIR", requires = "live")]
    bundle: Option<PathBuf>,
    /// The bundle that serves; the calibrated prior where not given.
    #[arg(long, value_name = "DIR", requires = "live")]
    running: Option<PathBuf>,
    /// Share of the rows that are held out, the newest; a new bundle that was trained on live rows says itself where they begin.
    #[arg(long, default_value_t = 0.2, requires = "live")]
    held_out: f64,
    /// What the new one must gain for sure, as a share of what the best candidate was expected to take: the lower end of its paired
    /// 95 % interval over the running one.
    #[arg(long, default_value_t = 0.005, requires = "live")]
    margin: f64,
    /// Weights of logged decisions above this count as this: less variance, but below candidates over `explore` nothing that was explored
    /// is heard. No bound where not given.
    #[arg(long, requires = "live")]
    clip: Option<f64>,
    /// Decisions that exploring must tell two bundles apart on before there is a verdict: with fewer it is the reward
    /// model's word; 0 takes that.
    #[arg(long, value_name = "N", default_value_t = 30.0, requires = "live")]
    least_telling: f64,
    /// Live rows that are read at most, the newest.
    #[arg(long, default_value_t = 100_000, requires = "live")]
    most_rows: usize,
    /// Where it is better, drop it into this folder of bundles, for Gearshift to take up.
    #[arg(long, value_name = "DIR", requires = "bundle")]
    offer: Option<PathBuf>,
    /// What is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl Args {
    /// Where the rows are, where it is about them.
    pub(crate) fn url(&self) -> Option<&str> {
        self.live.as_deref()
    }

    /// What is printed.
    pub(crate) fn output(&self) -> Output {
        self.output
    }
}

/// Runs it; what came of it.
pub(crate) fn run(args: &Args, url: &str, out: &Path, library: Option<&Path>) -> Result<Said, Error> {
    let runtime = super::onnxruntime(library)?;
    // As Gearshift would load it, in whose folder encoders lie.
    let models = args.offer.as_deref().or_else(|| args.running.as_deref().and_then(Path::parent));
    let load = |directory: &Option<PathBuf>| {
        directory.as_deref().map(|directory| load(directory, models, &runtime)).transpose()
    };
    let (new, running) = (load(&args.bundle)?, load(&args.running)?);
    let fetched = fetch(url, args.most_rows)?;
    let unreadable = fetched.unreadable.clone();
    let (journeys, left) = journeys(fetched.rows);
    let judged = Judged {
        journeys: &journeys,
        left: &left,
        new: new.as_ref().map(|(name, bundle)| (name.as_str(), bundle)),
        running: running.as_ref().map(|(name, bundle)| (name.as_str(), bundle)),
        trained_until_s: new.as_ref().and_then(|(_, bundle)| trained_until_s(bundle.manifest())),
    };
    let estimate = Settings { clip: args.clip, least_effective: args.least_telling, ..Settings::default() };
    let options = Options { held_out: args.held_out, margin: args.margin, estimate };
    let report = judge(&judged, &options)?;
    let written = write(&report, out)?;
    let better = report.verdict.as_ref().is_none_or(|verdict| verdict.better);
    let offered = match (&args.offer, &args.bundle, &new) {
        (Some(models), Some(directory), Some((name, _))) if better => {
            Some(bundle::offer(directory, models, name)?)
        }
        _ => None,
    };
    Ok(Said { text: text(args, &report, &written, offered.as_deref(), &unreadable)?, yes: better })
}

fn load(directory: &Path, models: Option<&Path>, runtime: &OnnxRuntime) -> Result<(String, Bundle), Error> {
    let encoders = models.or_else(|| directory.parent()).map(|models| models.join("encoder"));
    let options = LoadOptions { encoders, ..LoadOptions::unhurried() };
    let bundle = Bundle::load(directory, runtime, &options)
        .map_err(|error| Error::Failed(format!("{}: {error}", directory.display())))?;
    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or("bundle");
    Ok((name.to_owned(), bundle))
}

fn text(
    args: &Args,
    report: &LiveReport,
    written: &[PathBuf],
    offered: Option<&Path>,
    unreadable: &[String],
) -> Result<String, Error> {
    if args.output == Output::Json {
        let mut value = serde_json::to_value(report).map_err(|error| Error::Failed(error.to_string()))?;
        value["offered"] = serde_json::json!(offered);
        value["unreadable"] = serde_json::json!(unreadable);
        return Ok(value.to_string());
    }
    let mut lines: Vec<String> = Vec::new();
    for policy in &report.policies {
        let loss = &policy.loss;
        lines.push(format!(
            "{:8} loss {:.3} ({:.3} to {:.3}), {:.0} effective decisions",
            policy.name, loss.value, loss.ci95.low, loss.ci95.high, loss.effective
        ));
    }
    lines.extend(unreadable.iter().map(|file| format!("left out: {file}")));
    lines.extend(report.verdict.as_ref().map(|verdict| verdict.because.clone()));
    lines.extend(offered.map(|path| format!("offered: {}", path.display())));
    lines.extend(written.last().map(|path| path.display().to_string()));
    Ok(lines.join("\n"))
}
