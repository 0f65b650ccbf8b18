//! Runs of one workload, summed up for people and programs.

use std::{collections::BTreeMap, path::Path};

use serde::Serialize;

use super::{Results, Slo, Totals};
use crate::{
    Error,
    report::{Axis, Chart, Column, Document, Latencies, ReportFiles, Spread, Table, duration, number},
    workload::{Arrivals, Class},
};

/// What was sent, and where to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conditions {
    /// The workload's name.
    pub workload: String,
    /// Requests per second on average.
    pub rate: f64,
    /// How gaps were spread.
    pub arrivals: Arrivals,
    /// How long requests came, seconds, where that was limited.
    pub duration_s: Option<f64>,
    /// How much faster than the wall the workload's clock ran.
    pub time_scale: f64,
    /// Where requests went.
    pub targets: Vec<String>,
    /// The model asked for.
    pub model: String,
    /// What made a request good.
    pub slo: Slo,
}

/// A workload's runs, one for each seed.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// What was run.
    pub conditions: Conditions,
    /// All classes, all seeds.
    pub total: Figures,
    /// Each class, all seeds.
    pub classes: BTreeMap<Class, Figures>,
    /// All classes, each seed.
    pub seeds: BTreeMap<u64, Figures>,
    /// How late the driver sent.
    pub lateness_s: Percentiles,
    #[serde(skip)]
    histograms: Vec<(Class, Totals)>,
}

/// Figures of one class or of all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Requests that ended.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// Failures by name.
    pub failures: BTreeMap<String, u64>,
    /// Share within the limits, 0–1.
    pub good_share: f64,
    /// Requests within the limits per second.
    pub goodput_per_s: f64,
    /// Output tokens per second.
    pub output_tokens_per_s: f64,
    /// Share of prompt tokens from the prefix cache, 0–1.
    pub cached_share: f64,
    /// Time to first token.
    pub ttft_s: Percentiles,
    /// Time between chunks.
    pub itl_s: Percentiles,
    /// Time per output token after the first.
    pub tpot_s: Percentiles,
    /// Time to the end.
    pub e2e_s: Percentiles,
}

/// Points of a distribution, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// The mean.
    pub mean: f64,
    /// Half stay within this.
    pub p50: f64,
    /// 90 % do.
    pub p90: f64,
    /// 99 % do.
    pub p99: f64,
}

impl From<&Latencies> for Percentiles {
    fn from(latencies: &Latencies) -> Self {
        let at = |quantile| latencies.quantile(quantile);
        Self { mean: latencies.mean(), p50: at(0.5), p90: at(0.9), p99: at(0.99) }
    }
}

impl Figures {
    fn new(totals: &Totals, elapsed_s: f64) -> Self {
        Self {
            requests: totals.requests,
            failed: totals.failed(),
            failures: totals.failures.clone(),
            good_share: totals.good_share(),
            goodput_per_s: totals.good as f64 / elapsed_s,
            output_tokens_per_s: totals.output_tokens as f64 / elapsed_s,
            cached_share: totals.cached_share(),
            ttft_s: (&totals.ttft).into(),
            itl_s: (&totals.itl).into(),
            tpot_s: (&totals.tpot).into(),
            e2e_s: (&totals.e2e).into(),
        }
    }

    fn row(&self, name: &str) -> Vec<String> {
        let percent = |share: f64| format!("{} %", number(share * 100.0));
        let mut cells = vec![name.to_owned(), self.requests.to_string(), self.failed.to_string()];
        let pairs = [self.ttft_s, self.tpot_s, self.e2e_s].map(|one| [duration(one.p50), duration(one.p99)]);
        cells.extend(pairs.into_iter().flatten());
        cells.extend([
            number(self.output_tokens_per_s),
            percent(self.good_share),
            percent(self.cached_share),
        ]);
        cells
    }
}

