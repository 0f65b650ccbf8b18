//! What a bundle was trained on.

use gearshift_perfdb::Source;
use gearshift_selector::TrainingRows;

use crate::dataset::Dataset;

/// Rows by source and data set.
pub fn counts(datasets: &[&Dataset]) -> Vec<TrainingRows> {
    let mut counts: Vec<TrainingRows> = Vec::new();
    for sample in datasets.iter().flat_map(|dataset| &dataset.samples) {
        let (source, dataset) = (source_name(sample.row.source), sample.row.dataset.as_str());
        match counts.iter_mut().find(|rows| rows.source == source && rows.dataset == dataset) {
            Some(rows) => rows.rows += 1,
            None => {
                counts.push(TrainingRows { source: source.to_owned(), dataset: dataset.to_owned(), rows: 1 });
            }
        }
    }
    counts
}

fn source_name(source: Source) -> &'static str {
    match source {
        Source::Simulated => "simulated",
        Source::SimulatedKernel => "simulated_kernel",
        Source::Measured => "measured",
        Source::Live => "live",
    }
}
