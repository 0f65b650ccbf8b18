//! Predicted against actual: what calibration is worth.

use std::collections::BTreeMap;

use super::{Comparison, Kind};
use crate::{
    report::{Axis, Chart, Column, Document, Table},
    study::{Accuracy, Errors},
};

/// Answers that a point of the plot stands for at least.
const LEAST_ANSWERS: u64 = 200;

/// How one policy's predictions did in one fleet, over all its cells, warm-up included.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Predicted {
    /// Who predicted.
    pub policy: Kind,
    /// The fleet's name; all of them together where absent.
    pub fleet: Option<String>,
    /// How it did.
    pub accuracy: Accuracy,
}

/// By policy and fleet; the first of each policy is over all fleets.
pub fn predictions(comparison: &Comparison) -> Vec<Predicted> {
    let mut all: BTreeMap<(Kind, Option<&str>), Accuracy> = BTreeMap::new();
    for result in &comparison.cells {
        for (&kind, accuracy) in &result.accuracy {
            for fleet in [None, Some(result.cell.fleet.as_str())] {
                all.entry((kind, fleet)).or_default().merge(accuracy);
            }
        }
    }
    let row = |((policy, fleet), accuracy): ((_, Option<&str>), _)| Predicted {
        policy,
        fleet: fleet.map(str::to_owned),
        accuracy,
    };
    all.into_iter().map(row).collect()
}

/// The section of the report; `plot` is the file name of the plot beside it.
pub fn predicted(document: &mut Document, predictions: &[Predicted], plot: &str) {
    if predictions.is_empty() {
        return;
    }
    let heads = ["TTFT, prior", "TTFT, calibrated", "TPOT, prior", "TPOT, calibrated", "answers"];
    let columns = ["policy", "fleet"].map(Column::text).into_iter().chain(heads.map(Column::number));
    let mut table = Table::new(columns);
    let error = |errors: &Errors| format!("{:.0} % (×{:.2})", errors.mape() * 100.0, errors.factor());
    for Predicted { policy, fleet, accuracy: Accuracy { ttft, tpot } } in predictions {
        table.row([
            policy.name().to_owned(),
            fleet.clone().unwrap_or_else(|| "all".into()),
            error(&ttft.before),
            error(&ttft.after),
            error(&tpot.before),
            error(&tpot.after),
            ttft.after.count().to_string(),
        ]);
    }
    document
        .section("Predicted against actual")
        .block(
            "Mean absolute percentage error of what was predicted of the chosen backend when it was chosen, and in brackets the mean \
             factor it is off by, either way: by the prior alone, and as the choice was made by it. All requests, warm-up included.",
        )
        .table(&table)
        .image("Predicted against actual", plot);
}

/// Actual over predicted times, before and after calibration, of the first policy that predicts.
pub fn calibration_plot(predictions: &[Predicted]) -> Option<String> {
    let all = &predictions.iter().find(|row| row.fleet.is_none())?.accuracy;
    let chart = Chart::new(
        "Predicted against actual (simulated)",
        Axis::log("predicted (s)"),
        Axis::log("actual, geometric mean (s)"),
    );
    let lines = [
        ("TTFT, prior alone", &all.ttft.before),
        ("TTFT, calibrated", &all.ttft.after),
        ("TPOT, prior alone", &all.tpot.before),
        ("TPOT, calibrated", &all.tpot.after),
    ];
    let chart = lines
        .into_iter()
        .fold(chart, |chart, (name, errors)| chart.marked_line(name, errors.curve(LEAST_ANSWERS)));
    Some(chart.identity().svg())
}
