//! The study as JSON, Markdown and plots.

use std::collections::BTreeMap;

use super::{Arm, ArmResult, Day, HOURS, HourFigures, Loop};
use crate::report::{Axis, Chart, Column, Document, Interval, Table, bootstrap};

/// What a menu came to over some days.
#[derive(Debug, Clone, serde::Serialize)]
pub struct MenuResult {
    /// The menu's name.
    pub menu: String,
    /// What it is.
    pub about: String,
    /// Its profiles: name, and what it sets.
    pub profiles: Vec<(String, String)>,
    /// Requests a second by hour, of the first day.
    pub rates: Vec<f64>,
    /// By arm, over all days.
    pub arms: BTreeMap<Arm, Totals>,
    /// The controller against the others: by what it divides their mean end-to-end time, and their cost per token. Above 1 it
    /// is better.
    pub gains: BTreeMap<Arm, Gain>,
    /// Day by day.
    pub days: Vec<Vec<ArmResult>>,
}

/// An arm over all days.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Totals {
    /// Requests.
    pub requests: u64,
    /// Of these, without a whole answer.
    pub lost: u64,
    /// Mean end-to-end time, seconds.
    pub e2e_s: f64,
    /// Mean time to first token, seconds.
    pub ttft_s: f64,
    /// Price of the seconds in which a step ran for a million output tokens, US dollars.
    pub usd_per_million: f64,
    /// Engines shifted, in the mean of the days.
    pub shifts_per_day: f64,
}

/// Another arm's figure over the controller's.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Gain {
    /// Mean end-to-end time.
    pub e2e: Ratio,
    /// Cost per token.
    pub cost: Ratio,
}

/// A ratio, and where it lies in 95 of 100 draws of hours.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Ratio {
    /// Over all hours.
    pub value: f64,
    /// Over hours drawn with replacement.
    pub interval: Interval,
}

impl MenuResult {
    /// From the days of one menu, at least one.
    pub fn new(plan: &Loop, days: Vec<(Day, Vec<ArmResult>)>) -> Self {
        let rates = days.first().map(|(day, _)| day.rates.clone()).unwrap_or_default();
        let days: Vec<Vec<ArmResult>> = days.into_iter().map(|(_, arms)| arms).collect();
        let was = |arm: &Arm| hours(&days, *arm).next().is_some();
        let all: Vec<Arm> = [Arm::On, Arm::Off, Arm::Fixed, Arm::Oracle].into_iter().filter(was).collect();
        let totals = |arm| (arm, totals(&days, arm));
        let gain = |arm| {
            let ratio = |figure: fn(&HourFigures) -> (f64, f64)| ratio(&days, arm, figure);
            let e2e = ratio(|hour| (hour.e2e_s, hour.requests as f64));
            let cost = ratio(|hour| (hour.usd, hour.output_tokens as f64));
            (arm, Gain { e2e, cost })
        };
        let menu = &plan.menu;
        let profiles = menu.profiles.iter().map(|profile| (profile.id.to_string(), profile.about.to_owned()));
        Self {
            menu: menu.name.to_owned(),
            about: menu.about.to_owned(),
            profiles: profiles.collect(),
            rates,
            arms: all.iter().copied().map(totals).collect(),
            gains: all.iter().skip(1).copied().map(gain).collect(),
            days,
        }
    }
}

fn hours(days: &[Vec<ArmResult>], arm: Arm) -> impl Iterator<Item = &HourFigures> {
    days.iter().flatten().filter(move |result| result.arm == arm).flat_map(|result| &result.hours)
}

fn totals(days: &[Vec<ArmResult>], arm: Arm) -> Totals {
    let sum = |figure: fn(&HourFigures) -> f64| hours(days, arm).map(figure).sum::<f64>();
    let (requests, tokens) = (sum(|hour| hour.requests as f64), sum(|hour| hour.output_tokens as f64));
    let shifts = days.iter().flatten().filter(|result| result.arm == arm).map(|result| result.shifts.len());
    Totals {
        requests: hours(days, arm).map(|hour| hour.requests).sum(),
        lost: hours(days, arm).map(|hour| hour.lost).sum(),
        e2e_s: sum(|hour| hour.e2e_s) / requests,
        ttft_s: sum(|hour| hour.ttft_s) / requests,
        usd_per_million: sum(|hour| hour.usd) / tokens * 1e6,
        shifts_per_day: shifts.sum::<usize>() as f64 / days.len().max(1) as f64,
    }
}

/// Another arm's quotient of two sums over the controller's.
fn ratio(days: &[Vec<ArmResult>], arm: Arm, figure: fn(&HourFigures) -> (f64, f64)) -> Ratio {
    let pair = |(other, on): (&HourFigures, &HourFigures)| {
        let ((a, b), (c, d)) = (figure(other), figure(on));
        [a, b, c, d]
    };
    let pairs: Vec<[f64; 4]> = hours(days, arm).zip(hours(days, Arm::On)).map(pair).collect();
    let of = |pairs: &[&[f64; 4]]| {
        let mut sums = [0.0; 4];
        for pair in pairs {
            sums.iter_mut().zip(*pair).for_each(|(sum, value)| *sum += value);
        }
        (sums[0] / sums[1]) / (sums[2] / sums[3])
    };
    Ratio { value: of(&pairs.iter().collect::<Vec<_>>()), interval: bootstrap(&pairs, 7, |drawn| of(drawn)) }
}

