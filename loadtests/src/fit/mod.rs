//! Fits the simulator's factors to measurements: utilisation to kernel timings of each GPU, overheads to measured serving.

mod kernels;
pub(crate) mod optimise;
mod samples;
mod service;
mod table;

use std::{collections::BTreeMap, path::PathBuf};

use gearshift_config::Catalog;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use self::{
    kernels::KernelFit,
    service::{Case, Service},
};
use crate::{
    Error,
    options::Format,
    sim::{FactorTable, Factors},
    validate::silicon::{self, SiliconReport, SiliconRow},
};

/// Options of `gearshift-loadtest fit-hardware`.
#[derive(Debug, clap::Args)]
pub struct FitOptions {
    /// Directory with a directory of kernel timings for each GPU: what tools/aiconfigurator_kernels.py writes.
    #[arg(long)]
    kernels: PathBuf,
    /// Table of measured serving runs from the same package.
    #[arg(long)]
    rows: PathBuf,
    /// Where the factors go, as JSON.
    #[arg(long)]
    out: PathBuf,
    /// Where errors on the measured serving runs go, as JSON.
    #[arg(long)]
    report: Option<PathBuf>,
    /// What is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// What the fit found, as it is printed.
#[derive(Debug, Serialize)]
struct Found<'a> {
    factors: &'a FactorTable,
    serving: &'a SiliconReport,
}

/// GPUs of the package by their key in the catalog, where it is another.
const RENAMED: [(&str, &str); 2] = [("a100_sxm", "a100_sxm_80gb"), ("rtx_pro_6000_server", "rtx_pro_6000")];

/// Fits everything and writes the table.
///
/// # Errors
/// Where a file cannot be read or written.
pub fn run(options: &FitOptions) -> Result<String, Error> {
    let kernels = kernel_fits(options)?;
    let cases = cases(&silicon::read(&options.rows)?);
    let all = service_fit("all GPUs", &cases, &kernels, None);
    let systems: BTreeMap<&str, usize> = cases.iter().fold(BTreeMap::new(), |mut systems, case| {
        *systems.entry(case.row.system.as_str()).or_default() += 1;
        systems
    });
    let mut held_out = BTreeMap::new();
    for gpu in systems.keys() {
        let service = service_fit(&format!("all but {gpu}"), &cases, &kernels, Some(gpu));
        held_out.insert((*gpu).to_owned(), service);
    }
    let table = table::assemble(&kernels, &all, &held_out, &systems);
    let text = serde_json::to_string_pretty(&table)? + "\n";
    std::fs::write(&options.out, text).map_err(Error::file(&options.out))?;
    let report = silicon::run_with(&options.rows, &table)?;
    if let Some(path) = &options.report {
        std::fs::write(path, serde_json::to_string_pretty(&report)?).map_err(Error::file(path))?;
    }
    if options.output == Format::Json {
        return crate::report::json(&Found { factors: &table, serving: &report });
    }
    Ok(table::summary(&kernels, &all) + &report.table())
}

type Kernels = BTreeMap<String, (KernelFit, Vec<String>)>;

fn kernel_fits(options: &FitOptions) -> Result<Kernels, Error> {
    let mut fits = Kernels::new();
    let mut directories: Vec<_> = std::fs::read_dir(&options.kernels)
        .map_err(Error::file(&options.kernels))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect();
    directories.sort();
    let bar = bar(directories.len(), "kernels");
    for directory in directories {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let id = RENAMED.iter().find(|(theirs, _)| *theirs == name).map_or(name.as_str(), |(_, ours)| ours);
        bar.inc(1);
        let Some(hardware) = Catalog::shipped().hardware(id) else {
            bar.println(format!("{name}: not in the catalog, left out"));
            continue;
        };
        bar.set_message(format!("{id}: reading"));
        let (classes, versions) = samples::read(&directory, hardware)?;
        let fit = kernels::fit(&classes, hardware, |class| bar.set_message(format!("{id}: {class}")));
        fits.insert(id.to_owned(), (fit, versions));
    }
    bar.finish_and_clear();
    Ok(fits)
}

fn cases(rows: &[SiliconRow]) -> Vec<Case> {
    let known: Vec<_> = rows.iter().filter_map(|row| Some((row.clone(), silicon::engine(row)?))).collect();
    service::cases(&known)
}

/// Fits the service's share without the rows of `without`.
fn service_fit(name: &str, cases: &[Case], kernels: &Kernels, without: Option<&str>) -> Service {
    let bar = bar(service::evaluations(), name);
    let factors: BTreeMap<String, Factors> = kernels
        .iter()
        .filter(|(gpu, _)| Some(gpu.as_str()) != without)
        .map(|(gpu, (fit, _))| (gpu.clone(), fit.factors))
        .collect();
    let service = service::fit(cases, &factors, |loss| {
        bar.inc(1);
        bar.set_message(format!("loss {loss:.4}"));
    });
    bar.finish_and_clear();
    service
}

fn bar(length: usize, name: &str) -> ProgressBar {
    let bar = ProgressBar::new(length as u64).with_prefix(name.to_owned());
    let style = ProgressStyle::with_template("{prefix:16} {bar:32} {pos}/{len} {elapsed} {msg}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
