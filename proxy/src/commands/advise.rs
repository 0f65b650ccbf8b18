//! `gearshift advise`: which profile to start an engine in.

mod drafts;
mod facts;
mod learned;
mod show;
mod workload;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use gearshift_config::{Knobs, Objective, Slo, Speculative};
use gearshift_selector::{
    Software,
    advise::{Advice, Question, advise},
};

use self::{facts::Facts, learned::Learned, workload::Workload};
use super::bundle::time;
use crate::Output;

/// Rounds in which concurrency and time at the engine are brought together for a rate.
const ROUNDS: usize = 12;
/// More requests at once than this are no steady state: the engine falls behind.
const MOST_CONCURRENT: f64 = 8192.0;
/// The bundle that is asked where none is named.
const USUAL_BUNDLE: &str = "models/default";

#[derive(Debug, Args)]
pub(crate) struct Command {
    #[command(flatten)]
    facts: Facts,
    #[command(flatten)]
    workload: Workload,
    /// What is made best.
    #[arg(long, value_enum, default_value_t = Best::Latency)]
    objective: Best,
    /// Limit of the time to first token, such as 500ms.
    #[arg(long, value_name = "TIME", value_parser = time)]
    ttft: Option<Duration>,
    /// Limit of the time per output token after the first, such as 20ms.
    #[arg(long, value_name = "TIME", value_parser = time)]
    tpot: Option<Duration>,
    /// Look at profiles too that change the model's outputs: FP8 weights or KV cache.
    #[arg(long)]
    allow_lossy: bool,
    /// A way to draft that there is for this model, looked at beside none: mtp, ngram, eagle3=MODEL, …. May be repeated.
    #[arg(long, value_name = "METHOD[=MODEL]", value_parser = drafts::way)]
    speculate: Vec<Speculative>,
    /// The version of vLLM that will run, such as 0.32.0: newer software is faster.
    #[arg(long, value_name = "VERSION", value_parser = software)]
    vllm: Option<Software>,
    /// A bundle whose meta-learner corrects the prior; models/default where it is there.
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Ask no bundle: by the prior alone.
    #[arg(long, conflicts_with = "bundle")]
    no_bundle: bool,
    /// ONNX Runtime's shared library, which a bundle needs.
    #[arg(long, value_name = "FILE", env = "ORT_DYLIB_PATH")]
    onnxruntime: Option<PathBuf>,
    /// How many profiles are shown.
    #[arg(long, value_name = "N", default_value_t = 5)]
    top: usize,
    /// How they are written.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Best {
    Latency,
    Cost,
    Energy,
    Throughput,
}

impl From<Best> for Objective {
    fn from(best: Best) -> Self {
        match best {
            Best::Latency => Self::Latency,
            Best::Cost => Self::Cost,
            Best::Energy => Self::Energy,
            Best::Throughput => Self::Throughput,
        }
    }
}

/// What was asked, and what came of it.
struct Answer {
    /// The model as `vllm serve` takes it.
    served: String,
    hardware: String,
    question: Question,
    /// Requests a second, where they were given.
    rate: Option<f64>,
    /// Whether a learner had a say, in words.
    by: String,
    /// What no number here says, where there is such.
    caveat: Option<String>,
    profiles: Vec<Advice>,
}

/// Carries it out; the text for standard output.
///
/// # Errors
/// What is wrong with the question, for standard error.
pub(crate) fn run(command: &Command) -> Result<String, String> {
    let (top, output) = (command.top, command.output);
    let mut answer = answer(command)?;
    if answer.profiles.is_empty() {
        let Question { model, count, .. } = &answer.question;
        return Err(format!(
            "the model ({:.1} GB of weights, context of {} tokens) with this workload does not fit {count} × {} in any profile",
            model.parameters_b * model.weight_bytes,
            model.context,
            answer.hardware
        ));
    }
    answer.profiles.truncate(top.max(1));
    match output {
        Output::Text => Ok(show::table(&answer)),
        Output::Json => serde_json::to_string_pretty(&show::json(&answer)).map_err(|error| error.to_string()),
    }
}