/// The report for people. `plots`: the file names of the plots, by menu.
pub fn loop_markdown(results: &[MenuResult], conditions: &str, plots: &[String]) -> Document {
    let mut document = Document::new("The profile controller over a simulated day");
    document.block(conditions);
    for (result, plot) in results.iter().zip(plots) {
        document.section(&format!("Menu `{}`: {}", result.menu, result.about));
        document.table(&arms(result)).image("Mean end-to-end time by hour", plot);
        document.table(&gains(result));
        document.block("The profiles:").table(&profiles(result));
        document.block("What ran, on the first day:").table(&chosen(result));
    }
    document
}

fn name(arm: Arm) -> &'static str {
    match arm {
        Arm::On => "controller on",
        Arm::Off => "controller off (vLLM's defaults)",
        Arm::Fixed => "best fixed assignment in hindsight",
        Arm::Oracle => "hourly oracle, free switching",
    }
}

fn arms(result: &MenuResult) -> Table {
    let heads = ["mean E2E, s", "mean TTFT, s", "USD per million tokens", "requests", "lost", "shifts a day"];
    let mut table = Table::new([Column::text("arm")].into_iter().chain(heads.map(Column::number)));
    for (arm, totals) in &result.arms {
        table.row([
            name(*arm).to_owned(),
            format!("{:.3}", totals.e2e_s),
            format!("{:.3}", totals.ttft_s),
            format!("{:.2}", totals.usd_per_million),
            totals.requests.to_string(),
            totals.lost.to_string(),
            format!("{:.1}", totals.shifts_per_day),
        ]);
    }
    table
}

fn gains(result: &MenuResult) -> Table {
    let heads = ["mean E2E over the controller's (95 %)", "cost per token over the controller's (95 %)"];
    let mut table = Table::new([Column::text("against")].into_iter().chain(heads.map(Column::number)));
    let ratio =
        |ratio: &Ratio| format!("{:.3} ({:.3}–{:.3})", ratio.value, ratio.interval.low, ratio.interval.high);
    for (arm, gain) in &result.gains {
        table.row([name(*arm).to_owned(), ratio(&gain.e2e), ratio(&gain.cost)]);
    }
    table
}

fn profiles(result: &MenuResult) -> Table {
    let mut table = Table::new(["profile", "what it sets"].map(Column::text));
    for (profile, about) in &result.profiles {
        table.row([profile.clone(), about.clone()]);
    }
    table
}

fn chosen(result: &MenuResult) -> Table {
    let heads = ["hour", "leads", "load", "fixed", "oracle", "shifts of the controller"];
    let mut table = Table::new(heads.map(Column::text));
    let Some(day) = result.days.first() else { return table };
    let of = |arm| day.iter().find(|result| result.arm == arm);
    let listed = |arm, hour: usize| {
        let rows = of(arm).map(|result| &result.profiles);
        let row = rows.and_then(|rows| rows.get(if rows.len() == 1 { 0 } else { hour }));
        row.map(|row| row.join(", ")).unwrap_or_default()
    };
    for hour in 0..HOURS {
        let within = |at_h: f64| (hour as f64..hour as f64 + 1.0).contains(&at_h);
        let shifts = of(Arm::On).into_iter().flat_map(|result| &result.shifts);
        let shifts = shifts.filter(|shift| within(shift.at_h));
        let shifts: Vec<String> =
            shifts.map(|shift| format!("{} {} → {}", shift.engine, shift.from, shift.to)).collect();
        table.row([
            hour.to_string(),
            Day::lead(hour).name().to_owned(),
            format!("{:.0} %", Day::load(hour) * 100.0),
            if hour == 0 { listed(Arm::Fixed, 0) } else { "″".to_owned() },
            listed(Arm::Oracle, hour),
            shifts.join("; "),
        ]);
    }
    table
}

/// Mean end-to-end time by hour, over all days.
pub fn loop_plot(result: &MenuResult) -> String {
    let title = format!("Menu {} (simulated)", result.menu);
    let axis = Axis::linear("mean end-to-end time (s)");
    let mut chart = Chart::new(&title, Axis::linear("hour of the day"), axis);
    for arm in result.arms.keys() {
        let mean = |hour: usize| {
            let figures = result.days.iter().flatten().filter(|one| one.arm == *arm);
            let figures = figures.filter_map(|one| one.hours.get(hour));
            let (sum, count) =
                figures.fold((0.0, 0.0), |(a, b), one| (a + one.e2e_s, b + one.requests as f64));
            (hour as f64 + 0.5, sum / f64::max(count, 1.0))
        };
        chart = chart.marked_line(name(*arm), (0..HOURS).map(mean));
    }
    chart.svg()
}
