//! The comparison as Markdown.

use std::time::Duration;

use super::{Comparison, Factor, Kind, PolicySummary, Standing, kind::ORACLE_LOAD};
use crate::{
    report::{Column, Document, Table},
    study::grid,
};

/// Cells named at most where Gearshift loses.
const LOSSES: usize = 12;

/// The report for people; `plot` is the file name of the plot beside it.
pub fn markdown(comparison: &Comparison, standing: &Standing, plot: &str) -> Document {
    let mut document = Document::new("Routing policies side by side (simulated)");
    document.block(&conditions(comparison, standing)).table(&overall(standing)).image("By load", plot);
    document.section("By fleet").table(&by(standing, |row| named(&row.fleets)));
    document.section("By workload").table(&by(standing, |row| named(&row.workloads)));
    document.section("By load").table(&by(standing, |row| {
        row.loads.iter().map(|(load, factor)| (percent(*load), *factor)).collect()
    }));
    losses(&mut document, standing);
    document
        .section("What 100 % load is")
        .block(
            "Requests a second: each engine alone in a closed loop with a deep queue, summed. Goodput is counted within \
             the fleet's limits.",
        )
        .table(&capacities(comparison));
    document
}

fn conditions(comparison: &Comparison, standing: &Standing) -> String {
    let base = standing.base.name();
    let time = || format!("{:.0} s of requests (at least {})", grid::SECONDS, grid::LEAST_REQUESTS);
    let length = comparison.requests.map_or_else(time, |count| format!("{count} requests"));
    format!(
        "Simulated engines in virtual time; objective: {}. Factors are {} over {base}'s on the same requests, as \
         geometric means: above 1 is worse than {base}. {length} a run, of which the first {} are left out; a request \
         without a whole answer counts as {:.0} s. Cost is the engines' price for the seconds in which a step ran, \
         energy that of the steps. The oracle is greedy, and run with the first seed and up to {} load \
         only: its figures are of these cells.",
        format!("{:?}", comparison.objective).to_lowercase(),
        standing.headline,
        percent(grid::WARM_UP),
        grid::LOST_S,
        percent(ORACLE_LOAD)
    )
}

fn overall(standing: &Standing) -> Table {
    let names =
        ["p99 E2E", "TTFT", "TPOT", "cost", "energy", "answered", "goodput", "cached", "E2E over oracle"];
    let columns = [Column::text("policy"), Column::number("factor (95 % over seeds)")];
    let mut table = Table::new(columns.into_iter().chain(names.map(Column::number)));
    for row in &standing.policies {
        let ratio = |name| factor(row.ratios.get(name).copied().unwrap_or(f64::NAN));
        table.row([
            name(row.policy),
            interval(&row.overall),
            ratio("e2e_p99"),
            ratio("ttft_mean"),
            ratio("tpot_mean"),
            ratio("usd_per_1k"),
            ratio("joules_per_1k"),
            format!("{:.1} %", row.whole * 100.0),
            percent(row.goodput),
            percent(row.hit_rate),
            row.regret.map_or("–".into(), |regret| format!("{:+.0} %", regret * 100.0)),
        ]);
    }
    table
}

/// The policy's name; Gearshift's in bold.
fn name(kind: Kind) -> String {
    if kind == Kind::Gearshift { format!("**{}**", kind.name()) } else { kind.name().to_owned() }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Where a policy was not run there is no factor.
fn factor(value: f64) -> String {
    if value.is_finite() { format!("{value:.2}") } else { "–".to_owned() }
}

fn interval(factor: &Factor) -> String {
    if factor.high.is_finite() && factor.low < factor.high {
        format!("{:.2} ({:.2}–{:.2})", factor.mean, factor.low, factor.high)
    } else {
        format!("{:.2}", factor.mean)
    }
}

type Named = Vec<(String, f64)>;

fn named(factors: &std::collections::BTreeMap<String, f64>) -> Named {
    factors.iter().map(|(name, factor)| (name.clone(), *factor)).collect()
}

fn by(standing: &Standing, columns: impl Fn(&PolicySummary) -> Named) -> Table {
    let first = standing.policies.first().map(&columns).unwrap_or_default();
    let heads = first.into_iter().map(|(name, _)| Column::number(name));
    let mut table = Table::new([Column::text("policy")].into_iter().chain(heads));
    for row in &standing.policies {
        let factors = columns(row).into_iter().map(|(_, value)| factor(value));
        table.row([name(row.policy)].into_iter().chain(factors));
    }
    table
}

fn losses(document: &mut Document, standing: &Standing) {
    let base = standing.base.name();
    document.section(&format!("Where {base} loses"));
    if standing.losses.is_empty() {
        document
            .block(&format!("In no cell does another policy beat {base} by more than 3 % with every seed."));
        return;
    }
    let mut table = Table::new(
        ["policy", "fleet", "workload"]
            .map(Column::text)
            .into_iter()
            .chain(["load", "factor"].map(Column::number)),
    );
    for loss in standing.losses.iter().take(LOSSES) {
        let factor = format!("{:.2}", loss.factor);
        table.row([
            loss.policy.name().to_owned(),
            loss.fleet.clone(),
            loss.workload.clone(),
            percent(loss.load),
            factor,
        ]);
    }
    let (all, pairs, shown) = (standing.losses.len(), standing.pairs, table.len());
    document
        .block(&format!(
            "By more than 3 % with every seed: {all} of {pairs} pairs of policy and cell; the {shown} worst:"
        ))
        .table(&table);
}

fn capacities(comparison: &Comparison) -> Table {
    let heads = ["requests/s", "TTFT within", "TPOT within"].map(Column::number);
    let mut table = Table::new(["fleet", "workload"].map(Column::text).into_iter().chain(heads));
    let ms =
        |limit: Option<Duration>| limit.map_or("–".into(), |limit| format!("{} ms", limit.as_millis()));
    for capacity in &comparison.capacities {
        let limits = grid::limits(&capacity.fleet);
        table.row([
            capacity.fleet.clone(),
            capacity.workload.clone(),
            format!("{:.1}", capacity.rate),
            ms(limits.ttft),
            ms(limits.tpot),
        ]);
    }
    table
}
