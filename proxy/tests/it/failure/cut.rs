//! An engine that breaks off: a stream ends in an error event, anything else in a broken connection.

use http::Response;
use serde_json::Value;

use crate::common::{CHAT, Client, Engine, Gearshift, Open, QUESTION, STREAMED, Stream, Yaml, post};

const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/v1/messages";

async fn ground(with: &str) -> (Engine, Gearshift) {
    let engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine]).with(with)).await;
    (engine, proxy)
}

async fn begin(engine: &mut Engine, proxy: &Gearshift, path: &str) -> (Open, Stream) {
    tokio::join!(proxy.open(path, STREAMED), async { engine.next().await.events() })
}

/// The events of a stream as a client's parser sees them: `event` and `data`.
fn events(stream: &str) -> Vec<(String, String)> {
    assert!(stream.is_empty() || stream.ends_with("\n\n"), "a torn event: {stream:?}");
    let field = |event: &str, name: &str| {
        let lines = event.lines().filter_map(|line| line.strip_prefix(name));
        lines.map(str::trim).collect::<Vec<_>>().join("\n")
    };
    let blocks = stream.split("\n\n").filter(|block| !block.is_empty());
    blocks.map(|event| (field(event, "event:"), field(event, "data:"))).collect()
}

/// Checks that this event is an error in the words of the path's API.
#[track_caller]
fn assert_error((event, data): &(String, String), path: &str) {
    let data: Value = serde_json::from_str(data).unwrap();
    match path {
        MESSAGES => {
            assert_eq!((event.as_str(), &data["type"]), ("error", &"error".into()));
            assert_eq!(data["error"]["type"], "api_error");
            assert!(data["error"]["message"].is_string());
        }
        RESPONSES => {
            assert_eq!((event.as_str(), &data["type"]), ("error", &"error".into()));
            assert_eq!(data["code"], "upstream_cut");
            assert!(data["message"].is_string());
        }
        _ => {
            assert_eq!(event, "");
            assert_eq!(data["error"]["code"], "upstream_cut");
            assert!(data["error"]["message"].is_string());
        }
    }
}

