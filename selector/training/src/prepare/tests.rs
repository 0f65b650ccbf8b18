use gearshift_selector::inputs::{MODEL, QUERY_WIDTH};

use super::*;
use crate::{
    dataset::{Protocol, tests::row},
    fit::TARGETS,
};

fn dataset() -> Dataset {
    let mut rows = Vec::new();
    for (context, hardware) in [("a", "h100_sxm"), ("b", "h200_sxm"), ("c", "h100_sxm")] {
        for tensor in [1, 2, 4] {
            let mut row = row(context, &format!("tp{tensor}"));
            row.facts.hardware = hardware.into();
            row.facts.hardware_facts.description = format!("an {hardware}");
            row.facts.count = tensor;
            row.facts.knobs.tensor_parallel = Some(tensor);
            row.outcome.tpot_s = Some(0.02 / f64::from(tensor).sqrt());
            row.outcome.ttft_p90_s = Some(2.0);
            rows.push(row);
        }
    }
    Dataset::new(rows, Protocol::Clean)
}

#[test]
fn rows_are_residuals_on_the_prior() {
    let (dataset, factors) = (dataset(), PriorFactors::default());
    let rows = prepare(&dataset, &factors, &Vectors::default());
    rows.check().unwrap();
    assert_eq!((rows.len(), rows.contexts(), &rows.groups[..]), (9, 3, &[0, 1, 0][..]));
    assert_eq!(rows.model.len(), 9 * MODEL.len());
    let sample = &dataset.samples[0];
    let terms = Prior::new(&sample.deployment, &factors).terms(&sample.situation);
    let targets = &rows.targets[..TARGETS];
    assert!((f64::from(targets[1]).exp() * terms.ttft_ms() - 1000.0).abs() < 0.1);
    assert!((f64::from(targets[2]).exp() * terms.tpot_ms() - 20.0).abs() < 0.1);
    assert!((f64::from(targets[0]).exp() * terms.e2e_ms(&sample.situation) - 3000.0).abs() < 0.1);
    assert!((targets[3] - targets[1] - 2.0_f32.ln()).abs() < 1e-5);
    assert_eq!(rows.masks[..TARGETS], [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
}

#[test]
fn the_fastest_and_the_cheapest_have_no_regret() {
    let rows = prepare(&dataset(), &PriorFactors::default(), &Vectors::default());
    let regrets = &rows.regrets[..3];
    assert!(regrets[0].abs() < 1e-6 && regrets[1] > 0.0 && regrets[2].abs() < 1e-6, "{regrets:?}");
}

#[test]
fn centred_copies_are_over_the_context() {
    let rows = prepare(&dataset(), &PriorFactors::default(), &Vectors::default());
    let queries: Vec<&[f32]> = rows.query.chunks_exact(QUERY_WIDTH).collect();
    for context in queries.chunks_exact(3) {
        let sum: f32 = context.iter().map(|query| query[inputs::QUERY.len() + 4]).sum();
        assert!(sum.abs() < 1e-5);
        assert!(context.iter().any(|query| query[inputs::QUERY.len() + 4] != 0.0));
    }
}

#[test]
fn texts_are_numbered_once_and_unknown_ones_are_none() {
    let vectors = Vectors { width: 2, vectors: [("an h200_sxm".to_owned(), vec![3.0, 4.0])].into() };
    let texts = prepare(&dataset(), &PriorFactors::default(), &vectors).texts;
    assert_eq!(texts.vectors, [0.0, 0.0, 3.0, 4.0]);
    assert_eq!(texts.hardware, [0, 0, 0, 1, 1, 1, 0, 0, 0]);
    assert_eq!(texts.model, [0; 9]);
    assert_eq!(texts.names, ["", "an h200_sxm"]);
}
