//! The space that is searched.

use std::sync::Arc;

use gearshift_config::{Knobs, KvCacheDtype, Quantization, Speculative};

use super::{Advice, Candidate, Question, rank};
use crate::{
    deployment::Deployment,
    features::Situation,
    num::to_u32,
    prior::{Engine, Prior},
};

/// Coarse grids of the continuous knobs.
const STEP_TOKENS: [u32; 3] = [2048, 8192, 32_768];
const SEQUENCES: [u32; 4] = [8, 64, 256, 1024];
/// Their ends.
const STEP_TOKENS_RANGE: (u32, u32) = (256, 131_072);
const SEQUENCES_RANGE: (u32, u32) = (1, 4096);
/// Draft tokens a step at most.
const DRAFTS: u32 = 8;
/// Factors around the best value, coarse to fine.
const REFINEMENTS: [f64; 3] = [2.0, 1.5, 1.2];

/// All combinations of the discrete knobs that the question leaves open.
pub(super) fn combinations(question: &Question) -> Vec<Knobs> {
    let fixed = &question.fixed;
    let all = layouts(question, fixed);
    let all = each(&all, fixed.prefix_caching.is_some(), &[true, false], |k, on| k.prefix_caching = Some(on));
    let all =
        each(&all, fixed.chunked_prefill.is_some(), &[true, false], |k, on| k.chunked_prefill = Some(on));
    // What is settled may be lossy unasked.
    let lossy = question.allow_lossy;
    let dtypes: &[_] = if lossy { &[KvCacheDtype::Auto, KvCacheDtype::Fp8] } else { &[KvCacheDtype::Auto] };
    let all = each(&all, fixed.kv_cache_dtype.is_some(), dtypes, |k, dtype| k.kv_cache_dtype = Some(dtype));
    let widths = if lossy { quantizations(question) } else { vec![Quantization::None] };
    let all = each(&all, fixed.quantization.is_some(), &widths, |k, width| k.quantization = Some(width));
    // None first: of equals the one that needs nothing stays.
    let ways: Vec<_> = std::iter::once(None).chain(question.drafts.iter().map(Some)).collect();
    each(&all, fixed.speculative.is_some(), &ways, |k, way| k.speculative = way.cloned())
}

/// Each of `all` with each value, unless that is settled.
fn each<T: Copy>(all: &[Knobs], settled: bool, values: &[T], set: impl Fn(&mut Knobs, T)) -> Vec<Knobs> {
    if settled {
        return all.to_vec();
    }
    let with = |knobs: &Knobs, value: T| {
        let mut changed = knobs.clone();
        set(&mut changed, value);
        changed
    };
    all.iter()
        .flat_map(|knobs| values.iter().map(move |&value| (knobs, value)))
        .map(|(k, v)| with(k, v))
        .collect()
}

/// Ways to shard one replica: tensor parallel over powers of two; of a mixture of experts also attention replicated,
/// and experts whole.
fn layouts(question: &Question, knobs: &Knobs) -> Vec<Knobs> {
    if knobs.tensor_parallel.or(knobs.data_parallel).or(knobs.pipeline_parallel).is_some() {
        return vec![knobs.clone()];
    }
    let mixture = question.model.experts.is_some();
    let mut layouts = Vec::new();
    let groups = std::iter::successors(Some(1u32), |group| group.checked_mul(2));
    for group in groups.take_while(|&group| group <= question.count.max(1)) {
        let spread = mixture && group > 1;
        for replicated in [false, true] {
            let fits = if replicated { spread } else { question.model.heads.is_multiple_of(group) };
            for expert in [false, true] {
                let open = knobs.expert_parallel.is_none_or(|settled| settled == expert);
                if fits && open && (spread || !expert) {
                    let (tensor, data) = if replicated { (1, Some(group)) } else { (group, None) };
                    let expert_parallel = expert.then_some(true);
                    let layout = Knobs {
                        tensor_parallel: Some(tensor),
                        data_parallel: data,
                        expert_parallel,
                        ..knobs.clone()
                    };
                    layouts.push(layout);
                }
            }
        }
    }
    layouts
}

/// The model as it is, and what is narrower than that and has a unit on this part.
fn quantizations(question: &Question) -> Vec<Quantization> {
    let (bytes, hardware) = (question.model.weight_bytes, &question.hardware);
    let mut all = vec![Quantization::None];
    if bytes > 1.5 && hardware.fp8_tflops.is_some() {
        all.push(Quantization::Fp8);
    }
    if bytes > 0.75 {
        all.push(Quantization::Int4);
        all.extend(hardware.fp4_tflops.map(|_| Quantization::Fp4));
    }
    all
}

