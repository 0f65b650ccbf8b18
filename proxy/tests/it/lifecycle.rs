//! Start and end of the process.

use std::process::{Command, Output};

use rustix::process::Signal;

use crate::common::{
    Authority, CHAT, COMPLETION, Client, Engine, Gearshift, Open, QUESTION, STREAMED, Stream, Yaml, beside,
    post, request, within,
};

const DONE: &str = "data: [DONE]\n\n";

/// A proxy that has been told to end while a stream was open.
async fn draining(with: &str) -> (Engine, Gearshift, Open, Stream) {
    let mut engine = Engine::start().await;
    let mut proxy = Gearshift::start(Yaml::of(&[&engine]).with(with)).await;
    let (mut open, stream) = tokio::join!(proxy.open(CHAT, STREAMED), async { engine.next().await.events() });
    stream.send("data: 1\n\n").await;
    assert_eq!(open.text().await, "data: 1\n\n");
    proxy.signal(Signal::TERM);
    proxy.logged("shutting down").await;
    (engine, proxy, open, stream)
}

#[tokio::test]
async fn streams_finish_and_nobody_new_comes_in() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut engine = Engine::start().await;
        let mut proxy = Gearshift::start(Yaml::of(&[&engine])).await;
        let mut idle = proxy.raw().await;
        idle.write("GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
        idle.until("\r\n\r\n").await;
        let mut multiplexed = Client::http2(proxy.address).await;
        let (response, second) =
            tokio::join!(multiplexed.send(post(CHAT, STREAMED)), async { engine.next().await.events() });
        let (mut open, first) =
            tokio::join!(proxy.open(CHAT, STREAMED), async { engine.next().await.events() });
        proxy.signal(signal);
        proxy.logged("shutting down").await;

        // Idle connections end, new ones are refused, operators are answered.
        assert_eq!(idle.rest().await, "");
        let refused = async { while tokio::net::TcpStream::connect(proxy.address).await.is_ok() {} };
        within("new connections to be refused", refused).await;
        assert_eq!(proxy.operate("/readyz").await.status, 503);
        assert_eq!(proxy.operate("/livez").await.status, 200);

        for stream in [&first, &second] {
            stream.send("data: 1\n\n").await;
        }
        assert_eq!(open.text().await, "data: 1\n\n");
        first.finish(&[DONE]).await;
        second.finish(&[DONE]).await;
        assert_eq!(open.rest().await.unwrap(), DONE);
        assert!(Open::new(response, multiplexed).rest().await.unwrap().ends_with(DONE));
        assert_eq!(proxy.ended().await.code(), Some(0));
    }
}

#[tokio::test]
async fn a_request_that_waits_for_its_response_is_finished_too() {
    let mut engine = Engine::start().await;
    let mut proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let mut client = Client::http1(proxy.address).await;
    let (answer, status) = tokio::join!(client.ask(post(CHAT, QUESTION)), async {
        let exchange = engine.next().await;
        proxy.signal(Signal::TERM);
        proxy.logged("shutting down").await;
        exchange.json(200, COMPLETION);
        proxy.ended().await
    });
    assert_eq!((answer.status.as_u16(), answer.text()), (200, COMPLETION));
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_second_word_cuts_what_is_left() {
    let (_engine, mut proxy, open, stream) = draining("").await;
    proxy.signal(Signal::TERM);
    stream.cancelled().await;
    assert!(open.rest().await.is_err(), "a cut stream looks whole");
    assert_eq!(proxy.ended().await.code(), Some(0));
}

#[tokio::test]
async fn the_drain_time_cuts_what_is_left() {
    let (_engine, mut proxy, open, stream) = draining("timeouts: {drain: 200ms}").await;
    stream.cancelled().await;
    assert!(open.rest().await.is_err(), "a cut stream looks whole");
    assert_eq!(proxy.ended().await.code(), Some(0));
}

#[tokio::test]
async fn clients_that_do_not_read_do_not_hold_up_the_end() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name);
    authority.write_leaf("localhost", &at("certificate.pem"), &at("key.pem"));
    let tls =
        format!("{{certificate: {}, key: {}}}", at("certificate.pem").display(), at("key.pem").display());
    let listen = format!("[{{address: \"127.0.0.1:0\", tls: {tls}}}, \"127.0.0.1:0\"]");
    let mut engine = Engine::start().await;
    let yaml = Yaml::of(&[&engine]).listen(&listen).with("timeouts: {drain: 200ms}");
    let mut proxy = Gearshift::start(yaml).await;
    let secure = authority.connect(proxy.addresses[0], &[]).await;
    let clients = [Client::speak_http1(secure, "https").await, Client::http1(proxy.addresses[1]).await];
    let mut deaf = Vec::new();
    for mut client in clients {
        let (response, stream) =
            tokio::join!(client.send(post(CHAT, STREAMED)), async { engine.next().await.events() });
        deaf.push(Open::new(response, client));
        // Until every buffer on the way is full, and on.
        beside(async move { while stream.try_send(format!("data: {}\n\n", "x".repeat(100_000))).await {} });
    }
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.ended().await.code(), Some(0));
}

