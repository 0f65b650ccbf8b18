//! Heads and framing that are not what they should be.

use super::Ground;
use crate::common::{CHAT, COMPLETION, QUESTION, read_answer};

/// A head with these lines after the request line and `host`.
fn head(lines: &str) -> String {
    format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\n{lines}\r\n")
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let mut ground = Ground::new().await;
    let long = "x".repeat(100_000);
    for (case, request, statuses) in [
        ("100,000 headers", head(&"a: b\r\n".repeat(100_000)), &[431][..]),
        ("101 headers", head(&"a: b\r\n".repeat(101)), &[431]),
        ("one header of 100 kB", head(&format!("a: {long}\r\n")), &[431]),
        ("a header name of 100 kB", head(&format!("{long}: a\r\n")), &[431, 400]),
        ("a target of 100 kB", format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n"), &[414, 431]),
        ("a method of 100 kB", format!("{long} / HTTP/1.1\r\nhost: x\r\n\r\n"), &[400, 431]),
    ] {
        let mut raw = ground.proxy.raw().await;
        raw.write(&request).await;
        let answer = raw.rest().await;
        assert!(statuses.contains(&read_answer(&answer).0), "{case}: {answer}");
        ground.untouched(case);
    }
    ground.unharmed().await;
}

#[tokio::test]
async fn the_limits_of_a_head_can_be_raised() {
    let mut ground = Ground::with(|yaml| yaml.with("limits: {max_header: 1MiB, max_headers: 600}")).await;
    let many: String = (0..500).map(|i| format!("x-{i}: {}\r\n", "v".repeat(200))).collect();
    let mut raw = ground.proxy.raw().await;
    raw.write(head(&format!("{many}connection: close\r\ncontent-length: {}\r\n", QUESTION.len())) + QUESTION)
        .await;
    let exchange = ground.engine.next().await;
    assert_eq!(exchange.header("x-499").len(), 200);
    exchange.json(200, COMPLETION);
    assert_eq!(read_answer(&raw.rest().await).0, 200);
    ground.unharmed().await;
}

#[tokio::test]
async fn malformed_heads_are_400_or_closed() {
    let mut ground = Ground::new().await;
    let cases = [
        head("no colon\r\n"),
        head(": no name\r\n"),
        head("space before : colon\r\n"),
        head("a: b\r\n folded\r\n"),
        head("a: nul \0 inside\r\n"),
        head("a: return \r inside\r\n"),
        head("content-length: 5\r\ncontent-length: 6\r\n") + "hello",
        head("content-length: 5, 6\r\n") + "hello",
        head("content-length: +5\r\n") + "hello",
        head("content-length: -5\r\n") + "hello",
        head("content-length: 5x\r\n") + "hello",
        head("content-length: 0x5\r\n") + "hello",
        head("content-length: 99999999999999999999999\r\n") + "hello",
        head("transfer-encoding: chunked, identity\r\n") + "0\r\n\r\n",
        head("transfer-encoding: xchunked\r\n") + "0\r\n\r\n",
        head("transfer-encoding: identity\r\n") + "hello",
        head("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n") + "0\r\n\r\n",
        format!("POST {CHAT} HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("POST {CHAT} HTTP/9.9\r\nhost: x\r\n\r\n"),
        format!("POST {CHAT}\r\n\r\n"),
        format!("POST  {CHAT} HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("POST {CHAT} HTTP/1.1 extra\r\nhost: x\r\n\r\n"),
        "GET /a b HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n".to_owned(),
    ];
    for request in cases {
        let mut raw = ground.proxy.raw().await;
        raw.write(&request).await;
        raw.end().await;
        let answer = raw.rest().await;
        // Where not even the version can be read, the connection is closed; an HTTP/2 peer gets frames.
        let refused = matches!(read_answer(&answer).0, 0 | 400 | 505) && !answer.starts_with("HTTP/1.1 2");
        assert!(refused, "{request:?}: {answer}");
        ground.untouched(&request);
    }
    ground.unharmed().await;
}

#[tokio::test]
async fn malformed_chunks_are_400() {
    let mut ground = Ground::new().await;
    let extension = "x".repeat(100_000);
    for chunks in [
        "zz\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        &format!("5;{extension}\r\nhello\r\n0\r\n\r\n"),
        &format!("0\r\nx: {extension}\r\n\r\n"),
    ] {
        let mut raw = ground.proxy.raw().await;
        raw.write(head("transfer-encoding: chunked\r\n") + chunks).await;
        raw.end().await;
        let answer = raw.rest().await;
        assert_eq!(read_answer(&answer).0, 400, "{chunks:.40}: {answer}");
        ground.untouched(chunks);
    }
    ground.unharmed().await;
}

/// Two readers that disagree about where a request ends are how requests are smuggled. The engine gets every body
/// framed anew, with the length that was read.
#[tokio::test]
async fn framing_is_read_in_one_way_and_made_anew() {
    let mut ground = Ground::new().await;
    let (chunk, length) = (format!("{:x}\r\n{QUESTION}\r\n", QUESTION.len()), QUESTION.len());
    let (first, second) = QUESTION.split_at(20);
    let rest = second.len();
    for (case, request) in [
        (
            "both framings",
            head("connection: close\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n")
                + &chunk
                + "0\r\n\r\n",
        ),
        (
            "both, the other way",
            head("connection: close\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n")
                + &chunk
                + "0\r\n\r\n",
        ),
        (
            "the same length twice",
            head(&format!("connection: close\r\ncontent-length: {length}\r\ncontent-length: {length}\r\n"))
                + QUESTION,
        ),
        (
            "extensions",
            head("connection: close\r\ntransfer-encoding: chunked\r\n")
                + &format!("14;a=b;c=\"d\"\r\n{first}\r\n{rest:x} ;e\r\n{second}\r\n0;f\r\n\r\n"),
        ),
        (
            "leading zeros",
            head("connection: close\r\ntransfer-encoding: Chunked\r\n") + "000" + &chunk + "0000\r\n\r\n",
        ),
        (
            "trailers",
            head("connection: close\r\ntransfer-encoding: chunked\r\ntrailer: x-a\r\n")
                + &chunk
                + "0\r\nx-a: b\r\ncontent-length: 9\r\n\r\n",
        ),
        (
            "bare line feeds",
            format!(
                "POST {CHAT} HTTP/1.1\nhost: x\nconnection: close\ncontent-length: {length}\n\n{QUESTION}"
            ),
        ),
    ] {
        let mut raw = ground.proxy.raw().await;
        raw.write(&request).await;
        let exchange = ground.engine.next().await;
        assert_eq!(exchange.text(), QUESTION, "{case}");
        assert_eq!(exchange.header("content-length"), length.to_string(), "{case}");
        for absent in ["transfer-encoding", "trailer", "x-a"] {
            assert_eq!(exchange.header(absent), "", "{case}");
        }
        exchange.json(200, COMPLETION);
        let answer = raw.rest().await;
        assert_eq!(read_answer(&answer), (200, COMPLETION), "{case}: {answer}");
        ground.untouched(case);
    }
    ground.unharmed().await;
}

#[tokio::test]
async fn old_http_and_absolute_targets_are_served() {
    let mut ground = Ground::new().await;
    let length = QUESTION.len();
    for (version, host, target) in
        [("1.0", "", CHAT), ("1.1", "host: x\r\n", "http://elsewhere.test:1/v1/chat/completions")]
    {
        let mut raw = ground.proxy.raw().await;
        raw.write(format!("POST {target} HTTP/{version}\r\n{host}connection: close\r\ncontent-length: {length}\r\n\r\n{QUESTION}"))
            .await;
        let exchange = ground.engine.next().await;
        assert_eq!((exchange.head.uri.to_string().as_str(), exchange.text()), (CHAT, QUESTION));
        assert_eq!(exchange.header("host"), ground.engine.address.to_string());
        exchange.json(200, COMPLETION);
        assert_eq!(read_answer(&raw.rest().await), (200, COMPLETION));
    }
    ground.unharmed().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let mut ground = Ground::new().await;
    let mut raw = ground.proxy.raw().await;
    let request = head(&format!("content-length: {}\r\n", QUESTION.len())) + QUESTION;
    let last = head("connection: close\r\ncontent-length: 2\r\n") + "{{";
    raw.write(request.repeat(3) + "GET /health HTTP/1.1\r\nhost: x\r\n\r\n" + &last).await;
    for number in 0..3 {
        let exchange = ground.engine.next().await;
        assert_eq!(exchange.text(), QUESTION);
        ground.untouched("a later request");
        exchange.json(200, format!("{{\"answer\":{number}}}"));
    }
    let answers = raw.rest().await;
    let places: Vec<_> =
        (0..3).map(|number| answers.find(&format!("{{\"answer\":{number}}}")).unwrap()).collect();
    assert!(places.is_sorted(), "{answers}");
    assert_eq!((answers.matches("HTTP/1.1 200").count(), answers.matches("HTTP/1.1 400").count()), (4, 1));
    ground.unharmed().await;
}

#[tokio::test]
async fn whoever_expects_to_be_asked_on_is_asked_on_or_refused() {
    let mut ground = Ground::new().await;
    let length = QUESTION.len();
    let mut raw = ground.proxy.raw().await;
    raw.write(head(&format!("expect: 100-continue\r\nconnection: close\r\ncontent-length: {length}\r\n")))
        .await;
    assert!(raw.until("\r\n\r\n").await.starts_with("HTTP/1.1 100 "));
    raw.write(QUESTION).await;
    let exchange = ground.engine.next().await;
    assert_eq!((exchange.text(), exchange.header("expect")), (QUESTION, ""));
    exchange.json(200, COMPLETION);
    assert_eq!(read_answer(&raw.rest().await), (200, COMPLETION));

    let mut raw = ground.proxy.raw().await;
    raw.write(head("expect: 100-continue\r\ncontent-length: 50000000\r\n")).await;
    assert_eq!(read_answer(&raw.rest().await).0, 413);
    ground.unharmed().await;
}
