//! A scenario's files as numbers.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::arff::Arff;
use crate::Error;

/// Instances, their features, and how long each algorithm takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// Algorithms.
    pub algorithms: Vec<String>,
    /// By instance; what is missing is the mean of the others.
    pub features: Vec<Vec<f64>>,
    /// By instance and algorithm: mean time over the repetitions, ten times the cutoff for those that failed or are missing.
    pub par10: Vec<Vec<f64>>,
    /// By instance: which part of the scenario's cross-validation it is tested in.
    pub folds: Vec<u32>,
}

impl Scenario {
    /// Reads a scenario's directory. Instances without a fold are left out.
    ///
    /// # Errors
    /// Where a file is missing or cannot be read as what it should be, or the scenario is not one of runtimes.
    pub fn read(directory: &Path) -> Result<Self, Error> {
        let description = text(&directory.join("description.txt"))?;
        let of = |key: &str| value(&description, key);
        if of("performance_type").is_some_and(|kind| kind.contains("solution_quality")) {
            return Err(Error::Failed("scenarios of solution quality have no PAR10".to_owned()));
        }
        let cutoff = of("algorithm_cutoff_time").and_then(|seconds| seconds.parse::<f64>().ok());
        let cutoff = cutoff.filter(|&seconds| seconds > 0.0);
        let cutoff =
            cutoff.ok_or_else(|| Error::Failed("description.txt: no algorithm_cutoff_time".to_owned()))?;
        let folds = folds(&table(directory, "cv.arff")?)?;
        let features = features(&table(directory, "feature_values.arff")?, &folds)?;
        let measure = of("performance_measures").unwrap_or_else(|| "runtime".to_owned());
        let (algorithms, par10) =
            runs(&table(directory, "algorithm_runs.arff")?, &folds, &measure.to_lowercase(), 10.0 * cutoff)?;
        let name = of("scenario_id").unwrap_or_else(|| directory.display().to_string());
        Ok(Self { name, algorithms, features, par10, folds: folds.into_values().collect() })
    }

    /// Positions of all instances.
    pub fn instances(&self) -> std::ops::Range<usize> {
        0..self.features.len()
    }
}

/// Folds by instance, of the first repetition.
type Folds = BTreeMap<String, u32>;

fn text(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(Error::file(path))
}

fn table(directory: &Path, name: &str) -> Result<Arff, Error> {
    let path: PathBuf = directory.join(name);
    Arff::parse(&text(&path)?).map_err(|error| Error::Failed(format!("{}: {error}", path.display())))
}

/// The value of a key of the description: on its line, or the first of the list after it.
fn value(description: &str, key: &str) -> Option<String> {
    let mut lines = description.lines().map(str::trim);
    let line = lines.find(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')))?;
    let own = line.split_once(':').map(|(_, value)| value).unwrap_or_default();
    let first = own.trim().trim_start_matches('[').split([',', ']']).next().unwrap_or_default();
    let word = if first.is_empty() { lines.next()?.strip_prefix('-')? } else { first };
    Some(word.trim().trim_matches(['\'', '"']).to_owned())
}

fn number(cell: Option<&String>) -> Option<f64> {
    cell.and_then(|cell| cell.parse::<f64>().ok()).filter(|number| number.is_finite())
}

fn folds(cv: &Arff) -> Result<Folds, Error> {
    let (instance, repetition, fold) =
        (cv.column("instance_id")?, cv.column("repetition")?, cv.column("fold")?);
    let first = |row: &&Vec<Option<String>>| number(row[repetition].as_ref()) == Some(1.0);
    let of = |row: &Vec<Option<String>>| Some((row[instance].clone()?, row[fold].as_ref()?.parse().ok()?));
    Ok(cv.rows.iter().filter(first).filter_map(of).collect())
}

fn features(values: &Arff, folds: &Folds) -> Result<Vec<Vec<f64>>, Error> {
    let (instance, repetition) = (values.column("instance_id")?, values.column("repetition")?);
    let columns: Vec<usize> =
        (0..values.columns.len()).filter(|&column| column != instance && column != repetition).collect();
    let rows: BTreeMap<&String, &Vec<Option<String>>> =
        values.rows.iter().rev().filter_map(|row| Some((row[instance].as_ref()?, row))).collect();
    let cell = |name: &String, column: usize| number(rows.get(name)?[column].as_ref());
    let mean = |&column: &usize| {
        let known: Vec<f64> = folds.keys().filter_map(|name| cell(name, column)).collect();
        if known.is_empty() { 0.0 } else { known.iter().sum::<f64>() / known.len() as f64 }
    };
    let means: Vec<f64> = columns.iter().map(mean).collect();
    let row = |name: &String| {
        columns.iter().zip(&means).map(|(&column, &mean)| cell(name, column).unwrap_or(mean)).collect()
    };
    Ok(folds.keys().map(row).collect())
}

fn runs(
    runs: &Arff,
    folds: &Folds,
    measure: &str,
    failure: f64,
) -> Result<(Vec<String>, Vec<Vec<f64>>), Error> {
    let (instance, algorithm) = (runs.column("instance_id")?, runs.column("algorithm")?);
    let (status, time) = (runs.column("runstatus")?, runs.column(measure)?);
    let mut by_algorithm: BTreeMap<&String, BTreeMap<&String, (f64, f64)>> = BTreeMap::new();
    for row in &runs.rows {
        let (Some(instance), Some(algorithm)) = (&row[instance], &row[algorithm]) else { continue };
        let solved = row[status].as_deref() == Some("ok");
        let seconds = number(row[time].as_ref()).filter(|_| solved).unwrap_or(failure);
        let (sum, count) = by_algorithm.entry(algorithm).or_default().entry(instance).or_default();
        (*sum, *count) = (*sum + seconds, *count + 1.0);
    }
    let row = |name: &String| {
        by_algorithm.values().map(|runs| runs.get(name).map_or(failure, |(sum, count)| sum / count)).collect()
    };
    let par10 = folds.keys().map(row).collect();
    Ok((by_algorithm.keys().map(|&name| name.clone()).collect(), par10))
}
