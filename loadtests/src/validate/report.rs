//! The report: `simulator.json`, `.md` and plots.

use std::{fmt::Write as _, path::Path};

use serde::Serialize;

use super::{
    cpu::{
        compare::{Compared, Figure, Metric},
        outcome::Speculation,
        report::{CpuReport, CpuTargets},
    },
    silicon::{self, SiliconReport},
};
use crate::{
    Error,
    report::{Axis, Bar, Bars, Chart, Column, Document, ReportFiles, Table, duration, median, number},
};

/// The simulator against real engines.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SimulatorReport {
    /// Against real vLLM on a CPU.
    pub cpu: CpuReport,
    /// How much speculation is accepted there, where it was measured.
    pub speculation: Option<Speculation>,
    /// Against measured GPUs, where the table of rows was given.
    pub silicon: Option<SiliconReport>,
}

impl SimulatorReport {
    /// The headline figures, for a terminal.
    pub fn summary(&self) -> String {
        self.targets().to_text()
    }

    /// Writes all files into `folder`.
    ///
    /// # Errors
    /// Where one cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        let files = ReportFiles::create(folder, "simulator")?;
        files.json(self)?;
        let mut document = Document::new("The simulator against real engines");
        document.block("Everything called *simulated* was computed in virtual time; the rest was measured.");
        document.table(&self.targets());
        self.cpu_section(&mut document, &files)?;
        self.speculation_section(&mut document);
        self.silicon_section(&mut document, &files)?;
        files.markdown(&document)?;
        Ok(())
    }

    /// What has a target, and whether it is met.
    fn targets(&self) -> Table {
        let mut table = Table::new([
            Column::text("figure"),
            Column::number("target"),
            Column::number("found"),
            Column::text(""),
        ]);
        let limits = CpuTargets::LIMITS;
        let found = self.cpu.targets;
        let mut row = |what: &str, sign: &str, limit: f64, found: f64, met: bool| {
            let met = if met { "met" } else { "missed" };
            table.row([
                what.to_owned(),
                format!("{sign} {}", percent(limit)),
                percent(found),
                met.to_owned(),
            ]);
        };
        row("order of profiles, CPU", "≥", limits.order, found.order, found.order >= limits.order);
        let mut at_most = |what: &str, limit: f64, found: f64| row(what, "≤", limit, found, found <= limit);
        at_most("TPOT error, CPU", limits.tpot_error, found.tpot_error);
        at_most("TTFT error, CPU", limits.ttft_error, found.ttft_error);
        if let Some(silicon) = &self.silicon {
            at_most("TPOT error, GPUs", limits.tpot_error, silicon.all.fitted.tpot.median);
            at_most("TTFT error, GPUs", limits.ttft_error, silicon.all.fitted.ttft.median);
            at_most("TPOT error, GPU held out", HELD_OUT_TPOT, silicon.all.held_out.tpot.median);
        }
        table
    }

    fn cpu_section(&self, document: &mut Document, files: &ReportFiles) -> Result<(), Error> {
        let CpuReport { machine, fitted, profiles, order, .. } = &self.cpu;
        document.section("Real vLLM on a CPU");
        document.block(&format!(
            "vLLM {} with SmolLM2-135M in bfloat16 on {} ({} cores, {} of them multiplying), {}. The same requests in every \
             profile: Poisson arrivals with shared prefixes for latencies, all at once for throughput. Step times are fitted \
             to another workload: prompts alone, batches that decode, prompts that join them; on two of the profiles. \
             A profile's name says whether prefixes are cached, its token budget and its sequences.",
            machine.vllm, machine.cpu, machine.cores, machine.working_cores(), machine.date,
        ));
        document.block("Measured → simulated (error):").table(&profile_table(profiles));
        let others = profiles.iter().map(|profile| profile.others).fold(0.0, f64::max);
        document.block(&format!(
            "Median error request by request: TTFT {}, TPOT {}. Other processes took {} of the machine at most.",
            spread(profiles.iter().map(|profile| profile.request_ttft_error)),
            spread(profiles.iter().map(|profile| profile.request_tpot_error)),
            percent(others),
        ));
        document.block(&where_off(profiles));
        document.image("Latencies, measured and simulated", &files.svg_name(""));
        document.image("Throughput, measured and simulated", &files.svg_name("throughput"));
        files.svg("", latency_plot(profiles))?;
        files.svg("throughput", throughput_plot(profiles))?;
        document.block("Order of profiles, by the pairs that measured more than 10 % apart:");
        let mut table = Table::new([
            Column::text("by"),
            Column::number("pairs"),
            Column::number("same order"),
            Column::number("Kendall's τ, all pairs"),
            Column::text("in another order"),
        ]);
        for order in order {
            let others = order.disagree.iter().map(|(low, high)| format!("{low} < {high}"));
            table.row([
                order.metric.name().to_owned(),
                order.pairs.to_string(),
                order.agree.to_string(),
                format!("{:.2}", order.tau),
                others.collect::<Vec<_>>().join(", "),
            ]);
        }
        document
            .table(&table)
            .block("Metrics by which a pair stands in the same order, of those that differ:");
        document.table(&order_matrix(profiles));
        let residuals =
            self.cpu.residuals().into_iter().map(|(kind, error)| format!("{kind} {:+.0} %", error * 100.0));
        let factors = serde_json::to_string(&fitted.factors)?;
        document.block(&format!(
            "Median error of the fit on its own probes: {}. From client to scheduler and back: {}. Shares are of one core of \
             the catalog's socket; terms that a CPU has not are the defaults.\n\n```json\n{factors}\n```",
            residuals.collect::<Vec<_>>().join(", "),
            front_end(fitted.front_end_s),
        ));
        Ok(())
    }

    fn speculation_section(&self, document: &mut Document) {
        let Some(speculation) = &self.speculation else { return };
        document.section("Speculation by n-gram lookup");
        document.block(&format!(
            "{} draft tokens, n-grams of up to {}; greedy answers of SmolLM2-135M-Instruct, a very small model that repeats \
             itself more than large ones do. *Acceptance* is the probability per draft token with which a draft in every \
             step gives as many tokens.",
            speculation.tokens, speculation.lookup_max,
        ));
        let mut table = Table::new([
            Column::text("text"),
            Column::number("tokens"),
            Column::number("steps with a draft"),
            Column::number("accepted of a draft"),
            Column::number("tokens a step"),
            Column::number("acceptance"),
        ]);
        for (kind, drafted) in &speculation.kinds {
            let accepted = drafted.accepted() as f64 / drafted.drafts.max(1) as f64;
            table.row([
                kind.name().to_owned(),
                drafted.generated.to_string(),
                percent(drafted.drafts_per_step()),
                format!("{accepted:.2}"),
                format!("{:.2}", drafted.tokens_per_step()),
                format!("{:.2}", drafted.acceptance(speculation.tokens)),
            ]);
        }
        document.table(&table);
        let steps = speculation.steps.iter().map(|step| {
            let drafts = percent(step.drafted);
            format!("{} at {} sequences, {drafts} of them with drafts", duration(step.seconds), step.count)
        });
        document.block(&format!("A step took {}.", steps.collect::<Vec<_>>().join("; ")));
    }

    fn silicon_section(&self, document: &mut Document, files: &ReportFiles) -> Result<(), Error> {
        let Some(silicon) = &self.silicon else { return Ok(()) };
        document.section("Measured GPUs");
        document.block(&format!(
            "{} rows of vLLM, {} left out. {}",
            silicon.rows,
            silicon.left_out,
            silicon.conditions.join(" ")
        ));
        document.block(&silicon.table());
        document.image("Median error by GPU", &files.svg_name("gpus"));
        files.svg("gpus", gpu_plot(silicon))?;
        Ok(())
    }
}

