//! Rounds, summed up.

use std::path::Path;

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    Case, Conditions, DecisionRow, Measured, Proxy, Spread,
    case::{Quantity, Target},
    table,
};
use crate::Error;

/// What `bench.json` holds.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What it was measured on and how.
    pub conditions: Conditions,
    /// One for each case and proxy.
    pub rows: Vec<Row>,
    /// Decisions by themselves, by the size of the fleet.
    pub decisions: Vec<DecisionRow>,
    /// CPU that a bundle adds to a request of 1 kB before eight engines, microseconds, round by round; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learner_added_cpu_us: Option<Spread>,
    /// What sending spans costs, by the share of requests that is sampled; absent where it was not measured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tracing: Vec<TracingCost>,
}

/// What a collector costs, beside Gearshift without one in the same round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TracingCost {
    /// Share of requests whose spans are sent.
    pub sample: f64,
    /// CPU of a request of 1 kB more than without, microseconds.
    pub added_cpu_us: Spread,
    /// Its CPU over that without.
    pub ratio: Spread,
}

/// A case through a proxy, over all rounds.
///
/// In JSON each quantity is its median under its own name, such as `cpu_us`, with `_min` and `_max` beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Through what.
    pub proxy: Proxy,
    /// What was measured.
    pub case: Case,
    /// Rounds.
    pub rounds: usize,
    /// Requests, chunks or streams over all rounds. None of them failed: else there is no report.
    pub count: u64,
    /// The case's quantity over nginx's of the same round; nothing where nginx did not take part.
    pub ratio_to_nginx: Option<Spread>,
    pub(super) values: Vec<(Quantity, Spread)>,
}

impl Report {
    /// Sums the rounds up.
    pub(super) fn new(conditions: Conditions, measured: &[Measured], decisions: Vec<DecisionRow>) -> Self {
        let rounds = Rounds(measured);
        let mut rows: Vec<(Case, Proxy)> = measured.iter().map(|one| (one.case, one.proxy)).collect();
        rows.sort_unstable();
        rows.dedup();
        let rows = rows.into_iter().map(|(case, proxy)| rounds.row(case, proxy)).collect();
        Self {
            conditions,
            rows,
            decisions,
            learner_added_cpu_us: rounds.learner_added(),
            tracing: rounds.tracing(),
        }
    }

    /// Writes the JSON at `path` and the table beside it.
    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
        }
        let mut json = serde_json::to_string_pretty(self)?;
        json.push('\n');
        std::fs::write(path, json).map_err(Error::file(path))?;
        let beside = path.with_extension("md");
        std::fs::write(&beside, self.table()).map_err(Error::file(beside))
    }

    /// The rows as a Markdown table for people, with the conditions under it.
    pub fn table(&self) -> String {
        table::markdown(self)
    }
}

impl Row {
    /// A quantity over all rounds.
    pub(super) fn get(&self, quantity: Quantity) -> Option<Spread> {
        self.values.iter().find(|(known, _)| *known == quantity).map(|&(_, spread)| spread)
    }

    /// Whether Gearshift's target is met, where the case has one and the row is Gearshift's.
    pub fn meets_target(&self) -> Option<bool> {
        if self.proxy != Proxy::Gearshift {
            return None;
        }
        match self.case.target()? {
            Target::RatioToNginx(limit) => self.ratio_to_nginx.map(|ratio| ratio.median <= limit),
            Target::AtMost(limit) => self.get(self.case.headline()).map(|value| value.median <= limit),
        }
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_map(None)?;
        row.serialize_entry("proxy", &self.proxy)?;
        row.serialize_entry("case", &self.case)?;
        row.serialize_entry("rounds", &self.rounds)?;
        row.serialize_entry("count", &self.count)?;
        row.serialize_entry("errors", &0)?;
        let ratio = self.ratio_to_nginx.map(|spread| ("ratio_to_nginx", spread));
        for (name, spread) in
            self.values.iter().map(|(quantity, spread)| (quantity.name(), *spread)).chain(ratio)
        {
            row.serialize_entry(name, &rounded(spread.median))?;
            row.serialize_entry(&format!("{name}_min"), &rounded(spread.min))?;
            row.serialize_entry(&format!("{name}_max"), &rounded(spread.max))?;
        }
        if let Some(meets_target) = self.meets_target() {
            row.serialize_entry("target", &self.case.target())?;
            row.serialize_entry("meets_target", &meets_target)?;
        }
        row.end()
    }
}

