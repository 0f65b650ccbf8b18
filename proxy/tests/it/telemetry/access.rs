//! The access log.

use std::{fs, path::Path};

use http::Method;
use serde_json::Value;

use super::{ANSWER, PIECES, SECRET, completion, known, question};
use crate::common::{CHAT, Client, Engine, Gearshift, post, request, within};

/// The lines of a file, once there are so many.
async fn lines(file: &Path, count: usize) -> Vec<Value> {
    let read = || fs::read_to_string(file).unwrap_or_default();
    let text = within("access-log lines", async {
        loop {
            let text = read();
            if text.lines().count() >= count && text.ends_with('\n') {
                return text;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!text.contains(SECRET) && !text.contains(ANSWER), "a prompt or an answer is in the log");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn every_request_has_a_line_that_says_where_it_went_and_how() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(known(&[&engine], "access_log: {to: log/access.jsonl}")).await;
    let file = proxy.folder().join("log/access.jsonl");
    let mut request = post(CHAT, question("chatty", false));
    request.headers_mut().insert("x-request-id", "mine".parse().unwrap());
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request.headers_mut().insert("traceparent", parent.parse().unwrap());
    tokio::join!(proxy.send(request), async { engine.next().await.json(200, completion()) });
    tokio::join!(proxy.post(CHAT, question("stub", true)), async {
        engine.next().await.events().finish(&PIECES).await;
    });
    proxy.post(CHAT, question(SECRET, false)).await.error(404);
    proxy.get(&format!("/{SECRET}?q={SECRET}")).await.error(404);
    proxy.get("/v1/models").await;
    proxy.get("/health").await;
    let lines = lines(&file, 5).await;
    let [whole, stream, model, path, models] = &lines[..] else { panic!("{lines:#?}") };

    for (key, value) in [
        ("request_id", Value::from("mine")),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736".into()),
        ("method", "POST".into()),
        ("path", CHAT.into()),
        ("route", "default".into()),
        ("model", "stub".into()),
        ("backend", "a".into()),
        ("profile", "fast".into()),
        ("reason", "no_bundle".into()),
        ("status", 200.into()),
        ("outcome", "ok".into()),
        ("error", Value::Null),
        ("ttft_s", Value::Null),
        ("prompt_tokens", 31.into()),
        ("cached_tokens", 16.into()),
        ("output_tokens", 7.into()),
        ("retries", 0.into()),
    ] {
        assert_eq!(whole[key], value, "{key}");
    }
    assert!(whole["e2e_s"].as_f64().unwrap() > 0.0);
    let time = whole["time"].as_str().unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z') && time.len() == 24, "{time}");
    let (ttft, e2e) = (stream["ttft_s"].as_f64().unwrap(), stream["e2e_s"].as_f64().unwrap());
    assert!(stream["stream"] == true && 0.0 < ttft && ttft <= e2e && stream["output_tokens"] == 2);
    assert_eq!((&model["error"], &model["outcome"]), (&"model_not_found".into(), &"refused".into()));
    assert_eq!((&path["error"], &path["path"]), (&"unknown_path".into(), &Value::Null));
    assert_eq!((&models["path"], &models["status"]), (&"/v1/models".into(), &200.into()));
    let told = async || proxy.scrape().await.sum("gearshift_access_log_lines_total", &["result=\"told\""]);
    within("five lines to be counted", async { while told().await < 5.0 {} }).await;
}

#[tokio::test]
async fn what_went_well_may_be_left_out() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(known(&[&engine], "access_log: {to: ./access, sample: 0}")).await;
    let file = proxy.folder().join("access");
    for status in [200, 500, 200, 400] {
        tokio::join!(proxy.post(CHAT, question("stub", false)), async {
            engine.next().await.json(status, completion());
        });
    }
    let lines = lines(&file, 2).await;
    let found: Vec<_> = lines.iter().map(|line| (line["status"].as_u64(), line["error"].as_str())).collect();
    assert_eq!(found, [(Some(500), Some("upstream_error")), (Some(400), Some("client_error"))]);
}

#[tokio::test]
async fn a_client_that_went_away_and_a_stream_that_broke_say_so() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(known(&[&engine], "access_log: {to: ./access}")).await;
    let file = proxy.folder().join("access");
    // Before there is a response.
    let (asking, mut exchange) = {
        let mut asking = Box::pin(proxy.post(CHAT, question("stub", false)));
        let exchange = tokio::select! {
            _ = &mut asking => panic!("nobody answered"),
            exchange = engine.next() => exchange,
        };
        (asking, exchange)
    };
    drop(asking);
    exchange.cancelled().await;
    // In the middle of a stream that breaks.
    tokio::join!(proxy.post(CHAT, question("stub", true)), async {
        let stream = engine.next().await.events();
        stream.send(PIECES[0]).await;
        stream.cut().await;
    });
    let lines = lines(&file, 2).await;
    assert_eq!((&lines[0]["outcome"], &lines[0]["status"]), (&"cancelled".into(), &Value::Null));
    assert_eq!((&lines[1]["outcome"], &lines[1]["error"]), (&"cut".into(), &"upstream_cut".into()));
    assert_eq!(lines[1]["backend"], "a");
}

#[tokio::test]
async fn a_file_that_is_moved_away_is_made_anew() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(known(&[&engine], "access_log: {to: ./access}")).await;
    let (file, aside) = (proxy.folder().join("access"), proxy.folder().join("access.1"));
    for name in ["first", "second"] {
        let mut request = post(CHAT, question("stub", false));
        request.headers_mut().insert("x-request-id", name.parse().unwrap());
        tokio::join!(proxy.send(request), async { engine.next().await.json(200, completion()) });
        let lines = lines(&file, 1).await;
        assert_eq!((lines.len(), &lines[0]["request_id"]), (1, &name.into()));
        if name == "first" {
            fs::rename(&file, &aside).unwrap();
        }
    }
}

/// A pipe that somebody has open and nobody reads.
#[tokio::test]
async fn a_pipe_that_nobody_reads_slows_no_request() {
    let mut engine = Engine::start().await;
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let _open = fs::File::options().read(true).write(true).open(&pipe).unwrap();
    let to = format!("access_log: {{to: \"{}\"}}", pipe.display());
    let mut proxy = Gearshift::start(known(&[&engine], &to)).await;
    let mut client = Client::http1(proxy.address).await;
    // Far more lines than the pipe holds.
    for _ in 0..400 {
        assert_eq!(client.ask(request(Method::GET, "/v1/models", "")).await.status, 200);
    }
    let (answer, ()) = tokio::join!(proxy.post(CHAT, question("stub", false)), async {
        engine.next().await.json(200, completion());
    });
    assert_eq!(answer.status, 200);
    proxy.signal(rustix::process::Signal::TERM);
    assert!(proxy.ended().await.success());
}