/// What reads the log of a service may crash.
#[tokio::test]
async fn it_serves_and_ends_whether_or_not_anybody_reads_its_log() {
    unread(Gearshift::stop_reading).await;
}

/// Or it hangs, as a log shipper does whose own store is full.
#[tokio::test]
async fn a_reader_of_its_log_that_hangs_holds_nobody_up() {
    unread(Gearshift::hang_reading).await;
}

/// A file whose mistakes take a hundred kilobytes to tell.
fn wrong(key: &str) -> String {
    (0..100).map(|number| format!("{}{number}: 1\n", key.repeat(500))).collect()
}

async fn unread(stop: impl Fn(&Gearshift)) {
    let mut engine = Engine::start().await;
    let mut proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    stop(&proxy);
    // Each of these is logged, more than a pipe holds: files that are no configuration, then what becomes of requests and of the backend.
    for wrong in ["a", "b", "c"].map(wrong) {
        let before = proxy.scrape().await.sum("gearshift_config_reloads_total", &["result=\"rejected\""]);
        proxy.write_config(&wrong);
        proxy.signal(Signal::HUP);
        let refused = async {
            while proxy.scrape().await.sum("gearshift_config_reloads_total", &["result=\"rejected\""])
                == before
            {}
        };
        within("the file to be refused", refused).await;
    }
    let (answer, ()) =
        tokio::join!(proxy.post(CHAT, QUESTION), async { engine.next().await.json(200, COMPLETION) });
    assert_eq!(answer.status, 200);
    engine.die().await;
    assert!(proxy.post(CHAT, QUESTION).await.status.is_server_error(), "an answer, and no cut connection");
    assert!(proxy.scrape().await.sum("gearshift_log_lines_dropped_total", &[]) < 1.0, "there was room");
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.ended().await.code(), Some(0));
}

#[tokio::test]
async fn an_idle_proxy_ends_at_once_and_leaves_its_ports() {
    let engine = Engine::start().await;
    let mut proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    let (clients, admin) = (proxy.address, proxy.admin);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.ended().await.code(), Some(0));
    for address in [clients, admin] {
        let refused = std::net::TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}

/// Runs the binary to its end.
fn run(arguments: &[&str], config: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gearshift.yaml"), config).unwrap();
    Command::new(env!("CARGO_BIN_EXE_gearshift")).args(arguments).current_dir(folder.path()).output().unwrap()
}

#[test]
fn a_wrong_configuration_is_told_and_nothing_starts() {
    for arguments in [&["serve"][..], &["check", "gearshift.yaml"]] {
        let output = run(arguments, "listen: nowhere\nbackends: [{url: ftp://x}]\n");
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        for word in ["gearshift.yaml:1", "gearshift.yaml:2", "listen", "url"] {
            assert!(told.contains(word), "{told}");
        }
        assert!(!told.contains("panicked"));
    }
    let missing = run(&["serve", "--config", "missing.yaml"], "");
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("missing.yaml"));
    assert_eq!(run(&["serve", "--nonsense"], "").status.code(), Some(2));
}

#[test]
fn a_port_that_is_taken_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap();
    let backends = "backends: [{url: \"http://127.0.0.1:1\", model: stub}]\nmodels: {stub: {}}\n";
    for config in [
        format!("listen: \"{taken}\"\nadmin: {{address: \"127.0.0.1:0\"}}\n{backends}"),
        format!("listen: \"127.0.0.1:0\"\nadmin: {{address: \"{taken}\"}}\n{backends}"),
    ] {
        let output = run(&["serve"], &config);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(&taken.to_string()) && told.contains("in use"), "{told}");
    }
    drop(listener);
}

#[tokio::test]
async fn a_certificate_without_its_key_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (Authority::new(), Authority::new());
    let at = |name: &str| folder.path().join(name);
    one.write_leaf("localhost", &at("a.pem"), &at("a.key"));
    other.write_leaf("localhost", &at("b.pem"), &at("b.key"));
    for (certificate, key) in [("a.pem", "b.key"), ("missing.pem", "a.key"), ("a.key", "a.key")] {
        let tls = format!("{{certificate: {}, key: {}}}", at(certificate).display(), at(key).display());
        let config = format!(
            "listen: {{address: \"127.0.0.1:0\", tls: {tls}}}\nadmin: {{address: \"127.0.0.1:0\"}}\n\
             backends: [{{url: \"http://127.0.0.1:1\"}}]\n"
        );
        let output = run(&["serve"], &config);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(certificate), "{told}");
    }
}

#[tokio::test]
async fn a_right_configuration_is_confirmed() {
    let engine = Engine::start().await;
    let output = run(&["check", "gearshift.yaml"], &Yaml::of(&[&engine]).to_string());
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("ok"));
    // And serves what it confirms.
    let proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    assert_eq!(proxy.send(request(http::Method::GET, "/health", "")).await.status, 200);
}
