//! The metrics page has the families of a real scrape.

use std::collections::{BTreeMap, BTreeSet};

use gearshift_loadtests::driver::Endpoint;

use super::{fast, json, planned, serve};
use crate::common::{ask, metric, run};

/// A scrape of vLLM 0.32 (CPU, development mode) after a few requests. Left out of it are the families `python_*` and
/// `process_*`, which describe the interpreter and its process and which a simulation has no like of.
const SCRAPE: &str = include_str!("../../fixtures/vllm-metrics.txt");
const CHAT: &str = r#"{"messages":[{"role":"user","content":"hello"}],"max_tokens":3}"#;

/// Families by name: their type, and the sets of label names that their samples have.
#[derive(Debug, Default, PartialEq, Eq)]
struct Family {
    kind: String,
    labels: BTreeSet<BTreeSet<String>>,
}

fn families(page: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            name.clone_into(&mut current);
            families.entry(current.clone()).or_default().kind = kind.to_owned();
        } else if !line.starts_with('#') {
            assert!(line.starts_with(&current), "{line} stands under {current}");
            let labels = line.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
            let labels = labels.split("\",").filter_map(|pair| Some(pair.split_once('=')?.0.to_owned()));
            families.get_mut(&current).unwrap().labels.insert(labels.collect());
        }
    }
    families
}

/// Samples with all their labels but values that differ between engines: the closed sets of reasons, sources, states
/// and bounds.
fn closed_sets(page: &str) -> BTreeSet<String> {
    let open = ["vllm:cache_config_info", "http_"];
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    samples
        .filter(|line| !open.iter().any(|prefix| line.starts_with(prefix)))
        .map(|line| {
            let (name, labels) = line.split_once('{').unwrap();
            let labels = labels.rsplit_once('}').unwrap().0;
            let mut labels: Vec<&str> = labels.split(',').collect();
            labels.sort_unstable();
            format!("{name}{labels:?}")
        })
        .collect()
}

/// Asks what the recorded engine had been asked, so that families by path have children.
async fn warm_up(endpoint: &Endpoint) {
    for (method, path, body) in [
        ("POST", "/v1/chat/completions", CHAT),
        ("POST", "/v1/chat/completions", r#"{"model":"other"}"#),
        ("POST", "/v1/completions", r#"{"prompt":"hello"}"#),
        ("POST", "/sleep?level=1", ""),
        ("GET", "/is_sleeping", ""),
        ("POST", "/wake_up", ""),
        ("POST", "/reset_prefix_cache", ""),
    ] {
        ask(endpoint, method, path, body).await;
    }
}

#[test]
fn names_types_and_labels_are_those_of_a_real_scrape() {
    run(async {
        let (endpoint, _engine) = serve(&planned("{}"), fast()).await;
        warm_up(&endpoint).await;
        let (_, page) = ask(&endpoint, "GET", "/metrics", "").await;
        let (ours, real) = (families(&page), families(SCRAPE));
        assert!(real.len() > 60);
        let names = |families: &BTreeMap<String, Family>| families.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&ours), names(&real));
        for (name, family) in &real {
            assert_eq!(ours[name], *family, "{name}");
        }
        assert_eq!(closed_sets(&page), closed_sets(SCRAPE));
    });
}

#[test]
fn counts_are_those_of_the_requests() {
    run(async {
        let (endpoint, engine) = serve(&planned("{}"), fast()).await;
        let prompt = "word ".repeat(400);
        for _ in 0..3 {
            let body = format!(r#"{{"prompt":"{prompt}","max_tokens":7,"ignore_eos":true}}"#);
            let (status, answer) = json(&endpoint, "POST", "/v1/completions", &body).await;
            assert_eq!((status, &answer["usage"]["prompt_tokens"]), (200, &500.into()));
        }
        let value = async |name: &str| metric(&endpoint, name).await;
        assert_eq!(value("vllm:prompt_tokens_total").await, 1500.0);
        assert_eq!(value("vllm:generation_tokens_total").await, 21.0);
        assert_eq!(
            value("vllm:request_success_total{engine=\"0\",model_name=\"tiny\",finished_reason=\"length\"}")
                .await,
            3.0
        );
        // 500 tokens are 31 whole blocks of 16.
        assert_eq!(value("vllm:prefix_cache_hits_total").await, 2.0 * 31.0 * 16.0);
        assert_eq!(value("vllm:time_to_first_token_seconds_count").await, 3.0);
        assert_eq!(value("vllm:request_generation_tokens_sum").await, 21.0);
        assert_eq!(value("vllm:num_requests_running").await, 0.0);
        assert_eq!(engine.totals().finished, 3);
    });
}

#[test]
fn speculation_has_its_own_counters() {
    run(async {
        let mut planned = planned("{}");
        planned.spec.knobs.speculative = Some(gearshift_config::Speculative {
            method: "ngram".into(),
            num_speculative_tokens: 3,
            model: None,
        });
        let (endpoint, _engine) = serve(&planned, fast()).await;
        let body =
            r#"{"prompt":"hello","max_tokens":400,"ignore_eos":true,"vllm_xargs":{"sim_acceptance":0.7}}"#;
        let (_, answer) = json(&endpoint, "POST", "/v1/completions", body).await;
        assert_eq!(answer["usage"]["completion_tokens"], 400);
        let accepted = metric(&endpoint, "vllm:spec_decode_num_accepted_tokens_total").await;
        let drafts = metric(&endpoint, "vllm:spec_decode_num_drafts_total").await;
        // 0.7 + 0.49 + 0.343 tokens are accepted of each draft on average.
        assert!((1.2..1.9).contains(&(accepted / drafts)), "{accepted} of {drafts}");
    });
}
