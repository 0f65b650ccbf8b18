//! Histograms by route, model and backend: nine tenths of the page on a large fleet.
//!
//! The crate's own are read into a tree of strings for every scrape, a dozen allocations for each child and one for each bucket's
//! line. These keep each child's labels as they are written, and write straight onto the page (`benches/scrape.rs`).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{children::Children, text};

/// Counts of what was observed, by upper bounds.
#[derive(Debug)]
pub(super) struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for what is above all of them; not cumulative.
    counts: Box<[AtomicU64]>,
    /// Bits of a float.
    sum: AtomicU64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0.0_f64.to_bits()) }
    }

    /// Counts a value; what is no number is none.
    pub(super) fn observe(&self, value: f64) {
        if value.is_nan() {
            return;
        }
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Relaxed);
        // Given the function, it never refuses.
        let _ = self.sum.fetch_update(Relaxed, Relaxed, |sum| Some((f64::from_bits(sum) + value).to_bits()));
    }
}

/// A family of histograms.
#[derive(Debug)]
pub(super) struct Histograms {
    name: &'static str,
    help: &'static str,
    bounds: &'static [f64],
    /// Each bound's label, with the end of the series.
    written_bounds: Vec<String>,
    children: Children<Histogram>,
}

impl Histograms {
    pub(super) fn new(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        bounds: &'static [f64],
    ) -> Self {
        let written = bounds.iter().map(|bound| format!(",le=\"{bound}\"}} "));
        let written_bounds = written.chain([",le=\"+Inf\"} ".to_owned()]).collect();
        Self { name, help, bounds, written_bounds, children: Children::new(labels) }
    }

    /// The child of these values, made where there is none.
    pub(super) fn child(&self, values: &[&str]) -> Arc<Histogram> {
        self.children.child(values, || Histogram::new(self.bounds))
    }

    /// Forgets a child; an absent one is what is wanted.
    pub(super) fn remove(&self, values: &[&str]) {
        self.children.remove(values);
    }

    /// Writes the family onto a page; nothing where it has no child.
    pub(super) fn write(&self, page: &mut String) {
        let children = self.children.all();
        if children.is_empty() {
            return;
        }
        text::head(page, self.name, self.help, "histogram");
        let mut series = String::new();
        for (labels, child) in &children {
            series.clear();
            series.extend([self.name, "_bucket{", labels]);
            let mut count = 0;
            for (bound, bucket) in self.written_bounds.iter().zip(&child.counts) {
                count += bucket.load(Relaxed);
                page.push_str(&series);
                page.push_str(bound);
                text::count(page, count);
            }
            page.extend([self.name, "_sum{", labels, "} "]);
            text::number(page, f64::from_bits(child.sum.load(Relaxed)));
            page.extend([self.name, "_count{", labels, "} "]);
            text::count(page, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, HistogramVec, Registry, TextEncoder};
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: &[f64] = &[1e-6, 0.25, 1.0, 600.0];

    proptest! {
        /// The crate's own histograms, with its own encoder.
        #[test]
        fn they_are_written_as_the_crate_writes_its_own(
            children in prop::collection::btree_map(("[ -~\n]{0,9}", "\\PC{0,6}"), prop::collection::vec(0.0_f64..1e3, 0..9), 1..4),
        ) {
            let ours = Histograms::new("h", "Some \\ help\nof two lines.", &["a", "b"], BOUNDS);
            let options = HistogramOpts::new("h", "Some \\ help\nof two lines.").buckets(BOUNDS.to_vec());
            let theirs = HistogramVec::new(options, &["a", "b"]).unwrap();
            for ((a, b), values) in &children {
                let (own, other) = (ours.child(&[a, b]), theirs.with_label_values(&[a, b]));
                values.iter().for_each(|&value| { own.observe(value); other.observe(value); });
            }
            let registry = Registry::new();
            registry.register(Box::new(theirs)).unwrap();
            let mut page = String::new();
            ours.write(&mut page);
            let expected = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
            let sorted = |text: &str| { let mut lines: Vec<_> = text.lines().map(str::to_owned).collect(); lines.sort(); lines };
            prop_assert_eq!(sorted(&page), sorted(&expected));
        }
    }

    #[test]
    fn a_bound_is_in_its_bucket_and_what_is_no_number_in_none() {
        let family = Histograms::new("h", "H.", &["a"], &[1.0, 2.0]);
        let child = family.child(&["x"]);
        [0.5, 1.0, f64::NAN, 2.0, 2.5].iter().for_each(|&value| child.observe(value));
        let mut page = String::new();
        family.write(&mut page);
        let buckets: Vec<_> = page.lines().filter(|line| line.contains("_bucket")).collect();
        assert_eq!(
            buckets,
            [
                "h_bucket{a=\"x\",le=\"1\"} 2",
                "h_bucket{a=\"x\",le=\"2\"} 3",
                "h_bucket{a=\"x\",le=\"+Inf\"} 4"
            ]
        );
        assert!(page.contains("h_sum{a=\"x\"} 6\nh_count{a=\"x\"} 4\n"), "{page}");
        family.remove(&["x"]);
        page.clear();
        family.write(&mut page);
        assert_eq!(page, "");
    }
}
