//! Numbers by rows and columns.

/// Rows of equal width; what the baselines learn from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matrix {
    width: usize,
    values: Vec<f64>,
}

impl Matrix {
    /// No rows yet; `width` numbers each.
    pub fn new(width: usize) -> Self {
        Self { width, values: Vec::new() }
    }

    /// Of rows, which are cut or filled with zeros to the first one's width. What is not finite counts as 0.
    pub fn of<R: AsRef<[f64]>>(rows: impl IntoIterator<Item = R>) -> Self {
        let mut rows = rows.into_iter().peekable();
        let mut matrix = Self::new(rows.peek().map_or(0, |row| row.as_ref().len()));
        rows.for_each(|row| matrix.push(row.as_ref()));
        matrix
    }

    /// Appends a row, cut or filled with zeros to the width.
    pub fn push(&mut self, row: &[f64]) {
        let filled = row.iter().copied().chain(std::iter::repeat(0.0)).take(self.width);
        self.values.extend(filled.map(|value| if value.is_finite() { value } else { 0.0 }));
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// One row.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.width..][..self.width]
    }

    /// All rows in order.
    pub fn iter(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.width.max(1))
    }

    /// One column's numbers.
    pub fn column(&self, column: usize) -> impl Iterator<Item = f64> + '_ {
        self.iter().map(move |row| row[column])
    }
}

/// Mean 0 and deviation 1, as measured on the rows it was made from.
#[derive(Debug, Clone)]
pub struct Scaling {
    means: Vec<f64>,
    deviations: Vec<f64>,
}

impl Scaling {
    /// Measures every column.
    pub fn of(rows: &Matrix) -> Self {
        let count = rows.rows().max(1) as f64;
        let means: Vec<f64> = (0..rows.width()).map(|c| rows.column(c).sum::<f64>() / count).collect();
        let deviation = |(c, mean): (usize, &f64)| {
            (rows.column(c).map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
        };
        let deviations = means.iter().enumerate().map(deviation).collect();
        Self { means, deviations }
    }

    /// A row in these units; a column that never varied becomes 0.
    pub fn apply(&self, row: &[f64]) -> Vec<f64> {
        let scaled = row.iter().zip(&self.means).zip(&self.deviations);
        scaled.map(|((value, mean), &sd)| if sd > 1e-9 { (value - mean) / sd } else { 0.0 }).collect()
    }

    /// All rows in these units.
    pub fn matrix(&self, rows: &Matrix) -> Matrix {
        let mut scaled = Matrix::new(rows.width());
        rows.iter().for_each(|row| scaled.push(&self.apply(row)));
        scaled
    }
}

/// Squared Euclidean distance.
pub(super) fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum()
}

/// Inner product.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
