//! The console: its page, what fills it, and who may change something from it.

use std::process::Command;

use http::{Method, header};
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::common::{Answer, CHAT, COMPLETION, Client, Engine, Gearshift, QUESTION, Yaml, request, within};

/// Two engines that are known, so that there are predictions.
fn yaml(engines: &[&Engine]) -> Yaml {
    let entry = |(engine, name): (&&Engine, char)| {
        format!("{{name: {name}, url: \"http://{}\", model: stub, hardware: l4}}", engine.address)
    };
    let yaml = engines.iter().zip('a'..).map(entry).fold(Yaml::new(), |yaml, one| yaml.entry(&one));
    yaml.model("{catalog: qwen3-8b, served_name: stub}")
}

/// One answered request; its id.
async fn answered(proxy: &Gearshift, engines: &mut [Engine; 2]) -> String {
    let [first, second] = engines;
    let (answer, ()) = tokio::join!(proxy.post(CHAT, QUESTION), async {
        tokio::select! {
            exchange = first.next() => exchange.json(200, COMPLETION),
            exchange = second.next() => exchange.json(200, COMPLETION),
        }
    });
    assert_eq!(answer.status, 200);
    answer.header("x-request-id").to_owned()
}

async fn decision(proxy: &Gearshift, id: &str) -> Value {
    within("the decision", async {
        loop {
            let answer = proxy.operate(&format!("/decisions/{id}")).await;
            if answer.status == 200 {
                return serde_json::from_slice(&answer.body).unwrap();
            }
            assert!(answer.text().contains("no decision is kept"), "{}", answer.text());
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn a_decision_is_explained_by_the_candidates_it_was_made_among() {
    let mut engines = [Engine::start().await, Engine::start().await];
    let proxy = Gearshift::start(yaml(&[&engines[0], &engines[1]])).await;
    let id = answered(&proxy, &mut engines).await;
    let decision = decision(&proxy, &id).await;
    let candidates = decision["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 2, "{decision}");
    let chosen = candidates.iter().find(|candidate| candidate["chosen"] == true).unwrap();
    assert_eq!(chosen["backend"], decision["backend"]);
    assert_eq!(decision["hardware"], "l4");
    assert!(decision["predicted"]["e2e_s"].as_f64().unwrap() > 0.0, "{decision}");
    assert!(decision["actual"]["e2e_s"].as_f64().unwrap() > 0.0, "{decision}");
    assert_eq!(decision["fallback"], "no_bundle");
    assert!(!decision.to_string().contains("messages"), "prompts are never kept");

    let explain = |arguments: &[&str]| {
        let admin = format!("http://{}", proxy.admin);
        let output = Command::new(env!("CARGO_BIN_EXE_gearshift"))
            .args(["explain", "--admin", &admin])
            .args(arguments)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = explain(&[&id]);
    assert!(
        code == Some(0) && text.contains("▸") && text.contains("without the learner (no bundle)"),
        "{text}"
    );
    let (code, text) = explain(&[]);
    assert!(code == Some(0) && text.contains(&id), "{text}");
    let (_, json) = explain(&[&id, "--output", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["id"], *id);
    assert_eq!(explain(&["nobody"]).0, Some(1));
}

#[tokio::test]
async fn the_stream_tells_what_is_and_what_happens() {
    let mut engines = [Engine::start().await, Engine::start().await];
    let proxy = Gearshift::start(yaml(&[&engines[0], &engines[1]])).await;
    let mut client = Client::http1(proxy.admin).await;
    let mut stream = client.send(request(Method::GET, "/events", "")).await;
    assert_eq!(stream.headers()[header::CONTENT_TYPE], "text/event-stream");
    let id = answered(&proxy, &mut engines).await;
    let mut text = String::new();
    within("the decision", async {
        while !text.contains(&id) {
            let frame = stream.body_mut().frame().await.unwrap().unwrap();
            text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    })
    .await;
    for kind in ["fleet", "workload", "controller", "bundles", "config", "decision"] {
        assert!(text.contains(&format!("event: {kind}\ndata: {{")), "{kind} in {text}");
    }
    assert!(text.contains("\"hardware\":\"l4\""), "{text}");
}

async fn post(proxy: &Gearshift, path: &str, headers: &[(&'static str, String)]) -> Answer {
    let mut request = request(Method::POST, path, "");
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    Client::http1(proxy.admin).await.ask(request).await
}

#[tokio::test]
async fn the_page_needs_no_token_and_its_data_does() {
    let engine = Engine::start().await;
    let yaml = Yaml::of(&[&engine]).with("admin: {address: \"127.0.0.1:0\", token: open-sesame}");
    let proxy = Gearshift::start(yaml).await;
    let page = proxy.operate("/console/").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    assert!(page.text().contains("main.js"));
    assert_eq!(proxy.operate("/console/main.js").await.status, 200);
    assert_eq!(proxy.operate("/console").await.header("location"), "/console/");
    for path in ["/events", "/decisions", "/decisions/x", "/console/nothing"] {
        assert_eq!(proxy.operate(path).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn only_the_consoles_own_page_may_change_something() {
    let engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let here = proxy.admin.to_string();
    let from = |origin: &str, host: &str| [("origin", format!("http://{origin}")), ("host", host.to_owned())];
    let path = "/bundles/rollback";
    // There is nothing to go back to: that it is said shows that it was asked.
    assert_eq!(post(&proxy, path, &from(&here, &here)).await.status, 409);
    for (origin, host) in [("evil.test", here.as_str()), ("evil.test", "evil.test"), ("null", here.as_str())]
    {
        assert_eq!(post(&proxy, path, &from(origin, host)).await.status, 403, "{origin} {host}");
    }
}
