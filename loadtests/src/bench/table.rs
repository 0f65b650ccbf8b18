//! The report as Markdown.

use std::fmt::Write as _;

use super::{
    Conditions, DecisionRow, Report, Row, Spread, TracingCost,
    case::{Quantity, Target},
};

/// The table, with the conditions under it.
pub(super) fn markdown(report: &Report) -> String {
    let mut text = String::from(
        "| case | proxy | median (min–max) | user CPU | ratio to nginx (min–max) | target |\n\
         | --- | --- | ---: | ---: | ---: | --- |\n",
    );
    for row in &report.rows {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            row.case.name(),
            row.proxy.name(),
            headline(row),
            row.get(Quantity::CpuUser)
                .map_or_else(String::new, |user| amount(Quantity::CpuUser, user.median)),
            row.ratio_to_nginx.map_or_else(String::new, ratio),
            target(row),
        );
    }
    text.push_str(&decisions(&report.decisions));
    if let Some(Spread { median, min, max }) = report.learner_added_cpu_us {
        let _ = writeln!(
            text,
            "\nA bundle adds {median:.1} µs ({min:.1}–{max:.1}) of CPU to a request of 1 kB before eight engines, all of them asked about."
        );
    }
    for TracingCost { sample, added_cpu_us: Spread { median, min, max }, ratio: times } in &report.tracing {
        let _ = writeln!(
            text,
            "\nAt 1,000 requests per second, the spans of {:.0} % of requests cost {median:.1} µs ({min:.1}–{max:.1}) of CPU a request: {} times.",
            sample * 100.0,
            ratio(*times),
        );
    }
    text.push_str(&conditions(&report.conditions));
    text
}

/// Decisions by themselves.
fn decisions(rows: &[DecisionRow]) -> String {
    let mut text = String::from(
        "\n| decision among | with | p50 | p99 | a second | target |\n| ---: | --- | ---: | ---: | ---: | --- |\n",
    );
    for row in rows {
        let with = row.bundle.as_deref().unwrap_or("the prior alone");
        let target = row.meets_target.map_or("", |met| if met { "met" } else { "**missed**" });
        let DecisionRow { candidates, p50_us, p99_us, per_second, .. } = row;
        let _ = writeln!(
            text,
            "| {candidates} | {with} | {p50_us:.1} µs | {p99_us:.1} µs | {per_second:.0} | {target} |"
        );
    }
    text
}

/// The quantity that the case is about; without a proxy, what there is instead.
fn headline(row: &Row) -> String {
    let shown = [row.case.headline(), Quantity::LatencyP50, Quantity::PerSecond];
    let found = shown.into_iter().find_map(|one| Some((one, row.get(one)?)));
    let Some((quantity, Spread { median, min, max })) = found else { return String::new() };
    let suffix = if quantity == row.case.headline() { "" } else { " in all" };
    format!("{}{suffix} ({}–{})", amount(quantity, median), number(quantity, min), number(quantity, max))
}

fn amount(quantity: Quantity, value: f64) -> String {
    let unit = match quantity {
        Quantity::Cpu | Quantity::CpuUser | Quantity::LatencyP50 | Quantity::AddedP50 => " µs",
        Quantity::PerSecond => "/s",
        Quantity::Rss => " MB",
        Quantity::RssPerStream => " kB",
    };
    format!("{}{unit}", number(quantity, value))
}

fn number(quantity: Quantity, value: f64) -> String {
    match quantity {
        Quantity::Cpu | Quantity::CpuUser => format!("{value:.1}"),
        Quantity::LatencyP50 | Quantity::AddedP50 | Quantity::PerSecond => format!("{value:.0}"),
        Quantity::Rss => format!("{:.1}", value / 1e6),
        Quantity::RssPerStream => format!("{:.1}", value / 1e3),
    }
}

fn ratio(spread: Spread) -> String {
    format!("{:.2} ({:.2}–{:.2})", spread.median, spread.min, spread.max)
}

fn target(row: &Row) -> String {
    let (Some(target), Some(met)) = (row.case.target(), row.meets_target()) else {
        return String::new();
    };
    let limit = match target {
        Target::RatioToNginx(limit) => format!("≤ {limit}×"),
        Target::AtMost(limit) => format!("≤ {}", amount(row.case.headline(), limit)),
    };
    format!("{limit} {}", if met { "met" } else { "**missed**" })
}

fn conditions(conditions: &Conditions) -> String {
    let mut text = String::from("\n");
    let Conditions { date, git_commit, cpu_model, kernel, .. } = conditions;
    let versions: Vec<&str> = conditions.versions.values().map(String::as_str).collect();
    let _ = write!(text, "{date}, commit {git_commit}, {cpu_model}, {kernel}; {}.", versions.join("; "));
    if let Some(plan) = &conditions.plan {
        let _ = write!(
            text,
            " {} rounds of {:.1} s; {} connections; the proxies on one core in turn, the stub engine and the driver \
             on {} other; {} streams for memory; chunks every {} ms.",
            plan.rounds,
            plan.measured.as_secs_f64(),
            plan.connections,
            conditions.load_cores.len(),
            plan.streams,
            plan.chunk_interval.as_millis(),
        );
    }
    let _ =
        write!(text, " Other processes took {:.0} % of the machine.", conditions.others_cpu_share * 100.0);
    for (proxy, why) in &conditions.left_out {
        let _ = write!(text, " {proxy} is left out: {why}.");
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Case, Proxy};

    #[test]
    fn a_row_reads_like_a_sentence() {
        let spread = Spread { median: 26.04, min: 25.0, max: 27.96 };
        let row = Row {
            proxy: Proxy::Gearshift,
            case: Case::Request1k,
            rounds: 5,
            count: 100,
            ratio_to_nginx: Some(Spread { median: 1.6, min: 1.4, max: 1.7 }),
            values: vec![(Quantity::Cpu, spread), (Quantity::CpuUser, spread)],
        };
        let report = Report {
            conditions: Conditions::default(),
            rows: vec![row],
            decisions: Vec::new(),
            learner_added_cpu_us: None,
            tracing: Vec::new(),
        };
        let expected = "| request_1k | gearshift | 26.0 µs (25.0–28.0) | 26.0 µs | 1.60 (1.40–1.70) | ≤ 1.5× **missed** |";
        assert_eq!(markdown(&report).lines().nth(2), Some(expected));
    }
}
