//! As many as there is room for.

use crate::common::{CHAT, COMPLETION, Engine, Gearshift, QUESTION, STREAMED, Yaml};

#[tokio::test]
async fn one_request_more_than_allowed_is_503_until_a_place_is_free() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine]).with("limits: {max_in_flight: 2}")).await;
    let (mut first, one) = tokio::join!(proxy.open(CHAT, STREAMED), async { engine.next().await.events() });
    let (second, two) = tokio::join!(proxy.open(CHAT, STREAMED), async { engine.next().await.events() });
    let refused = proxy.post(CHAT, QUESTION).await;
    assert_eq!((refused.error(503).as_str(), refused.header("retry-after")), ("overloaded", "1"));
    // What the engine is not needed for is answered.
    assert_eq!(proxy.get("/v1/models").await.status, 200);

    // The place is held as long as the stream, not only as long as its head.
    one.send("data: 1\n\n").await;
    first.text().await;
    assert_eq!(proxy.post(CHAT, QUESTION).await.error(503), "overloaded");
    one.finish(&["data: [DONE]\n\n"]).await;
    first.rest().await.unwrap();
    let (answer, ()) =
        tokio::join!(proxy.post(CHAT, QUESTION), async { engine.next().await.json(200, COMPLETION) });
    assert_eq!(answer.status, 200);

    // A client that goes away gives its place back.
    drop(second);
    two.cancelled().await;
    proxy.at_rest().await;
    assert!(engine.already().is_none());
}
