//! The fits as the table that ships.

use std::{collections::BTreeMap, fmt::Write as _};

use gearshift_config::Catalog;

use super::{Kernels, kernels::rounded, service::Service};
use crate::{
    sim::{FactorEntry, FactorSource, FactorTable, Factors},
    validate::silicon::median,
};

const ABOUT: &str = "Utilisation factors and overheads per hardware, as the simulator's step times take them. Written by \
    `make hardware-fit`; do not edit entries that are fitted. Kernel timings and measured serving runs: \
    aiconfigurator-core 0.12.0 on PyPI (Apache-2.0). Rates are fitted to kernel timings of each GPU; small kernels, gaps, \
    the host's share and how much of a kernel's rate serving reaches are fitted to the measured serving runs of vLLM, \
    one multiplier for all GPUs. Entries marked `default` are medians of fitted ones.";

/// Puts the table together.
pub(super) fn assemble(
    kernels: &Kernels,
    all: &Service,
    held_out: &BTreeMap<String, Service>,
    systems: &BTreeMap<&str, usize>,
) -> FactorTable {
    let hardware: BTreeMap<String, FactorEntry> = kernels
        .iter()
        .map(|(gpu, (fit, versions))| {
            let mut rows = fit.rows.clone();
            rows.insert("serving".to_owned(), systems.get(gpu.as_str()).copied().unwrap_or(0));
            let provenance = format!("aiconfigurator-core 0.12.0, kernels of vLLM {}", versions.join(", "));
            let factors = trimmed(&all.applied(&fit.factors));
            let source = FactorSource::Fitted;
            (gpu.clone(), FactorEntry { source, provenance, rows, residual: fit.residual.clone(), factors })
        })
        .collect();
    let held_out = held_out
        .iter()
        .map(|(gpu, service)| {
            let others: Vec<(&str, Factors)> = kernels
                .iter()
                .filter(|(other, _)| *other != gpu)
                .map(|(other, (fit, _))| (other.as_str(), service.applied(&fit.factors)))
                .collect();
            let mut entry = default_for(architecture(gpu), &others);
            entry.provenance = format!("without any measurement of {gpu}: {}", entry.provenance);
            (gpu.clone(), entry)
        })
        .collect();
    let fitted: Vec<(&str, Factors)> =
        hardware.iter().map(|(gpu, entry)| (gpu.as_str(), entry.factors)).collect();
    let architectures: BTreeMap<String, FactorEntry> = fitted
        .iter()
        .map(|(gpu, _)| (architecture(gpu).to_owned(), default_for(architecture(gpu), &fitted)))
        .collect();
    let otherwise = default_for("", &fitted);
    FactorTable { about: ABOUT.to_owned(), hardware, architectures, otherwise, held_out }
}

/// The median over an architecture's GPUs, or over all where none of it is fitted.
fn default_for(wanted: &str, fitted: &[(&str, Factors)]) -> FactorEntry {
    let of_it: Vec<_> = fitted.iter().filter(|(gpu, _)| architecture(gpu) == wanted).copied().collect();
    let taken = if of_it.is_empty() { fitted.to_vec() } else { of_it };
    let names: Vec<_> = taken.iter().map(|(gpu, _)| *gpu).collect();
    FactorEntry {
        source: FactorSource::Default,
        provenance: format!("default: the median of {}", names.join(", ")),
        rows: BTreeMap::new(),
        residual: BTreeMap::new(),
        factors: medians(&taken),
    }
}

fn architecture(gpu: &str) -> &'static str {
    Catalog::shipped().hardware(gpu).map_or("", |hardware| hardware.architecture.as_str())
}

/// The median of each factor.
fn medians(fitted: &[(&str, Factors)]) -> Factors {
    each(|name| median(fitted.iter().filter_map(|(_, factors)| value(factors, name)).collect()))
}

/// Factors with no more digits than mean something.
fn trimmed(factors: &Factors) -> Factors {
    each(|name| value(factors, name))
}

/// Factors of which each is what `of` says by its name; the default where it says nothing.
fn each(of: impl Fn(&str) -> Option<f64>) -> Factors {
    let mut named = by_name(&Factors::default());
    for (name, number) in &mut named {
        if let Some(found) = of(name) {
            *number = serde_json::Value::from(rounded(found));
        }
    }
    serde_json::from_value(serde_json::Value::Object(named)).unwrap_or_default()
}

fn value(factors: &Factors, name: &str) -> Option<f64> {
    by_name(factors).get(name)?.as_f64()
}

fn by_name(factors: &Factors) -> serde_json::Map<String, serde_json::Value> {
    match serde_json::to_value(factors) {
        Ok(serde_json::Value::Object(named)) => named,
        _ => serde_json::Map::new(),
    }
}

/// What the fit found, for the terminal.
pub(super) fn summary(kernels: &Kernels, all: &Service) -> String {
    let mut text = String::from("median |relative error| on kernel timings\n");
    for (gpu, (fit, _)) in kernels {
        let errors: Vec<_> =
            fit.residual.iter().map(|(class, off)| format!("{class} {:.0} %", off * 100.0)).collect();
        // Writing into a String cannot fail.
        let _ = writeln!(text, "  {gpu:14} {}", errors.join(", "));
    }
    let _ = writeln!(text, "what serving makes of them");
    for (name, by) in all.multipliers() {
        let _ = writeln!(text, "  {name:16} × {by:.2}");
    }
    text
}
