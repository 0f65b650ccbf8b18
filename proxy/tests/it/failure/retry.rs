//! Backends that fail before their response head: another is tried, and the client does not notice.

use super::{Pair, Side};
use crate::common::{Answer, CHAT, COMPLETION, Engine, Gearshift, QUESTION, Yaml};

async fn retries(proxy: &Gearshift, reason: &str) -> f64 {
    proxy.scrape().await.sum("gearshift_retries_total", &[&format!("reason=\"{reason}\"")])
}

#[track_caller]
fn assert_served(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), answer.text()), (200, COMPLETION), "{answer:?}");
}

#[tokio::test]
async fn a_backend_that_refuses_connections_is_passed_over() {
    // Health checks come too late to help.
    let mut pair = Pair::with(|yaml| yaml.with("fleet: {health_interval: 1h, scrape_interval: 1h}")).await;
    let held = pair.occupy().await;
    pair.engine(held.idle).die().await;
    let (answer, ()) = {
        let Pair { a, b, proxy } = &mut pair;
        let alive = if held.busy == Side::A { a } else { b };
        tokio::join!(proxy.post(CHAT, QUESTION), async { alive.next().await.json(200, COMPLETION) })
    };
    assert_served(&answer);
    assert_eq!(retries(&pair.proxy, "connect").await, 1.0);
    held.release().await;
    pair.proxy.at_rest().await;
    // The failure had its health checked at once.
    pair.proxy.logged("\"to\":\"down\"").await;
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_response_is_tried_elsewhere() {
    for abrupt in [false, true] {
        let mut pair = Pair::new().await;
        let held = pair.occupy().await;
        let Pair { a, b, proxy } = &mut pair;
        let (alive, breaking) = if held.busy == Side::A { (a, b) } else { (b, a) };
        breaking.set_abrupt(abrupt);
        let (answer, ()) = tokio::join!(proxy.post(CHAT, QUESTION), async {
            breaking.next().await.hang_up();
            alive.next().await.json(200, COMPLETION);
        });
        assert_served(&answer);
        assert_eq!(retries(proxy, "broken").await, 1.0);
        held.release().await;
        pair.proxy.at_rest().await;
    }
}

/// vLLM closes connections that were idle for five seconds, also in the moment in which they are used again.
#[tokio::test]
async fn a_kept_connection_that_closes_when_used_again_is_replaced() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let (answer, kept) = tokio::join!(proxy.post(CHAT, QUESTION), async {
        let exchange = engine.next().await;
        let connection = exchange.connection;
        exchange.json(200, COMPLETION);
        connection
    });
    assert_served(&answer);
    let (answer, ()) = tokio::join!(proxy.post(CHAT, QUESTION), async {
        let again = engine.next().await;
        assert_eq!(again.connection, kept, "the connection was not kept");
        again.hang_up();
        let fresh = engine.next().await;
        assert_ne!(fresh.connection, kept);
        fresh.json(200, COMPLETION);
    });
    assert_served(&answer);
    let scrape = proxy.scrape().await;
    assert_eq!(scrape.sum("gearshift_retries_total", &[]), 0.0);
    assert_eq!(scrape.sum("gearshift_errors_total", &[]), 0.0);
}

#[tokio::test]
async fn kept_connections_that_closed_while_idle_are_not_used() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    for _ in 0..3 {
        let (answer, ()) =
            tokio::join!(proxy.post(CHAT, QUESTION), async { engine.next().await.json(200, COMPLETION) });
        assert_served(&answer);
        engine.hang_up();
    }
    assert_eq!(proxy.scrape().await.sum("gearshift_errors_total", &[]), 0.0);
}

#[tokio::test]
async fn a_full_queue_is_tried_elsewhere_and_relayed_when_all_are_full() {
    const FULL: &str = r#"{"error":{"message":"queue full"}}"#;
    let mut pair = Pair::new().await;
    let held = pair.occupy().await;
    let Pair { a, b, proxy } = &mut pair;
    let (alive, full) = if held.busy == Side::A { (a, b) } else { (b, a) };
    let (answer, ()) = tokio::join!(proxy.post(CHAT, QUESTION), async {
        full.next().await.json(503, FULL);
        alive.next().await.json(200, COMPLETION);
    });
    assert_served(&answer);
    assert_eq!(retries(proxy, "refused").await, 1.0);
    let (answer, ()) = tokio::join!(proxy.post(CHAT, QUESTION), async {
        full.next().await.json(503, FULL);
        alive.next().await.json(503, FULL);
    });
    assert_eq!((answer.status.as_u16(), answer.text()), (503, FULL));
    // A full queue is no failure of the backend.
    assert_eq!(proxy.scrape().await.sum("gearshift_backend_available", &["state=\"ready\""]), 2.0);
    held.release().await;
}

