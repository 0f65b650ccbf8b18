//! Histograms with the bounds that vLLM gives them.

/// Counts of values up to each of a number of bounds.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    /// Upper bounds, rising; the last bucket has none.
    bounds: &'static [f64],
    /// One for each bound, and one for what is above.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    pub(super) fn observe(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|&bound| bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum += value;
    }

    /// Bounds with how many values are up to each, the last infinite.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = self.bounds.iter().copied().chain(std::iter::once(f64::INFINITY));
        bounds.zip(self.counts.iter().scan(0, |total, count| {
            *total += count;
            Some(*total)
        }))
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(super) fn sum(&self) -> f64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_up_to_every_bound_it_does_not_exceed() {
        let mut histogram = Histogram::new(&[1.0, 2.0, 5.0]);
        for value in [0.5, 1.0, 1.5, 5.0, 9.0] {
            histogram.observe(value);
        }
        let counts: Vec<_> = histogram.cumulative().collect();
        assert_eq!(counts, [(1.0, 2), (2.0, 3), (5.0, 4), (f64::INFINITY, 5)]);
        assert_eq!((histogram.count(), histogram.sum()), (5, 17.0));
    }
}
