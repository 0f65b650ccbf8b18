//! A client that goes away stops the work at the engine.

use crate::common::{CHAT, Client, Engine, Gearshift, Open, QUESTION, STREAMED, Yaml, post};

async fn ground() -> (Engine, Gearshift) {
    let engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    proxy.fleet_ready().await;
    (engine, proxy)
}

#[tokio::test]
async fn while_waiting_for_the_response() {
    let (mut engine, proxy) = ground().await;
    let mut http1 = Client::http1(proxy.address).await;
    let mut exchange = tokio::select! {
        exchange = engine.next() => exchange,
        answer = http1.try_send(post(CHAT, QUESTION)) => panic!("{answer:?}"),
    };
    drop(http1);
    exchange.cancelled().await;

    // On HTTP/2 the stream is reset, and the connection serves on.
    let mut http2 = Client::http2(proxy.address).await;
    let mut exchange = tokio::select! {
        exchange = engine.next() => exchange,
        answer = http2.try_send(post(CHAT, QUESTION)) => panic!("{answer:?}"),
    };
    exchange.cancelled().await;
    let (answer, ()) =
        tokio::join!(http2.ask(post(CHAT, QUESTION)), async { engine.next().await.json(200, "{}") });
    assert_eq!(answer.status, 200);
    cancelled(&proxy, 2.0).await;
}

#[tokio::test]
async fn while_streaming() {
    let (mut engine, proxy) = ground().await;
    for client in [Client::http1(proxy.address).await, Client::http2(proxy.address).await] {
        let mut client = client;
        let (response, stream) =
            tokio::join!(client.send(post(CHAT, STREAMED)), async { engine.next().await.events() });
        let mut open = Open::new(response, client);
        stream.send("data: 1\n\n").await;
        assert_eq!(open.text().await, "data: 1\n\n");
        drop(open);
        // The engine is told although it has nothing to send.
        stream.cancelled().await;
    }
    cancelled(&proxy, 2.0).await;
}

#[tokio::test]
async fn one_stream_of_an_http2_connection() {
    let (mut engine, proxy) = ground().await;
    let mut client = Client::http2(proxy.address).await;
    let (first, one) =
        tokio::join!(client.send(post(CHAT, STREAMED)), async { engine.next().await.events() });
    let (second, two) =
        tokio::join!(client.send(post(CHAT, STREAMED)), async { engine.next().await.events() });
    drop(first);
    one.cancelled().await;
    let mut open = Open::new(second, client);
    two.send("data: [DONE]\n\n").await;
    assert_eq!(open.text().await, "data: [DONE]\n\n");
    drop(two);
    assert!(open.piece().await.is_none());
    cancelled(&proxy, 1.0).await;
}

#[tokio::test]
async fn while_a_large_answer_is_on_its_way() {
    let (mut engine, proxy) = ground().await;
    let (mut open, stream) = tokio::join!(proxy.open(CHAT, QUESTION), async {
        engine.next().await.stream(http::Response::new(()))
    });
    stream.send("{").await;
    assert_eq!(open.text().await, "{");
    drop(open);
    stream.cancelled().await;
    cancelled(&proxy, 1.0).await;
}

/// A client that ends its half of the connection does not read on: clients of HTTP keep both halves open.
#[tokio::test]
async fn with_half_a_connection() {
    let (mut engine, proxy) = ground().await;
    let mut raw = proxy.raw().await;
    let length = QUESTION.len();
    raw.write(format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{QUESTION}")).await;
    let mut exchange = engine.next().await;
    raw.end().await;
    exchange.cancelled().await;
    cancelled(&proxy, 1.0).await;
}

/// Checks that nothing is left over, and that as many requests were recorded as cancelled.
async fn cancelled(proxy: &Gearshift, requests: f64) {
    proxy.at_rest().await;
    let scrape = proxy.scrape().await;
    assert_eq!(scrape.sum("gearshift_requests_total", &["outcome=\"cancelled\""]), requests);
    assert_eq!(scrape.sum("gearshift_requests_total", &["outcome=\"cut\""]), 0.0);
    assert_eq!(scrape.sum("gearshift_retries_total", &[]), 0.0);
    assert_eq!(scrape.sum("gearshift_backend_available", &["state=\"ready\""]), 1.0);
}
