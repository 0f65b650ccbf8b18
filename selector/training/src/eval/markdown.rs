//! The report to read.

use std::path::{Path, PathBuf};

use gearshift_loadtests::report::{Column, Document, ReportFiles, Table};

use super::{
    plots::plots,
    report::{Paired, Report, SelectorReport, SplitReport},
    resample::Ends,
};

/// Writes `eval.json`, `eval.md` and the plots; the paths of the first two.
///
/// # Errors
/// Where a file cannot be written.
pub fn write(report: &Report, folder: &Path) -> Result<[PathBuf; 2], gearshift_loadtests::Error> {
    let files = ReportFiles::create(folder, "eval")?;
    let mut document = Document::new("How well selectors choose where they have not been");
    document.block(INTRODUCTION);
    for (name, svg) in plots(report) {
        files.svg(&name, svg)?;
        document.image(&name.replace('-', " "), &files.svg_name(&name));
    }
    tables(report, &mut document);
    Ok([files.json(report)?, files.markdown(&document)?])
}

fn tables(report: &Report, document: &mut Document) {
    let mut section = String::new();
    for split in &report.splits {
        let SplitReport { source, dataset, protocol, actions, .. } = split;
        let title = format!("{source} rows ({dataset}), {protocol} protocol, {actions} actions");
        if title != section {
            document.section(&title);
            section = title;
        }
        document.block(&heading(split)).table(&table(split));
    }
}

const INTRODUCTION: &str = "\
*Gap closed*: 1 − mean log regret over that of the single best action, which comes from training contexts only. \
*Regret*: geometric mean of chosen over best; under a limit with a penalty for every violation. Intervals are of 95 %, by \
bootstrap over contexts and, in brackets, over groups of model and hardware. *Ahead*: of `metainf` over the selector, in gap \
closed, on the same contexts. The prior is refitted in every fold; nothing held out reaches prior, pre-training or learner.";

fn heading(split: &SplitReport) -> String {
    let (name, objective) = (&split.name, split.objective.replace('_', " "));
    let contexts = split.contexts;
    let mut text = format!("**{name}, {objective}**: {contexts} contexts in {} groups", split.clusters);
    if !split.objective.starts_with("limit") {
        text += &format!("; the choice matters by more than 2 % in {:.0} %", 100.0 * split.matters);
    }
    text
}

fn table(split: &SplitReport) -> Table {
    let limited = split.objective.starts_with("limit");
    let over_rule = split.objective == "cost_latency";
    let mut columns = vec![Column::text("selector")];
    let mut heads = vec!["accuracy", "within 2 %", "regret"];
    heads.extend(if limited { ["violations", "time error"] } else { ["gap closed", "ahead"] });
    heads.extend(over_rule.then_some("gap over best rule"));
    let has = |value: fn(&SelectorReport) -> Option<f64>| split.selectors.iter().any(|s| value(s).is_some());
    let off = has(|s| s.acceleration);
    let defaults = has(|s| s.vs_defaults);
    heads.extend(off.then_some("over all-off"));
    heads.extend(defaults.then_some("over vLLM's defaults"));
    columns.extend(heads.into_iter().map(Column::number));
    let mut table = Table::new(columns);
    for s in &split.selectors {
        let mut row = vec![s.name.clone(), share(Some(s.accuracy)), share(Some(s.within_2pct))];
        row.push(with(Some(s.regret), s.ci95.regret, s.ci95_clustered.regret, 3));
        if limited {
            row.extend([share(s.violations), share(s.time_error)]);
        } else {
            row.push(with(s.gap_closed, s.ci95.gap_closed, s.ci95_clustered.gap_closed, 2));
            row.push(paired(s.metainf_ahead));
        }
        if over_rule {
            let (ends, clustered) = (s.ci95.gap_over_best_rule, s.ci95_clustered.gap_over_best_rule);
            row.push(with(s.gap_over_best_rule, ends, clustered, 2));
        }
        if off {
            row.push(with(s.acceleration, s.ci95.acceleration, None, 2));
        }
        if defaults {
            row.push(with(s.vs_defaults, s.ci95.vs_defaults, None, 3));
        }
        table.row(row);
    }
    table
}

fn share(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{:.0} %", 100.0 * value))
}

fn with(value: Option<f64>, ends: Option<Ends>, clustered: Option<Ends>, digits: usize) -> String {
    let Some(value) = value else { return String::new() };
    let between = |Ends(low, high): Ends| format!("{low:.digits$} to {high:.digits$}");
    let ends = ends.map_or_else(String::new, |ends| format!(" {}", between(ends)));
    let clustered = clustered.map_or_else(String::new, |ends| format!(" ({})", between(ends)));
    format!("{value:.digits$}{ends}{clustered}")
}

fn paired(paired: Option<Paired>) -> String {
    paired.map_or_else(String::new, |p| with(Some(p.by), p.ci95, p.ci95_clustered, 2))
}
