//! The text of a metrics page, as Prometheus' client for Python writes it.

use std::fmt::Write as _;

use super::histogram::Histogram;

/// A label and its value.
pub(super) type Label<'a> = (&'a str, &'a str);

/// A page under construction.
#[derive(Debug)]
pub(super) struct Page {
    text: String,
    /// When counting began, seconds since 1970: the client writes it for every child.
    created: f64,
    /// Gauges read NaN.
    nan_gauges: bool,
}

impl Page {
    pub(super) fn new(created: f64, nan_gauges: bool) -> Self {
        Self { text: String::with_capacity(64 << 10), created, nan_gauges }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// A gauge with its children.
    pub(super) fn gauge(&mut self, name: &str, help: &str, children: &[(&[Label<'_>], f64)]) {
        self.head(name, help, "gauge");
        for (labels, value) in children {
            self.sample(name, labels, if self.nan_gauges { f64::NAN } else { *value });
        }
    }

    /// A fact, told by labels: a gauge that always reads 1.
    pub(super) fn info(&mut self, name: &str, help: &str, labels: &[Label<'_>]) {
        self.head(name, help, "gauge");
        self.sample(name, labels, 1.0);
    }

    /// A counter with its children; `name` without `_total`.
    pub(super) fn counter(&mut self, name: &str, help: &str, children: &[(&[Label<'_>], f64)]) {
        let total = format!("{name}_total");
        self.head(&total, help, "counter");
        children.iter().for_each(|(labels, value)| self.sample(&total, labels, *value));
        self.created(name, help, children.iter().map(|(labels, _)| *labels));
    }

    /// A histogram with its children.
    pub(super) fn histogram(&mut self, name: &str, help: &str, children: &[(&[Label<'_>], &Histogram)]) {
        self.head(name, help, "histogram");
        for (labels, histogram) in children {
            let bucket = format!("{name}_bucket");
            for (bound, count) in histogram.cumulative() {
                let bound = number(bound);
                let labels: Vec<_> =
                    std::iter::once(("le", bound.as_str())).chain(labels.iter().copied()).collect();
                self.sample(&bucket, &labels, count as f64);
            }
            self.count_and_sum(name, labels, histogram.count(), histogram.sum());
        }
        self.created(name, help, children.iter().map(|(labels, _)| *labels));
    }

    /// A summary without quantiles: counts and sums.
    pub(super) fn summary(&mut self, name: &str, help: &str, children: &[(&[Label<'_>], (u64, f64))]) {
        self.head(name, help, "summary");
        children.iter().for_each(|(labels, (count, sum))| self.count_and_sum(name, labels, *count, *sum));
        self.created(name, help, children.iter().map(|(labels, _)| *labels));
    }

    fn count_and_sum(&mut self, name: &str, labels: &[Label<'_>], count: u64, sum: f64) {
        self.sample(&format!("{name}_count"), labels, count as f64);
        self.sample(&format!("{name}_sum"), labels, sum);
    }

    fn created<'l>(&mut self, name: &str, help: &str, children: impl Iterator<Item = &'l [Label<'l>]>) {
        let (name, created) = (format!("{name}_created"), self.created);
        self.head(&name, help, "gauge");
        children.for_each(|labels| self.sample(&name, labels, created));
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[Label<'_>], value: f64) {
        self.text.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{}{label}=\"{value}\"", if at == 0 { '{' } else { ',' });
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {}", number(value));
    }
}

/// A number as Python writes floats.
fn number(value: f64) -> String {
    if value == f64::INFINITY { "+Inf".to_owned() } else { format!("{value:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_the_clients_shape() {
        let mut page = Page::new(7.5, false);
        page.gauge("g", "A gauge.", &[(&[("model", "a\"b")], 2.0)]);
        page.counter("c", "A counter.", &[(&[], 3.0)]);
        let mut histogram = Histogram::new(&[0.1]);
        histogram.observe(0.5);
        page.histogram("h", "A histogram.", &[(&[("x", "y")], &histogram)]);
        let text = page.into_text();
        for line in [
            "# TYPE g gauge\ng{model=\"a\\\"b\"} 2.0\n",
            "# TYPE c_total counter\nc_total 3.0\n# HELP c_created A counter.\n# TYPE c_created gauge\nc_created 7.5\n",
            "h_bucket{le=\"0.1\",x=\"y\"} 0.0\nh_bucket{le=\"+Inf\",x=\"y\"} 1.0\nh_count{x=\"y\"} 1.0\nh_sum{x=\"y\"} 0.5\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn gauges_may_be_broken() {
        let mut page = Page::new(0.0, true);
        page.gauge("g", "A gauge.", &[(&[], 2.0)]);
        page.info("i", "A fact.", &[]);
        assert!(page.into_text().contains("\ng NaN\n"));
    }
}
