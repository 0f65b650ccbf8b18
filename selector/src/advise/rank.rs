//! From candidates to advice, and which is better.

use std::{cmp::Ordering, f64::consts::LN_2, time::Duration};

use gearshift_config::{Objective, Slo};

use super::{Advice, Candidate, Question};
use crate::{
    learner::Correction,
    objective::{EngineTime, Power},
    prior::Prior,
};

/// Limits count as met below this share of them: on measured rows predictions broke limits too often without a margin.
const MARGIN: f64 = 0.9;

/// Predictions closer than this are equal: then what changes less from the engine's defaults is first.
const EQUAL: f64 = 1e-3;

/// By how much candidates take longer than the prior says, natural log, the mean by the level prior; 0 without one. Never
/// more than twice or less than half as long: it was fitted to prompts of a few thousand tokens, and its attention
/// runs away beyond.
pub(super) fn level(question: &Question, candidates: &[Candidate]) -> f64 {
    let Some(factors) = &question.level else { return 0.0 };
    let over = |candidate: &Candidate| {
        let s = &candidate.situation;
        let terms = Prior::new(&candidate.deployment, factors).terms(s);
        (terms.e2e_ms(s) / candidate.terms.e2e_ms(s)).ln()
    };
    let mean = candidates.iter().map(over).sum::<f64>() / candidates.len().max(1) as f64;
    mean.clamp(-LN_2, LN_2)
}

/// Advice on candidates that are compared with each other, in their order. As when routing, a correction says two
/// things: the mean level of all, and each one's place among them. `prior_level` is the level that is known without
/// corrections, see [`level`]; where a level prior and corrections both have their say, the middle is taken, which
/// kept limits better on measured rows than either.
pub(super) fn advice(
    question: &Question,
    candidates: &[Candidate],
    corrections: Option<&[(Correction, f64)]>,
    prior_level: f64,
) -> Vec<Advice> {
    let of = |n: usize| corrections.and_then(|all| all.get(n)).copied().unwrap_or_default();
    let count = candidates.len().max(1) as f64;
    let parts = |(n, candidate): (usize, &Candidate)| Parts::new(candidate, of(n));
    let parts: Vec<_> = candidates.iter().enumerate().map(parts).collect();
    let mean = |of: fn(&Parts) -> f64| parts.iter().map(of).sum::<f64>() / count;
    let (corrected, place) = (mean(|part| part.level), mean(|part| part.relative));
    let level = if question.level.is_some() {
        prior_level + 0.5 * (corrected - mean(|part| part.confidence) * prior_level)
    } else {
        corrected
    };
    let one = |(candidate, part): (&Candidate, &Parts)| {
        let prior_e2e = candidate.terms.e2e_ms(&candidate.situation) * 1e-3;
        let e2e_s = prior_e2e * (level + part.relative - place).exp();
        let advice = part.advice(question, candidate, e2e_s);
        Advice { confidence: corrections.map(|_| part.confidence), ..advice }
    };
    candidates.iter().zip(&parts).map(one).collect()
}

/// One candidate's shrunk correction. Natural logs over the prior; seconds.
struct Parts {
    ttft_s: f64,
    tpot_s: f64,
    level: f64,
    relative: f64,
    confidence: f64,
}

impl Parts {
    fn new(candidate: &Candidate, (correction, confidence): (Correction, f64)) -> Self {
        let shrunk = |ln: f32| if ln.is_finite() { f64::from(ln) * confidence } else { 0.0 };
        let (terms, s) = (&candidate.terms, &candidate.situation);
        let ttft_s = terms.ttft_ms() * 1e-3 * shrunk(correction.ttft).exp();
        let tpot_s = terms.tpot_ms() * 1e-3 * shrunk(correction.tpot).exp();
        let level = ((ttft_s + s.decode_tokens() * tpot_s) / (terms.e2e_ms(s) * 1e-3)).ln();
        Self { ttft_s, tpot_s, level, relative: shrunk(correction.relative), confidence }
    }

    fn advice(&self, question: &Question, candidate: &Candidate, e2e_s: f64) -> Advice {
        let Candidate { deployment, replicas, situation, terms, .. } = candidate;
        // Both parts are scaled to add up.
        let scale = e2e_s / (self.ttft_s + situation.decode_tokens() * self.tpot_s);
        let (ttft_s, tpot_s) = (self.ttft_s * scale, self.tpot_s * scale);
        let accelerators = deployment.count * replicas;
        let per_replica = (situation.load.sequences + situation.sequences) * situation.output_tokens / e2e_s;
        let output_tokens_per_s = per_replica * f64::from(*replicas);
        let usd_per_s = question.hardware.price_usd_per_hour * f64::from(accelerators) / 3600.0;
        let over_prior = e2e_s / (terms.e2e_ms(situation) * 1e-3);
        let energy = |power| EngineTime::new(terms, situation, (over_prior, over_prior)).energy_j(&power);
        let joules = Power::new(&deployment.hardware, deployment.count).map(energy);
        Advice {
            knobs: deployment.knobs.clone(),
            lossless: deployment.knobs.lossless(),
            replicas: *replicas,
            accelerators,
            ttft_s,
            tpot_s,
            e2e_s,
            output_tokens_per_s,
            usd_per_million: (usd_per_s > 0.0).then(|| usd_per_s / output_tokens_per_s * 1e6),
            joules_per_token: joules.map(|joules| joules / situation.output_tokens),
            confidence: None,
            meets_slo: missed(&question.slo, [ttft_s, tpot_s, e2e_s]) == 0.0,
            terms: *terms,
        }
    }
}

/// Which of two is better under the question: first what meets the limits, then the objective, then fewer
/// accelerators, then fewer knobs that are not the engine's defaults.
pub(super) fn order(question: &Question, a: &Advice, b: &Advice) -> Ordering {
    let missed = |advice: &Advice| missed(&question.slo, [advice.ttft_s, advice.tpot_s, advice.e2e_s]);
    let value = |advice: &Advice| match question.objective {
        Objective::Latency => advice.e2e_s,
        Objective::Cost => {
            advice.usd_per_million.unwrap_or(f64::from(advice.accelerators) / advice.output_tokens_per_s)
        }
        Objective::Energy => advice.joules_per_token.unwrap_or(f64::INFINITY),
        Objective::Throughput => 1.0 / advice.output_tokens_per_s,
    };
    let changed = |advice: &Advice| {
        let knobs = &advice.knobs;
        u8::from(knobs.prefix_caching == Some(false))
            + u8::from(knobs.chunked_prefill == Some(false))
            + u8::from(!advice.lossless)
    };
    about(missed(a), missed(b))
        .then_with(|| about(value(a), value(b)))
        .then_with(|| a.accelerators.cmp(&b.accelerators))
        .then_with(|| changed(a).cmp(&changed(b)))
}

/// By how much the worst limit is missed, as a share of it; 0 where all are met. Seconds: TTFT, TPOT, end to end.
fn missed(slo: &Slo, predicted: [f64; 3]) -> f64 {
    let over = |(limit, predicted): (Option<Duration>, f64)| {
        limit.map_or(0.0, |limit| predicted / (limit.as_secs_f64() * MARGIN).max(1e-9) - 1.0)
    };
    [slo.ttft, slo.tpot, slo.e2e].into_iter().zip(predicted).map(over).fold(0.0, f64::max)
}

/// By steps of [`EQUAL`], so that the order is one for any three.
fn about(a: f64, b: f64) -> Ordering {
    let step = |x: f64| if x > 0.0 { (x.ln() / EQUAL).round() } else { f64::NEG_INFINITY };
    step(a).total_cmp(&step(b))
}
