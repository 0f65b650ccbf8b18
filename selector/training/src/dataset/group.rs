//! From rows to samples: grouping, medians, and what the prior and the learner take a row for.

use std::{collections::BTreeMap, sync::Arc};

use gearshift_perfdb::{Grain, Observation, Source};
use gearshift_selector::{
    Deployment, EngineKind, Load, MIDDLE_MONTH, Situation, Software, Typical, inputs::StaticInputs,
};

use super::{Context, Dataset, Protocol, Sample};

/// Software of one engine within so many months is of one era: six weeks.
const ERA_MONTHS: f64 = 1.5;

/// What the samples of one context have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    source: Source,
    dataset: String,
    context: String,
    /// Engine and number of the era, where only one era is compared.
    era: Option<(u8, i64)>,
}

/// One row's times, milliseconds.
#[derive(Debug, Clone, Copy)]
struct Times {
    ttft: f64,
    tpot: f64,
    e2e: f64,
}

/// See [`Dataset::new`].
pub(super) fn group(rows: Vec<Observation>, protocol: Protocol) -> Dataset {
    let mut questions: BTreeMap<Question, BTreeMap<String, Vec<(Observation, Times)>>> = BTreeMap::new();
    for row in rows {
        let Some(times) = Times::of(&row) else { continue };
        let question = Question::of(&row, protocol);
        let actions = questions.entry(question).or_default();
        actions.entry(row.action.clone()).or_default().push((row, times));
    }
    let mut dataset = Dataset::default();
    for (question, actions) in questions {
        let samples: Vec<_> = actions.into_values().filter_map(median_sample).collect();
        let Some(first) = samples.first() else { continue };
        let context = Context {
            name: question.name(),
            family: first.row.facts.family.clone(),
            hardware: first.row.facts.hardware.clone(),
            samples: Vec::new(),
        };
        dataset.push(&context, samples.into_iter());
    }
    dataset
}

impl Question {
    fn of(row: &Observation, protocol: Protocol) -> Self {
        let era = match protocol {
            Protocol::Clean => None,
            Protocol::Era => {
                let Software { engine, months } = row.facts.software;
                Some((engine_number(engine), era(months.unwrap_or(MIDDLE_MONTH))))
            }
        };
        Self { source: row.source, dataset: row.dataset.clone(), context: row.context.clone(), era }
    }

    fn name(&self) -> String {
        match self.era {
            None => self.context.clone(),
            Some((engine, era)) => format!("{} engine{engine} era{era}", self.context),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "saturates; no software is that old")]
fn era(months: f64) -> i64 {
    (months / ERA_MONTHS).floor() as i64
}

fn engine_number(engine: EngineKind) -> u8 {
    match engine {
        EngineKind::Vllm => 0,
        EngineKind::Sglang => 1,
        EngineKind::TensorrtLlm => 2,
    }
}

impl Times {
    /// A row's times, each worked out of the other two where it is missing; `None` where that cannot be. An answer of
    /// one token has no time per token, and nothing to learn it from.
    fn of(row: &Observation) -> Option<Self> {
        let positive =
            |seconds: Option<f64>| seconds.map(|s| s * 1e3).filter(|ms| ms.is_finite() && *ms > 0.0);
        let outcome = &row.outcome;
        let after_first = row.workload.output_tokens - 1.0;
        if after_first.is_nan() || after_first <= 0.0 {
            return None;
        }
        let (ttft, tpot) = match (positive(outcome.ttft_s), positive(outcome.tpot_s), positive(outcome.e2e_s))
        {
            (Some(ttft), Some(tpot), _) => (ttft, tpot),
            (Some(ttft), None, Some(e2e)) if e2e > ttft => (ttft, (e2e - ttft) / after_first),
            (None, Some(tpot), Some(e2e)) if e2e > after_first * tpot => (e2e - after_first * tpot, tpot),
            _ => return None,
        };
        Some(Self { ttft, tpot, e2e: ttft + after_first * tpot })
    }
}

/// One action's rows as one sample: the first one's facts, medians of the times, the mean of known software ages.
fn median_sample(mut rows: Vec<(Observation, Times)>) -> Option<Sample> {
    rows.sort_by(|(a, _), (b, _)| (a.repeat, &a.provenance).cmp(&(b.repeat, &b.provenance)));
    let median_of = |time: fn(&Times) -> f64| median(rows.iter().map(|(_, times)| time(times)).collect());
    let (ttft_ms, tpot_ms, e2e_ms) = (median_of(|t| t.ttft), median_of(|t| t.tpot), median_of(|t| t.e2e));
    let ages: Vec<f64> = rows.iter().filter_map(|(row, _)| row.facts.software.months).collect();
    let months = (!ages.is_empty()).then(|| ages.iter().sum::<f64>() / ages.len() as f64);
    let (row, _) = rows.into_iter().next()?;
    let facts = &row.facts;
    let deployment = Deployment {
        hardware: Arc::new(facts.hardware_facts.clone()),
        count: facts.count,
        model: Arc::new(facts.model_facts.clone()),
        knobs: facts.knobs.clone(),
        software: Software { months, ..facts.software },
        kv_tokens: facts.kv_tokens,
    };
    Some(Sample {
        situation: situation(&row),
        statics: StaticInputs::new(&deployment),
        accelerators: f64::from(facts.count.max(1)),
        deployment,
        row: Arc::new(row),
        context: 0,
        ttft_ms,
        tpot_ms,
        e2e_ms,
    })
}

/// The request at its load: a window's is the steady state of its closed loop, a request's is what the router saw.
fn situation(row: &Observation) -> Situation {
    let w = &row.workload;
    let (prompt_tokens, output_tokens) = (w.prompt_tokens.max(1.0), w.output_tokens.max(1.0));
    let closed =
        Situation::closed_loop(w.concurrency.max(1.0), prompt_tokens, w.cached_tokens, output_tokens);
    match row.grain {
        Grain::Window => closed,
        Grain::Request => {
            let load = &row.load;
            let load = Load {
                sequences: load.sequences,
                decoding: load.decoding,
                prefill_tokens: load.prefill_tokens,
                decode_tokens: load.decode_tokens,
                context_tokens: load.context_tokens,
                full_at: load.full_at,
            };
            let live = row.live.as_deref();
            // Of other requests a row that does not say knows no more than of this one.
            let typical: Typical = live.and_then(|live| live.typical).unwrap_or(closed.typical);
            let sequences = live.and_then(|live| live.sequences).map_or(closed.sequences, f64::from);
            Situation { load, typical, sequences, ..closed }
        }
    }
}

/// The middle value, or the mean of the middle two. `values` has one at least.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}
