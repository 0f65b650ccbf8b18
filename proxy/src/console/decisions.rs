//! Decisions as operators see them. Numbers that are not known are left out (`null`).

use gearshift_selector::{Decision, Entrant};
use serde_json::{Value, json};

use crate::{
    clock,
    live::{Decided, End, Ended, Engine, Wall},
};

/// A decision and what became of it; `None` where the decision was not kept.
pub fn brief(ended: &Ended, wall: Wall) -> Option<Value> {
    let decided = ended.decided.as_deref()?;
    let Decision { chosen, fallback, considered, .. } = &decided.decision;
    let engine = ended.engine();
    Some(json!({
        "id": decided.id(),
        "at_ms": wall.unix_ms_of(ended.end.at),
        "route": ended.subject.route,
        "model": ended.subject.model,
        "objective": ended.subject.objective,
        "backend": engine.map(|engine| &engine.backend),
        "hardware": engine.and_then(hardware),
        "profile": engine.map(|engine| &engine.profile),
        "bundle": decided.bundle,
        "fallback": fallback,
        "confidence": chosen.prediction.and_then(|it| it.learned).map(|it| it.confidence),
        "explored": decided.decision.explored,
        "propensity": decided.decision.propensity,
        "considered": considered,
        "attempt": decided.attempt,
        "prompt_tokens": decided.decision.prompt_tokens,
        "cached_tokens": chosen.cached_tokens,
        "expected_output_tokens": decided.decision.expected_output_tokens,
        "predicted": chosen.prediction,
        "outcome": ended.end.outcome.as_str(),
        "actual": actual(&ended.end, decided),
    }))
}

/// As [`brief`], with the candidates it was made among, best first.
pub fn whole(ended: &Ended, wall: Wall) -> Option<Value> {
    let decided = ended.decided.as_deref()?;
    let mut value = brief(ended, wall)?;
    let mut field: Vec<&Entrant> = decided.field.iter().collect();
    field.sort_by(|a, b| b.meets.cmp(&a.meets).then(a.score.total_cmp(&b.score)));
    let candidates = field.into_iter().map(|entrant| candidate(entrant, decided));
    value["candidates"] = candidates.collect();
    Some(value)
}

fn candidate(entrant: &Entrant, decided: &Decided) -> Value {
    let engine = decided.engines.get(entrant.index).map(AsRef::as_ref);
    json!({
        "backend": engine.map(|engine| &engine.backend),
        "hardware": engine.and_then(hardware),
        "profile": engine.map(|engine| &engine.profile),
        "chosen": entrant.index == decided.decision.chosen.index,
        "score": known(entrant.score),
        "meets_slo": entrant.meets,
        "cached_tokens": entrant.cached_tokens,
        "predicted": {
            "ttft_s": known(entrant.ttft_s),
            "tpot_s": known(entrant.tpot_s),
            "e2e_s": known(entrant.e2e_s),
        },
        // What the score is made from, beside what is predicted.
        "priced_s": known(entrant.imposed_s),
        "recent_failures": known(entrant.failures),
        "cost_usd": known(entrant.cost_usd),
        "energy_j": known(entrant.energy_j),
        // What the prediction is made from: the prior at this load, the learner's factors on it, and calibration for the rest.
        "prior": {"ttft_s": known(entrant.prior_ttft_s), "tpot_s": known(entrant.prior_tpot_s)},
        "learned": entrant.learned,
        "load": entrant.load.map(|load| json!({
            "sequences": load.sequences,
            "decoding": load.decoding,
            "prefill_tokens": load.prefill_tokens,
            "decode_tokens": load.decode_tokens,
            "context_tokens": load.context_tokens,
            "age_s": entrant.load_age_s,
        })),
        "sequences_in_flight": entrant.load.map(|load| load.sequences),
    })
}

/// JSON has no infinity, and no NaN.
fn known(number: f32) -> Option<f32> {
    number.is_finite().then_some(number)
}

fn hardware(engine: &Engine) -> Option<String> {
    let facts = engine.facts.as_ref()?;
    Some(if facts.count == 1 {
        facts.hardware.clone()
    } else {
        format!("{} × {}", facts.count, facts.hardware)
    })
}

/// As the client saw it, from the attempt's start.
fn actual(end: &End, decided: &Decided) -> Value {
    let seconds = |from, to| clock::between(from, to).as_secs_f64();
    let tokens = end.usage.map_or(end.counted_tokens, |usage| usage.completion_tokens);
    let tpot = end.first.filter(|_| tokens > 1).map(|first| seconds(first, end.last) / f64::from(tokens - 1));
    json!({
        "ttft_s": end.first.map(|first| seconds(decided.at, first)),
        "tpot_s": tpot,
        "e2e_s": seconds(decided.at, end.at),
        "output_tokens": tokens,
        "cached_tokens": end.usage.and_then(|usage| usage.cached_tokens),
    })
}
