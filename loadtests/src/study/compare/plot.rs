//! The comparison as a plot: each policy's factor over Gearshift, by load.

use super::Standing;
use crate::report::{Axis, Chart};

/// An SVG of the factors by load.
pub fn plot(standing: &Standing) -> String {
    let title = format!("{} over {} (simulated, lower is better)", standing.headline, standing.base.name());
    let chart = Chart::new(&title, Axis::linear("load, % of capacity"), Axis::log("factor"));
    let line = |chart: Chart, row: &super::PolicySummary| {
        chart.marked_line(row.policy.name(), row.loads.iter().map(|(load, factor)| (load * 100.0, *factor)))
    };
    standing.policies.iter().fold(chart, line).svg()
}
