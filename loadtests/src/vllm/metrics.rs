//! What an engine's metrics page says.

/// A scrape.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(super) text: String,
}

impl Metrics {
    /// The sum over all samples of a counter; 0 where it has none.
    pub fn total(&self, name: &str) -> f64 {
        self.samples(name).map(|(_, value)| value).sum()
    }

    /// A counter by one of its labels, in the order of the scrape.
    pub fn by_label<'a>(&'a self, name: &'a str, label: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.samples(name).filter_map(move |(labels, value)| Some((label_of(labels, label)?, value)))
    }

    fn samples<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.text.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(labelled) => labelled.rsplit_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            Some((labels, value.trim().parse().ok()?))
        })
    }
}

fn label_of<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_is_read_by_name_and_label() {
        let text = "# TYPE vllm:hits_total counter\n\
                    vllm:hits_total{engine=\"0\",model_name=\"m\"} 128.0\n\
                    vllm:hits_total{engine=\"1\",model_name=\"m\"} 2.0\n\
                    vllm:hits_total_created{engine=\"0\"} 1.7e+09\nplain 3\n";
        let metrics = Metrics { text: text.to_owned() };
        assert_eq!(metrics.total("vllm:hits_total"), 130.0);
        assert_eq!(metrics.total("plain"), 3.0);
        assert_eq!(metrics.total("absent"), 0.0);
        let engines: Vec<_> = metrics.by_label("vllm:hits_total", "engine").collect();
        assert_eq!(engines, [("0", 128.0), ("1", 2.0)]);
    }
}
