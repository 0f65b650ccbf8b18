//! Failures in the metrics: where, for whom, and how often.

use super::{Pair, Side};
use crate::common::{CHAT, COMPLETION, Engine, Gearshift, QUESTION, Yaml, within};

const FAILED: &str = "gearshift_attempts_failed_total";
const ERRORS: &str = "gearshift_errors_total";

#[tokio::test]
async fn failed_attempts_are_seen_at_their_backends_and_errors_at_their_route_and_model() {
    let mut pair = Pair::with(|yaml| {
        yaml.with("routes: [{name: chat, match: {paths: [/v1/chat/completions]}}]\nfleet: {health_interval: 1h, scrape_interval: 1h}")
    })
    .await;
    // Before the first failure it is there and 0: the first one is seen to be one more.
    let Pair { a, b, proxy } = &mut pair;
    let (answer, ()) = tokio::join!(proxy.post(CHAT, QUESTION), async {
        let exchange = tokio::select! { exchange = a.next() => exchange, exchange = b.next() => exchange };
        exchange.json(200, COMPLETION);
    });
    assert_eq!(answer.status, 200);
    let at_first = proxy.operate("/metrics").await.text().to_owned();
    let line = "gearshift_errors_total{model=\"stub\",reason=\"no_backend\",route=\"chat\",source=\"gearshift\"} 0\n";
    assert!(at_first.contains(line), "{at_first}");
    assert!(at_first.contains("reason=\"response_timeout\"} 0\n"), "{at_first}");

    pair.a.die().await;
    pair.b.die().await;
    for _ in 0..3 {
        assert_eq!(pair.proxy.post(CHAT, QUESTION).await.error(503), "upstream_unreachable");
    }
    let scrape = pair.proxy.scrape().await;
    let here = ["route=\"chat\"", "model=\"stub\""];
    let unreachable = [here[0], here[1], "reason=\"upstream_unreachable\"", "source=\"upstream\""];
    assert_eq!((scrape.sum(ERRORS, &unreachable), scrape.sum(ERRORS, &[])), (3.0, 3.0));
    for side in [Side::A, Side::B] {
        let at_backend = scrape.sum(FAILED, &[here[0], here[1], side.label(), "reason=\"connect\""]);
        assert_eq!(at_backend, 3.0, "each of three requests tried both");
    }
    assert_eq!(scrape.sum(FAILED, &[]), 6.0);
    assert_eq!(scrape.sum("gearshift_requests_total", &[]), 1.0, "an attempt that failed is no request");
    pair.proxy.at_rest().await;
}

#[tokio::test]
async fn a_backend_that_answers_too_late_does_not_look_perfect() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine]).with("timeouts: {response_head: 2s}")).await;
    for late in [false, true, false] {
        let (answer, ()) = tokio::join!(proxy.post(CHAT, QUESTION), async {
            let mut exchange = engine.next().await;
            if late { exchange.cancelled().await } else { exchange.json(200, COMPLETION) }
        });
        assert_eq!(answer.status.as_u16(), if late { 504 } else { 200 });
    }
    let scrape = proxy.scrape().await;
    assert_eq!(scrape.sum(FAILED, &["backend=\"a\"", "reason=\"response_timeout\""]), 1.0);
    assert_eq!(scrape.sum("gearshift_requests_total", &["backend=\"a\"", "outcome=\"ok\""]), 2.0);
    proxy.at_rest().await;
}

#[tokio::test]
async fn names_that_clients_make_up_are_no_labels() {
    let engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let body = QUESTION.replace("stub", "made-up");
    assert_eq!(proxy.post(CHAT, body).await.error(404), "model_not_found");
    let page = proxy.operate("/metrics").await.text().to_owned();
    assert!(!page.contains("made-up"), "{page}");
    let scrape = proxy.scrape().await;
    let nameless = ["reason=\"model_not_found\"", "route=\"\"", "model=\"\""];
    assert_eq!(scrape.sum(ERRORS, &nameless), 1.0);
}

#[tokio::test]
async fn errors_of_a_model_that_left_are_gone() {
    let mut engine = Engine::start().await;
    let mut proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let (answer, ()) =
        tokio::join!(proxy.post(CHAT, QUESTION), async { engine.next().await.json(200, COMPLETION) });
    assert_eq!(answer.status, 200);
    let of_stub = async |proxy: &Gearshift| {
        let page = proxy.operate("/metrics").await.text().to_owned();
        page.lines().filter(|line| line.starts_with(ERRORS) && line.contains("model=\"stub\"")).count()
    };
    assert!(of_stub(&proxy).await > 0);
    let entry = format!("{{name: a, url: \"http://{}\", model: other}}", engine.address);
    let other = Yaml::new().entry(&entry).to_string().replace("models: {", "models: {other: {}, ");
    proxy.reload(other).await;
    within("the errors of the old name to go", async { while of_stub(&proxy).await > 0 {} }).await;
}

#[tokio::test]
async fn an_answer_is_held_against_the_best_of_the_others() {
    let (mut a, mut b) = (Engine::start().await, Engine::start().await);
    let entry = |name: &str, engine: &Engine| {
        format!("{{name: {name}, url: \"http://{}\", model: stub, hardware: l4}}", engine.address)
    };
    let yaml = Yaml::new()
        .model("{catalog: qwen3-8b, served_name: stub}")
        .entry(&entry("a", &a))
        .entry(&entry("b", &b));
    let proxy = Gearshift::start(yaml).await;
    proxy.fleet_ready().await;
    let (answer, ()) = tokio::join!(proxy.post(CHAT, QUESTION), async {
        let exchange = tokio::select! { exchange = a.next() => exchange, exchange = b.next() => exchange };
        exchange.json(200, COMPLETION);
    });
    assert_eq!(answer.status, 200);
    proxy.at_rest().await;
    let scrape = proxy.scrape().await;
    let seconds = |of: &str| {
        scrape
            .sum("gearshift_estimated_regret_seconds_total", &["route=\"default\"", &format!("of=\"{of}\"")])
    };
    let [chosen, other, regret] = ["chosen", "best_other", "regret"].map(seconds);
    assert!(chosen > 0.0 && other > 0.0, "{chosen} {other}");
    assert!((regret - (chosen - other).max(0.0)).abs() < 1e-9, "{chosen} {other} {regret}");
}
