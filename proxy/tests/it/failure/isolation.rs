//! One client or backend that is slow holds up no other.

use super::{Pair, Side};
use crate::common::{CHAT, COMPLETION, Engine, Gearshift, QUESTION, STREAMED, Yaml};

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_its_own_stream_alone() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let (slow, stream) = tokio::join!(proxy.open(CHAT, STREAMED), async { engine.next().await.events() });
    // Until every buffer between the two is full.
    let event = format!("data: {}\n\n", "x".repeat(100_000));
    let flood = crate::common::beside(async move {
        let mut sent = 0_u64;
        for _ in 0..1_000 {
            if !stream.try_send(event.clone()).await {
                break;
            }
            sent += 1;
        }
        sent
    });
    for _ in 0..20 {
        let (answer, ()) =
            tokio::join!(proxy.post(CHAT, QUESTION), async { engine.next().await.json(200, COMPLETION) });
        assert_eq!(answer.status, 200);
    }
    drop(slow);
    let sent = flood.await.unwrap();
    assert!(sent < 1_000, "the engine was never held up: memory took {sent} events");
    proxy.at_rest().await;
}

#[tokio::test]
async fn a_backend_that_hangs_holds_up_no_other() {
    let mut pair = Pair::with(|yaml| yaml.with("fleet: {health_timeout: 1h}")).await;
    let held = pair.occupy().await;
    let Pair { a, b, proxy } = &mut pair;
    let alive = if held.busy == Side::A { b } else { a };
    for _ in 0..20 {
        let (answer, ()) =
            tokio::join!(proxy.post(CHAT, QUESTION), async { alive.next().await.json(200, COMPLETION) });
        assert_eq!(answer.status, 200);
    }
    let scrape = proxy.scrape().await;
    let in_flight = |side: Side| scrape.sum("gearshift_backend_in_flight_requests", &[side.label()]);
    assert_eq!((in_flight(held.busy), in_flight(held.idle)), (1.0, 0.0));
    held.release().await;
}

#[tokio::test]
async fn a_backend_that_says_it_is_dead_gets_nothing_until_it_is_back() {
    let fast = "fleet: {health_interval: 50ms, scrape_interval: 50ms}";
    let mut pair = Pair::with(|yaml| yaml.with(fast)).await;
    pair.a.set_health(503);
    pair.proxy.logged("\"to\":\"down\"").await;
    for _ in 0..10 {
        let Pair { b, proxy, .. } = &mut pair;
        let (answer, ()) =
            tokio::join!(proxy.post(CHAT, QUESTION), async { b.next().await.json(200, COMPLETION) });
        assert_eq!(answer.status, 200);
    }
    assert!(pair.a.already().is_none());

    // Back, it proves itself with a request before it is trusted with more.
    pair.a.set_health(200);
    pair.proxy.logged("\"to\":\"probation\"").await;
    let held = pair.occupy().await;
    let Pair { a, b, proxy } = &mut pair;
    let idle = if held.idle == Side::A { a } else { b };
    let (answer, ()) =
        tokio::join!(proxy.post(CHAT, QUESTION), async { idle.next().await.json(200, COMPLETION) });
    assert_eq!(answer.status, 200);
    held.release().await;
    proxy.logged("\"to\":\"ready\"").await;
}

/// `/health` is 200 all the time; that no token flows is what tells.
#[tokio::test]
async fn a_backend_that_takes_requests_and_makes_nothing_of_them_is_passed_over() {
    let fast = "fleet: {health_interval: 50ms, scrape_interval: 50ms, hang_after: 5s}";
    let mut pair = Pair::with(|yaml| yaml.with(fast)).await;
    let held = pair.occupy().await;
    pair.proxy.logged("\"to\":\"hung\"").await;
    let Pair { a, b, proxy } = &mut pair;
    let (hung, alive) = if held.busy == Side::A { (a, b) } else { (b, a) };
    let mut streams = Vec::new();
    for _ in 0..10 {
        // Busy as the other gets, nothing goes to the one that hangs.
        let (mut open, stream) =
            tokio::join!(proxy.open(CHAT, STREAMED), async { alive.next().await.events() });
        stream.send("data: 1\n\n").await;
        open.text().await;
        streams.push((open, stream));
    }
    assert!(hung.already().is_none());
    held.release().await;
    proxy.logged("\"from\":\"hung\"").await;
}
