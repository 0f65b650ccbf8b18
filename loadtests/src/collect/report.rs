//! The report: `collect.md` and `collect.json`.

use std::{collections::BTreeMap, path::Path};

use serde::Serialize;

use super::{
    agreement::{Agreement, Share},
    kept::{Cell, Machine},
    plan::Plan,
    summary::{Context, Gain, Noise, contexts, noise},
};
use crate::{
    Error,
    report::{Axis, Bar, Bars, Column, Document, ReportFiles, Table, duration, mean, number},
};

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct CollectReport {
    /// The rows' data set.
    pub dataset: String,
    /// The profile that gains are gains over.
    pub reference: String,
    /// On what, and how undisturbed.
    pub conditions: Conditions,
    /// Workloads and models.
    pub contexts: Vec<Context>,
    /// Whether profiles answer as the reference does.
    pub agreement: Vec<Agreement>,
    /// How much repeats differ, by model.
    pub noise: BTreeMap<String, Noise>,
    /// Measurements that the plan has and that are not there.
    pub missing: usize,
}

/// On what.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Conditions {
    /// Processor, as the kernel names it.
    pub cpu: String,
    /// Its cores.
    pub cores: usize,
    /// The engine's versions.
    pub versions: Vec<String>,
    /// First and last measurement, seconds since 1970.
    pub measured_unix_s: Option<(i64, i64)>,
    /// Measurements.
    pub measurements: usize,
    /// Niceness of engine and driver: the least favourable.
    pub niceness: i32,
    /// Cores that the engine, the driver and everything else kept busy: means.
    pub engine_cores: f64,
    /// The driver's.
    pub driver_cores: f64,
    /// Everything else's.
    pub other_cores: f64,
    /// The most that everything else took in a measurement.
    pub other_cores_max: f64,
}

impl Conditions {
    fn new(machine: Machine, cells: &[Cell]) -> Self {
        let mean_of = |value: fn(&Cell) -> f64| mean(&cells.iter().map(value).collect::<Vec<f64>>());
        let mut versions: Vec<String> = cells.iter().map(|cell| cell.version.clone()).collect();
        versions.sort_unstable();
        versions.dedup();
        let times = cells.iter().map(|cell| cell.at_unix_s);
        Self {
            cpu: machine.cpu,
            cores: machine.cores,
            versions,
            measured_unix_s: times.clone().min().zip(times.max()),
            measurements: cells.len(),
            niceness: cells.iter().map(|cell| cell.niceness).max().unwrap_or_default(),
            engine_cores: mean_of(|cell| cell.engine_cores),
            driver_cores: mean_of(|cell| cell.driver_cores),
            other_cores: mean_of(|cell| cell.other_cores),
            other_cores_max: cells.iter().map(|cell| cell.other_cores).fold(0.0, f64::max),
        }
    }
}

impl CollectReport {
    /// Works it out.
    pub(super) fn new(
        plan: &Plan,
        cells: &[Cell],
        agreement: Vec<Agreement>,
        machine: Machine,
        missing: usize,
    ) -> Self {
        Self {
            dataset: plan.dataset.clone(),
            reference: plan.reference.clone(),
            conditions: Conditions::new(machine, cells),
            contexts: contexts(plan, cells),
            agreement,
            noise: plan.models.keys().map(|model| (model.clone(), noise(plan, cells, model))).collect(),
            missing,
        }
    }

