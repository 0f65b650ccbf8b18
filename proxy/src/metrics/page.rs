//! Families of the `prometheus` crate on the page that Prometheus reads.
//!
//! Those that grow with the fleet are not of the crate and write themselves: [`Histograms`](super::histograms) and the fleet's own.

use prometheus::proto::{Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::text;

/// Writes families after what `text` holds, in Prometheus' text format, version 0.0.4.
pub(super) fn page(families: &[MetricFamily], text: String) -> String {
    let mut page = Page { text, ..Page::default() };
    for family in families {
        page.family(family);
    }
    page.text
}

#[derive(Debug, Default)]
struct Page {
    text: String,
    /// Of the metric that is written.
    labels: String,
    /// The bounds of the family's buckets, and how they are written; the same for all its children.
    bounds: Vec<(f64, String)>,
}

impl Page {
    fn family(&mut self, family: &MetricFamily) {
        let (name, kind) = (family.name(), family.get_field_type());
        let kind_name = match kind {
            MetricType::COUNTER => "counter",
            MetricType::GAUGE => "gauge",
            MetricType::HISTOGRAM => "histogram",
            // Nobody here makes them.
            MetricType::SUMMARY | MetricType::UNTYPED => return,
        };
        text::head(&mut self.text, name, family.help(), kind_name);
        self.bounds.clear();
        for metric in family.get_metric() {
            self.metric(name, kind, metric);
        }
    }

    fn metric(&mut self, name: &str, kind: MetricType, metric: &Metric) {
        self.read_labels(metric.get_label());
        match kind {
            MetricType::COUNTER => self.sample(name, "", "", metric.get_counter().get_value()),
            MetricType::GAUGE => self.sample(name, "", "", metric.get_gauge().get_value()),
            MetricType::HISTOGRAM => self.histogram(name, metric.get_histogram()),
            MetricType::SUMMARY | MetricType::UNTYPED => {}
        }
    }

    fn read_labels(&mut self, labels: &[LabelPair]) {
        self.labels.clear();
        labels.iter().for_each(|label| text::label(&mut self.labels, label.name(), label.value()));
    }

    fn histogram(&mut self, name: &str, histogram: &Histogram) {
        let buckets = histogram.get_bucket();
        let same = self.bounds.len() == buckets.len()
            && self.bounds.iter().zip(buckets).all(|(known, bucket)| known.0 == bucket.upper_bound());
        if !same {
            let written = buckets.iter().map(|bucket| {
                let bound = bucket.upper_bound();
                (bound, format!("le=\"{bound}\""))
            });
            self.bounds = written.collect();
        }
        let bounds = std::mem::take(&mut self.bounds);
        for ((_, bound), bucket) in bounds.iter().zip(buckets) {
            self.count(name, "_bucket", bound, bucket.cumulative_count());
        }
        self.bounds = bounds;
        self.count(name, "_bucket", "le=\"+Inf\"", histogram.get_sample_count());
        self.sample(name, "_sum", "", histogram.get_sample_sum());
        self.count(name, "_count", "", histogram.get_sample_count());
    }

    /// Everything of a line but its value.
    fn series(&mut self, name: &str, part: &str, label: &str) {
        self.text.push_str(name);
        self.text.push_str(part);
        if !(self.labels.is_empty() && label.is_empty()) {
            self.text.push('{');
            self.text.push_str(&self.labels);
            if !self.labels.is_empty() && !label.is_empty() {
                self.text.push(',');
            }
            self.text.push_str(label);
            self.text.push('}');
        }
        self.text.push(' ');
    }

    fn count(&mut self, name: &str, part: &str, label: &str, value: u64) {
        self.series(name, part, label);
        text::count(&mut self.text, value);
    }

    fn sample(&mut self, name: &str, part: &str, label: &str, value: f64) {
        self.series(name, part, label);
        text::number(&mut self.text, value);
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{
        GaugeVec, HistogramOpts, HistogramVec, IntCounter, Opts, Registry, TextEncoder, core::Collector,
    };
    use proptest::prelude::*;

    use super::*;

    fn registry(labels: &[&str; 2], values: &[f64], observed: &[f64]) -> Registry {
        let registry = Registry::new();
        let gauges = GaugeVec::new(Opts::new("g", "A \"gauge\"\\\nof two lines."), &["a", "b"]).unwrap();
        let options = HistogramOpts::new("h", "A histogram.").buckets(vec![1e-6, 0.25, 1.0, 600.0]);
        let histograms = HistogramVec::new(options, &["b"]).unwrap();
        let counter = IntCounter::new("c", "A counter.").unwrap();
        for value in values {
            gauges.with_label_values(labels).set(*value);
            counter.inc();
        }
        observed.iter().for_each(|value| histograms.with_label_values(&labels[..1]).observe(*value));
        let all: [Box<dyn Collector>; 3] = [Box::new(gauges), Box::new(histograms), Box::new(counter)];
        all.into_iter().for_each(|family| registry.register(family).unwrap());
        registry
    }

    proptest! {
        #[test]
        fn it_is_what_the_crate_writes(
            a in "[ -~\n]{0,12}", b in "\\PC{0,8}",
            values in prop::collection::vec(-1e12_f64..1e12, 0..4),
            observed in prop::collection::vec(0.0_f64..1e3, 0..9),
        ) {
            let families = registry(&[&a, &b], &values, &observed).gather();
            prop_assert_eq!(page(&families, String::new()), TextEncoder::new().encode_to_string(&families).unwrap());
        }
    }

    #[test]
    fn what_is_no_number_is_written_as_prometheus_reads_it() {
        for (value, text) in
            [(f64::INFINITY, "+Inf"), (f64::NEG_INFINITY, "-Inf"), (f64::NAN, "NaN"), (-0.5, "-0.5")]
        {
            let page = page(&registry(&["x", "y"], &[value], &[]).gather(), String::new());
            assert!(page.contains(&format!("g{{a=\"x\",b=\"y\"}} {text}\n")), "{page}");
        }
    }
}
