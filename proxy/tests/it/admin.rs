//! What operators see.

use http::{Method, header};

use crate::common::{
    Answer, CHAT, Client, Engine, Gearshift, QUESTION, Raw, STREAMED, Served, Yaml, beside, read_answer,
    request, within,
};

async fn operate(proxy: &Gearshift, method: Method, path: &str, authorization: &str) -> Answer {
    let mut request = request(method, path, "");
    if !authorization.is_empty() {
        request.headers_mut().insert(header::AUTHORIZATION, authorization.parse().unwrap());
    }
    Client::http1(proxy.admin).await.ask(request).await
}

#[tokio::test]
async fn a_token_is_asked_for_where_one_is_set() {
    let engine = Engine::start().await;
    let yaml = Yaml::of(&[&engine]).with("admin: {address: \"127.0.0.1:0\", token: open-sesame}");
    let proxy = Gearshift::start(yaml).await;
    for path in ["/", "/metrics", "/fleet", "/config", "/nothing"] {
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer open",
            "Bearer open-sesame2",
            "Basic open-sesame",
            "open-sesame",
        ] {
            let answer = operate(&proxy, Method::GET, path, wrong).await;
            assert_eq!(answer.status, 401, "{path} with {wrong:?}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
            assert!(!answer.text().contains("sesame"));
        }
        let status = if path == "/nothing" { 404 } else { 200 };
        let answer = operate(&proxy, Method::GET, path, "Bearer open-sesame").await;
        assert_eq!(answer.status, status, "{path}");
        assert!(!answer.text().contains("sesame"), "{path} tells the token");
    }
    assert_eq!(operate(&proxy, Method::GET, "/fleet", "bearer open-sesame").await.status, 200);
    // Probes carry no tokens.
    for path in ["/livez", "/readyz"] {
        assert_eq!(operate(&proxy, Method::GET, path, "").await.status, 200);
        assert_eq!(operate(&proxy, Method::HEAD, path, "").await.status, 200);
    }
    assert_eq!(operate(&proxy, Method::POST, "/config", "Bearer open-sesame").await.status, 405);
}

