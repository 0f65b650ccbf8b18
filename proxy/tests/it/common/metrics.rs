//! Metrics as Prometheus would read them.

/// One scrape.
#[derive(Debug)]
pub(crate) struct Scrape {
    text: String,
}

impl Scrape {
    /// Takes a page whose every line must make sense.
    pub(crate) fn parse(text: &str) -> Self {
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert!(sample(line).is_some(), "not a sample: {line:?}");
        }
        Self { text: text.to_owned() }
    }

    /// Whether a family is there, by its `# TYPE` line.
    pub(crate) fn has(&self, family: &str) -> bool {
        self.text.lines().any(|line| {
            line.strip_prefix("# TYPE ").is_some_and(|rest| rest.starts_with(&format!("{family} ")))
        })
    }

    /// The sum over the samples of this name that have all of these labels (`key="value"`).
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let samples = self.text.lines().filter(|line| !line.starts_with('#')).filter_map(sample);
        samples
            .filter(|(found, with, _)| *found == name && labels.iter().all(|label| with.contains(label)))
            .map(|(_, _, value)| value)
            .sum()
    }
}

/// Name, labels and value of a line.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    Some((name, labels, value.parse().ok()?))
}
