//! The cases as sections of a report.

use super::{Adaptation, IMPOSTORS_S, Impostor, Newcomer, THROTTLED_S, Throttled};
use crate::report::{Column, Document, Interval, Table, bootstrap, mean, median};

/// Adds the sections.
pub fn tables(document: &mut Document, adaptation: &Adaptation) {
    impostors(document, adaptation);
    throttled(document, adaptation);
    newcomer(document, adaptation);
}

fn impostors(document: &mut Document, adaptation: &Adaptation) {
    let heads =
        ["found", "after its own requests", "after all requests", "share of the first 100", "share at last"];
    let columns = [Column::text("backend"), Column::text("flag")];
    let mut table = Table::new(columns.into_iter().chain(heads.map(Column::number)));
    for (name, what) in [("old-card", "a T4 that claims an H100"), ("bad-line", "180 ms away, 5 % lost")] {
        let rows: Vec<&Impostor> = adaptation.impostors.iter().filter(|row| row.backend == name).collect();
        let found: Vec<_> = rows.iter().filter_map(|row| row.found).collect();
        let counts = |of: fn(&super::Found) -> u64| {
            let counts: Vec<f64> = found.iter().map(|found| of(found) as f64).collect();
            span(&counts, 0)
        };
        table.row([
            format!("{name}: {what}"),
            found.first().map_or("none".into(), |found| found.claim.as_str().to_owned()),
            format!("{} of {}", found.len(), rows.len()),
            counts(|found| found.own_requests),
            counts(|found| found.requests),
            span(&rows.iter().map(|row| row.at_first).collect::<Vec<_>>(), 2),
            span(&rows.iter().map(|row| row.at_last).collect::<Vec<_>>(), 2),
        ]);
    }
    document
        .section("Backends that are not what they claim")
        .block(&format!(
            "Fleet `impostor`, {} requests/s for {IMPOSTORS_S:.0} s. Medians over repetitions (smallest–largest); shares are over an \
             even one, at last is the second half. Honest backends flagged: {}.",
            adaptation.rate, adaptation.false_flags
        ))
        .table(&table);
}

fn throttled(document: &mut Document, adaptation: &Adaptation) {
    let rows = &adaptation.throttled;
    let of = |of: fn(&Throttled) -> f64| span(&rows.iter().map(of).collect::<Vec<_>>(), 2);
    let back: Vec<f64> = rows.iter().filter_map(|row| row.back_after_s).collect();
    let heads = ["before", "from 30 s on", "back at 80 % after", "of repetitions", "last minute"];
    let mut table = Table::new(heads.map(Column::number));
    table.row([
        of(|row| row.before),
        of(|row| row.during),
        format!("{} s", span(&back, 0)),
        format!("{} of {}", back.len(), rows.len()),
        of(|row| row.at_last),
    ]);
    let [from, until, end] = THROTTLED_S;
    document
        .section("A backend that is throttled")
        .block(&format!(
            "One of six H100 takes three times as long from {from:.0} s to {until:.0} s of {end:.0} s, at {} requests/s. Shares are \
             over an even one, medians over repetitions (smallest–largest).",
            adaptation.rate
        ))
        .table(&table);
}

fn newcomer(document: &mut Document, adaptation: &Adaptation) {
    let rows = &adaptation.newcomer;
    let of = |of: fn(&Newcomer) -> f64| {
        let values: Vec<f64> = rows.iter().map(of).collect();
        let Interval { low, high } =
            bootstrap(&values, 1, |drawn| drawn.iter().copied().sum::<f64>() / drawn.len() as f64);
        format!("{:.2} ({low:.2}–{high:.2}); {}", mean(&values), span(&values, 2))
    };
    let heads = ["its first 100 requests", "after them", "steady share of all"];
    let mut table = Table::new(heads.map(Column::number));
    table.row([of(|row| row.at_once), of(|row| row.after_hundred), of(|row| row.steady)]);
    document
        .section("A card that nobody knows")
        .block(&format!(
            "Fleet `newcomer` at {} requests/s; the unknown card joins after 60 s with a description and numbers, and does a third less \
             than they say. Shares are over its steady one: means (95 % of the mean, bootstrapped); medians (smallest–largest).",
            adaptation.rate
        ))
        .table(&table);
}

fn span(values: &[f64], digits: usize) -> String {
    if values.is_empty() {
        return "–".into();
    }
    let (low, high) =
        values.iter().fold((f64::INFINITY, 0.0), |(low, high), &x| (f64::min(low, x), f64::max(high, x)));
    format!("{:.digits$} ({low:.digits$}–{high:.digits$})", median(values))
}