#[tokio::test]
async fn a_backend_that_has_not_said_what_it_serves_makes_nothing_ready() {
    let mut engine = Engine::start().await;
    engine.set_models(&[]);
    let detect = format!("{{name: a, url: \"http://{}\"}}", engine.address);
    let yaml = Yaml::new()
        .entry(&detect)
        .with("fleet: {health_interval: 50ms, scrape_interval: 50ms, detect_interval: 50ms}");
    let proxy = Gearshift::launch(yaml).await;
    assert_eq!(proxy.operate("/livez").await.status, 200);
    assert_eq!(proxy.operate("/readyz").await.status, 503);
    assert_eq!(proxy.get("/health").await.status, 503);
    let answer = proxy.post(CHAT, QUESTION).await;
    assert_eq!((answer.error(503).as_str(), answer.header("retry-after")), ("no_backend", "1"));

    engine.set_models(&[Served("stub")]);
    proxy.ready().await;
    assert_eq!(proxy.get("/health").await.status, 200);
    let (answer, ()) =
        tokio::join!(proxy.post(CHAT, QUESTION), async { engine.next().await.json(200, "{}") });
    assert_eq!(answer.status, 200);
    assert_eq!(proxy.post(CHAT, r#"{"model":"nobody"}"#).await.error(404), "model_not_found");
}

/// The families that a source file registers.
fn families(source: &str) -> Vec<&str> {
    let quoted = source.split('"').filter(|text| text.starts_with("gearshift_"));
    quoted.filter(|text| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')).collect()
}

#[tokio::test]
async fn every_family_of_the_source_is_there_and_says_what_happened() {
    let mut engine = Engine::start().await;
    engine.set_metrics(concat!(
        "vllm:num_requests_running{engine=\"0\"} 2.0\nvllm:num_requests_waiting{engine=\"0\"} 3.0\n",
        "vllm:kv_cache_usage_perc{engine=\"0\"} 0.5\n",
        "vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"100\"} 1.0\n",
    ));
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let (open, stream) = tokio::join!(proxy.open(CHAT, STREAMED), async { engine.next().await.events() });
    assert_eq!(proxy.scrape().await.sum("gearshift_in_flight_requests", &[]), 1.0);
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n";
    stream.finish(&["data: 1\n\n", "data: 2\n\n", "data: 3\n\n", usage, "data: [DONE]\n\n"]).await;
    open.rest().await.unwrap();
    proxy.post(CHAT, "{").await;
    proxy.at_rest().await;
    proxy.fleet_is("a scrape", |backend| !backend["load"].is_null()).await;
    proxy.fleet_is("the cache's size", |backend| !backend["detected"]["kv_tokens"].is_null()).await;

    let scrape = proxy.scrape().await;
    let sources = [
        include_str!("../../src/metrics.rs"),
        include_str!("../../src/metrics/attempts.rs"),
        include_str!("../../src/metrics/bundles.rs"),
        include_str!("../../src/metrics/decisions.rs"),
        include_str!("../../src/metrics/errors.rs"),
        include_str!("../../src/metrics/operators.rs"),
        include_str!("../../src/metrics/rides.rs"),
        include_str!("../../src/fleet/metrics.rs"),
    ];
    let named: Vec<&str> = sources.into_iter().flat_map(families).collect();
    assert!(named.len() > 40, "{named:?}");
    // No bundle is there; the route has no limits; nobody said a price or counted the engine's prefix cache.
    let absent = [
        "gearshift_bundle_info",
        "gearshift_bundle_created_timestamp_seconds",
        "gearshift_slo_requests_total",
        "gearshift_backend_price_usd_per_hour",
        "gearshift_backend_prefix_cache_tokens_total",
    ];
    for family in named.iter().filter(|family| !absent.contains(family)) {
        assert!(scrape.has(family), "{family} is not there");
    }
    let ride = ["backend=\"a\"", "model=\"stub\"", "route=\"default\""];
    let requests = [&ride[..], &["outcome=\"ok\""]].concat();
    for (name, labels, value) in [
        ("gearshift_requests_total", &requests[..], 1.0),
        ("gearshift_time_to_first_token_seconds_count", &ride, 1.0),
        ("gearshift_time_per_output_token_seconds_count", &ride, 1.0),
        ("gearshift_request_duration_seconds_count", &ride, 1.0),
        ("gearshift_tokens_total", &["kind=\"prompt\""], 7.0),
        ("gearshift_tokens_total", &["kind=\"output\""], 3.0),
        ("gearshift_errors_total", &["reason=\"bad_request\""], 1.0),
        ("gearshift_decisions_total", &["route=\"default\""], 1.0),
        ("gearshift_decision_seconds_count", &[], 1.0),
        ("gearshift_config_last_reload_successful", &[], 1.0),
        ("gearshift_backend_running_requests", &["backend=\"a\""], 2.0),
        ("gearshift_backend_waiting_requests", &["backend=\"a\""], 3.0),
        ("gearshift_backend_kv_cache_usage_ratio", &["backend=\"a\""], 0.5),
        ("gearshift_backend_kv_cache_tokens", &["backend=\"a\""], 1600.0),
        ("gearshift_onnxruntime_available", &[], 0.0),
    ] {
        assert_eq!(scrape.sum(name, labels), value, "{name}");
    }
}

#[tokio::test]
async fn the_fleet_and_the_configuration_can_be_looked_at() {
    let engine = Engine::start().await;
    let entry = format!("{{name: a, url: \"http://{}\", model: stub, api_key: very-secret}}", engine.address);
    let proxy = Gearshift::start(Yaml::new().entry(&entry).model("{aliases: [fast]}")).await;
    proxy.fleet_ready().await;
    let fleet = proxy.fleet().await;
    assert_eq!((&fleet["ready"], &fleet["in_flight"]), (&true.into(), &0.into()));
    assert_eq!(
        fleet["models"][0],
        serde_json::json!({"name": "fast", "served_name": "stub", "backends": ["a"]})
    );
    let backend = &fleet["backends"][0];
    assert_eq!(
        (&backend["id"], &backend["url"]),
        (&"a".into(), &format!("http://{}", engine.address).into())
    );
    let config = proxy.operate("/config").await;
    assert!(!config.text().contains("very-secret"));
    assert_eq!(config.json()["config"]["backends"][0]["id"], "a");
    assert!(config.json()["last_reload_error"].is_null());
    assert!(proxy.operate("/").await.text().contains("/metrics"));
}

const LIVEZ: &str = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Connections at once, as the README says.
const MOST: usize = 256;

#[tokio::test]
async fn operators_have_so_many_connections_and_no_more() {
    let engine = Engine::start().await;
    let mut proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    proxy.fleet_ready().await;
    // One that was used before keeps its place.
    let mut scraper = Client::http1(proxy.admin).await;
    let alone = async {
        // What asked before may still be closing.
        while !scraper
            .ask(request(Method::GET, "/metrics", ""))
            .await
            .text()
            .contains("\ngearshift_admin_connections 1\n")
        {}
    };
    within("every other connection to end", Box::pin(alone)).await;
    // The console's live streams count like all others.
    let admin = proxy.admin;
    let enter = move |number| async move {
        let mut one = Raw::connect(admin).await;
        let (ask, answer) = match number {
            1..=8 => ("GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n", "event: fleet"),
            _ => (LIVEZ, "ok\n"),
        };
        assert!(one.write(ask).await);
        assert!(one.until(answer).await.contains(answer));
        one
    };
    // All at once: who has been answered and is silent for ten seconds has left before the last one is in, on a busy machine.
    let entering: Vec<_> = (1..MOST).map(|number| beside(enter(number))).collect();
    let mut inside = Vec::new();
    for one in entering {
        inside.push(one.await.unwrap());
    }

    let mut refused = Raw::connect(proxy.admin).await;
    refused.write(LIVEZ).await;
    let said = refused.rest().await;
    let (status, body) = read_answer(&said);
    assert!(status == 503 && body.contains("close some"), "{said}");
    assert!(said.contains("Retry-After: 5"), "{said}");
    proxy.logged("as many connections as may be").await;
    let page = scraper.ask(request(Method::GET, "/metrics", "")).await;
    let shown = ["gearshift_admin_connections 256\n", "gearshift_admin_connections_refused_total 1\n"];
    assert!(shown.iter().all(|line| page.text().contains(line)), "{}", page.text());

    // Requests are served by others, and whoever leaves makes room.
    inside.clear();
    let admitted = async {
        loop {
            let mut next = Raw::connect(proxy.admin).await;
            next.write(LIVEZ).await;
            if next.until("\n").await.contains("200") {
                break;
            }
        }
    };
    within("room", Box::pin(admitted)).await;
}
