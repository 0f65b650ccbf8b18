//! `gearshift explain` and `/decisions/ID`: what ranked the candidates, whatever the request is called.

use std::process::{Command, Output};

use gearshift_proxy::percent::encoded;
use serde_json::Value;

use crate::common::{CHAT, COMPLETION, Engine, Gearshift, QUESTION, Yaml, post, within};

/// Two engines that are known, so that there are predictions.
async fn pair() -> ([Engine; 2], Gearshift) {
    let engines = [Engine::start().await, Engine::start().await];
    let entry = |name: &str, engine: &Engine| {
        format!("{{name: {name}, url: \"http://{}\", model: stub, hardware: l4}}", engine.address)
    };
    let yaml = Yaml::new()
        .entry(&entry("a", &engines[0]))
        .entry(&entry("b", &engines[1]))
        .model("{catalog: qwen3-8b, served_name: stub}");
    for engine in &engines {
        engine.set_metrics(
            "vllm:num_requests_running 3.0\nvllm:num_requests_waiting 0.0\nvllm:kv_cache_usage_perc 0.1\n",
        );
    }
    let proxy = Gearshift::start(yaml).await;
    // One that was not found healthy yet is no candidate beside one that was.
    proxy.fleet_ready().await;
    proxy.fleet_is("a scrape", |backend| !backend["load"].is_null()).await;
    (engines, proxy)
}

/// One request under this id, answered.
async fn answered(proxy: &Gearshift, [first, second]: &mut [Engine; 2], id: &str) {
    let mut request = post(CHAT, QUESTION);
    request.headers_mut().insert("x-request-id", id.parse().unwrap());
    let (answer, ()) = tokio::join!(proxy.send(request), async {
        tokio::select! {
            exchange = first.next() => exchange.json(200, COMPLETION),
            exchange = second.next() => exchange.json(200, COMPLETION),
        }
    });
    assert_eq!((answer.status.as_u16(), answer.header("x-request-id")), (200, id));
    let kept = async { while proxy.operate(&format!("/decisions/{}", encoded(id))).await.status != 200 {} };
    within("the decision", kept).await;
}

fn explain(proxy: &Gearshift, arguments: &[&str]) -> Output {
    let admin = format!("http://{}", proxy.admin);
    let mut command = Command::new(env!("CARGO_BIN_EXE_gearshift"));
    command.env_remove("GEARSHIFT_ADMIN_TOKEN").args(["explain", "--admin", &admin]).args(arguments);
    command.output().unwrap()
}

#[tokio::test]
async fn a_request_is_found_whatever_its_id() {
    let (mut engines, proxy) = pair().await;
    for id in ["span:1+2=3", "a/b|c", "what?#now", "100%", "%41", "..", "a&b;c\"d"] {
        answered(&proxy, &mut engines, id).await;
        let output = explain(&proxy, &[id, "--output", "json"]);
        let said = String::from_utf8_lossy(&output.stdout);
        let decision: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{id}: {output:?}"));
        assert_eq!(decision["id"], id);
    }
    // As it came, where a path can hold it.
    assert_eq!(proxy.operate("/decisions/span:1+2=3").await.json()["id"], "span:1+2=3");
    assert_eq!(proxy.operate("/decisions/a/b%7Cc").await.json()["id"], "a/b|c");
    let unknown = explain(&proxy, &["not known"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("\"not known\""), "{unknown:?}");
}

#[tokio::test]
async fn a_score_adds_up_from_what_is_shown() {
    let (mut engines, proxy) = pair().await;
    answered(&proxy, &mut engines, "one").await;
    let decision = proxy.operate("/decisions/one").await.json();
    let candidates = decision["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 2);
    for it in candidates {
        let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("a number is missing in {it}"));
        let (priced, failures) = (number(&it["priced_s"]), number(&it["recent_failures"]));
        let score = (number(&it["predicted"]["e2e_s"]) + priced) * (1.0 + failures);
        assert!(priced > 0.0, "three others are delayed: {it}");
        assert!((number(&it["score"]) / score - 1.0).abs() < 1e-4, "{score}: {it}");
        assert!(number(&it["prior"]["ttft_s"]) > 0.0 && number(&it["prior"]["tpot_s"]) > 0.0);
        assert_eq!(
            (it["load"]["sequences"].as_f64(), it["load"]["prefill_tokens"].as_f64()),
            (Some(3.0), Some(0.0))
        );
        assert!((0.0..60.0).contains(&number(&it["load"]["age_s"])));
        assert!(number(&it["energy_j"]) > 0.0 && it["learned"].is_null());
    }
    let text = String::from_utf8(explain(&proxy, &["one"]).stdout).unwrap();
    let head = text.lines().find(|line| line.contains("candidate ")).unwrap();
    for column in ["in flight", "cached", "TTFT", "TPOT", "E2E", "delays", "score", "limits"] {
        assert!(head.contains(column), "{text}");
    }
    assert!(text.contains("Score: E2E and what the request delays others by"), "{text}");
}
