//! ISAC, ALORS and the forest on scenarios of the algorithm-selection library (ASlib), so that anyone can check them
//! against published figures.
//!
//! A scenario is a directory with `description.txt`, `feature_values.arff`, `algorithm_runs.arff` and `cv.arff`; of each
//! the part is read that runtime scenarios need. Runs that fail count ten times the cutoff (PAR10); what computing the
//! features costs is not added, and there is no presolving, as in the plain forms of the three selectors.

mod arff;
mod scenario;

use gearshift_loadtests::report::{Column, Document, Table, mean};
use serde::Serialize;

pub use scenario::Scenario;

use crate::baselines::{
    alors::Alors,
    isac::Isac,
    matrix::Matrix,
    performance::Performance,
    trees::{Forest, Planting},
};

/// Figures of one scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AslibReport {
    /// Its name.
    pub scenario: String,
    /// Instances.
    pub instances: usize,
    /// Algorithms.
    pub algorithms: usize,
    /// Parts of its own cross-validation.
    pub folds: usize,
    /// By selector; the single best of each fold's training part and the virtual best among them.
    pub selectors: Vec<AslibFigure>,
}

/// One selector on one scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AslibFigure {
    /// Its name.
    pub name: String,
    /// Mean over the instances: time, ten times the cutoff where the chosen algorithm failed.
    pub par10: f64,
    /// (single best − selector) / (single best − virtual best).
    pub gap_closed: f64,
}

const TREES: usize = 100;

/// What a selector expects of every algorithm, given an instance's features.
type Model = Box<dyn Fn(&[f64]) -> Vec<f64>>;

/// Runs the selectors over a scenario's own folds.
pub fn evaluate(scenario: &Scenario, seed: u64) -> AslibReport {
    let mut folds = scenario.folds.clone();
    folds.sort_unstable();
    folds.dedup();
    let names = ["single_best", "isac", "alors", "rf_raw", "virtual_best"];
    let mut chosen: Vec<Vec<f64>> = vec![Vec::new(); names.len()];
    for &fold in &folds {
        let train: Vec<usize> = scenario.instances().filter(|&at| scenario.folds[at] != fold).collect();
        let features = Matrix::of(train.iter().map(|&at| &scenario.features[at]));
        let runs: Vec<Vec<f64>> = train.iter().map(|&at| scenario.par10[at].clone()).collect();
        let models = models(&features, &runs, &scenario.algorithms, seed);
        for instance in scenario.instances().filter(|&at| scenario.folds[at] == fold) {
            let (features, par10) = (&scenario.features[instance], &scenario.par10[instance]);
            for (model, chosen) in models.iter().zip(&mut chosen) {
                chosen.push(par10[least(&model(features))]);
            }
            if let Some(best) = chosen.last_mut() {
                best.push(par10[least(par10)]);
            }
        }
    }
    let means: Vec<f64> = chosen.iter().map(|values| mean(values)).collect();
    let (single, best) = (means[0], means[names.len() - 1]);
    let figure = |(name, &par10): (&&str, &f64)| {
        let gap_closed = if single > best { (single - par10) / (single - best) } else { 0.0 };
        AslibFigure { name: (*name).to_owned(), par10, gap_closed }
    };
    AslibReport {
        scenario: scenario.name.clone(),
        instances: scenario.features.len(),
        algorithms: scenario.algorithms.len(),
        folds: folds.len(),
        selectors: names.iter().zip(&means).map(figure).collect(),
    }
}

/// The figures as a text.
pub fn document(report: &AslibReport) -> Document {
    let mut table =
        Table::new([Column::text("selector"), Column::number("PAR10"), Column::number("gap closed")]);
    for figure in &report.selectors {
        table.row([figure.name.clone(), format!("{:.1}", figure.par10), format!("{:.3}", figure.gap_closed)]);
    }
    let AslibReport { scenario, instances, algorithms, folds, .. } = report;
    let mut document = Document::new(&format!("ASlib scenario {scenario}"));
    document
        .block(&format!("{instances} instances, {algorithms} algorithms, {folds} folds of its own."))
        .table(&table);
    document
}

/// Single best, ISAC, ALORS and a forest for each algorithm, in this order.
fn models(features: &Matrix, runs: &[Vec<f64>], algorithms: &[String], seed: u64) -> Vec<Model> {
    // ISAC and the single best go by the mean, as PAR10 does; ALORS factorises logs, which failures do not dominate.
    let table = |value: fn(f64) -> f64| {
        let row = |runs: &Vec<f64>| {
            let pairs = algorithms.iter().zip(runs);
            pairs.map(|(algorithm, &run)| (algorithm.clone(), value(run))).collect()
        };
        Performance::new(runs.iter().map(row))
    };
    let (plain, logs) = (table(|run| run), table(|run| (run + 1.0).ln()));
    // Performance sorts the algorithms; the others are in the scenario's order.
    let places: Vec<usize> = algorithms.iter().filter_map(|name| plain.action(name)).collect();
    let in_order = move |values: &[f64]| places.iter().map(|&place| values[place]).collect::<Vec<f64>>();
    let means = in_order(&plain.shrunken_means(0..runs.len()).by_action);
    let isac = Isac::fit(features, &plain, seed);
    let alors = Alors::fit(features, &logs, TREES, seed);
    let weights = vec![1.0; runs.len()];
    let planting = Planting { trees: TREES, rows: 2, columns: 0.4 };
    let forest = |algorithm: usize| {
        let targets: Vec<f64> = runs.iter().map(|runs| (runs[algorithm] + 1.0).ln()).collect();
        Forest::fit(features, &targets, &weights, &planting, seed)
    };
    let forests: Vec<Forest> = (0..algorithms.len()).map(forest).collect();
    let (of_isac, of_alors) = (in_order.clone(), in_order);
    vec![
        Box::new(move |_| means.clone()),
        Box::new(move |features| of_isac(isac.values(features))),
        Box::new(move |features| of_alors(&alors.values(features))),
        Box::new(move |features| forests.iter().map(|forest| forest.predict(features)).collect()),
    ]
}

fn least(values: &[f64]) -> usize {
    let better = |a: &usize, b: &usize| values[*a].total_cmp(&values[*b]);
    (0..values.len()).min_by(better).unwrap_or(0)
}

#[cfg(test)]
mod tests;
