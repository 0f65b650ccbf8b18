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
    // Backends that nobody knows yet are drawn every other time.
    let drawn = decision["explored"] == true;
    let why = if drawn { "drawn, to get to know a backend" } else { "without the learner (no bundle)" };
    assert!(code == Some(0) && text.contains("▸") && text.contains(why), "{text}");
    let (code, text) = explain(&[]);
    assert!(code == Some(0) && text.contains(&id), "{text}");
    let (_, json) = explain(&[&id, "--output", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["id"], *id);
    assert_eq!(explain(&["nobody"]).0, Some(1));
}

/// The decisions of one id that are kept, newest first, once there are so many.
async fn kept(proxy: &Gearshift, id: &str, count: usize) -> Vec<Value> {
    within("the decisions", async {
        loop {
            let decisions = proxy.operate("/decisions").await.json()["decisions"].take();
            let mut of_id = decisions.as_array().cloned().unwrap_or_default();
            of_id.retain(|it| it["id"] == id);
            if of_id.len() == count {
                return of_id;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// Clients that give requests ids may give one to many, and none is bound to plain letters.
#[tokio::test]
async fn each_attempt_of_an_id_is_told_by_its_number_and_time() {
    let mut engines = [Engine::start().await, Engine::start().await];
    let proxy = Gearshift::start(yaml(&[&engines[0], &engines[1]])).await;
    let (id, path) = ("job/7:a?", "/decisions/job%2F7%3Aa%3F");
    let [first, second] = &mut engines;
    let mut asked = async || {
        tokio::select! {
            exchange = first.next() => exchange,
            exchange = second.next() => exchange,
        }
    };
    for (attempts, ended) in [(2, 2), (1, 3)] {
        let mut question = request(Method::POST, CHAT, QUESTION);
        question.headers_mut().insert("x-request-id", id.parse().unwrap());
        let (answer, ()) = tokio::join!(proxy.send(question), async {
            for _ in 1..attempts {
                asked().await.hang_up();
            }
            asked().await.json(200, COMPLETION);
        });
        assert_eq!(answer.status, 200);
        // So the next one ends at another time.
        kept(&proxy, id, ended).await;
    }
    let told = kept(&proxy, id, 3).await;
    assert_eq!(told.iter().map(|it| it["attempt"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 1]);
    for (one, earlier) in told.iter().zip([0, 1, 0]) {
        let query = format!("{path}?attempt={}&at_ms={}", one["attempt"], one["at_ms"]);
        let whole = proxy.operate(&query).await.json();
        for field in ["attempt", "outcome", "backend", "propensity", "predicted", "actual"] {
            assert_eq!(whole[field], one[field], "{field} of {whole}");
        }
        let chosen = whole["candidates"].as_array().unwrap().iter().find(|it| it["chosen"] == true);
        assert_eq!(chosen.unwrap()["backend"], one["backend"], "{whole}");
        assert_eq!(whole["earlier"].as_array().unwrap().len(), earlier, "{whole}");
    }
    let earlier = proxy.operate(&format!("{path}?attempt=2")).await.json()["earlier"][0].take();
    assert_eq!(earlier["actual"], told[2]["actual"]);
    assert_eq!(proxy.operate(path).await.json()["actual"], told[0]["actual"], "the last that ended");
    for none in ["?attempt=3", "?attempt=1&at_ms=0"] {
        assert_eq!(proxy.operate(&format!("{path}{none}")).await.status, 404, "{none}");
    }
    let admin = format!("http://{}", proxy.admin);
    let explain =
        Command::new(env!("CARGO_BIN_EXE_gearshift")).args(["explain", "--admin", &admin, id]).output();
    assert!(explain.unwrap().status.success());
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

#[tokio::test]
async fn so_many_read_the_stream_and_no_more() {
    let engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let follow = async || {
        let mut client = Client::http1(proxy.admin).await;
        let answer = client.send(request(Method::GET, "/events", "")).await;
        (client, answer)
    };
    let mut readers = Vec::new();
    for _ in 0..64 {
        let (client, answer) = follow().await;
        assert_eq!(answer.status(), 200);
        readers.push((client, answer));
    }
    let (_, refused) = follow().await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()[header::RETRY_AFTER]),
        (503, &"5".parse().unwrap())
    );
    readers.clear();
    within("room for another", async { while follow().await.1.status() != 200 {} }).await;
}

#[tokio::test]
async fn without_a_token_only_an_address_is_answered() {
    let engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let ask = async |proxy: &Gearshift, path: &str, host: &str| {
        let mut request = request(Method::GET, path, "");
        request.headers_mut().insert(header::HOST, host.parse().unwrap());
        request.headers_mut().insert(header::AUTHORIZATION, "Bearer open-sesame".parse().unwrap());
        Client::http1(proxy.admin).await.send(request).await.status().as_u16()
    };
    let data = [
        "/",
        "/fleet",
        "/config",
        "/metrics",
        "/decisions",
        "/decisions/x",
        "/events",
        "/bundles",
        "/workload",
    ];
    for host in
        ["evil.test", "evil.test:9090", "127.0.0.1.evil.test", "localhost.evil.test:1", "[::1].evil.test"]
    {
        for path in data {
            assert_eq!(ask(&proxy, path, host).await, 403, "{path} at {host}");
        }
    }
    for host in ["127.0.0.1", "127.0.0.1:9090", "localhost:1", "LOCALHOST", "[::1]:9090", "[::1]"] {
        assert_eq!(ask(&proxy, "/fleet", host).await, 200, "{host}");
    }
    // Files hold no data, probes tell nothing.
    for path in ["/console/", "/livez", "/readyz"] {
        assert_eq!(ask(&proxy, path, "evil.test").await, 200, "{path}");
    }
    // Who has the token need not be known by name.
    let yaml = Yaml::of(&[&engine]).with("admin: {address: \"127.0.0.1:0\", token: open-sesame}");
    let guarded = Gearshift::start(yaml).await;
    assert_eq!(ask(&guarded, "/fleet", "gearshift.internal:9090").await, 200);
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
    let from = |origin: String, host: &str| [("origin", origin), ("host", host.to_owned())];
    let path = "/bundles/rollback";
    // There is nothing to go back to: that it is said shows that it was asked. TLS may end before Gearshift.
    for scheme in ["http", "https"] {
        assert_eq!(
            post(&proxy, path, &from(format!("{scheme}://{here}"), &here)).await.status,
            409,
            "{scheme}"
        );
    }
    let foreign =
        ["http://evil.test", "https://evil.test", "ftp://HERE", "https://HERE.evil.test", "HERE", "null", ""];
    for origin in foreign {
        let origin = origin.replace("HERE", &here);
        assert_eq!(post(&proxy, path, &from(origin.clone(), &here)).await.status, 403, "{origin}");
    }
    assert_eq!(post(&proxy, path, &from("http://evil.test".into(), "evil.test")).await.status, 403);
}

/// Behind an ingress that ends TLS the console is reached by a name, and asks with the token.
#[tokio::test]
async fn the_console_works_behind_tls() {
    let engine = Engine::start().await;
    let yaml = Yaml::of(&[&engine]).with("admin: {address: \"127.0.0.1:0\", token: open-sesame}");
    let proxy = Gearshift::start(yaml).await;
    let name = "gearshift.example.com";
    let asked = [
        ("authorization", "Bearer open-sesame".to_owned()),
        ("origin", format!("https://{name}")),
        ("host", name.to_owned()),
    ];
    assert_eq!(post(&proxy, "/bundles/rollback", &asked).await.status, 409);
}
