use super::*;
use crate::sim::{Engine, Pace};

const TWO: &str = "
listen: 127.0.0.1:8080
backends:
  - {name: a, url: 'http://127.0.0.1:8001', hardware: h100_sxm, model: llama-3.1-8b, profile: quick}
  - {name: b, url: 'http://127.0.0.1:8002', hardware: {kind: xeon_8480, count: 2}, model: llama-3.1-8b}
profiles:
  quick: {speculative: {method: draft_model, num_speculative_tokens: 3, model: llama-3.2-1b}}
  none: {prefix_caching: false}
";

#[test]
fn an_engine_is_what_its_backend_declares() {
    let scenario = Scenario::parse("two", TWO, None).unwrap();
    let [a, b] = &scenario.engines[..] else { panic!("two engines") };
    assert_eq!((a.spec.name.as_str(), a.spec.hardware_id.as_str(), a.spec.count), ("a", "h100_sxm", 1));
    assert_eq!(a.spec.knobs.speculative.as_ref().unwrap().num_speculative_tokens, 3);
    assert!(a.spec.draft.as_ref().unwrap().parameters_b < 2.0);
    assert_eq!((a.spec.block_tokens, b.spec.block_tokens), (ACCELERATOR_BLOCK_TOKENS, CPU_BLOCK_TOKENS));
    assert_eq!((b.spec.count, b.spec.knobs.clone()), (2, Knobs::default()));
    assert_eq!((b.slow, b.round_trip_s), (1.0, 0.0));
}

#[test]
fn the_truth_goes_before_the_declaration() {
    let truth = r#"{"engines": {"a": {"hardware": {"kind": "l4"}, "profile": "none", "slow": 2, "round_trip_ms": 80,
        "max_queued": 4, "priority_scheduling": true}}}"#;
    let scenario = Scenario::parse("two", TWO, Some(truth)).unwrap();
    let a = &scenario.engines[0];
    assert_eq!((a.spec.hardware_id.as_str(), a.spec.count), ("l4", 1));
    assert_eq!(a.backend.hardware.as_ref().unwrap().id.as_str(), "h100_sxm", "the claim stands");
    assert_eq!((a.spec.knobs.prefix_caching, a.spec.max_queued), (Some(false), Some(4)));
    assert_eq!((a.slow, a.round_trip_s, a.spec.scheduling), (2.0, 0.08, Scheduling::Priority));
    assert_eq!(scenario.engines[1].spec.hardware_id, "xeon_8480");
}

#[test]
fn what_an_engine_has_to_know_is_asked_for() {
    let refuse =
        |config: &str, truth: Option<&str>| Scenario::parse("x", config, truth).unwrap_err().to_string();
    let bare = "listen: 127.0.0.1:1\nbackends: [{name: a, url: 'http://127.0.0.1:8001'}]\n";
    assert!(refuse(bare, None).contains("x: a: its hardware has to be stated"));
    let detect = bare.replace("'}", "', hardware: l4}");
    assert!(refuse(&detect, None).contains("its model has to be stated"));
    for (truth, reason) in [
        (r#"{"engines": {"c": {}}}"#, "c: the truth names an engine"),
        (r#"{"engines": {"a": {"hardware": {"kind": "abacus"}}}}"#, "no hardware abacus"),
        (r#"{"engines": {"a": {"profile": "fast"}}}"#, "no profile fast"),
        (r#"{"engines": {"a": {"slwo": 2}}}"#, "unknown field `slwo`"),
    ] {
        let error = refuse(TWO, Some(truth));
        assert!(error.contains(reason), "{error}");
    }
    let unknown = Scenario::shipped("nowhere").unwrap_err().to_string();
    assert!(unknown.contains("there are: demo, homogeneous"), "{unknown}");
}

#[test]
fn every_shipped_scenario_is_a_valid_configuration_of_engines_that_run() {
    for name in Scenario::shipped_names() {
        let scenario = Scenario::shipped(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(scenario.engines.len(), 6, "{name}");
        assert!(scenario.engines.iter().all(|engine| engine.backend.price_usd_per_hour.is_some()), "{name}");
        for planned in &scenario.engines {
            let engine = Engine::new(&planned.spec, Pace::Steps, 0).unwrap_or_else(|error| panic!("{error}"));
            let context = planned.spec.knobs.max_model_len.unwrap_or(planned.spec.model.context);
            assert!(
                engine.kv_tokens() >= u64::from(context),
                "{name}: {} cannot hold a context",
                planned.spec.name
            );
        }
    }
}
