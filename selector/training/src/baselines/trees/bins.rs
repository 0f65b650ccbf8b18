//! Columns cut into at most 255 bins, so that a split is found by counting.

use crate::baselines::matrix::Matrix;

const BINS: usize = 255;

/// A matrix by columns, every number replaced by its bin.
#[derive(Debug, Clone)]
pub struct Binned {
    rows: usize,
    codes: Vec<Vec<u8>>,
    /// Per column: a number belongs to the first bin whose edge it does not exceed.
    edges: Vec<Vec<f64>>,
}

impl Binned {
    /// Cuts every column at its quantiles.
    pub fn new(matrix: &Matrix) -> Self {
        let edges: Vec<Vec<f64>> =
            (0..matrix.width()).map(|column| edges(matrix.column(column).collect())).collect();
        let codes = edges
            .iter()
            .enumerate()
            .map(|(column, edges)| matrix.column(column).map(|value| code(edges, value)).collect());
        Self { rows: matrix.rows(), codes: codes.collect(), edges }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn columns(&self) -> usize {
        self.codes.len()
    }

    pub(super) fn codes(&self, column: usize) -> &[u8] {
        &self.codes[column]
    }

    /// The greatest number of a bin that is not the last.
    pub(super) fn edge(&self, column: usize, code: u8) -> f64 {
        self.edges[column].get(usize::from(code)).copied().unwrap_or(f64::INFINITY)
    }
}

fn edges(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    let count = values.len();
    let mut distinct = values.clone();
    distinct.dedup();
    if distinct.len() <= BINS {
        return distinct.windows(2).map(|pair| f64::midpoint(pair[0], pair[1])).collect();
    }
    let between = |cut: usize| {
        let at = cut * count / BINS;
        (values[at - 1] < values[at]).then(|| f64::midpoint(values[at - 1], values[at]))
    };
    let mut edges: Vec<f64> = (1..BINS).filter_map(between).collect();
    edges.dedup();
    edges
}

fn code(edges: &[f64], value: f64) -> u8 {
    u8::try_from(edges.partition_point(|&edge| edge < value)).unwrap_or(u8::MAX)
}
