//! What passes: bytes untouched, piece by piece as they come, headers, names.

use bytes::Bytes;
use http::{Response, header};

use crate::common::{CHAT, COMPLETION, Client, Engine, Exchange, Gearshift, QUESTION, STREAMED, Yaml, post};

/// Sends a request that the engine answers with [`COMPLETION`]; gives what the engine got.
async fn seen(proxy: &Gearshift, engine: &mut Engine, path: &str, body: &str) -> Exchange {
    let mut client = Client::http1(proxy.address).await;
    let sending = client.try_send(post(path, body.to_owned()));
    let exchange = tokio::select! {
        exchange = engine.next() => exchange,
        response = sending => panic!("answered without the engine: {response:?}"),
    };
    exchange
}

#[tokio::test]
async fn an_answer_comes_through_as_it_was_sent() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let (answer, ()) = tokio::join!(proxy.post("/v1/chat/completions?trace=1&x=%20", QUESTION), async {
        let exchange = engine.next().await;
        assert_eq!(exchange.text(), QUESTION);
        assert_eq!(exchange.head.uri, "/v1/chat/completions?trace=1&x=%20");
        assert_eq!(exchange.header("host"), engine.address.to_string());
        exchange.json(200, COMPLETION);
    });
    assert_eq!((answer.status.as_u16(), answer.text()), (200, COMPLETION));
    assert_eq!(answer.header("content-length"), COMPLETION.len().to_string());
    proxy.at_rest().await;
}

#[tokio::test]
async fn bodies_are_not_looked_into_on_their_way_back() {
    let noise: Vec<u8> = (0..3_000_000_u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let sent = Bytes::from(noise);
    let (answer, ()) = tokio::join!(proxy.post("/v1/embeddings", r#"{"model":"stub","input":"x"}"#), async {
        let kind = Response::builder().header(header::CONTENT_TYPE, "application/octet-stream");
        engine.next().await.respond(kind.body(sent.clone()).unwrap());
    });
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert!(answer.body == sent, "the body changed");
    proxy.at_rest().await;
}

#[tokio::test]
async fn an_answer_without_a_body_ends_at_once() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    for status in [200, 204, 304] {
        let (answer, ()) = tokio::join!(proxy.post(CHAT, QUESTION), async {
            let response = Response::builder().status(status).header("x-engine", "1");
            engine.next().await.respond(response.body(Bytes::new()).unwrap());
        });
        assert_eq!((answer.status.as_u16(), answer.body.len(), answer.header("x-engine")), (status, 0, "1"));
    }
    proxy.at_rest().await;
    assert_eq!(proxy.scrape().await.sum("gearshift_requests_total", &["outcome=\"ok\""]), 3.0);
}

#[tokio::test]
async fn a_stream_passes_piece_by_piece_as_it_comes() {
    const PIECES: [&str; 3] =
        ["data: {\"choices\":[]}\n\n", ": ping\n\ndata: {\"x\":1}\r\n\r\n", "data: [DONE]\n\n"];
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let (mut open, stream) = tokio::join!(proxy.open(CHAT, STREAMED), async { engine.next().await.events() });
    assert_eq!(open.head.headers()["content-type"], "text/event-stream; charset=utf-8");
    for piece in PIECES {
        stream.send(piece).await;
        assert_eq!(open.text().await, piece);
    }
    drop(stream);
    assert!(open.piece().await.is_none());
    proxy.at_rest().await;
}

#[tokio::test]
async fn an_event_torn_on_its_way_arrives_whole() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let (mut open, stream) = tokio::join!(proxy.open(CHAT, STREAMED), async { engine.next().await.events() });
    for piece in ["data: {\"a\"", ":1}\n", "\ndata: {\"b\":2}\n\nda"] {
        stream.send(piece).await;
    }
    assert_eq!(open.text().await, "data: {\"a\":1}\n\ndata: {\"b\":2}\n\n");
    stream.finish(&["ta: [DONE]", "\n\n"]).await;
    assert_eq!(open.rest().await.unwrap(), "data: [DONE]\n\n");
}