#[tokio::test]
async fn a_refusal_without_an_alternative_stays_a_503() {
    const FULL: &str = r#"{"error":{"message":"queue full"}}"#;
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let (answer, ()) =
        tokio::join!(proxy.post(CHAT, QUESTION), async { engine.next().await.json(503, FULL) });
    assert_eq!((answer.status.as_u16(), answer.text()), (503, FULL));

    let mut pair = Pair::with(|yaml| yaml.with("retries: {budget: 0, attempts: 1}")).await;
    // The savings that every start has.
    for _ in 0..10 {
        let (answer, ()) = refuse_once(&mut pair).await;
        assert_served(&answer);
    }
    let Pair { a, b, proxy } = &mut pair;
    let (answer, ()) = tokio::join!(proxy.post(CHAT, QUESTION), async {
        tokio::select! {
            exchange = a.next() => exchange.json(503, FULL),
            exchange = b.next() => exchange.json(503, FULL),
        }
    });
    // The budget is spent, but full it is, not broken.
    assert_eq!((answer.error(503).as_str(), answer.header("retry-after")), ("upstream_refused", "1"));
    assert_eq!(retries(proxy, "refused").await, 10.0);
}

async fn refuse_once(pair: &mut Pair) -> (Answer, ()) {
    let Pair { a, b, proxy } = pair;
    tokio::join!(proxy.post(CHAT, QUESTION), async {
        tokio::select! {
            exchange = a.next() => {
                exchange.json(503, "{}");
                b.next().await.json(200, COMPLETION);
            }
            exchange = b.next() => {
                exchange.json(503, "{}");
                a.next().await.json(200, COMPLETION);
            }
        }
    })
}

#[tokio::test]
async fn retries_stop_when_the_budget_is_spent() {
    let mut pair = Pair::with(|yaml| yaml.with("retries: {budget: 0}")).await;
    let mut statuses = Vec::new();
    for _ in 0..12 {
        let Pair { a, b, proxy } = &mut pair;
        let answer = tokio::select! {
            answer = proxy.post(CHAT, QUESTION) => answer,
            () = async { loop { a.next().await.hang_up() } } => unreachable!("it never ends"),
            () = async { loop { b.next().await.hang_up() } } => unreachable!("it never ends"),
        };
        statuses.push(answer.error(502));
        assert_eq!(answer.header("retry-after"), "1");
    }
    assert!(statuses.iter().all(|code| code == "upstream_broken"), "{statuses:?}");
    // Ten saved up at the start, one for each of the first ten requests.
    assert_eq!(pair.proxy.scrape().await.sum("gearshift_retries_total", &[]), 10.0);
    pair.proxy.at_rest().await;
}

#[tokio::test]
async fn without_any_backend_alive_the_client_is_told_when_to_come_back() {
    let mut pair = Pair::new().await;
    pair.a.die().await;
    pair.b.die().await;
    for _ in 0..3 {
        let answer = pair.proxy.post(CHAT, QUESTION).await;
        assert_eq!(answer.error(503), "upstream_unreachable");
        assert_eq!(answer.header("retry-after"), "1");
    }
    let unready = async { while pair.proxy.operate("/readyz").await.status != 503 {} };
    crate::common::within("the proxy to say that it is not ready", unready).await;
    assert_eq!(pair.proxy.get("/health").await.status, 503);
    assert_eq!(pair.proxy.operate("/livez").await.status, 200);
    pair.proxy.at_rest().await;
}

#[tokio::test]
async fn client_errors_are_relayed_once_and_held_against_nobody() {
    let mut pair = Pair::new().await;
    for status in [400_u16, 401, 404, 422, 429, 500, 501] {
        let body = format!(r#"{{"error":{{"message":"no {status}"}}}}"#);
        for _ in 0..3 {
            let Pair { a, b, proxy } = &mut pair;
            let (answer, ()) = tokio::join!(proxy.post(CHAT, QUESTION), async {
                tokio::select! {
                    exchange = a.next() => exchange.json(status, body.clone()),
                    exchange = b.next() => exchange.json(status, body.clone()),
                }
            });
            assert_eq!((answer.status.as_u16(), answer.text()), (status, body.as_str()));
        }
    }
    let scrape = pair.proxy.scrape().await;
    assert_eq!(scrape.sum("gearshift_requests_total", &["outcome=\"client_error\""]), 15.0);
    assert_eq!(scrape.sum("gearshift_requests_total", &["outcome=\"upstream_error\""]), 6.0);
    assert_eq!(scrape.sum("gearshift_retries_total", &[]), 0.0);
    assert_eq!(scrape.sum("gearshift_backend_available", &["state=\"ready\""]), 2.0);
    assert!(pair.a.already().is_none() && pair.b.already().is_none());
}

#[tokio::test]
async fn a_response_that_never_begins_is_504_and_cancelled() {
    let mut pair = Pair::with(|yaml| yaml.with("timeouts: {response_head: 200ms}")).await;
    let Pair { a, b, proxy } = &mut pair;
    let (answer, ()) = tokio::join!(proxy.post(CHAT, QUESTION), async {
        let mut exchange =
            tokio::select! { exchange = a.next() => exchange, exchange = b.next() => exchange };
        exchange.cancelled().await;
    });
    assert_eq!(answer.error(504), "upstream_timeout");
    assert_eq!(answer.header("retry-after"), "1");
    assert!(a.already().is_none() && b.already().is_none(), "work that takes long is not begun again");
    pair.proxy.at_rest().await;
}
