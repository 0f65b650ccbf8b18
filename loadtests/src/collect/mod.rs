//! Profiles and workloads, measured on a real engine: the rows of the performance database.
//!
//! A [`Plan`] names models, profiles and workloads. Each profile's engine is started, asked for greedy answers one at a
//! time, and given each workload by a fixed number of clients. Every finished part is kept at once, so that an
//! interrupted run goes on where it was. A profile declared lossless whose answers are not those of the reference
//! profile is flagged.

mod agreement;
mod answers;
mod closed_loop;
mod kept;
mod options;
pub mod plan;
mod priority;
mod progress;
mod prompts;
pub mod report;
mod rows;
mod session;
pub mod summary;

pub use agreement::{Agreement, Share};
pub use options::CollectOptions;
pub use plan::Plan;

use self::kept::{Cell, Folder};
use crate::{Error, options::Format, system};

/// Measures what is not measured yet and reports all of it; the report's summary.
///
/// # Errors
/// Where the plan is not valid, an engine could not be measured, or a file cannot be read or written. What was measured is
/// reported all the same.
pub async fn run(options: &CollectOptions) -> Result<String, Error> {
    let plan = Plan::load(&options.plan)?;
    let mut measured = Ok(());
    if !options.report_only {
        system::raise_open_files()?;
        measured = session::measure(&plan, options).await;
    }
    let summary = report(&plan, options)?;
    measured.map(|()| summary)
}

fn report(plan: &Plan, options: &CollectOptions) -> Result<String, Error> {
    let folder = Folder::new(&options.out);
    let (mut cells, mut missing) = (Vec::<Cell>::new(), 0);
    for key in session::runs(plan).into_iter().flat_map(|run| run.cells) {
        match folder.cell(plan, &key)? {
            Some(cell) => cells.push(cell),
            None => missing += 1,
        }
    }
    if cells.is_empty() {
        return Err(Error::Failed(format!("nothing is measured in {}", options.out.display())));
    }
    let agreements = agreement::agreements(plan, &folder, &cells)?;
    if let Some(path) = &options.rows {
        let rows = rows::rows(plan, &cells, &agreements)?;
        let file = gearshift_perfdb::to_parquet(&rows).map_err(|error| Error::Failed(error.to_string()))?;
        std::fs::write(path, file).map_err(Error::file(path))?;
    }
    let report = report::CollectReport::new(plan, &cells, agreements, folder.machine()?, missing);
    report.write(&options.out)?;
    if options.output == Format::Json {
        return crate::report::json(&report);
    }
    Ok(format!("{}\nreport: {}\n", report.summary(), options.out.join("collect.md").display()))
}
