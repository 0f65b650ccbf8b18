//! Clients that take their time.

use super::Ground;
use crate::common::{CHAT, read_answer, within};

#[tokio::test]
async fn a_head_that_never_comes_or_drips_is_cut() {
    let mut ground = Ground::with(|yaml| yaml.with("timeouts: {header: 200ms}")).await;
    let (mut silent, mut stopped) = (ground.proxy.raw().await, ground.proxy.raw().await);
    stopped.write(format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\nx-slow: ")).await;
    let mut drip = ground.proxy.raw().await;
    let dripping = async {
        // A byte for every answer of another connection: a drip without a clock. It begins as HTTP/2 does, too.
        let head = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\nx-slow: ");
        let mut bytes = head.bytes().chain(std::iter::repeat(b'a'));
        while drip.write([bytes.next().unwrap()]).await {
            assert_eq!(ground.proxy.get("/health").await.status, 200);
        }
    };
    within("the drip to be cut", dripping).await;
    assert_eq!(silent.rest().await, "");
    assert_eq!(stopped.rest().await, "");
    ground.untouched("half a head");
    ground.unharmed().await;
}

#[tokio::test]
async fn a_second_head_that_never_ends_is_cut_too() {
    let ground = Ground::with(|yaml| yaml.with("timeouts: {header: 200ms}")).await;
    let mut raw = ground.proxy.raw().await;
    raw.write("GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(raw.until("\r\n\r\n").await.starts_with("HTTP/1.1 200"));
    raw.write("GET /health HTTP/1.1\r\nhost:").await;
    assert_eq!(raw.rest().await, "");
    ground.unharmed().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let ground = Ground::with(|yaml| yaml.with("timeouts: {client_idle: 200ms}")).await;
    let mut raw = ground.proxy.raw().await;
    raw.write("GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(raw.rest().await.starts_with("HTTP/1.1 200"));
    ground.unharmed().await;
}

#[tokio::test]
async fn a_body_that_stops_or_drips_is_408() {
    let mut ground = Ground::with(|yaml| yaml.with("timeouts: {body_idle: 300ms, body: 600ms}")).await;
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{{");
    let (mut stopped, mut drip) = (ground.proxy.raw().await, ground.proxy.raw().await);
    stopped.write(&head).await;
    drip.write(&head).await;
    let dripping = async {
        while drip.write(" ").await {
            assert_eq!(ground.proxy.get("/health").await.status, 200);
        }
    };
    let (stopped, ()) = tokio::join!(stopped.rest(), within("the drip to be answered", dripping));
    for answer in [stopped, drip.rest().await] {
        assert_eq!(read_answer(&answer).0, 408, "{answer}");
        assert!(answer.contains("body_timeout"), "{answer}");
    }
    ground.untouched("half a body");
    ground.unharmed().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_given_up() {
    let mut ground = Ground::new().await;
    let mut raw = ground.proxy.raw().await;
    raw.write(format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{")).await;
    raw.end().await;
    let answer = raw.rest().await;
    assert!(matches!(read_answer(&answer).0, 0 | 400), "{answer}");
    ground.untouched("half a body");
    ground.unharmed().await;
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_and_the_others_served() {
    let ground = Ground::with(|yaml| yaml.with("limits: {max_connections: 2}")).await;
    let mut kept = ground.proxy.raw().await;
    kept.write("GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    kept.until("\r\n\r\n").await;
    let mut second = ground.proxy.raw().await;
    second.write("GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    second.until("\r\n\r\n").await;
    let mut third = ground.proxy.raw().await;
    assert_eq!(third.rest().await, "");
    drop(second);
    let closed =
        async { while ground.proxy.scrape().await.sum("gearshift_client_connections", &[]) > 1.0 {} };
    within("the second connection to end", closed).await;
    ground.unharmed().await;
}