/// The best values of the continuous knobs for one combination of the discrete ones, by the prior; `None` where it does
/// not fit.
pub(super) fn best_of(
    question: &Question,
    knobs: &Knobs,
    replicas: u32,
    level: f64,
) -> Option<(Candidate, Advice)> {
    let mut best = None;
    for knobs in coarse(knobs) {
        keep_better(question, &mut best, knobs, replicas, level);
    }
    for factor in REFINEMENTS {
        let around = best.as_ref().map(|(candidate, _)| finer(question, &candidate.deployment.knobs, factor));
        for knobs in around.into_iter().flatten() {
            keep_better(question, &mut best, knobs, replicas, level);
        }
    }
    best
}

fn keep_better(
    question: &Question,
    best: &mut Option<(Candidate, Advice)>,
    knobs: Knobs,
    replicas: u32,
    level: f64,
) {
    let Some(candidate) = candidate(question, knobs, replicas) else { return };
    let one = std::slice::from_ref(&candidate);
    let Some(advice) = rank::advice(question, one, None, level).pop() else { return };
    if best.as_ref().is_none_or(|(_, best)| rank::order(question, &advice, best).is_lt()) {
        *best = Some((candidate, advice));
    }
}

/// The coarse grid. Without chunked prefill the step budget is what the longest prompt needs, and not searched.
fn coarse(knobs: &Knobs) -> Vec<Knobs> {
    let settled = knobs.chunked_prefill == Some(false) || knobs.max_num_batched_tokens.is_some();
    let all = each(std::slice::from_ref(knobs), settled, &STEP_TOKENS, |k, tokens| {
        k.max_num_batched_tokens = Some(tokens);
    });
    each(&all, knobs.max_num_seqs.is_some(), &SEQUENCES, |k, sequences| k.max_num_seqs = Some(sequences))
}

/// Neighbours of the best found so far, one knob at a time; what is settled stays.
fn finer(question: &Question, best: &Knobs, factor: f64) -> Vec<Knobs> {
    let scaled = |value: u32, (least, most): (u32, u32), factor: f64| {
        to_u32(f64::from(value) * factor).clamp(least, most)
    };
    let mut all = Vec::new();
    for factor in [factor, 1.0 / factor] {
        if let (None, Some(value)) = (question.fixed.max_num_batched_tokens, best.max_num_batched_tokens) {
            let value = Some(scaled(value, STEP_TOKENS_RANGE, factor));
            all.push(Knobs { max_num_batched_tokens: value, ..best.clone() });
        }
        if let (None, Some(value)) = (question.fixed.max_num_seqs, best.max_num_seqs) {
            all.push(Knobs { max_num_seqs: Some(scaled(value, SEQUENCES_RANGE, factor)), ..best.clone() });
        }
        // How a draft is made is settled by what there is for the model; how many a step is searched.
        if let Some(speculative) = &best.speculative {
            let drafts = speculative.num_speculative_tokens;
            let drafts = if factor > 1.0 { drafts + 1 } else { drafts.saturating_sub(1) }.clamp(1, DRAFTS);
            let speculative = Some(Speculative { num_speculative_tokens: drafts, ..speculative.clone() });
            all.push(Knobs { speculative, ..best.clone() });
        }
    }
    all
}

/// Accelerators of one replica.
fn group(knobs: &Knobs) -> u32 {
    let sizes = [knobs.tensor_parallel, knobs.data_parallel, knobs.pipeline_parallel];
    sizes.into_iter().fold(1, |group, size| group.saturating_mul(size.unwrap_or(1).max(1)))
}

/// How many replicas may be run: one, doubled as often as there are accelerators, and all there is room for. No more
/// than requests: the rest would be paid for and idle.
pub(super) fn replicas(question: &Question, knobs: &Knobs) -> Vec<u32> {
    let requests = to_u32(question.workload.concurrency.ceil()).max(1);
    let most = (question.count.max(1) / group(knobs)).min(requests);
    let doubled = std::iter::successors(Some(1u32), |replicas| replicas.checked_mul(2));
    let mut all: Vec<_> = doubled.take_while(|&replicas| replicas < most).collect();
    all.extend((most > 0).then_some(most));
    all
}

/// One profile at the question's workload; `None` where a replica does not hold the model and one request.
fn candidate(question: &Question, knobs: Knobs, replicas: u32) -> Option<Candidate> {
    let w = &question.workload;
    let group = group(&knobs);
    let engine = Engine::new(&question.hardware, group, &question.model, &knobs);
    if engine.kv_room_tokens < engine.reach.tokens(w.prompt_tokens + w.output_tokens) {
        return None;
    }
    let cached = if knobs.prefix_caching == Some(false) { 0.0 } else { w.cached_tokens };
    let concurrency = (w.concurrency / f64::from(replicas)).max(1.0);
    let situation = Situation::closed_loop(concurrency, w.prompt_tokens, cached, w.output_tokens);
    let deployment = Deployment {
        hardware: Arc::clone(&question.hardware),
        count: group,
        model: Arc::clone(&question.model),
        knobs,
        software: question.software,
        kv_tokens: None,
    };
    let prior = Prior::new(&deployment, &question.factors);
    let terms = prior.terms(&situation);
    Some(Candidate { deployment, replicas, situation, prior, terms })
}
