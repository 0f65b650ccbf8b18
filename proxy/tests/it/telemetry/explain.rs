//! Headers that say why.

use http::Request;

use super::{PIECES, completion, known, question};
use crate::common::{Answer, Body, CHAT, Client, Engine, Gearshift, Open, post};

fn curious(body: String) -> Request<Body> {
    let mut request = post(CHAT, body);
    request.headers_mut().insert("x-gearshift-explain", "1".parse().unwrap());
    request
}

fn told(answer: &Answer) -> Vec<&str> {
    answer
        .headers
        .keys()
        .map(http::HeaderName::as_str)
        .filter(|name| name.starts_with("x-gearshift"))
        .collect()
}

#[tokio::test]
async fn who_asks_is_told_where_the_request_went_and_why() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(known(&[&engine], "explain_headers: true")).await;
    let (answer, ()) = tokio::join!(proxy.send(curious(question("stub", false))), async {
        engine.next().await.json(200, completion());
    });
    for (name, value) in [("backend", "a"), ("profile", "fast"), ("reason", "no_bundle"), ("attempts", "1")] {
        assert_eq!(answer.header(&format!("x-gearshift-{name}")), value, "{name}");
    }
    for name in ["ttft", "tpot"] {
        let predicted: f64 = answer.header(&format!("x-gearshift-predicted-{name}-seconds")).parse().unwrap();
        assert!(predicted > 0.0 && predicted < 60.0, "{name} {predicted}");
    }
    // Nobody else is.
    let (answer, ()) = tokio::join!(proxy.post(CHAT, question("stub", false)), async {
        engine.next().await.json(200, completion());
    });
    assert_eq!(told(&answer), [""; 0]);
}

#[tokio::test]
async fn a_stream_is_explained_in_its_head() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(known(&[&engine], "explain_headers: true")).await;
    let mut client = Client::http1(proxy.address).await;
    let (response, stream) = tokio::join!(client.send(curious(question("stub", true))), async {
        let stream = engine.next().await.events();
        stream.send(PIECES[0]).await;
        stream
    });
    let open = Open::new(response, client);
    assert_eq!(open.head.headers()["x-gearshift-backend"], "a");
    stream.finish(&PIECES[1..]).await;
    assert!(open.rest().await.unwrap().ends_with("[DONE]\n\n"));
}

#[tokio::test]
async fn errors_are_explained_too() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(known(&[&engine], "explain_headers: true")).await;
    let (answer, ()) = tokio::join!(proxy.send(curious(question("stub", false))), async {
        engine.next().await.hang_up();
    });
    assert_eq!(answer.error(502), "upstream_broken");
    assert_eq!(answer.header("x-gearshift-backend"), "a");
    assert_eq!(answer.header("x-gearshift-reason"), "upstream_broken");
    let answer = proxy.send(curious(question("nobody", false))).await;
    assert_eq!(answer.error(404), "model_not_found");
    assert_eq!(told(&answer), ["x-gearshift-attempts", "x-gearshift-reason"]);
}

#[tokio::test]
async fn nobody_is_told_unless_the_configuration_says_so() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(known(&[&engine], "")).await;
    let (answer, ()) = tokio::join!(proxy.send(curious(question("stub", false))), async {
        engine.next().await.json(200, completion());
    });
    assert_eq!(told(&answer), [""; 0]);
    // Taken over while serving.
    let mut proxy = proxy;
    proxy.reload(&known(&[&engine], "explain_headers: true")).await;
    let (answer, ()) = tokio::join!(proxy.send(curious(question("stub", false))), async {
        engine.next().await.json(200, completion());
    });
    assert_eq!(answer.header("x-gearshift-backend"), "a");
}