async fn assert_counted(proxy: &Gearshift, cuts: f64) {
    proxy.at_rest().await;
    let scrape = proxy.scrape().await;
    assert_eq!(scrape.sum("gearshift_requests_total", &["outcome=\"cut\""]), cuts);
    assert_eq!(scrape.sum("gearshift_requests_total", &["outcome=\"ok\""]), 0.0);
    assert_eq!(scrape.sum("gearshift_retries_total", &[]), 0.0);
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_in_an_error_event() {
    let (mut engine, proxy) = ground("").await;
    for (path, abrupt) in [(CHAT, false), ("/v1/completions", true), (RESPONSES, false), (MESSAGES, true)] {
        engine.set_abrupt(abrupt);
        engine.hang_up();
        let (mut open, stream) = begin(&mut engine, &proxy, path).await;
        stream.send("event: x\ndata: {}\n\n").await;
        let first = open.text().await;
        stream.cut().await;
        let events = events(&(first + &open.rest().await.unwrap()));
        assert_eq!(events.len(), 2, "{path}: {events:?}");
        assert_error(&events[1], path);
    }
    assert_counted(&proxy, 4.0).await;
}

#[tokio::test]
async fn an_event_that_is_cut_never_reaches_the_client() {
    let (mut engine, proxy) = ground("").await;
    for path in [CHAT, RESPONSES, MESSAGES] {
        let (open, stream) = begin(&mut engine, &proxy, path).await;
        stream.send("event: x\ndata: {}\n\nevent: y\ndata: {\"torn").await;
        stream.cut().await;
        let events = events(&open.rest().await.unwrap());
        assert_eq!(events.len(), 2, "{path}: {events:?}");
        assert_error(&events[1], path);
    }
    assert_counted(&proxy, 3.0).await;
}

#[tokio::test]
async fn a_stream_that_ends_without_saying_so_is_no_success() {
    let (mut engine, proxy) = ground("").await;
    for (path, pieces) in [
        (CHAT, &["data: {}\n\n"][..]),
        (CHAT, &["data: {}\n\n", "data: {\"torn"]),
        (CHAT, &["data: {}\n\ndata: \"[DONE]\"\n\n"]),
        (RESPONSES, &["event: response.created\ndata: {}\n\n"]),
        (MESSAGES, &["event: message_start\ndata: {}\n\n", "event: content_block_delta\nda"]),
    ] {
        let (open, stream) = begin(&mut engine, &proxy, path).await;
        stream.finish(pieces).await;
        let events = events(&open.rest().await.unwrap());
        assert_error(events.last().unwrap(), path);
        assert!(!events.iter().any(|(_, data)| data.contains("torn")), "{events:?}");
    }
    // Not one event, and not one byte announced.
    let (open, stream) = begin(&mut engine, &proxy, CHAT).await;
    drop(stream);
    assert_error(&events(&open.rest().await.unwrap())[0], CHAT);
    let (open, ()) = tokio::join!(proxy.open(CHAT, STREAMED), async {
        let empty = Response::builder().header("content-type", "text/event-stream").body(Default::default());
        engine.next().await.respond(empty.unwrap());
    });
    assert_error(&events(&open.rest().await.unwrap())[0], CHAT);
    assert_counted(&proxy, 7.0).await;
}

#[tokio::test]
async fn a_stream_that_says_that_it_ends_is_left_alone() {
    let (mut engine, proxy) = ground("").await;
    for (path, sent) in [
        (CHAT, "data: {}\n\ndata: [DONE]\n\n"),
        (CHAT, "data: {}\r\n\r\ndata:[DONE]\r\n\r\n"),
        (CHAT, "data: {}\n\ndata: [DONE]"),
        (RESPONSES, "event: response.completed\ndata: {}\n\n"),
        (RESPONSES, "event: response.incomplete\ndata: {}\n\n"),
        (RESPONSES, "event: response.failed\ndata: {}\n\n"),
        (RESPONSES, "event: error\ndata: {}\n\n"),
        (MESSAGES, "event: message_stop\ndata: {}\n\n"),
        (MESSAGES, "event: error\ndata: {}\n\n"),
    ] {
        let (open, stream) = begin(&mut engine, &proxy, path).await;
        stream.finish(&[sent]).await;
        assert_eq!(open.rest().await.unwrap(), sent, "{path}");
    }
    proxy.at_rest().await;
    assert_eq!(proxy.scrape().await.sum("gearshift_requests_total", &["outcome=\"ok\""]), 9.0);
}

/// What is larger than the proxy holds passes in pieces; an error event must still be one of its own.
#[tokio::test]
async fn an_event_too_large_to_be_held_is_closed_before_the_error() {
    let (mut engine, proxy) = ground("").await;
    let (open, stream) = begin(&mut engine, &proxy, CHAT).await;
    stream.send(format!("data: {}", "x".repeat(600_000))).await;
    stream.send("y".repeat(600_000)).await;
    stream.cut().await;
    let events = events(&open.rest().await.unwrap());
    assert_error(events.last().unwrap(), CHAT);
    assert_counted(&proxy, 1.0).await;
}

#[tokio::test]
async fn an_answer_in_one_piece_that_is_cut_is_a_broken_connection() {
    let (mut engine, proxy) = ground("").await;
    let length =
        || Response::builder().header("content-length", "100").header("content-type", "application/json");
    for head in [Response::new(()), length().body(()).unwrap(), length().status(500).body(()).unwrap()] {
        let (open, stream) =
            tokio::join!(proxy.open(CHAT, QUESTION), async { engine.next().await.stream(head) });
        stream.send("{\"choices\":[").await;
        stream.cut().await;
        open.rest().await.expect_err("half an answer looks whole");
    }
    // On HTTP/2 the stream is reset, and the connection serves on.
    let mut client = Client::http2(proxy.address).await;
    let (response, stream) = tokio::join!(client.send(post(CHAT, QUESTION)), async {
        engine.next().await.stream(Response::new(()))
    });
    stream.send("{").await;
    stream.cut().await;
    assert!(crate::common::Answer::read(response).await.is_err());
    assert_eq!(client.ask(http::Request::get("/health").body(Default::default()).unwrap()).await.status, 200);
    assert_counted(&proxy, 4.0).await;
}

#[tokio::test]
async fn a_stream_that_stalls_ends_in_an_error_event() {
    let (mut engine, proxy) = ground("timeouts: {response_idle: 2s}").await;
    for path in [CHAT, MESSAGES] {
        let (open, stream) = begin(&mut engine, &proxy, path).await;
        stream.send("event: x\ndata: {}\n\n").await;
        let events = events(&open.rest().await.unwrap());
        assert_eq!(events.len(), 2, "{path}: {events:?}");
        assert_error(&events[1], path);
        stream.cancelled().await;
    }
    assert_counted(&proxy, 2.0).await;
}

#[tokio::test]
async fn a_compressed_stream_is_not_looked_into() {
    let (mut engine, proxy) = ground("").await;
    let head =
        Response::builder().header("content-type", "text/event-stream").header("content-encoding", "gzip");
    let (open, stream) = tokio::join!(proxy.open(CHAT, STREAMED), async {
        engine.next().await.stream(head.body(()).unwrap())
    });
    stream.finish(&["\u{1f}gz"]).await;
    assert_eq!(open.rest().await.unwrap(), "\u{1f}gz");
}
