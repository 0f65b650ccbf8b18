use std::{collections::BTreeSet, sync::Arc};

use gearshift_config::{Experts, Knobs, Speculative};
use proptest::prelude::*;

use super::*;
use crate::{
    deployment::{EngineKind, Software},
    prior::{
        PriorFactors,
        tests::{any_hardware, any_model, any_situation, facts},
    },
};
use facts::{h100, llama_3b};

fn on_h100(count: u32, knobs: Knobs) -> Deployment {
    Deployment {
        hardware: Arc::new(h100()),
        count,
        model: Arc::new(llama_3b()),
        knobs,
        software: Software::default(),
        kv_tokens: None,
    }
}

fn ask(deployment: &Deployment, situation: &Situation) -> QueryInputs {
    let prior = Prior::new(deployment, &PriorFactors::default());
    query(&prior, &prior.terms(situation), situation)
}

fn number(inputs: &[f32], names: impl IntoIterator<Item = String>, name: &str) -> f32 {
    inputs[names.into_iter().position(|n| n == name).expect(name)]
}

fn of_query(inputs: &QueryInputs, name: &str) -> f32 {
    number(inputs, query_names(), name)
}

#[test]
fn names_are_unique_and_the_hash_is_over_all_of_them() {
    let statics = MODEL.iter().chain(&HARDWARE).chain(&PROFILE).map(|&n| n.to_owned());
    let names: Vec<_> = statics.chain(query_names()).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    assert_eq!(query_names().count(), QUERY_WIDTH);
    assert_eq!(QUERY[list::PRIOR_E2E], "query.log2_prior_e2e_ms");
    assert_eq!(
        QUERY[CENTRED], "query.log2_prompt_tokens",
        "what is equal for all candidates has no centred copy"
    );
    assert_eq!(schema_hash().len(), 64);
}

#[test]
fn a_closed_loop_is_described_as_it_is() {
    let parallel = Knobs { tensor_parallel: Some(2), max_num_seqs: Some(16), ..Knobs::default() };
    let inputs = ask(&on_h100(2, parallel), &Situation::closed_loop(8.0, 1024.0, 256.0, 128.0));
    let number = |name: &str| of_query(&inputs, name);
    assert_eq!(number("query.log2_sequences"), 3.0);
    assert_eq!(number("query.log2_sequences_per_accelerator"), 2.0);
    assert_eq!(number("query.log2_sequences_over_slots"), -1.0);
    assert_eq!(number("query.log2_accelerators"), 1.0);
    assert_eq!(number("query.log2_prompt_over_output"), 3.0);
    assert_eq!(number("query.cached_share"), 0.25);
    assert_eq!(number("query.log2_tokens_per_expert"), 3.0, "a dense model is one expert");
    assert_eq!(number("query.expert_sparsity"), 1.0);
    assert_eq!(number("query.vllm"), 1.0);
    assert_eq!(number("query.kv_heads_per_accelerator"), 4.0);
    // 6.4 GB of weights over two parts of 80 GiB.
    assert!((number("query.weights_over_memory") - 0.0372).abs() < 1e-3);
}

#[test]
fn an_engine_is_described_with_its_defaults() {
    let plain = StaticInputs::new(&on_h100(1, Knobs::default()));
    let named = |tokens: &[f32], names: &[&str], name: &str| {
        number(tokens, names.iter().map(|&n| n.to_owned()), name)
    };
    let profile = |s: &StaticInputs, name: &str| named(&s.profile, &PROFILE, name);
    assert_eq!(profile(&plain, "profile.log2_step_tokens"), 13.0);
    assert_eq!(profile(&plain, "profile.log2_slots"), 10.0);
    assert_eq!(profile(&plain, "profile.prefix_caching"), 1.0);
    assert_eq!(profile(&plain, "profile.software_months"), 7.0);
    assert_eq!(profile(&plain, "profile.weight_bytes"), 2.0);
    assert!((named(&plain.hardware, &HARDWARE, "hardware.log2_fp8_over_bf16") - 1.0).abs() < 1e-2);
    assert_eq!(named(&plain.model, &MODEL, "model.active_share"), 1.0);

    let speculative = Some(Speculative { method: "ngram".into(), num_speculative_tokens: 3, model: None });
    let knobs = Knobs { chunked_prefill: Some(false), speculative, ..Knobs::default() };
    let other = Deployment {
        software: Software { engine: EngineKind::Sglang, months: Some(9.5) },
        ..on_h100(4, knobs)
    };
    let other = StaticInputs::new(&other);
    assert_eq!(profile(&other, "profile.whole_prefill"), 1.0);
    assert_eq!(profile(&other, "profile.log2_step_tokens"), 17.0, "the model's context");
    assert_eq!(profile(&other, "profile.draft_tokens"), 3.0);
    assert_eq!((profile(&other, "profile.ngram"), profile(&other, "profile.trained_drafts")), (1.0, 0.0));
    assert_eq!(
        profile(&other, "profile.log2_tensor_parallel"),
        2.0,
        "all accelerators unless told otherwise"
    );
    assert_eq!((profile(&other, "profile.vllm"), profile(&other, "profile.sglang")), (0.0, 1.0));
    assert_eq!(profile(&other, "profile.software_months"), 9.5);
}

