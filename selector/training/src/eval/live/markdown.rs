//! The report for people.

use std::path::{Path, PathBuf};

use gearshift_loadtests::report::{Axis, Chart, Column, Document, ReportFiles, Table};

use super::{
    LiveReport,
    judge::{Errors, between},
};
use crate::{Error, bundle::rfc3339};

/// The files' name.
const NAME: &str = "live";

/// Writes `live.json`, `live.md` and the plots; their paths.
///
/// # Errors
/// Where a file cannot be written.
pub fn write(report: &LiveReport, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |error: gearshift_loadtests::Error| Error::Failed(error.to_string());
    let files = ReportFiles::create(folder, NAME).map_err(failed)?;
    let mut written = vec![files.json(report).map_err(failed)?];
    for (name, plot) in plots(report) {
        written.push(files.svg(name, plot).map_err(failed)?);
    }
    written.push(files.markdown(&document(report, &files)).map_err(failed)?);
    Ok(written)
}

/// Predicted against actual, and how far off.
pub fn plots(report: &LiveReport) -> Vec<(&'static str, String)> {
    let mut calibration = Chart::new(
        "Predicted and actual time per output token, held-out live rows",
        Axis::log("predicted (s)"),
        Axis::log("actual (s)"),
    )
    .identity();
    let mut errors = Chart::new(
        "How far predictions were off",
        Axis::log("|ln(actual / predicted)|"),
        Axis::share("requests within"),
    );
    for (name, points) in &report.points {
        let thin = points.len().div_ceil(MOST_POINTS).max(1);
        calibration = calibration.scatter(name, points.iter().step_by(thin).copied());
        let off: Vec<f64> =
            points.iter().map(|(predicted, actual)| (actual / predicted).ln().abs().max(1e-4)).collect();
        errors = errors.distribution(name, &off);
    }
    vec![("calibration", calibration.svg()), ("errors", errors.svg())]
}

/// More dots say nothing more.
const MOST_POINTS: usize = 400;

fn document(report: &LiveReport, files: &ReportFiles) -> Document {
    let rows = &report.rows;
    let at = |unix_s: f64| rfc3339(std::time::Duration::from_secs_f64(unix_s.clamp(0.0, 1e11)));
    let mut document = Document::new("Bundles on held-out live traffic");
    document.block(&format!(
        "{} decisions of {} to {} ({} of them explored), of {} requests. Loss is the objective's number with the time that came, over \
         the least that was predicted for any candidate: 1.00 is what the best was expected to take. Broken limits cost 1 more, failures 10.",
        rows.judged,
        at(rows.from_unix_s),
        at(rows.to_unix_s),
        rows.explored,
        rows.answers,
    ));
    if !rows.left_out.is_empty() {
        let reasons: Vec<String> =
            rows.left_out.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        document.block(&format!("Left out: {}.", reasons.join(", ")));
    }
    document.table(&policies(report)).table(&differences(report));
    report.verdict.iter().for_each(|verdict| {
        document.block(&format!(
            "**{}**: {}.",
            if verdict.better { "Better" } else { "Not shown to be better" },
            verdict.because
        ));
    });
    document.block(&format!(
        "Doubly robust (self-normalised, weights {}), 95 % by a bootstrap over blocks of {:.0} s. *Effective* is how many decisions the weights \
         are worth, and of a difference, how many tell the two apart: where there are few, it is the reward model's word.",
        report.options.estimate.clip.map_or_else(|| "as they are".to_owned(), |clip| format!("up to {clip}")),
        report.options.estimate.block_s,
    ));
    for (name, caption) in [("calibration", "Predicted and actual"), ("errors", "Errors")] {
        document.image(caption, &files.svg_name(name));
    }
    document
}

fn policies(report: &LiveReport) -> Table {
    let numbers = [
        "loss",
        "95 %",
        "effective",
        "mean weight",
        "TTFT MAPE",
        "TPOT MAPE",
        "TPOT median |ln|",
        "TPOT within p90",
    ];
    let columns = [Column::text("policy"), Column::text("bundle")];
    let mut table = Table::new(columns.into_iter().chain(numbers.map(Column::number)));
    for policy in &report.policies {
        let share = |errors: &Option<Errors>, of: fn(&Errors) -> Option<f64>| {
            errors
                .as_ref()
                .and_then(of)
                .map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", 100.0 * share))
        };
        let loss = &policy.loss;
        table.row([
            policy.name.to_owned(),
            policy.bundle.clone().unwrap_or_else(|| "–".to_owned()),
            format!("{:.3}", loss.value),
            between(&loss.ci95, 1.0),
            format!("{:.0}", loss.effective),
            format!("{:.2}", loss.mean_weight),
            share(&policy.ttft, |errors| Some(errors.mape)),
            share(&policy.tpot, |errors| Some(errors.mape)),
            share(&policy.tpot, |errors| Some(errors.median_ln)),
            share(&policy.tpot, |errors| errors.within_upper),
        ]);
    }
    table
}

fn differences(report: &LiveReport) -> Table {
    let mut table = Table::new([
        Column::text("costs less"),
        Column::text("than"),
        Column::number("by, % of the best's time"),
        Column::number("95 %, paired"),
        Column::number("effective"),
    ]);
    for pair in &report.differences {
        let difference = &pair.difference;
        table.row([
            pair.one.to_owned(),
            pair.than.to_owned(),
            format!("{:.2}", 100.0 * difference.gain),
            between(&difference.ci95, 100.0),
            format!("{:.0}", difference.effective),
        ]);
    }
    table
}