/// Three decimals: more would be noise.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// All measurements of a run.
struct Rounds<'a>(&'a [Measured]);

impl Rounds<'_> {
    fn row(&self, case: Case, proxy: Proxy) -> Row {
        let samples: Vec<&Measured> =
            self.0.iter().filter(|one| one.case == case && one.proxy == proxy).collect();
        let mut quantities: Vec<Quantity> =
            samples.iter().flat_map(|one| one.sample.values.iter().map(|(quantity, _)| *quantity)).collect();
        if case.headline() == Quantity::AddedP50 && proxy != Proxy::Direct {
            quantities.push(Quantity::AddedP50);
        }
        quantities.sort_unstable();
        quantities.dedup();
        let values = quantities.into_iter().filter_map(|quantity| {
            let values = samples.iter().filter_map(|one| self.value(case, proxy, one.round, quantity));
            Some((quantity, Spread::of(values)?))
        });
        Row {
            proxy,
            case,
            rounds: samples.len(),
            count: samples.iter().map(|one| one.sample.count).sum(),
            ratio_to_nginx: self.ratio_to_nginx(case, proxy),
            values: values.collect(),
        }
    }

    /// A quantity in one round.
    fn value(&self, case: Case, proxy: Proxy, round: usize, quantity: Quantity) -> Option<f64> {
        if quantity == Quantity::AddedP50 {
            let without = self.value(case, Proxy::Direct, round, Quantity::LatencyP50)?;
            return Some(self.value(case, proxy, round, Quantity::LatencyP50)? - without);
        }
        let one = self.0.iter().find(|one| (one.case, one.proxy, one.round) == (case, proxy, round))?;
        one.sample.get(quantity)
    }

    /// CPU of a request with a bundle less that without one.
    fn learner_added(&self) -> Option<Spread> {
        let last = self.0.iter().map(|one| one.round).max()?;
        Spread::of((0..=last).filter_map(|round| {
            let cpu = |proxy| self.value(Case::Request1k, proxy, round, Quantity::Cpu);
            Some(cpu(Proxy::Learner)? - cpu(Proxy::Fleet)?)
        }))
    }

    /// CPU of a request with a collector against that without.
    fn tracing(&self) -> Vec<TracingCost> {
        let Some(last) = self.0.iter().map(|one| one.round).max() else { return Vec::new() };
        let cost = |proxy: Proxy| {
            let cpu = |proxy, round| self.value(Case::Traced, proxy, round, Quantity::Cpu);
            let pairs =
                || (0..=last).filter_map(|round| Some((cpu(proxy, round)?, cpu(Proxy::Gearshift, round)?)));
            Some(TracingCost {
                sample: proxy.sample()?,
                added_cpu_us: Spread::of(pairs().map(|(with, without)| with - without))?,
                ratio: Spread::of(pairs().map(|(with, without)| with / without))?,
            })
        };
        Proxy::TRACED.into_iter().filter_map(cost).collect()
    }

    /// Round by round, then summed up: what the machine did in a round hit both.
    fn ratio_to_nginx(&self, case: Case, proxy: Proxy) -> Option<Spread> {
        if !matches!(proxy, Proxy::Gearshift | Proxy::Haproxy) {
            return None;
        }
        let headline = case.headline();
        let last = self.0.iter().map(|one| one.round).max()?;
        Spread::of((0..=last).filter_map(|round| {
            let positive = |proxy| self.value(case, proxy, round, headline).filter(|&value| value > 0.0);
            Some(positive(proxy)? / positive(Proxy::Nginx)?)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measure::Sample;

    fn measured(case: Case, proxy: Proxy, round: usize, quantity: Quantity, value: f64) -> Measured {
        Measured { case, proxy, round, sample: Sample { count: 10, values: vec![(quantity, value)] } }
    }

    fn rows(measured: &[Measured]) -> Vec<Row> {
        Report::new(Conditions::default(), measured, Vec::new()).rows
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let case = Case::Request1k;
        let rounds = [(20.0, 30.0), (40.0, 44.0), (10.0, 30.0)];
        let measured: Vec<Measured> = rounds
            .into_iter()
            .enumerate()
            .flat_map(|(round, (nginx, gearshift))| {
                [(Proxy::Nginx, nginx), (Proxy::Gearshift, gearshift)]
                    .map(|(proxy, value)| measured(case, proxy, round, Quantity::Cpu, value))
            })
            .collect();
        let rows = rows(&measured);
        assert_eq!(rows[0].proxy, Proxy::Gearshift);
        assert_eq!(rows[0].count, 30);
        assert_eq!(rows[0].get(Quantity::Cpu), Some(Spread { median: 30.0, min: 30.0, max: 44.0 }));
        assert_eq!(rows[0].ratio_to_nginx, Some(Spread { median: 1.5, min: 1.1, max: 3.0 }));
        assert_eq!(rows[0].meets_target(), Some(true));
        assert_eq!(rows[1].ratio_to_nginx, None);
        let json = serde_json::to_value(&rows[0]).unwrap();
        assert_eq!(json["cpu_us"], 30.0);
        assert_eq!(json["cpu_us_max"], 44.0);
        assert_eq!(json["ratio_to_nginx"], 1.5);
        assert_eq!(json["meets_target"], true);
    }

    #[test]
    fn what_spans_cost_is_taken_within_a_round() {
        let rounds = [(20.0, 25.0), (40.0, 44.0), (10.0, 12.0)];
        let measured: Vec<Measured> = rounds
            .into_iter()
            .enumerate()
            .flat_map(|(round, (without, with))| {
                [(Proxy::Gearshift, without), (Proxy::TracedAll, with)]
                    .map(|(proxy, value)| measured(Case::Traced, proxy, round, Quantity::Cpu, value))
            })
            .collect();
        let report = Report::new(Conditions::default(), &measured, Vec::new());
        let expected = TracingCost {
            sample: 1.0,
            added_cpu_us: Spread { median: 4.0, min: 2.0, max: 5.0 },
            ratio: Spread { median: 1.2, min: 1.1, max: 1.25 },
        };
        assert_eq!(report.tracing, [expected]);
        assert!(
            report.table().contains("spans of 100 % of requests cost 4.0 µs (2.0–5.0)"),
            "{}",
            report.table()
        );
    }

    #[test]
    fn what_a_bundle_adds_is_taken_within_a_round() {
        let rounds = [(20.0, 50.0), (40.0, 65.0), (10.0, 45.0)];
        let measured: Vec<Measured> = rounds
            .into_iter()
            .enumerate()
            .flat_map(|(round, (fleet, learner))| {
                [(Proxy::Fleet, fleet), (Proxy::Learner, learner)]
                    .map(|(proxy, value)| measured(Case::Request1k, proxy, round, Quantity::Cpu, value))
            })
            .collect();
        let report = Report::new(Conditions::default(), &measured, Vec::new());
        assert_eq!(report.learner_added_cpu_us, Some(Spread { median: 30.0, min: 25.0, max: 35.0 }));
        assert!(report.table().contains("adds 30.0 µs (25.0–35.0)"), "{}", report.table());
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            (&json["learner_added_cpu_us"]["median"], &json["rows"][0]["proxy"]),
            (&30.0.into(), &"gearshift-fleet".into())
        );
        assert_eq!(Report::new(Conditions::default(), &measured[..1], Vec::new()).learner_added_cpu_us, None);
    }

    #[test]
    fn added_latency_is_counted_from_the_same_round_without_a_proxy() {
        let measured: Vec<Measured> = [(100.0, 150.0), (300.0, 340.0)]
            .into_iter()
            .enumerate()
            .flat_map(|(round, (direct, haproxy))| {
                [(Proxy::Direct, direct), (Proxy::Haproxy, haproxy)]
                    .map(|(proxy, value)| measured(Case::AddedP50, proxy, round, Quantity::LatencyP50, value))
            })
            .collect();
        let rows = rows(&measured);
        assert_eq!(rows[0].get(Quantity::AddedP50), None);
        assert_eq!(rows[1].get(Quantity::AddedP50), Some(Spread { median: 45.0, min: 40.0, max: 50.0 }));
        assert_eq!(rows[1].ratio_to_nginx, None, "nginx did not take part");
    }

    #[test]
    fn a_limit_on_the_value_itself_is_a_target_too() {
        let row = |value| {
            let measured = [measured(Case::RssPerStream, Proxy::Gearshift, 0, Quantity::RssPerStream, value)];
            rows(&measured)[0].meets_target()
        };
        assert_eq!(row(32_000.0), Some(true));
        assert_eq!(row(32_001.0), Some(false));
    }
}