    /// Writes it into `folder`.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Error> {
        let files = ReportFiles::create(folder, "collect")?;
        files.json(self)?;
        let mut document = Document::new("Profiles measured on a real engine");
        document.block(&self.conditions_text());
        document.section("The best profile").block(&format!(
            "By mean time of a request end to end; gains are how many times as long `{}` and the engine's defaults take. In \
             brackets the range over all pairs of repeats. *Unseen* is the gain of what was fastest in one repeat, measured in another.",
            self.reference
        ));
        document.table(&self.best());
        for model in self.models() {
            files.svg(model, self.plot(model))?;
            document.image(&format!("Gains on {model}"), &files.svg_name(model));
        }
        document.section("Answers").block(
            "Greedy answers beside the reference's: equal of all, and where the first other token stands (from 0, the earliest). \
             *Alone*: one request at a time; *again*: the same prompt a second time, when a prefix cache has it; *under load*: in the \
             workloads. The reference's own line is about a second start of its engine. A profile that is declared lossless and \
             differs is flagged; where it does so only under load, steps of other shapes round otherwise, which is no profile's doing alone.",
        );
        document.table(&self.agreement_table());
        for context in &self.contexts {
            let Context { model, workload, concurrency, requests, prompt_tokens, output_tokens, .. } =
                context;
            document.section(&format!("{model}: {workload}"));
            document.block(&format!(
                "{requests} requests, {concurrency} in flight; prompts of {} tokens, answers of {} in the mean.",
                number(*prompt_tokens),
                number(*output_tokens)
            ));
            document.table(&context_table(context));
        }
        files.markdown(&document)?;
        Ok(())
    }

    /// The tables that matter, for a terminal.
    pub(super) fn summary(&self) -> String {
        let flagged = self.agreement.iter().filter(|agreement| agreement.diverges()).count();
        let missing = match self.missing {
            0 => String::new(),
            count => format!("{count} measurements of the plan are missing\n"),
        };
        format!(
            "{}\n{}\n{flagged} profiles declared lossless answer lone requests otherwise than {}\n{missing}",
            self.best().to_text(),
            self.agreement_table().to_text(),
            self.reference
        )
    }

    fn models(&self) -> Vec<&str> {
        let mut models: Vec<&str> = self.contexts.iter().map(|context| context.model.as_str()).collect();
        models.dedup();
        models
    }

    /// Each profile's gain, a colour for each workload.
    fn plot(&self, model: &str) -> String {
        let contexts: Vec<&Context> = self.contexts.iter().filter(|context| context.model == model).collect();
        let mut profiles: Vec<&str> = Vec::new();
        for measured in contexts.iter().flat_map(|context| &context.profiles) {
            if !profiles.contains(&measured.profile.as_str()) {
                profiles.push(&measured.profile);
            }
        }
        let y = Axis::linear(&format!("times as fast as {}", self.reference));
        let mut bars = Bars::new(model, "", y, profiles.iter().copied());
        for context in contexts {
            let bar = |profile: &&str| {
                let measured = context.profiles.iter().find(|measured| measured.profile == **profile)?;
                measured.over_reference.map(|Gain { gain, low, high }| Bar::between(low, gain, high))
            };
            bars = bars.series(&context.workload, profiles.iter().map(bar));
        }
        bars.svg()
    }

    fn conditions_text(&self) -> String {
        let Conditions { cpu, cores, versions, measurements, niceness, .. } = &self.conditions;
        let Conditions { engine_cores, driver_cores, other_cores, other_cores_max, .. } = self.conditions;
        let conditions = format!(
            "{measurements} measurements of vLLM {} on {cores} cores of {cpu}, engine and driver at niceness {niceness}; \
             {} are missing. In the mean the engine kept {engine_cores:.2} cores busy, the driver {driver_cores:.2}, everything else \
             {other_cores:.2} (at most {other_cores_max:.2}).",
            versions.join(", "),
            self.missing,
        );
        let noise = self.noise.iter().map(|(model, noise)| noise_text(model, noise));
        std::iter::once(conditions).chain(noise).collect::<Vec<_>>().join("\n\n")
    }

    fn best(&self) -> Table {
        let over = format!("over {}", self.reference);
        let heads = [Column::text("model"), Column::text("workload"), Column::text("best profile")];
        let gains = ["end to end", over.as_str(), "unseen", "over defaults"].map(Column::number);
        let mut table = Table::new(heads.into_iter().chain(gains));
        for Context { model, workload, profiles, best, .. } in &self.contexts {
            let Some(best) = best else { continue };
            let time = profiles.iter().find(|measured| measured.profile == best.profile);
            table.row([
                model.clone(),
                workload.clone(),
                best.profile.clone(),
                time.map(|measured| duration(mean(&measured.e2e_s))).unwrap_or_default(),
                gain(best.over_reference),
                best.chosen_on_another_repeat.map(times).unwrap_or_default(),
                gain(best.over_defaults),
            ]);
        }
        table
    }

    fn agreement_table(&self) -> Table {
        let heads = ["model", "profile", "declared", "alone", "again", "under load", "flag"];
        let mut table = Table::new(heads.map(Column::text));
        for agreement in &self.agreement {
            let flag = match () {
                () if agreement.profile == self.reference => "",
                () if agreement.diverges() => "DIVERGES",
                () if agreement.diverges_under_load() => "diverges under load",
                () => "",
            };
            table.row([
                agreement.model.clone(),
                agreement.profile.clone(),
                if agreement.declared_lossless { "lossless" } else { "lossy" }.to_owned(),
                share(agreement.alone),
                share(agreement.again),
                share(agreement.loaded),
                flag.to_owned(),
            ]);
        }
        table
    }
}

fn noise_text(model: &str, noise: &Noise) -> String {
    let Noise { repeats_median, repeats_p90, repeats_max, engines_median, engines_max } = *noise;
    let percent = |log: f64| number(log.exp_m1() * 100.0);
    format!(
        "{model}: the same measurement again on the same engine has another mean time by {} % in the median, {} % at the ninth \
         decile, {} % at most; the reference on a later engine by {} % in the median, {} % at most.",
        percent(repeats_median),
        percent(repeats_p90),
        percent(repeats_max),
        percent(engines_median),
        percent(engines_max),
    )
}

fn context_table(context: &Context) -> Table {
    let heads =
        ["end to end", "by repeat", "TTFT", "TPOT", "tokens/s", "cached", "over reference", "over defaults"];
    let mut table = Table::new([Column::text("profile")].into_iter().chain(heads.map(Column::number)));
    for measured in &context.profiles {
        let repeats: Vec<String> = measured.e2e_s.iter().map(|time| number(*time)).collect();
        table.row([
            measured.profile.clone(),
            duration(mean(&measured.e2e_s)),
            repeats.join(" "),
            duration(measured.ttft_s),
            duration(measured.tpot_s),
            number(measured.output_tokens_per_s),
            format!("{:.0} %", measured.cached_share * 100.0),
            gain(measured.over_reference),
            gain(measured.over_defaults),
        ]);
    }
    table
}

fn gain(gain: Option<Gain>) -> String {
    gain.map(|Gain { gain, low, high }| format!("{} ({}–{})", times(gain), plain(low), plain(high)))
        .unwrap_or_default()
}

fn times(ratio: f64) -> String {
    plain(ratio) + "×"
}

fn plain(ratio: f64) -> String {
    format!("{ratio:.2}")
}

fn share(share: Share) -> String {
    let Share { equal, of, earliest } = share;
    let earliest = earliest.map(|position| format!(" (from {position})")).unwrap_or_default();
    format!("{equal}/{of}{earliest}")
}
