use std::time::Duration;

use gearshift_config::{Experts, Quantization, Speculative};

use super::*;
use crate::prior::tests::facts::{h100, llama_3b};

fn question(model: ModelFacts, count: u32, objective: Objective) -> Question {
    Question {
        model: Arc::new(model),
        hardware: Arc::new(h100()),
        count,
        software: Software::default(),
        workload: ClosedLoop {
            concurrency: 64.0,
            prompt_tokens: 2000.0,
            cached_tokens: 0.0,
            output_tokens: 300.0,
        },
        objective,
        slo: Slo::default(),
        allow_lossy: false,
        drafts: Vec::new(),
        fixed: Knobs::default(),
        factors: PriorFactors::default(),
        level: None,
    }
}

/// Llama 3.1 70B: 140 GB.
fn llama_70b() -> ModelFacts {
    ModelFacts {
        parameters_b: 70.0,
        active_parameters_b: 70.0,
        layers: 80,
        hidden: 8192,
        heads: 64,
        ..llama_3b()
    }
}

#[test]
fn the_objective_decides_over_the_parallelism() {
    let best = |objective| advise(&question(llama_70b(), 8, objective), None).swap_remove(0);
    let (fast, cheap) = (best(Objective::Latency), best(Objective::Cost));
    assert_eq!((fast.knobs.tensor_parallel, fast.replicas), (Some(8), 1), "{fast:?}");
    assert!(cheap.knobs.tensor_parallel < Some(8), "{cheap:?}");
    assert!(cheap.usd_per_million < fast.usd_per_million && fast.e2e_s < cheap.e2e_s);
    assert!(fast.joules_per_token.is_some() && fast.confidence.is_none());
    let throughput = best(Objective::Throughput).output_tokens_per_s;
    assert!(throughput >= 0.999 * fast.output_tokens_per_s.max(cheap.output_tokens_per_s));
}

#[test]
fn what_does_not_fit_is_left_out() {
    assert!(advise(&question(llama_70b(), 1, Objective::Latency), None).is_empty());
    let on_two = advise(&question(llama_70b(), 2, Objective::Latency), None);
    assert!(on_two.iter().all(|advice| advice.knobs.tensor_parallel == Some(2)), "{on_two:?}");
}

#[test]
fn lossy_profiles_are_asked_for_and_marked() {
    let mut question = question(llama_70b(), 1, Objective::Latency);
    question.allow_lossy = true;
    let advice = advise(&question, None);
    assert!(!advice.is_empty(), "four-bit weights fit one accelerator");
    assert!(advice.iter().all(|advice| !advice.lossless));
    question.fixed.quantization = Some(Quantization::Int4);
    question.allow_lossy = false;
    assert!(!advise(&question, None).is_empty(), "what is settled was asked for");
}

#[test]
fn limits_go_before_the_objective() {
    let mut question = question(llama_70b(), 8, Objective::Cost);
    let cheapest = advise(&question, None).swap_remove(0);
    question.slo.tpot = Some(Duration::from_secs_f64(cheapest.tpot_s * 0.8));
    let advice = advise(&question, None);
    assert!(advice[0].meets_slo && advice[0].tpot_s < 0.8 * cheapest.tpot_s, "{:?}", advice[0]);
    assert!(advice.is_sorted_by_key(|advice| !advice.meets_slo));
}

#[test]
fn a_shared_prefix_makes_caching_worthwhile_and_ties_keep_the_defaults() {
    let mut question = question(llama_3b(), 1, Objective::Latency);
    assert_ne!(advise(&question, None)[0].knobs.prefix_caching, Some(false));
    question.workload.cached_tokens = 1800.0;
    let advice = advise(&question, None);
    let best_without = advice.iter().find(|advice| advice.knobs.prefix_caching == Some(false));
    assert!(advice[0].e2e_s < 0.9 * best_without.expect("both are looked at").e2e_s);
}

#[test]
fn experts_may_be_spread_in_more_ways() {
    let experts = Some(Experts { total: 128, active: 8, parameters_b: 28.0 });
    let model = ModelFacts { parameters_b: 30.0, active_parameters_b: 3.0, experts, heads: 32, ..llama_3b() };
    let advice = advise(&question(model, 4, Objective::Cost), None);
    let any = |is: fn(&Knobs) -> bool| advice.iter().any(|advice| is(&advice.knobs));
    assert!(any(|k| k.data_parallel == Some(4)) && any(|k| k.expert_parallel == Some(true)));
    assert!(any(|k| k.tensor_parallel == Some(4)) && any(|k| k.tensor_parallel == Some(1)));
}