/// The target where a GPU is left out of the fit.
const HELD_OUT_TPOT: f64 = 0.25;

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Below a tenth of a millisecond it is no finding: the fit then puts it into the time that a prompt takes.
fn front_end(seconds: f64) -> String {
    if seconds < 1e-4 { "not told apart from a prompt's own overhead".to_owned() } else { duration(seconds) }
}

/// Least and greatest.
fn spread(shares: impl Iterator<Item = f64> + Clone) -> String {
    let low = shares.clone().fold(f64::INFINITY, f64::min);
    let high = shares.fold(0.0, f64::max);
    format!("{:.0}–{}", low * 100.0, percent(high))
}

/// The figures that are farthest off, and to which side latencies are.
fn where_off(profiles: &[Compared]) -> String {
    let mut figures: Vec<(&str, Figure)> = profiles
        .iter()
        .flat_map(|profile| profile.figures.iter().map(|figure| (profile.profile.as_str(), *figure)))
        .collect();
    figures.sort_by(|(_, one), (_, other)| other.error().total_cmp(&one.error()));
    let farthest = figures.iter().take(5).map(|(profile, figure)| {
        format!("{} of {profile} {:+.0} %", figure.metric.name(), figure.off() * 100.0)
    });
    let farthest = farthest.collect::<Vec<_>>().join(", ");
    let latencies = figures.iter().filter(|(_, figure)| figure.metric != Metric::Throughput);
    let off: Vec<f64> = latencies.map(|(_, figure)| figure.off()).collect();
    let below = off.iter().filter(|off| **off < 0.0).count();
    format!(
        "Farthest off: {farthest}. Of {} latencies {below} are lower in the simulation; the median is {:+.0} %.",
        off.len(),
        median(&off) * 100.0,
    )
}

