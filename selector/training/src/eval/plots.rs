//! The report's plots.

use std::collections::BTreeSet;

use gearshift_loadtests::report::{Axis, Bar, Bars, Chart};

use super::report::{Report, RiskCoverage, SelectorReport, SplitReport};

/// Selectors that are shown: one of each kind.
const SHOWN: [&str; 9] = [
    "metainf",
    "rule_plus",
    "prior",
    "aiconfigurator",
    "isac",
    "rf_raw",
    "gb_raw",
    "rf_residual",
    "lambdamart",
];

/// All plots, by name.
pub(super) fn plots(report: &Report) -> Vec<(String, String)> {
    let mut plots = Vec::new();
    let kinds: BTreeSet<Kind<'_>> = report.splits.iter().map(Kind::of).collect();
    for kind in kinds {
        for objective in ["latency", "cost"] {
            let splits: Vec<&SplitReport> = report
                .splits
                .iter()
                .filter(|split| Kind::of(split) == kind && split.objective == objective)
                .collect();
            let (unions, hardware): (Vec<&SplitReport>, Vec<&SplitReport>) = splits
                .into_iter()
                .filter(|split| !split.name.starts_with("family:"))
                .partition(|split| !split.name.contains(':'));
            for (what, splits) in [("gap", unions), ("hardware", hardware)] {
                if !splits.is_empty() {
                    plots.push((
                        format!("{what}-{}-{objective}", kind.slug()),
                        gap(&kind, objective, &splits),
                    ));
                }
            }
        }
    }
    if !report.confidence.is_empty() {
        plots.push(("confidence".to_owned(), confidence(&report.confidence)));
    }
    plots
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kind<'a> {
    source: &'a str,
    dataset: &'a str,
    protocol: &'a str,
    actions: &'a str,
}

impl<'a> Kind<'a> {
    fn of(split: &'a SplitReport) -> Self {
        let SplitReport { source, dataset, protocol, actions, .. } = split;
        Self { source, dataset, protocol, actions }
    }

    fn slug(&self) -> String {
        format!("{}-{}-{}-{}", self.source, self.dataset, self.protocol, self.actions)
    }
}

/// Gap closed by selector, a group for each split; error bars are 95 % over groups of model and hardware.
fn gap(kind: &Kind<'_>, objective: &str, splits: &[&SplitReport]) -> String {
    let title = format!(
        "Gap closed, {objective}: {} rows of {}, {}, {} actions",
        kind.source, kind.dataset, kind.protocol, kind.actions
    );
    let bar = |selector: &SelectorReport| {
        let value = selector.gap_closed?.max(-1.0);
        Some(
            selector
                .ci95_clustered
                .gap_closed
                .map_or(Bar::new(value), |ends| Bar::between(ends.0.max(-1.0), value, ends.1)),
        )
    };
    let of = |split: &&SplitReport, name: &str| {
        split.selectors.iter().find(|selector| selector.name == name).and_then(bar)
    };
    let names = splits.iter().map(|split| split.name.replace("hardware:", ""));
    let mut bars = Bars::new(&title, "held out", Axis::linear("gap closed to the oracle"), names);
    for name in SHOWN {
        if splits.iter().any(|split| of(split, name).is_some()) {
            bars = bars.series(name, splits.iter().map(|split| of(split, name)));
        }
    }
    bars.svg()
}

fn confidence(curves: &[RiskCoverage]) -> String {
    let mut chart = Chart::new(
        "Regret over the contexts that the selector is surest of",
        Axis::share("contexts kept"),
        Axis::linear("chosen over best"),
    );
    for curve in curves {
        chart = chart.line(&format!("{} ({})", curve.name, curve.dataset), curve.curve.iter().copied());
    }
    chart.svg()
}