#[test]
fn continuous_knobs_are_refined_and_what_is_settled_stays() {
    let mut question = question(llama_3b(), 1, Objective::Latency);
    question.fixed.max_num_seqs = Some(100);
    question.fixed.speculative =
        Some(Speculative { method: "eagle3".into(), num_speculative_tokens: 1, model: None });
    question.workload.concurrency = 4.0;
    let best = advise(&question, None).swap_remove(0);
    assert_eq!(best.knobs.max_num_seqs, Some(100));
    let drafts = best.knobs.speculative.expect("settled").num_speculative_tokens;
    assert_eq!(drafts, 3, "as far as acceptance was measured");
}

#[test]
fn ways_to_draft_are_looked_at_beside_none() {
    let mut question = question(llama_3b(), 1, Objective::Latency);
    let heads =
        Speculative { method: "eagle3".into(), num_speculative_tokens: 3, model: Some("heads".into()) };
    let lookup = Speculative { method: "ngram".into(), num_speculative_tokens: 3, model: None };
    question.drafts = vec![heads, lookup];
    question.workload.concurrency = 2.0;
    let all = advise(&question, None);
    let method = |one: &Advice| one.knobs.speculative.as_ref().map(|speculative| speculative.method.clone());
    let methods: Vec<_> = all.iter().map(method).collect();
    assert_eq!(methods[0].as_deref(), Some("eagle3"));
    assert!(methods.contains(&None) && methods.contains(&Some("ngram".to_owned())), "{methods:?}");
    // What gains nothing as far as anybody knows is not chosen for nothing.
    question.drafts.remove(0);
    assert_eq!(method(&advise(&question, None)[0]), None);
    question.fixed.speculative = Some(question.drafts[0].clone());
    assert!(advise(&question, None).iter().all(|one| one.knobs.speculative.is_some()), "settled");
}

#[test]
fn a_corrector_ranks_anew_and_is_trusted_in_part() {
    let question = question(llama_70b(), 8, Objective::Latency);
    let plain = advise(&question, None);
    let mut asked = 0;
    let mut against_tensor = |candidates: &[Candidate]| {
        asked = candidates.len();
        let correct = |candidate: &Candidate| {
            let large = candidate.deployment.knobs.tensor_parallel == Some(8);
            (Correction { relative: if large { 3.0 } else { 0.0 }, ..Correction::default() }, 0.5)
        };
        Some(candidates.iter().map(correct).collect())
    };
    let corrected = advise(&question, Some(&mut against_tensor));
    assert_eq!(asked, plain.len());
    assert!(corrected[0].knobs.tensor_parallel < Some(8));
    assert_eq!(corrected[0].confidence, Some(0.5));

    let mut broken = |_: &[Candidate]| Some(Vec::new());
    assert_eq!(advise(&question, Some(&mut broken))[0].knobs, plain[0].knobs);
}

#[test]
fn a_level_prior_scales_all_times_and_leaves_the_order() {
    let mut question = question(llama_70b(), 8, Objective::Latency);
    let plain = advise(&question, None);
    let factors = question.factors;
    // Everything twice as slow.
    question.level = Some(PriorFactors { ln_vllm: factors.ln_vllm + 2f64.ln(), ..factors });
    let slower = advise(&question, None);
    assert_eq!(slower.len(), plain.len());
    for (slower, plain) in slower.iter().zip(&plain) {
        assert_eq!(slower.knobs, plain.knobs);
        for (slower, plain) in [(slower.e2e_s, plain.e2e_s), (slower.tpot_s, plain.tpot_s)] {
            assert!((slower / plain - 2.0).abs() < 1e-9, "{slower} {plain}");
        }
    }
    // It is not believed beyond that.
    question.level = Some(PriorFactors { ln_vllm: factors.ln_vllm + 10f64.ln(), ..factors });
    assert!((advise(&question, None)[0].e2e_s / plain[0].e2e_s - 2.0).abs() < 1e-9);
    // What kept a limit by a third no longer does.
    let best = plain[0].e2e_s;
    let within = |question: &Question| advise(question, None)[0].meets_slo;
    question.slo.e2e = Some(Duration::from_secs_f64(1.5 * best));
    assert!(!within(&question));
    question.level = None;
    assert!(within(&question));

    // A learner that says nothing trusted leaves the level to the prior; one that is trusted has half of the say.
    question.level = Some(PriorFactors { ln_vllm: factors.ln_vllm + 2f64.ln(), ..factors });
    question.slo = Slo::default();
    for (confidence, expected) in [(0.0, 2.0), (1.0, 2f64.sqrt())] {
        let mut silent = |all: &[Candidate]| Some(vec![(Correction::default(), confidence); all.len()]);
        let advice = advise(&question, Some(&mut silent));
        assert!((advice[0].e2e_s / plain[0].e2e_s - expected).abs() < 1e-9, "{confidence}");
    }
}
