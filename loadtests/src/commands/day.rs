//! `gearshift-loadtest loop`: the profile controller over a simulated day.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use gearshift_loadtests::{
    Error,
    options::Format,
    report::{ReportFiles, json},
    scenario::Scenario,
    study::{
        Fleet,
        day::{Day, Loop, Menu, MenuResult, loop_markdown, loop_plot, run_loop},
    },
};
use gearshift_selector::controller::Settings;
use indicatif::{ProgressBar, ProgressStyle};

/// Options of `gearshift-loadtest loop`.
#[derive(Debug, Clone, Args)]
pub(crate) struct LoopOptions {
    /// Days, each with other requests.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    days: u64,
    /// What the engines may run.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Choice::Plain, Choice::Drafting])]
    menus: Vec<Choice>,
    /// Leave out what hindsight would have done, which is most of the work.
    #[arg(long)]
    no_hindsight: bool,
    /// Threads to work on.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Write `loop.json`, `loop.md` and plots into this folder.
    #[arg(long)]
    out: Option<PathBuf>,
    /// What is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// A menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// Nothing that has to be trained for the model.
    Plain,
    /// The model has drafting heads.
    Drafting,
}

#[derive(Debug, serde::Serialize)]
struct Report<'r> {
    simulated: bool,
    conditions: &'r str,
    menus: &'r [MenuResult],
}

/// The seed of the first day.
const FIRST_DAY: u64 = 101;

const CONDITIONS: &str = "\
Simulated engines in virtual time: qwen3-32b on six kinds of hardware (scenario `day`), routed by Gearshift with its prior (no \
meta-learner), objective latency. 24 hours; in each, one of chat, RAG, agents, code and summarisation is 70 % of the requests; the \
load follows an assumed diurnal shape like Azure's published days, 24–80 % of what the engines can do of that hour's mix with \
vLLM's defaults; gaps between requests have a coefficient of variation of 1.5. A switch drains the engine (nothing is cut), \
starts vLLM anew (60–140 s, drawn) with an empty cache, and begins with one request until tokens flow. The fixed assignment and the \
oracle's are found with the simulator by descent (single changes and exchanges, beginning with the best of uniform assignments and of \
the controller's own): the first on a slice of every hour of the very day, the second on a longer slice of each hour, of which the \
best of it, the fixed assignment, the controller's and the defaults over that whole hour counts. Both are lower bounds of what \
hindsight could do. The \
controller begins with the defaults and knows nothing of the day. Cost is the engines' price for the seconds in which a step ran. \
Intervals are bootstraps over hours.";

/// Runs the study.
pub(crate) async fn run(options: LoopOptions) -> Result<(), Error> {
    // On a thread of its own, and not waited for: signals end the process at once.
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("loop".into()).spawn(move || sender.send(study(&options)))?;
    let text = receiver.await.map_err(|_| Error::Failed("the study did not end".into()))??;
    super::print(&text)
}

fn study(options: &LoopOptions) -> Result<String, Error> {
    let fleet = Fleet::of(&Scenario::shipped("day").map_err(failed)?);
    let mut results = Vec::new();
    for choice in &options.menus {
        let mut days = Vec::new();
        let menu = if *choice == Choice::Plain { Menu::plain() } else { Menu::drafting() };
        // Other days than the one the planner's settings were chosen on.
        for seed in FIRST_DAY..FIRST_DAY + options.days {
            let plan = Loop {
                fleet: fleet.clone(),
                menu: menu.clone(),
                eagerness: Settings::default(),
                hindsight: !options.no_hindsight,
                seed,
                hour: Day::HOUR,
                threads: options.threads,
            };
            let bar = ProgressBar::new_spinner().with_style(style());
            bar.set_message(format!("menu {}, day {seed}", menu.name));
            let day = run_loop(&plan, &|| bar.inc(1));
            bar.finish_and_clear();
            days.push(day.map_err(failed)?);
            if days.len() as u64 == options.days {
                results.push(MenuResult::new(&plan, std::mem::take(&mut days)));
            }
        }
    }
    let name = |result: &MenuResult| format!("loop-{}.svg", result.menu);
    let document = loop_markdown(&results, CONDITIONS, &results.iter().map(name).collect::<Vec<_>>());
    let whole = Report { simulated: true, conditions: CONDITIONS, menus: &results };
    if let Some(folder) = &options.out {
        let files = ReportFiles::create(folder, "loop")?;
        files.json(&whole)?;
        files.markdown(&document)?;
        for result in &results {
            files.svg(&result.menu, loop_plot(result))?;
        }
    }
    if options.output == Format::Json { json(&whole) } else { Ok(document.as_str().to_owned()) }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Failed(error.to_string())
}

fn style() -> ProgressStyle {
    let template = "{spinner} {msg}: {pos} runs, {elapsed}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
