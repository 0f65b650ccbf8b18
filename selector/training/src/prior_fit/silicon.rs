//! The shipped measured rows: what the prior alone is worth on accelerators its fit has not seen.

use std::{collections::BTreeSet, path::Path};

use gearshift_perfdb::Source;
use gearshift_selector::Prior;

use super::*;
use crate::{
    dataset::{Protocol, Sample, read},
    score::{Objective, gap_closed, regrets, single_best},
};

/// End to end time, TTFT and TPOT; milliseconds.
fn predicted(sample: &Sample, factors: &PriorFactors) -> [f64; 3] {
    let terms = Prior::new(&sample.deployment, factors).terms(&sample.situation);
    [terms.e2e_ms(&sample.situation), terms.ttft_ms(), terms.tpot_ms()]
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn unseen_accelerators_are_ranked() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../perfdb/data");
    let rows = read(&directory.join("silicon.parquet"), &[Source::Measured]).expect("the shipped rows");
    let dataset = Dataset::new(rows, Protocol::Clean);
    assert_eq!(dataset.contexts.iter().filter(|context| context.is_choice()).count(), 623);
    // Choosing the pace takes 45 fits a fold: `gearshift-train eval` does it.
    let held = FitOptions { pace: Pace::Held(PACES[0]), ..FitOptions::default() };
    let unseen: BTreeSet<&str> = dataset.contexts.iter().map(|context| context.hardware.as_str()).collect();
    let mut chosen: [Vec<f64>; 2] = Default::default();
    let mut best: [Vec<f64>; 2] = Default::default();
    let mut errors: [Vec<f64>; 3] = Default::default();
    for hardware in unseen {
        let train = dataset.of_contexts(|context| context.hardware != hardware);
        let test = dataset.of_contexts(|context| context.hardware == hardware);
        let factors = fit(&train, &held);
        let predictions: Vec<_> = test.samples.iter().map(|sample| predicted(sample, &factors)).collect();
        for (n, objective) in [Objective::Latency, Objective::Cost].into_iter().enumerate() {
            let scored = test.samples.iter().zip(&predictions);
            let scores: Vec<_> = scored.map(|(sample, [e2e, ..])| objective.ln(sample, e2e.ln())).collect();
            chosen[n].extend(regrets(&test, &scores, objective));
            best[n].extend(regrets(&test, &single_best(&train, &test, objective), objective));
        }
        for (sample, predicted) in test.samples.iter().zip(&predictions) {
            let measured = [sample.e2e_ms, sample.ttft_ms, sample.tpot_ms];
            for ((errors, predicted), measured) in errors.iter_mut().zip(predicted).zip(measured) {
                errors.push((predicted / measured - 1.0).abs());
            }
        }
    }
    let [latency, cost] = [0, 1].map(|n| gap_closed(&chosen[n], &best[n]));
    let errors = errors.map(median);
    println!("gap closed: latency {latency:.3}, cost {cost:.3}; median errors: e2e, TTFT, TPOT {errors:.3?}");
    assert!(latency > 0.9 && cost > 0.8, "gap closed: {latency:.3} {cost:.3}");
    assert!(errors[0] < 0.4 && errors[1] < 0.75 && errors[2] < 0.4, "median errors: {errors:.3?}");
}
