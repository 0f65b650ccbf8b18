//! Bodies that are not what they should be.

use bytes::Bytes;
use http::header;

use super::Ground;
use crate::common::{CHAT, COMPLETION, Served, Yaml, post, read_answer};

#[tokio::test]
async fn what_is_not_one_json_object_with_a_model_is_refused() {
    let mut ground = Ground::new().await;
    let cases: &[(&[u8], &str)] = &[
        (b"", "empty"),
        (b" \r\n\t ", "empty"),
        (br#"{"model":"stub","messages":[{"role":"us"#, "not valid JSON"),
        (br#"{"model":"stub""#, "not valid JSON"),
        (br#"{"model":"stub",}"#, "not valid JSON"),
        (br#"{'model':'stub'}"#, "not valid JSON"),
        (br#"{"model":"stub"} {"model":"stub"}"#, "not valid JSON"),
        (br#"{"model":"stub"} x"#, "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (br#""stub""#, "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b"\xef\xbb\xbf{}", "must be a JSON object"),
        (b"{\"model\":\"stub\",\"messages\":\"\xff\xfe\"}", "not valid JSON"),
        (b"{\"model\":\"stub\",\"prompt\":\"\xed\xa0\x80\"}", "not valid JSON"),
        (b"{\"model\":\"st\xffub\"}", "not valid JSON"),
        (b"{\"model\":\"stub\",\"x\":\"a\x00b\"}", "not valid JSON"),
        (br#"{"model":"stub","model":"other"}"#, "duplicate field `model`"),
        (br#"{"model":"other","mod\u0065l":"stub"}"#, "duplicate field `model`"),
        (br#"{"model":"stub","messages":[],"messages":[]}"#, "duplicate field `messages`"),
        (br#"{"model":"stub","stream":false,"stream":true}"#, "duplicate field `stream`"),
        (br#"{"model":7}"#, "`model` must be a string"),
        (br#"{"model":["stub"]}"#, "`model` must be a string"),
        (br#"{"model":{"model":"stub"}}"#, "`model` must be a string"),
        (br#"{"model":true}"#, "`model` must be a string"),
        (br#"{"model":"\ud800"}"#, "`model` must be a string"),
    ];
    for (body, words) in cases {
        let case = String::from_utf8_lossy(body);
        let answer = ground.refused(&case, post(CHAT, *body)).await;
        assert_eq!(answer.error(400), "bad_request", "{case}");
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(words), "{case}: {message}");
    }
    ground.unharmed().await;
}

#[tokio::test]
async fn an_unknown_model_is_404_and_its_name_is_quoted_and_cut() {
    let mut ground = Ground::new().await;
    let long = "x".repeat(1_000_000);
    for name in ["nobody", "", "Stub", "stub ", "../stub", "a\r\nx-injected: 1", "\u{0}", "🚗", &long] {
        let body = serde_json::json!({"model": name}).to_string();
        let answer = ground.refused(name, post(CHAT, body)).await;
        assert_eq!(answer.error(404), "model_not_found");
        assert_eq!(answer.json()["error"]["param"], "model");
        assert!(answer.body.len() < 1_000 && answer.header("x-injected").is_empty());
    }
    ground.unharmed().await;
}

#[tokio::test]
async fn a_missing_model_is_an_error_unless_there_is_only_one() {
    let mut ground = Ground::new().await;
    for body in ["{}", r#"{"model":null}"#, r#"{"messages":[]}"#] {
        let (answer, ()) = tokio::join!(ground.proxy.post(CHAT, body), async {
            let exchange = ground.engine.next().await;
            assert_eq!(exchange.text(), body);
            exchange.json(200, COMPLETION);
        });
        assert_eq!(answer.status, 200);
    }
    ground.engine.set_models(&[Served("one"), Served("two")]);
    let detect = format!("{{name: a, url: \"http://{}\"}}", ground.engine.address);
    ground.proxy.reload(Yaml::new().entry(&detect)).await;
    ground.proxy.logged("two").await;
    ground.proxy.ready().await;
    let answer = ground.refused("no model", post(CHAT, "{}")).await;
    assert_eq!(
        (answer.error(400).as_str(), &answer.json()["error"]["param"]),
        ("bad_request", &"model".into())
    );
    ground.proxy.at_rest().await;
}

#[tokio::test]
async fn what_routing_does_not_need_passes_byte_for_byte() {
    let mut ground = Ground::new().await;
    let deep = format!(r#"{{"model":"stub","messages":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let deep_objects =
        format!(r#"{{"model":"stub","x":{}1{}}}"#, r#"{"a":"#.repeat(50_000), "}".repeat(50_000));
    let cases: [&[u8]; 8] = [
        br#"{"model":"stub","unknown":{"model":"inner"},"y":[1e400,-0.0,1E+2],"\u0000":"\ud83d\ude97"}"#,
        br#"{"model":"stub","stream":"yes","max_tokens":-1,"n":1.5,"messages":7,"tools":null}"#,
        br#"{"x":1,"x":2,"model":"stub"}"#,
        b"{\"model\":\"stub\",\"x\":\"\xff\xfe\"}",
        b"{\"model\":\"stub\",\"x\":\"\xed\xa0\x80\"}",
        b" \n{ \"model\" : \"st\\u0075b\" }\r\n ",
        deep.as_bytes(),
        deep_objects.as_bytes(),
    ];
    for body in cases {
        let (answer, ()) = tokio::join!(ground.proxy.post(CHAT, body.to_owned()), async {
            let exchange = ground.engine.next().await;
            assert!(exchange.body == body, "{} came otherwise", String::from_utf8_lossy(body));
            // What the engine says of it is the client's to hear.
            exchange.json(400, r#"{"error":{"message":"engine"}}"#);
        });
        assert_eq!((answer.status.as_u16(), answer.text()), (400, r#"{"error":{"message":"engine"}}"#));
    }
    ground.unharmed().await;
}

#[tokio::test]
async fn wrong_content_is_415_and_a_broken_form_400() {
    const AUDIO: &str = "/v1/audio/transcriptions";
    let mut ground = Ground::new().await;
    let cases = [
        (CHAT, "text/plain", "", 415),
        (CHAT, "application/x-www-form-urlencoded", "", 415),
        (CHAT, "multipart/form-data; boundary=X", "", 415),
        (CHAT, "application/json", "gzip", 415),
        (CHAT, "application/json", "br, gzip", 415),
        (AUDIO, "application/json", "", 415),
        (AUDIO, "multipart/form-data", "", 400),
        (AUDIO, "multipart/form-data; boundary=X", "", 400),
        (AUDIO, "multipart/form-data; boundary=", "", 400),
    ];
    for (path, kind, encoding, status) in cases {
        let mut request = post(path, r#"{"model":"stub"}"#);
        request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
        if !encoding.is_empty() {
            request.headers_mut().insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
        }
        let code = ground.refused(kind, request).await.error(status);
        assert_eq!(
            code,
            if status == 415 { "unsupported_media_type" } else { "bad_request" },
            "{path} {kind}"
        );
    }
    for kind in
        [None, Some("application/json; charset=utf-8"), Some("Application/JSON"), Some("application/x+json")]
    {
        let mut request = post(CHAT, r#"{"model":"stub"}"#);
        request.headers_mut().remove(header::CONTENT_TYPE);
        kind.map(|kind| request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap()));
        let (answer, ()) =
            tokio::join!(ground.proxy.send(request), async { ground.engine.next().await.json(200, "{}") });
        assert_eq!(answer.status, 200, "{kind:?}");
    }
    ground.unharmed().await;
}

const MEGABYTES_50: usize = 50_000_000;

#[tokio::test]
async fn fifty_megabytes_announced_are_refused_unread() {
    let mut ground = Ground::new().await;
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {MEGABYTES_50}\r\n\r\n");
    let mut waiting = ground.proxy.raw().await;
    waiting.write(&head).await;
    let answer = waiting.rest().await;
    assert_eq!(read_answer(&answer).0, 413, "{answer}");
    assert!(answer.contains("body_too_large"), "{answer}");

    let mut sending = ground.proxy.raw().await;
    sending.write(&head).await;
    sending.write(vec![b' '; MEGABYTES_50]).await;
    let answer = sending.rest().await;
    assert_eq!(read_answer(&answer).0, 413, "{answer}");
    ground.untouched("too large a body");
    ground.unharmed().await;
}

#[tokio::test]
async fn fifty_megabytes_in_chunks_are_refused_when_they_are_too_many() {
    let mut ground = Ground::new().await;
    let mut raw = ground.proxy.raw().await;
    raw.write(format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")).await;
    let chunk = [&b"f4240\r\n"[..], &[b' '; 1_000_000], b"\r\n"].concat();
    let mut sent = 0;
    while sent < MEGABYTES_50 && raw.write(&chunk).await {
        sent += 1_000_000;
    }
    let answer = raw.rest().await;
    assert_eq!(read_answer(&answer).0, 413, "after {sent} bytes: {answer}");
    ground.untouched("too large a body");
    ground.unharmed().await;
}

#[tokio::test]
async fn bodies_share_a_bounded_memory() {
    let mut ground = Ground::with(|yaml| yaml.with("limits: {max_body: 1MiB, max_buffered: 1MiB}")).await;
    let mut holding = ground.proxy.raw().await;
    holding.write(format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 900000\r\n\r\n")).await;
    holding.write(vec![b' '; 800_000]).await;
    let held =
        async { while ground.proxy.scrape().await.sum("gearshift_buffered_body_bytes", &[]) < 800_000.0 {} };
    crate::common::within("the body to be held", held).await;
    let answer = ground.proxy.post(CHAT, Bytes::from(vec![b' '; 500_000])).await;
    assert_eq!(answer.error(503), "overloaded");
    assert_eq!(answer.header("retry-after"), "1");
    drop(holding);
    ground.proxy.at_rest().await;
    ground.untouched("a refused body");
    ground.unharmed().await;
}