/// What is compared between seeds: a name, and how it is read and shown.
type Compared = (&'static str, fn(&Figures) -> f64, fn(f64) -> String);

const COMPARED: [Compared; 7] = [
    ("TTFT p50", |figures| figures.ttft_s.p50, duration),
    ("TTFT p99", |figures| figures.ttft_s.p99, duration),
    ("TPOT p50", |figures| figures.tpot_s.p50, duration),
    ("E2E p50", |figures| figures.e2e_s.p50, duration),
    ("E2E p99", |figures| figures.e2e_s.p99, duration),
    ("goodput (1/s)", |figures| figures.goodput_per_s, number),
    ("output tokens/s", |figures| figures.output_tokens_per_s, number),
];

impl RunReport {
    /// Sums up the runs of each seed; at least one.
    ///
    /// # Errors
    /// Where there is none.
    pub fn new(conditions: Conditions, runs: &[(u64, Results)]) -> Result<Self, Error> {
        // A lull at the end is part of the run, though nothing ends in it.
        let least_s = conditions.duration_s.unwrap_or_default();
        let whole = |results: &Results| {
            let mut results = results.clone();
            results.elapsed_s = results.elapsed_s.max(least_s);
            results
        };
        let Some(((_, first), others)) = runs.split_first() else {
            return Err(Error::Failed("a report needs at least one run".into()));
        };
        let mut all = whole(first);
        others.iter().for_each(|(_, results)| all.merge(&whole(results)));
        let seed = |(seed, results): &(u64, Results)| -> Result<_, Error> {
            Ok((*seed, Figures::new(&results.total()?, results.elapsed_s.max(least_s))))
        };
        Ok(Self {
            conditions,
            total: Figures::new(&all.total()?, all.elapsed_s),
            classes: all
                .classes()
                .map(|(class, totals)| (class, Figures::new(totals, all.elapsed_s)))
                .collect(),
            seeds: runs.iter().map(seed).collect::<Result<_, _>>()?,
            lateness_s: (&all.lateness).into(),
            histograms: all.classes().map(|(class, totals)| (class, totals.clone())).collect(),
        })
    }

    /// A row for each class, and one for all.
    pub fn table(&self) -> Table {
        let numbers = [
            "requests",
            "failed",
            "TTFT p50",
            "p99",
            "TPOT p50",
            "p99",
            "E2E p50",
            "p99",
            "tokens/s",
            "within SLO",
            "cached",
        ];
        let mut table = Table::new([Column::text("class")].into_iter().chain(numbers.map(Column::number)));
        for (class, figures) in &self.classes {
            table.row(figures.row(class.name()));
        }
        table.row(self.total.row("all"));
        table
    }

    /// How much the seeds differ; nothing for a single one.
    pub fn spread(&self) -> Option<Table> {
        if self.seeds.len() < 2 {
            return None;
        }
        let columns = ["median", "least", "greatest"].map(Column::number);
        let mut table = Table::new([Column::text("over the seeds")].into_iter().chain(columns));
        for (name, read, show) in COMPARED {
            let Spread { median, min, max } = Spread::of(self.seeds.values().map(read))?;
            table.row([name.to_owned(), show(median), show(min), show(max)]);
        }
        Some(table)
    }

    /// What was run, in one sentence, and what to know about the figures.
    pub fn remarks(&self) -> String {
        let Conditions { workload, rate, arrivals, time_scale, targets, model, .. } = &self.conditions;
        let mut text = format!(
            "Workload {workload} at {} requests/s ({arrivals}), {} seed(s), model {model}, sent to {}.",
            number(*rate),
            self.seeds.len(),
            targets.join(", ")
        );
        if *time_scale > 1.0 {
            text += &format!(" The clock ran {} times as fast as the wall's.", number(*time_scale));
        }
        text += &format!(" The driver sent {} after requests were due (p99).", duration(self.lateness_s.p99));
        for (name, count) in &self.total.failures {
            text += &format!(" {count} failed: {name}.");
        }
        text
    }

    /// Distributions of the time to the first token and to the end, by class.
    pub fn plots(&self) -> [(&'static str, Chart); 2] {
        let chart = |title: &str, label: &str, read: fn(&Totals) -> &Latencies| {
            let empty = Chart::new(title, Axis::log(label), Axis::share("requests within"));
            self.histograms
                .iter()
                .fold(empty, |chart, (class, totals)| chart.line(class.name(), read(totals).distribution()))
        };
        [
            ("ttft", chart("Time to first token", "TTFT (s)", |totals| &totals.ttft)),
            ("e2e", chart("Time to the end of the answer", "E2E (s)", |totals| &totals.e2e)),
        ]
    }

    /// Writes `run.json`, `run.md`, `run-ttft.svg` and `run-e2e.svg` into `folder`.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        let files = ReportFiles::create(folder, "run")?;
        let mut document = Document::new(&format!("Load test: {}", self.conditions.workload));
        document.block(&self.remarks()).table(&self.table());
        if let Some(spread) = self.spread() {
            document.table(&spread);
        }
        for (name, chart) in self.plots() {
            files.svg(name, chart.svg())?;
            document.image(name, &files.svg_name(name));
        }
        files.json(self)?;
        files.markdown(&document)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::replay::{Failure, Outcome, outcome::tests::outcome};

    fn results(ttft_s: f64) -> Results {
        let mut results = Results::new(Slo::default()).unwrap();
        results.record(&Outcome { first_token_s: Some(1.0 + ttft_s), ..outcome() }, &[0.1]).unwrap();
        let failed = Outcome { class: Class::Code, failure: Some(Failure::Silent), ..outcome() };
        results.record(&failed, &[]).unwrap();
        results
    }

    #[test]
    fn a_report_has_classes_seeds_and_plots() {
        let conditions = Conditions {
            workload: "steady".into(),
            rate: 2.0,
            arrivals: Arrivals::Poisson,
            duration_s: Some(60.0),
            time_scale: 1.0,
            targets: vec!["http://a".into()],
            model: "m".into(),
            slo: Slo::default(),
        };
        assert!(RunReport::new(conditions.clone(), &[]).is_err());
        let report =
            RunReport::new(conditions, &[(1, results(0.1)), (2, results(0.3)), (3, results(0.2))]).unwrap();
        assert_eq!(report.table().len(), 3, "two classes and all");
        let spread = report.spread().unwrap().to_text();
        assert!(spread.contains("TTFT p50         200 ms  100 ms    300 ms"), "{spread}");
        assert!(report.remarks().contains("3 failed: silent server."));
        assert!((report.total.goodput_per_s - 3.0 / 180.0).abs() < 1e-9, "over three times 60 s");

        let folder = tempfile::tempdir().unwrap();
        report.write(folder.path()).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let json: serde_json::Value = serde_json::from_str(&read("run.json")).unwrap();
        assert_eq!((&json["total"]["requests"], &json["classes"]["code"]["failed"]), (&6.into(), &3.into()));
        assert_eq!(json["conditions"]["arrivals"], "poisson");
        assert!(read("run.md").contains("![ttft](run-ttft.svg)"));
        assert!(read("run-e2e.svg").contains("</svg>"));
    }
}
