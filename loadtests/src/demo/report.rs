//! What came out, as tables, JSON and a plot.

use std::path::PathBuf;

use serde::Serialize;

use super::{
    DRAIN, DemoOptions,
    board::{Board, Side},
};
use crate::{
    Error,
    driver::replay::Totals,
    report::{Axis, Chart, Column, Document, ReportFiles, Table, duration, number},
    workload::Class,
};

/// The result of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether the engines were simulated.
    simulated: bool,
    duration_s: u64,
    rate: f64,
    seed: u64,
    ways: Vec<Way>,
    engines: Vec<Engine>,
    #[serde(skip)]
    plot: String,
}

/// One way.
#[derive(Debug, Serialize)]
struct Way {
    name: &'static str,
    requests: u64,
    failed: u64,
    unfinished: u64,
    output_tokens: u64,
    ttft_p50_s: f64,
    ttft_p95_s: f64,
    tpot_p50_s: f64,
    tpot_p95_s: f64,
    e2e_p50_s: f64,
    e2e_p95_s: f64,
    /// Engines' prices for the time in which they computed.
    usd_per_1k_tokens: Option<f64>,
    wh_per_1k_tokens: Option<f64>,
    cached_share: Option<f64>,
    classes: Vec<ByClass>,
    /// How late the driver was at the 99th percentile.
    driver_lateness_p99_s: f64,
}

/// One class of requests, one way.
#[derive(Debug, Serialize)]
struct ByClass {
    class: Class,
    requests: u64,
    ttft_p50_s: f64,
    ttft_p95_s: f64,
    tpot_p50_s: f64,
    e2e_p50_s: f64,
    /// Requests by engine.
    engines: Vec<u64>,
}

/// An engine.
#[derive(Debug, Serialize)]
struct Engine {
    name: String,
    hardware: String,
    profile: String,
    usd_per_hour: Option<f64>,
}

impl Report {
    /// The report on a board.
    pub(super) fn new(board: &Board, options: &DemoOptions) -> Self {
        let engines = board.engines.iter().map(|engine| Engine {
            name: engine.name.clone(),
            hardware: engine.hardware.clone(),
            profile: engine.profile.clone(),
            usd_per_hour: engine.price_usd_per_hour,
        });
        Self {
            simulated: board.simulated,
            duration_s: options.duration,
            rate: options.rate,
            seed: options.seed,
            ways: Side::ALL.into_iter().map(|side| Way::new(board, side)).collect(),
            engines: engines.collect(),
            plot: plot(board),
        }
    }

    /// Writes the files; gives their paths.
    pub(super) fn write(&self, files: &ReportFiles) -> Result<Vec<PathBuf>, Error> {
        let mut document = Document::new("Gearshift against round robin");
        document.block(&self.conditions()).table(&self.ways_table()).section("Where requests went");
        document.table(&self.flows_table()).section("By class").table(&self.classes_table());
        document.image("Time to first token", &files.svg_name(""));
        Ok(vec![files.json(self)?, files.markdown(&document)?, files.svg("", self.plot.clone())?])
    }

    /// For the terminal.
    pub(super) fn text(&self, written: &[PathBuf]) -> String {
        let files: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
        format!(
            "{}\n\n{}\n{}\n{}\n{}\n",
            self.conditions(),
            self.ways_table().to_text(),
            self.flows_table().to_text(),
            self.classes_table().to_text(),
            files.join("  ")
        )
    }

    fn conditions(&self) -> String {
        let Self { simulated, duration_s, rate, seed, engines, .. } = self;
        let (kind, how) = if *simulated {
            ("simulated", "at once, on a fleet of its own")
        } else {
            ("real", "one after the other, on the same engines")
        };
        format!(
            "{} {kind} engines; {duration_s} s of drifting workload at {} requests/s (seed {seed}); both ways {how}. \
             Unfinished are answers still under way {} s after the last arrival; E2E and TPOT are those of the others.",
            engines.len(),
            number(*rate),
            DRAIN.as_secs()
        )
    }

    fn ways_table(&self) -> Table {
        let mut table = Table::new([
            Column::text("way"),
            Column::number("requests"),
            Column::number("failed"),
            Column::number("unfinished"),
            Column::number("TTFT p50"),
            Column::number("TTFT p95"),
            Column::number("TPOT p50"),
            Column::number("E2E p50"),
            Column::number("E2E p95"),
            Column::number("$/1k tokens"),
            Column::number("Wh/1k tokens"),
        ]);
        let amount = |amount: Option<f64>| amount.map_or_else(|| "–".to_owned(), number);
        for way in &self.ways {
            table.row([
                way.name.to_owned(),
                way.requests.to_string(),
                way.failed.to_string(),
                way.unfinished.to_string(),
                duration(way.ttft_p50_s),
                duration(way.ttft_p95_s),
                duration(way.tpot_p50_s),
                duration(way.e2e_p50_s),
                duration(way.e2e_p95_s),
                amount(way.usd_per_1k_tokens),
                amount(way.wh_per_1k_tokens),
            ]);
        }
        table
    }

