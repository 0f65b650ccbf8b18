//! HTTP/1.1 and HTTP/2, clear and over TLS, on both sides.

use http::StatusCode;

use crate::common::{
    Answer, Authority, CHAT, COMPLETION, Client, Engine, Gearshift, Open, QUESTION, STREAMED, Yaml, beside,
    post,
};

/// Asks once and streams once over `client`.
async fn exercise(client: &mut Client, engine: &mut Engine) {
    let (answer, ()) = tokio::join!(client.ask(post(CHAT, QUESTION)), async {
        let exchange = engine.next().await;
        assert_eq!((exchange.head.uri.path(), exchange.text()), (CHAT, QUESTION));
        exchange.json(200, COMPLETION);
    });
    assert_eq!((answer.status.as_u16(), answer.text()), (200, COMPLETION));
    let (response, stream) =
        tokio::join!(client.send(post(CHAT, STREAMED)), async { engine.next().await.events() });
    let mut text = String::new();
    let mut body = response.into_body();
    for piece in ["data: {}\n\n", "data: [DONE]\n\n"] {
        stream.send(piece).await;
        let frame = http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
        text += std::str::from_utf8(&frame.into_data().unwrap()).unwrap();
    }
    drop(stream);
    assert_eq!(text, "data: {}\n\ndata: [DONE]\n\n");
}

/// Certificate files of a listener, and the configuration of one in TLS and one in clear text.
fn listeners(authority: &Authority, folder: &std::path::Path) -> String {
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    authority.write_leaf("localhost", &certificate, &key);
    let tls = format!("{{certificate: {}, key: {}}}", certificate.display(), key.display());
    format!("[{{address: \"127.0.0.1:0\", tls: {tls}}}, \"127.0.0.1:0\"]")
}

#[tokio::test]
async fn clients_speak_either_version_in_clear_text() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    exercise(&mut Client::http1(proxy.address).await, &mut engine).await;
    exercise(&mut Client::http2(proxy.address).await, &mut engine).await;
    proxy.at_rest().await;
}

#[tokio::test]
async fn clients_choose_the_version_over_tls() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let mut engine = Engine::start().await;
    let yaml = Yaml::of(&[&engine]).listen(&listeners(&authority, folder.path()));
    let proxy = Gearshift::start(yaml).await;
    let (secure, clear) = (proxy.addresses[0], proxy.addresses[1]);
    for (offered, agreed) in
        [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
    {
        let stream = authority.connect(secure, offered).await;
        let protocol =
            stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap());
        assert_eq!(protocol.as_deref(), agreed);
        let mut client = match agreed {
            Some("h2") => Client::speak_http2(stream, "https").await,
            _ => Client::speak_http1(stream, "https").await,
        };
        exercise(&mut client, &mut engine).await;
    }
    exercise(&mut Client::http1(clear).await, &mut engine).await;
    // Clear text at the TLS port is refused, and does no harm.
    let mut raw = crate::common::Raw::connect(secure).await;
    raw.write("GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(!raw.rest().await.starts_with("HTTP/1.1 200"));
    proxy.at_rest().await;
}

#[tokio::test]
async fn a_tls_handshake_that_stalls_is_cut() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let mut engine = Engine::start().await;
    let yaml =
        Yaml::of(&[&engine]).listen(&listeners(&authority, folder.path())).with("timeouts: {header: 2s}");
    let proxy = Gearshift::start(yaml).await;
    let mut stalled = crate::common::Raw::connect(proxy.address).await;
    stalled.write("\u{16}\u{3}\u{1}").await;
    assert_eq!(stalled.rest().await, "");
    let mut client = Client::speak_http1(authority.connect(proxy.address, &[]).await, "https").await;
    exercise(&mut client, &mut engine).await;
}

#[tokio::test]
async fn backends_are_spoken_to_in_either_version_clear_or_over_tls() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let ca = folder.path().join("ca.pem");
    authority.write(&ca);
    for (tls, protocol) in [(false, "http2"), (true, "http1"), (true, "http2")] {
        let mut engine = match tls {
            true => Engine::start_tls(authority.acceptor("localhost", &["h2", "http/1.1"])).await,
            false => Engine::start().await,
        };
        let port = engine.address.port();
        let (scheme, ca_file) =
            if tls { ("https", format!(", ca_file: {}", ca.display())) } else { ("http", String::new()) };
        let entry = format!(
            "{{name: a, url: \"{scheme}://localhost:{port}\", model: stub, protocol: {protocol}{ca_file}}}"
        );
        let proxy = Gearshift::start(Yaml::new().entry(&entry)).await;
        proxy.fleet_ready().await;
        let (answer, ()) = tokio::join!(proxy.post(CHAT, QUESTION), async {
            let exchange = engine.next().await;
            assert_eq!(exchange.head.version == http::Version::HTTP_2, protocol == "http2");
            let host =
                exchange.head.uri.authority().map_or(exchange.header("host"), |authority| authority.as_str());
            assert_eq!(host, format!("localhost:{port}"));
            exchange.json(200, COMPLETION);
        });
        assert_eq!(answer.status, 200);
        exercise(&mut Client::http1(proxy.address).await, &mut engine).await;
        exercise(&mut Client::http2(proxy.address).await, &mut engine).await;
        proxy.at_rest().await;
    }
}

