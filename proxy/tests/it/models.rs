//! What Gearshift answers itself to clients.

use http::{Method, Request};
use http_body_util::Full;

use crate::common::{Body, CHAT, COMPLETION, Engine, Gearshift, QUESTION, Served, Yaml, request};

fn bare(method: Method, path: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).body(Full::default()).unwrap()
}

#[tokio::test]
async fn the_models_of_the_fleet_are_listed_under_every_name() {
    let (one, other) = (Engine::start().await, Engine::start().await);
    other.set_models(&[Served("other"), Served("org/adapter")]);
    let yaml = Yaml::of(&[&one])
        .model("{aliases: [fast]}")
        .entry(&format!("{{name: other, url: \"http://{}\"}}", other.address));
    let mut proxy = Gearshift::start(yaml).await;
    proxy.logged("org/adapter").await;
    proxy.fleet_is("detection", |backend| !backend["detected"].is_null()).await;
    let list = proxy.get("/v1/models").await;
    assert_eq!((list.status.as_u16(), list.header("content-type")), (200, "application/json"));
    let list = list.json();
    assert_eq!(list["object"], "list");
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(ids, ["fast", "org/adapter", "other", "stub"]);
    assert_eq!(list["data"][0]["root"], "stub");
    assert_eq!(list["data"][2]["max_model_len"], 4096);

    let adapter = proxy.get("/v1/models/org/adapter").await;
    assert_eq!((adapter.status.as_u16(), &adapter.json()["id"]), (200, &"org/adapter".into()));
    // SDKs encode the slash.
    assert_eq!(proxy.get("/v1/models/org%2fadapter").await.json()["id"], "org/adapter");
    for unknown in ["nobody", "org", "org%2", "org%zzadapter", "%ff", "org%252fadapter"] {
        assert_eq!(proxy.get(&format!("/v1/models/{unknown}")).await.error(404), "model_not_found");
    }
}

#[tokio::test]
async fn an_engine_that_lists_names_without_end_does_not_take_all_there_is() {
    let mut engine = Engine::start().await;
    let names: Vec<_> = (0..5_000).map(|number| format!("adapter-{number}")).collect();
    let listed: Vec<_> = ["stub"].into_iter().chain(names.iter().map(String::as_str)).map(Served).collect();
    engine.set_models(&listed);
    let mut proxy =
        Gearshift::start(Yaml::new().entry(&format!("{{name: a, url: \"http://{}\"}}", engine.address)))
            .await;
    let said = proxy.logged("the engine says what it serves").await;
    assert!(said.contains("\"names\":1000") && said.contains("adapter-0") && said.len() < 1_000, "{said}");
    proxy.logged("\"left_out\":4001").await;
    proxy.fleet_is("how many are left out", |backend| backend["detected"]["left_out"] == 4_001).await;
    let scrape = proxy.scrape().await;
    assert_eq!(scrape.sum("gearshift_backend_serves", &[]), 1_000.0);
    assert_eq!(scrape.sum("gearshift_backend_names_left_out", &["backend=\"a\""]), 4_001.0);
    let (answer, ()) =
        tokio::join!(proxy.post(CHAT, QUESTION), async { engine.next().await.json(200, COMPLETION) });
    assert_eq!(answer.status, 200);
    let beyond = QUESTION.replace("stub", "adapter-4999");
    assert_eq!(proxy.post(CHAT, beyond).await.error(404), "model_not_found");
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let whole = proxy.get("/v1/models").await;
    let head = proxy.send(bare(Method::HEAD, "/v1/models")).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), whole.body.len().to_string());
    assert_eq!(proxy.get("/health").await.status, 200);
    assert_eq!(proxy.send(bare(Method::HEAD, "/health")).await.status, 200);
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_one_and_counted() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let cases = [
        (Method::GET, CHAT, "POST"),
        (Method::DELETE, CHAT, "POST"),
        (Method::OPTIONS, "/v1/embeddings", "POST"),
        (Method::POST, "/v1/models", "GET, HEAD"),
        (Method::PUT, "/health", "GET, HEAD"),
        (Method::from_bytes(b"BREW").unwrap(), "/v1/models/stub", "GET, HEAD"),
    ];
    let count = cases.len();
    for (method, path, right) in cases {
        let answer = proxy.send(request(method, path, "")).await;
        assert_eq!(answer.error(405), "method_not_allowed", "{path}");
        assert_eq!(answer.header("allow"), right, "{path}");
    }
    assert!(engine.already().is_none());
    let counted = proxy.scrape().await.sum("gearshift_errors_total", &["reason=\"method_not_allowed\""]);
    assert_eq!(counted, f64::from(u32::try_from(count).unwrap()));
}

#[tokio::test]
async fn two_models_served_under_one_name_are_told_apart() {
    let (mut one, mut other) = (Engine::start().await, Engine::start().await);
    let entry = |name: &str, engine: &Engine| {
        format!("{{name: {name}, url: \"http://{}\", model: {name}}}", engine.address)
    };
    let yaml = Yaml::new()
        .entry(&entry("red", &one))
        .entry(&entry("blue", &other))
        .model("{}, red: {served_name: stub}, blue: {served_name: stub}");
    let proxy = Gearshift::start(yaml).await;
    for (name, engine) in [("red", &mut one), ("blue", &mut other)] {
        let question = format!(r#"{{"model":"{name}","messages":[]}}"#);
        let (answer, ()) =
            tokio::join!(proxy.post(CHAT, question), async { engine.next().await.json(200, COMPLETION) });
        assert_eq!(answer.status, 200);
    }
}