fn answer(command: &Command) -> Result<Answer, String> {
    let facts = command.facts.resolve()?;
    let (mut closed_loop, rate) = command.workload.resolve()?;
    let asked = asked(command)?;
    let (mut learned, silent) = match asked {
        Ok(learned) => (Some(learned), String::new()),
        Err(why) => (None, why),
    };
    let tokens = closed_loop.prompt_tokens + closed_loop.output_tokens;
    if tokens > f64::from(facts.model.context) {
        let context = facts.model.context;
        return Err(format!(
            "prompt and output are {tokens} tokens together, the model's context is {context}"
        ));
    }
    closed_loop.cached_tokens = closed_loop.cached_tokens.min(closed_loop.prompt_tokens - 1.0).max(0.0);
    let question = Question {
        model: facts.model,
        hardware: facts.hardware,
        count: facts.count,
        software: command.vllm.unwrap_or_default(),
        workload: closed_loop,
        objective: command.objective.into(),
        slo: Slo { ttft: command.ttft, tpot: command.tpot, e2e: None },
        allow_lossy: command.allow_lossy,
        drafts: command.speculate.clone(),
        fixed: Knobs::default(),
        factors: learned.as_ref().map(Learned::factors).unwrap_or_default(),
        level: learned.as_ref().and_then(Learned::level),
    };
    let (question, profiles) = match rate {
        Some(rate) => balanced(question, rate, learned.as_mut())?,
        None => {
            let profiles = ask(&question, learned.as_mut())?;
            (question, profiles)
        }
    };
    let caveat = drafts::caveat(&command.speculate, learned.is_some());
    let by = learned.map_or_else(|| format!("by the prior alone{silent}"), |learned| learned.say(&profiles));
    Ok(Answer { served: facts.served, hardware: facts.hardware_name, question, rate, by, caveat, profiles })
}

/// The meta-learner, or in words why there is none. A bundle that is named has to work; the one that lies there may not.
fn asked(command: &Command) -> Result<Result<Learned, String>, String> {
    let library = command.onnxruntime.as_deref();
    if let Some(directory) = &command.bundle {
        return Learned::open(directory, library).map(Ok);
    }
    if command.no_bundle {
        return Ok(Err(String::new()));
    }
    let directory = Path::new(USUAL_BUNDLE);
    if !directory.is_dir() {
        return Ok(Err("; --bundle DIR asks a meta-learner too".to_owned()));
    }
    Ok(Learned::open(directory, library).map_err(|why| format!("; not by {USUAL_BUNDLE}: {why}")))
}

/// vLLM of a version.
fn software(version: &str) -> Result<Software, String> {
    let software = Software::vllm(version);
    if software.months.is_none() {
        return Err(format!("{version:?} is no version of vLLM, such as 0.32.0"));
    }
    Ok(software)
}

fn ask(question: &Question, learned: Option<&mut Learned>) -> Result<Vec<Advice>, String> {
    let Some(learned) = learned else { return Ok(advise(question, None)) };
    let profiles = advise(question, Some(&mut |candidates| learned.correct(candidates)));
    learned.failure().map_or(Ok(profiles), Err)
}

/// At a rate, as many requests are at the engine as come while the best profile serves one (Little's law).
fn balanced(
    mut question: Question,
    rate: f64,
    mut learned: Option<&mut Learned>,
) -> Result<(Question, Vec<Advice>), String> {
    let mut profiles = Vec::new();
    for _ in 0..ROUNDS {
        profiles = ask(&question, learned.as_deref_mut())?;
        let Some(best) = profiles.first() else { break };
        let before = question.workload.concurrency;
        let wanted = (rate * best.e2e_s).max(1.0);
        if wanted > MOST_CONCURRENT {
            return Err(format!(
                "no profile keeps up with {rate} requests a second; the best yields {:.0} output tokens a second",
                best.output_tokens_per_s
            ));
        }
        if (wanted / before - 1.0).abs() < 0.01 {
            break;
        }
        // Half of the way: the time grows with the requests that are there.
        question.workload.concurrency = (before * wanted).sqrt();
    }
    Ok((question, profiles))
}
