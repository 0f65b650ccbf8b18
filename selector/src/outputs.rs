//! Expected output length, learned per route and model.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::ewma::LogMean;

/// Output tokens assumed where nothing is known: the mean of the Azure LLM inference trace, conversations (2023).
pub(crate) const START_OUTPUT_TOKENS: f64 = 211.0;
/// Models told apart on one route; further ones share the model-wide estimate.
const MODELS: usize = 16;
/// Least weight of one answer.
const GAIN: f32 = 0.05;
/// Lengths vary by orders of magnitude: one answer counts as at most e² away.
const BOUND: f32 = 2.0;

/// Output length learned per route and model (log-space, exponentially forgetting).
///
/// One per route. A fixed table that models claim in the order they come: no lock and no growth.
#[derive(Debug)]
pub struct OutputLengths {
    cells: [Cell; MODELS],
}

#[derive(Debug)]
struct Cell {
    /// Key of the model that claimed the cell; 0 while free.
    owner: AtomicU64,
    length: LogMean,
}

impl Default for OutputLengths {
    fn default() -> Self {
        Self { cells: std::array::from_fn(|_| Cell { owner: AtomicU64::new(0), length: new_length() }) }
    }
}

/// A length average with nothing learned.
pub(crate) fn new_length() -> LogMean {
    LogMean::new(START_OUTPUT_TOKENS, GAIN, BOUND)
}

impl OutputLengths {
    /// The length learned for `model`, tokens; `None` before its first answer on this route.
    pub(crate) fn expected(&self, model: u64) -> Option<f64> {
        let cell = self.cells.iter().find(|cell| cell.owner.load(Relaxed) == model)?;
        (cell.length.samples() > 0).then(|| cell.length.value())
    }

    /// Takes in the length of one answer.
    pub(crate) fn observe(&self, model: u64, tokens: f64) {
        let claim = |cell: &&Cell| {
            cell.owner
                .compare_exchange(0, model, Relaxed, Relaxed)
                .map_or_else(|owner| owner == model, |_| true)
        };
        if let Some(cell) = self.cells.iter().find(claim) {
            cell.length.observe(tokens, 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_told_apart_and_the_table_is_bounded() {
        let lengths = OutputLengths::default();
        assert_eq!(lengths.expected(1), None);
        for _ in 0..200 {
            lengths.observe(1, 20.0);
            lengths.observe(2, 900.0);
        }
        assert!((lengths.expected(1).unwrap() - 20.0).abs() < 0.5);
        assert!((lengths.expected(2).unwrap() - 900.0).abs() < 20.0);
        (3..100).for_each(|model| lengths.observe(model, 5.0));
        assert!(lengths.expected(16).is_some());
        assert_eq!(lengths.expected(17), None);
    }
}
