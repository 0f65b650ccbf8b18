//! Backends that are not what they are declared to be.

use std::time::Duration;

use serde_json::json;

use crate::common::{CHAT, Engine, Gearshift, STREAMED, Yaml};

const MODEL: &str = "{numbers: {parameters_b: 1, layers: 16, hidden: 2048, heads: 32, context: 4096}}";
const EVENTS: [&str; 3] = [
    "data: {\"choices\":[{\"delta\":{\"content\":\"ho\"}}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\n",
    "data: [DONE]\n\n",
];

fn on_h100(engines: &[&Engine]) -> Yaml {
    let fast = "fleet: {health_interval: 20ms, scrape_interval: 20ms}";
    let entry = |(engine, name): (&&Engine, char)| {
        format!("{{name: {name}, url: \"http://{}\", model: stub, hardware: h100_sxm}}", engine.address)
    };
    let yaml = engines.iter().zip('a'..).fold(Yaml::new(), |yaml, one| yaml.entry(&entry(one)));
    yaml.model(MODEL).with(fast)
}

/// Whether a claim of a backend is said to be contradicted, by the metric.
async fn flagged(proxy: &Gearshift, backend: &str, claim: &str) -> bool {
    let labels = [format!("backend=\"{backend}\""), format!("claim=\"{claim}\"")];
    let scrape = proxy.scrape().await;
    scrape.sum("gearshift_backend_claim_contradicted", &labels.each_ref().map(String::as_str)) == 1.0
}

#[tokio::test]
async fn a_backend_that_is_far_away_is_found_out_by_its_health_checks_alone() {
    let (near, far) = (Engine::start().await, Engine::start().await);
    far.set_distance(Duration::from_millis(180));
    let proxy = Gearshift::start(on_h100(&[&near, &far])).await;
    proxy
        .fleet_is("the far one to be flagged, and only it", |backend| {
            let expected = if backend["id"] == "b" { json!(["network"]) } else { json!([]) };
            backend["contradicted"] == expected
        })
        .await;
    assert!(flagged(&proxy, "b", "network").await && !flagged(&proxy, "a", "network").await);
    // The line is mended.
    far.set_distance(Duration::ZERO);
    proxy.fleet_is("no flag", |backend| backend["contradicted"] == json!([])).await;
}

#[tokio::test]
async fn a_backend_that_serves_slower_than_its_hardware_is_found_out_by_its_first_tokens() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(on_h100(&[&engine])).await;
    let mut serve = async |first_token: Duration| {
        let (answer, ()) = tokio::join!(proxy.post(CHAT, STREAMED), async {
            let stream = engine.next().await;
            tokio::time::sleep(first_token).await;
            stream.events().finish(&EVENTS).await;
        });
        assert_eq!(answer.status, 200);
        flagged(&proxy, "a", "prefill").await
    };
    // What an H100 would take is a few milliseconds.
    let mut needed = 1;
    while !serve(Duration::from_millis(250)).await {
        needed += 1;
        assert!(needed <= 20, "not found out by twenty requests");
    }
    assert!(needed >= 4, "{needed} outcomes prove nothing");
}
