//! Is the simulator to be trusted? It is held against what real engines did.
//!
//! - [`cpu`]: real vLLM on this machine's CPU, the same requests on a grid of profiles.
//! - [`silicon`]: measured runs of vLLM on GPUs.

pub mod cpu;
mod install;
mod options;
mod progress;
pub mod report;
pub mod silicon;

pub use options::ValidateOptions;

use self::{
    cpu::{outcome::Measurement, report::CpuReport},
    progress::Progress,
    report::SimulatorReport,
};
use crate::{Error, options::Format, system};

/// Measures what is not measured yet, simulates the same, and reports both; the report's table.
///
/// # Errors
/// Where vLLM cannot be installed or measured, or a file cannot be read or written.
pub async fn run(options: &ValidateOptions) -> Result<String, Error> {
    let measurement = measurement(options).await?;
    if let Some(path) = &options.save {
        cpu::outcome::write(path, &measurement)?;
    }
    if options.measure_only && options.output == Format::Json {
        return crate::report::json(&measurement);
    }
    if options.measure_only {
        return Ok(format!("measured; kept in {}\n", options.kept.display()));
    }
    let report = SimulatorReport {
        cpu: CpuReport::new(&measurement)?,
        speculation: measurement.speculation,
        silicon: options.silicon.as_deref().map(silicon::run).transpose()?,
    };
    report.write(&options.out)?;
    if options.output == Format::Json {
        return crate::report::json(&report);
    }
    Ok(format!("{}\nreport: {}\n", report.summary(), options.out.join("simulator.md").display()))
}

async fn measurement(options: &ValidateOptions) -> Result<Measurement, Error> {
    if options.compare_only {
        let kept = cpu::measure::collected(&options.kept)?;
        return kept.map_or_else(Measurement::shipped, Ok);
    }
    if options.fresh && options.kept.exists() {
        std::fs::remove_dir_all(&options.kept).map_err(Error::file(&options.kept))?;
    }
    system::raise_open_files()?;
    let progress = Progress::new();
    let installed = install::find(options, &progress).await?;
    cpu::measure::measure(&installed, &options.kept, &progress).await
}