#[tokio::test]
async fn a_backend_with_a_wrong_certificate_is_an_error_that_says_so() {
    let (authority, stranger, folder) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    let ca = folder.path().join("ca.pem");
    authority.write(&ca);
    for (acceptor, ca_file) in [
        (stranger.acceptor("localhost", &[]), Some(&ca)),
        (authority.acceptor("elsewhere.test", &[]), Some(&ca)),
        (authority.acceptor("localhost", &[]), None),
    ] {
        let mut engine = Engine::start_tls(acceptor).await;
        let ca_file = ca_file.map_or(String::new(), |ca| format!(", ca_file: {}", ca.display()));
        let port = engine.address.port();
        let entry = format!("{{name: a, url: \"https://localhost:{port}\", model: stub{ca_file}}}");
        let proxy = Gearshift::launch(Yaml::new().entry(&entry)).await;
        let answer = proxy.post(CHAT, QUESTION).await;
        assert_eq!(answer.error(503), "upstream_unreachable");
        let address = engine.address.port().to_string();
        assert!(!answer.text().contains(&address), "clients learn no address: {}", answer.text());
        proxy
            .fleet_is("the error to be known", |backend| {
                backend["last_error"]["what"].as_str().is_some_and(|what| what.contains("certificate"))
            })
            .await;
        assert!(engine.already().is_none());
    }
}

#[tokio::test]
async fn an_http2_backend_shares_one_connection_and_survives_its_loss() {
    let mut engine = Engine::start().await;
    let entry = format!("{{name: a, url: \"http://{}\", model: stub, protocol: http2}}", engine.address);
    let proxy = Gearshift::start(Yaml::new().entry(&entry)).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(tokio::join!(proxy.open(CHAT, STREAMED), async {
            let exchange = engine.next().await;
            (exchange.connection, exchange.events())
        }));
    }
    let connection = open[0].1.0;
    assert!(open.iter().all(|(_, (other, _))| *other == connection), "a connection each");

    // One client goes: its stream is reset, the others go on.
    let (gone, (_, stream)) = open.pop().unwrap();
    drop(gone);
    stream.cancelled().await;
    let (mut client, (_, stream)) = open.pop().unwrap();
    stream.send("data: {}\n\n").await;
    assert_eq!(client.text().await, "data: {}\n\n");

    // The connection goes: streams end in an error, and the next request gets a fresh one.
    engine.hang_up();
    assert!(client.rest().await.unwrap().contains("upstream_cut"));
    let (answer, ()) = tokio::join!(proxy.post(CHAT, QUESTION), async {
        let exchange = engine.next().await;
        assert_ne!(exchange.connection, connection);
        exchange.json(200, COMPLETION);
    });
    assert_eq!(answer.status, 200);
    drop(open);
    proxy.at_rest().await;
}

#[tokio::test]
async fn large_bodies_pass_http2s_flow_control_both_ways() {
    let mut engine = Engine::start().await;
    let entry = format!("{{name: a, url: \"http://{}\", model: stub, protocol: http2}}", engine.address);
    let proxy = Gearshift::start(Yaml::new().entry(&entry)).await;
    let question = format!(r#"{{"model":"stub","prompt":"{}"}}"#, "p".repeat(5_000_000));
    let completion = format!(r#"{{"text":"{}"}}"#, "c".repeat(5_000_000));
    let mut client = Client::http2(proxy.address).await;
    let (answer, ()) = tokio::join!(client.ask(post("/v1/completions", question.clone())), async {
        let exchange = engine.next().await;
        assert!(exchange.text() == question, "the question changed");
        exchange.json(200, completion.clone());
    });
    assert!(answer.text() == completion, "the answer changed");
    proxy.at_rest().await;
}

#[tokio::test]
async fn many_streams_share_a_clients_connection() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let client = Client::http2(proxy.address).await;
    let mut asked = Vec::new();
    for _ in 0..100 {
        let mut client = client.share();
        asked.push(beside(async move {
            let response = client.send(post(CHAT, STREAMED)).await;
            Answer::read(response).await.unwrap()
        }));
    }
    let mut streams = Vec::new();
    for _ in 0..100 {
        let stream = engine.next().await.events();
        stream.send("data: {}\n\n").await;
        streams.push(stream);
    }
    for stream in streams {
        stream.finish(&["data: [DONE]\n\n"]).await;
    }
    for answer in asked {
        assert_eq!(answer.await.unwrap().text(), "data: {}\n\ndata: [DONE]\n\n");
    }
    proxy.at_rest().await;
}

#[tokio::test]
async fn a_head_too_large_for_http2_is_refused_and_the_connection_serves_on() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let mut client = Client::http2(proxy.address).await;
    let mut request = post(CHAT, QUESTION);
    for number in 0..10 {
        let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
        request.headers_mut().insert(name, "v".repeat(10_000).parse().unwrap());
    }
    let status = client.try_send(request).await.map(|response| response.status());
    assert!(!status.as_ref().is_ok_and(StatusCode::is_success), "{status:?}");
    assert!(engine.already().is_none());
    exercise(&mut client, &mut engine).await;
}

#[tokio::test]
async fn a_stream_over_http2_carries_errors_like_any_other() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let mut client = Client::http2(proxy.address).await;
    assert_eq!(client.ask(post(CHAT, "{")).await.error(400), "bad_request");
    assert_eq!(client.ask(post("/sleep", "{}")).await.error(404), "unknown_path");
    let (response, stream) =
        tokio::join!(client.send(post(CHAT, STREAMED)), async { engine.next().await.events() });
    stream.send("data: {}\n\n").await;
    stream.cut().await;
    let rest = Open::new(response, client).rest().await.unwrap();
    assert!(rest.ends_with("\n\n") && rest.contains("upstream_cut"), "{rest}");
}