    /// Through Gearshift: which share of each class went to which engine.
    fn flows_table(&self) -> Table {
        let heads = self.engines.iter().map(|engine| {
            let described = [engine.hardware.as_str(), engine.profile.as_str()].join(" ");
            Column::number(format!("{} ({})", engine.name, described.trim()))
        });
        let mut table = Table::new(std::iter::once(Column::text("class")).chain(heads));
        for class in self.ways.first().map(|way| way.classes.as_slice()).unwrap_or_default() {
            let all = class.engines.iter().sum::<u64>().max(1) as f64;
            let shares = class.engines.iter().map(|&count| format!("{:.0} %", 100.0 * count as f64 / all));
            table.row(std::iter::once(class.class.name().to_owned()).chain(shares));
        }
        table
    }

    fn classes_table(&self) -> Table {
        let heads = ["TTFT p50", "TTFT p95", "TPOT p50", "E2E p50"].map(Column::number);
        let mut table = Table::new(
            [Column::text("class"), Column::text("way"), Column::number("requests")].into_iter().chain(heads),
        );
        for class in Class::ALL {
            for way in &self.ways {
                let Some(row) = way.classes.iter().find(|row| row.class == class) else { continue };
                table.row([
                    class.name().to_owned(),
                    way.name.to_owned(),
                    row.requests.to_string(),
                    duration(row.ttft_p50_s),
                    duration(row.ttft_p95_s),
                    duration(row.tpot_p50_s),
                    duration(row.e2e_p50_s),
                ]);
            }
        }
        table
    }
}

impl Way {
    fn new(board: &Board, side: Side) -> Self {
        let tally = board.side(side);
        let results = tally.results.as_ref();
        let by_class = |(class, totals): (Class, &Totals)| ByClass {
            class,
            requests: totals.requests,
            ttft_p50_s: totals.ttft.quantile(0.5),
            ttft_p95_s: totals.ttft.quantile(0.95),
            tpot_p50_s: totals.tpot.quantile(0.5),
            e2e_p50_s: totals.e2e.quantile(0.5),
            engines: tally.flows.get(class as usize).cloned().unwrap_or_default(),
        };
        let cached = results.and_then(|results| results.total().ok()).map(|total| total.cached_share());
        Self {
            name: side.name(),
            requests: tally.ended,
            failed: tally.failed,
            unfinished: tally.unfinished,
            output_tokens: tally.output_tokens,
            ttft_p50_s: tally.ttft.quantile(0.5),
            ttft_p95_s: tally.ttft.quantile(0.95),
            tpot_p50_s: tally.tpot.quantile(0.5),
            tpot_p95_s: tally.tpot.quantile(0.95),
            e2e_p50_s: tally.e2e.quantile(0.5),
            e2e_p95_s: tally.e2e.quantile(0.95),
            usd_per_1k_tokens: board.usd_per_1k(side),
            wh_per_1k_tokens: board.wh_per_1k(side),
            cached_share: cached.filter(|share| share.is_finite()),
            classes: results.into_iter().flat_map(|results| results.classes()).map(by_class).collect(),
            driver_lateness_p99_s: results.map_or(0.0, |results| results.lateness.quantile(0.99)),
        }
    }
}

/// The distribution of times to first token, both ways.
fn plot(board: &Board) -> String {
    let kind = if board.simulated { "simulated engines" } else { "real engines" };
    let title = format!("Time to first token, {kind}");
    let chart = Chart::new(&title, Axis::log("TTFT (s)"), Axis::share("requests within"));
    let line = |chart: Chart, side: Side| chart.line(side.name(), board.side(side).ttft.distribution());
    Side::ALL.into_iter().fold(chart, line).svg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::board::tests::{board, options};

    #[test]
    fn a_report_says_what_was_simulated_and_is_three_files() {
        let report = Report::new(&board(), &options());
        let folder = tempfile::tempdir().unwrap();
        let written = report.write(&ReportFiles::create(folder.path(), "demo").unwrap()).unwrap();
        let text = report.text(&written);
        assert!(text.starts_with("6 simulated engines; 60 s of drifting workload"), "{text}");
        let names: Vec<_> = written.iter().map(|path| path.extension().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["json", "md", "svg"]);
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&written[0]).unwrap()).unwrap();
        assert_eq!((&json["simulated"], &json["ways"][0]["failed"]), (&true.into(), &1.into()));
        assert!(std::fs::read_to_string(&written[2]).unwrap().contains("simulated engines"));
    }
}
