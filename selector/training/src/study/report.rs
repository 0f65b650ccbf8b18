//! The study for people.

use std::path::{Path, PathBuf};

use gearshift_loadtests::report::{Column, Document, Interval, ReportFiles, Table};

use super::Study;
use crate::{Error, eval::live};

/// Writes `retrain.json` and `retrain.md`, and the judgement beside them as [`live::write`] does; their paths.
///
/// # Errors
/// Where a file cannot be written.
pub fn write(study: &Study, folder: &Path) -> Result<[PathBuf; 2], Error> {
    let failed = |error: gearshift_loadtests::Error| Error::Failed(error.to_string());
    live::write(&study.live, folder)?;
    let files = ReportFiles::create(folder, "retrain").map_err(failed)?;
    let json = files.json(study).map_err(failed)?;
    Ok([json, files.markdown(&document(study)).map_err(failed)?])
}

fn document(study: &Study) -> Document {
    let plan = &study.plan;
    let mut document = Document::new("Retraining, simulated");
    document.block(&format!(
        "Simulated engines in virtual time, llama-3.1-8b on six kinds of hardware. They differ from those that the shipped rows are of: {}. \
         Gearshift with the bundle before logged {} requests of the drifting mix at {:.0} % of capacity ({:.0} % explored); the new bundle \
         was trained further on all but the newest {:.0} % in {:.0} s.",
        study.differs,
        plan.logged,
        100.0 * plan.load,
        100.0 * plan.explore,
        100.0 * plan.judging.held_out,
        study.training_s,
    ));
    study.live.verdict.iter().for_each(|verdict| {
        document.block(&format!("On held-out rows {}. See `live.md`.", verdict.because));
    });
    let mut table = Table::new([
        Column::text("mean end to end time over the new bundle's"),
        Column::number("factor"),
        Column::number("95 %"),
    ]);
    let routing = &study.routing;
    let mut row = |name: &str, (factor, interval): (f64, Interval)| {
        table.row([
            name.to_owned(),
            format!("{factor:.3}"),
            format!("{:.3} to {:.3}", interval.low, interval.high),
        ]);
    };
    row("with the bundle before", routing.over_running);
    row("the same, first 300 requests", routing.over_running_at_first);
    row("by prior and calibration alone", routing.over_prior);
    document.section("Routing").block(&format!(
        "{} runs of {} requests each, at {:?} of capacity; engines are not known from outcomes when a run begins. Above 1 is better for the new \
         bundle; 95 % by a bootstrap over runs.",
        routing.runs.len(),
        plan.routed,
        plan.loads,
    ));
    document.table(&table);
    document
}