#[tokio::test]
async fn headers_of_one_connection_stay_on_it() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let mut request = post(CHAT, QUESTION);
    for (name, value) in [
        ("connection", "x-private"),
        ("x-private", "1"),
        ("x-listed-too", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic eA=="),
        ("upgrade", "websocket"),
        ("authorization", "Bearer client"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("x-many", "one"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request.headers_mut().append("x-many", "two".parse().unwrap());
    request.headers_mut().append("connection", "keep-alive, X-Listed-Too".parse().unwrap());
    let (answer, ()) = tokio::join!(proxy.send(request), async {
        let exchange = engine.next().await;
        for dropped in
            ["connection", "x-private", "x-listed-too", "keep-alive", "te", "proxy-authorization", "upgrade"]
        {
            assert_eq!(exchange.header(dropped), "", "{dropped}");
        }
        assert_eq!(exchange.header("authorization"), "Bearer client");
        assert!(exchange.header("traceparent").starts_with("00-0af7"));
        let many: Vec<_> = exchange.head.headers.get_all("x-many").iter().collect();
        assert_eq!(many, ["one", "two"]);
        let response = Response::builder()
            .header("connection", "x-engine-private")
            .header("x-engine-private", "1")
            .header("keep-alive", "timeout=5")
            .header("proxy-authenticate", "Basic")
            .header("x-engine", "kept")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2");
        exchange.respond(response.body(Bytes::from_static(b"{}")).unwrap());
    });
    for dropped in ["connection", "x-engine-private", "keep-alive", "proxy-authenticate"] {
        assert_eq!(answer.header(dropped), "", "{dropped}");
    }
    assert_eq!(answer.header("x-engine"), "kept");
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
}

#[tokio::test]
async fn a_request_id_is_kept_or_made_and_comes_back() {
    let mut engine = Engine::start().await;
    let mut proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    for (given, kept) in [(Some("trace-1"), true), (None, false), (Some("not fit for logs"), false)] {
        let mut request = post(CHAT, QUESTION);
        if let Some(given) = given {
            request.headers_mut().insert("x-request-id", given.parse().unwrap());
        }
        let (answer, upstream) = tokio::join!(proxy.send(request), async {
            let exchange = engine.next().await;
            let id = exchange.header("x-request-id").to_owned();
            // An engine's own id does not stand beside it.
            let response = Response::builder().header("x-request-id", "engine");
            exchange.respond(response.body(Bytes::new()).unwrap());
            id
        });
        let ids: Vec<_> = answer.headers.get_all("x-request-id").iter().collect();
        assert_eq!(ids, [upstream.as_str()]);
        assert_eq!(given == Some(upstream.as_str()), kept, "{upstream:?}");
    }
    let mut wrong = post(CHAT, "{");
    wrong.headers_mut().insert("x-request-id", "wrong-1".parse().unwrap());
    assert_eq!(proxy.send(wrong).await.header("x-request-id"), "wrong-1");
    assert!(proxy.logged("\"request_id\":\"wrong-1\"").await.contains("bad_request"));
    assert!(!proxy.get("/v1/models").await.header("x-request-id").is_empty());
}

#[tokio::test]
async fn the_messages_api_gets_errors_in_its_own_words() {
    let engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    for (body, status, kind) in
        [(r#"{"model":"nobody","messages":[]}"#, 404, "not_found_error"), ("{", 400, "invalid_request_error")]
    {
        let answer = proxy.post("/v1/messages", body).await;
        assert_eq!(answer.status, status);
        let error = answer.json();
        assert_eq!((&error["type"], &error["error"]["type"]), (&"error".into(), &kind.into()));
        assert!(error["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
}

#[tokio::test]
async fn an_alias_is_rewritten_and_nothing_else() {
    let mut engine = Engine::start().await;
    let yaml = Yaml::of(&[&engine]).model("{served_name: org/real, aliases: [fast, \"a/b\"]}");
    let proxy = Gearshift::start(yaml).await;
    for (sent, got) in [
        (
            " {\n \"x\": 1.50, \"model\" :\t\"fast\" ,\"messages\":[{\"model\":\"fast\"}] , \"z\":\"\\u00e9\" }\n",
            " {\n \"x\": 1.50, \"model\" :\t\"org/real\" ,\"messages\":[{\"model\":\"fast\"}] , \"z\":\"\\u00e9\" }\n",
        ),
        (r#"{"model":"a\/b","n":1}"#, r#"{"model":"org/real","n":1}"#),
        (r#"{"model":"stub"}"#, r#"{"model":"org/real"}"#),
    ] {
        assert_eq!(seen(&proxy, &mut engine, CHAT, sent).await.text(), got);
    }
}

#[tokio::test]
async fn usage_is_asked_for_where_the_route_says_so_and_the_client_does_not() {
    let mut engine = Engine::start().await;
    let yaml = Yaml::of(&[&engine])
        .with("routes: [{name: chat, match: {paths: [/v1/chat/completions]}, inject_usage: true}]");
    let proxy = Gearshift::start(yaml).await;
    let own = r#"{"model":"stub","stream":true,"stream_options":{"include_usage":false}}"#;
    for (path, sent, injected) in [
        (CHAT, STREAMED, true),
        (CHAT, own, false),
        // A second `stream_options` beside it would be one to one parser and the other to another.
        (CHAT, r#"{"model":"stub","stream":true,"stream_options":null}"#, false),
        (CHAT, QUESTION, false),
        ("/v1/completions", STREAMED, false),
    ] {
        let exchange = seen(&proxy, &mut engine, path, sent).await;
        let usage = r#","stream_options":{"include_usage":true}}"#;
        let expected = if injected { sent[..sent.len() - 1].to_owned() + usage } else { sent.to_owned() };
        assert_eq!(exchange.text(), expected);
    }
}

#[tokio::test]
async fn a_backends_key_stands_in_for_the_clients_and_its_path_comes_first() {
    let mut engine = Engine::start().await;
    let url = format!("http://{}/team/a", engine.address);
    let yaml = Yaml::new().entry(&format!("{{name: a, url: \"{url}\", model: stub, api_key: secret}}"));
    let proxy = Gearshift::start(yaml).await;
    let mut request = post("/v1/chat/completions?q=1", QUESTION);
    request.headers_mut().insert("authorization", "Bearer client".parse().unwrap());
    let (answer, ()) = tokio::join!(proxy.send(request), async {
        let exchange = engine.next().await;
        assert_eq!(exchange.head.uri, "/team/a/v1/chat/completions?q=1");
        let keys: Vec<_> = exchange.head.headers.get_all("authorization").iter().collect();
        assert_eq!(keys, ["Bearer secret"]);
        exchange.json(200, COMPLETION);
    });
    assert_eq!(answer.status, 200);
    assert!(!proxy.operate("/config").await.text().contains("secret"));
}

/// A form with a file of these bytes and a model.
fn form(file: &str, model: &str) -> http::Request<crate::common::Body> {
    let part =
        |head: &str, value: &str| format!("--X\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n");
    let body = part("name=\"file\"; filename=\"a.wav\"", file) + &part("name=\"model\"", model) + "--X--\r\n";
    let mut request = post("/v1/audio/transcriptions", body);
    request.headers_mut().insert("content-type", "multipart/form-data; boundary=X".parse().unwrap());
    request
}

#[tokio::test]
async fn an_upload_passes_and_its_model_may_be_an_alias() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine]).model("{aliases: [whisper]}")).await;
    for model in ["stub", "whisper"] {
        let (answer, ()) = tokio::join!(proxy.send(form("RIFF whisper", model)), async {
            let exchange = engine.next().await;
            assert_eq!(exchange.text().matches("\r\n\r\nstub\r\n").count(), 1);
            assert!(exchange.text().contains("\r\n\r\nRIFF whisper\r\n"));
            assert_eq!(exchange.header("content-type"), "multipart/form-data; boundary=X");
            exchange.json(200, r#"{"text":"hello"}"#);
        });
        assert_eq!(answer.text(), r#"{"text":"hello"}"#);
    }
    assert_eq!(proxy.send(form("x", "nobody")).await.error(404), "model_not_found");
    let trap = form("name=\"model\"\r\n\r\nstub\r\n--", "whisper");
    assert_eq!(proxy.send(trap).await.error(400), "bad_request");
    proxy.at_rest().await;
}

#[tokio::test]
async fn every_endpoint_of_the_engine_that_is_for_clients_is_reached() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    for path in [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/embeddings",
        "/pooling",
        "/classify",
        "/score",
        "/v1/score",
        "/rerank",
        "/v1/rerank",
        "/v2/rerank",
        "/tokenize",
        "/detokenize",
    ] {
        let exchange = seen(&proxy, &mut engine, path, QUESTION).await;
        assert_eq!((exchange.head.uri.path(), exchange.text()), (path, QUESTION));
    }
    proxy.at_rest().await;
}