#[test]
fn a_mixture_reaches_more_experts_with_a_larger_batch() {
    let model = gearshift_config::ModelFacts {
        experts: Some(Experts { total: 128, active: 8, parameters_b: 2.5 }),
        ..llama_3b()
    };
    let kv_tokens = Some(1 << 30);
    let mixture = Deployment { model: Arc::new(model), kv_tokens, ..on_h100(1, Knobs::default()) };
    let at = |concurrency| ask(&mixture, &Situation::closed_loop(concurrency, 1000.0, 0.0, 100.0));
    let per_expert = |concurrency| of_query(&at(concurrency), "query.log2_tokens_per_expert");
    assert!(per_expert(1.0).abs() < 1e-6, "one token each");
    assert!((per_expert(1024.0) - 6.0).abs() < 1e-3, "all of them: 1024 · 8 / 128");
    assert_eq!(of_query(&at(1.0), "query.expert_sparsity"), 0.0625);
}

#[test]
fn what_is_alone_is_its_own_mean() {
    let situation = Situation::closed_loop(4.0, 1000.0, 0.0, 100.0);
    let one = |tp| ask(&on_h100(tp, Knobs { tensor_parallel: Some(tp), ..Knobs::default() }), &situation);
    let mut alone = [one(1)];
    centre(&mut alone);
    assert!(alone[0][QUERY.len()..].iter().all(|&x| x == 0.0));

    let mut both = [one(1), one(4)];
    centre(&mut both);
    assert_eq!(both.map(|q| of_query(&q, "centred.query.log2_accelerators")), [-1.0, 1.0]);
    let over = both.map(|q| of_query(&q, OVER_CHEAPEST));
    assert!(over[0] > 0.5 && over[1] == 0.0, "{over:?}");
    let again = both;
    centre(&mut both);
    assert_eq!(both, again);
    centre(&mut []);
}

proptest! {
    /// Whatever a user writes into a catalog of their own: numbers of a sane size, shares that add up.
    #[test]
    fn inputs_are_finite_and_shares_add_up(
        hardware in any_hardware(), count in 0u32..64, model in any_model(), s in any_situation(), other in any_situation(),
        tp in prop::option::of(0u32..16), dp in prop::option::of(0u32..16), pp in prop::option::of(0u32..8),
        seqs in prop::option::of(0u32..2000), budget in prop::option::of(0u32..20_000), kv in prop::option::of(0u64..1 << 40),
        months in prop::option::of(-1e3f64..1e3), chunked in prop::option::of(any::<bool>()),
    ) {
        let knobs = Knobs {
            tensor_parallel: tp, data_parallel: dp, pipeline_parallel: pp, max_num_seqs: seqs, chunked_prefill: chunked,
            max_num_batched_tokens: budget, ..Knobs::default()
        };
        let deployment = Deployment {
            hardware: Arc::new(hardware), count, model: Arc::new(model), knobs, kv_tokens: kv,
            software: Software { engine: EngineKind::Vllm, months },
        };
        let tokens = StaticInputs::new(&deployment);
        let mut queries = [ask(&deployment, &s), ask(&deployment, &other)];
        for query in &queries {
            let shares: f32 = query[..list::PRIOR_E2E].iter().sum();
            prop_assert!((shares - 1.0).abs() < 1e-4, "{shares}");
        }
        centre(&mut queries);
        let all = tokens.model.iter().chain(&tokens.hardware).chain(&tokens.profile).chain(queries.iter().flatten());
        for x in all {
            prop_assert!(x.is_finite() && x.abs() <= 64.0, "{x} {tokens:?} {queries:?}");
        }
    }
}