fn profile_table(profiles: &[Compared]) -> Table {
    let metrics = Metric::ALL.map(|metric| Column::number(metric.name()));
    let mut table = Table::new(
        [Column::text("profile")]
            .into_iter()
            .chain(metrics)
            .chain(["cached tokens", "preemptions"].map(Column::number)),
    );
    for profile in profiles {
        let figures = profile.figures.iter().map(|figure| {
            let throughput = figure.metric == Metric::Throughput;
            let text = |value| if throughput { format!("{}/s", number(value)) } else { duration(value) };
            let off = figure.off() * 100.0;
            format!("{} → {} ({off:+.0} %)", text(figure.measured), text(figure.simulated))
        });
        let counts = [profile.prefix_hits, profile.preemptions]
            .map(|(measured, simulated)| format!("{measured} → {simulated}"));
        table.row([profile.profile.clone()].into_iter().chain(figures).chain(counts));
    }
    table
}

/// Profiles against profiles: in how many metrics a pair stands in the same order, of those in which it differs.
fn order_matrix(profiles: &[Compared]) -> Table {
    let names = profiles.iter().map(|profile| Column::text(profile.profile.clone()));
    let mut table = Table::new([Column::text("")].into_iter().chain(names));
    for one in profiles {
        let cells = profiles.iter().map(|other| {
            let mut cell = String::new();
            let judged = Metric::ALL.iter().filter_map(|&metric| one.same_order(other, metric));
            let (same, all) =
                judged.fold((0, 0), |(same, all), judged| (same + usize::from(judged), all + 1));
            if all > 0 {
                let _ = write!(cell, "{same}/{all}");
            }
            cell
        });
        table.row([one.profile.clone()].into_iter().chain(cells.collect::<Vec<_>>()));
    }
    table
}

fn points(profiles: &[Compared], metric: Metric) -> Vec<(f64, f64)> {
    let figures = profiles.iter().filter_map(|profile| profile.figure(metric));
    figures.map(|figure| (figure.measured, figure.simulated)).collect()
}

fn latency_plot(profiles: &[Compared]) -> String {
    let axes = [Axis::log("measured (s)"), Axis::log("simulated (s)")];
    let [x, y] = axes;
    let latencies = Metric::ALL.into_iter().filter(|metric| *metric != Metric::Throughput);
    latencies
        .fold(Chart::new("Profiles on a CPU: real vLLM and simulated", x, y).identity(), |chart, metric| {
            chart.scatter(metric.name(), points(profiles, metric))
        })
        .svg()
}

fn throughput_plot(profiles: &[Compared]) -> String {
    let names = profiles.iter().map(|profile| profile.profile.clone());
    let (measured, simulated): (Vec<_>, Vec<_>) = points(profiles, Metric::Throughput).into_iter().unzip();
    let bars = |figures: Vec<f64>| figures.into_iter().map(|figure| Some(Bar::new(figure)));
    Bars::new("Throughput of profiles on a CPU", "", Axis::linear("tokens/s"), names)
        .series("real vLLM", bars(measured))
        .series("simulated", bars(simulated))
        .svg()
}

fn gpu_plot(silicon: &SiliconReport) -> String {
    let error =
        |of: fn(&silicon::Group) -> f64| silicon.gpus.iter().map(move |group| Some(Bar::new(of(group))));
    let names = silicon.gpus.iter().map(|group| group.name.clone());
    Bars::new("Median error on measured rows", "", Axis::linear("|simulated / measured − 1|"), names)
        .series("TPOT", error(|group| group.fitted.tpot.median))
        .series("TPOT, held out", error(|group| group.held_out.tpot.median))
        .series("TTFT", error(|group| group.fitted.ttft.median))
        .svg()
}
