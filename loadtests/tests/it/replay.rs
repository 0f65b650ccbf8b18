//! A workload is replayed in full, and what goes wrong is told apart.

use std::{cell::Cell, collections::BTreeMap, rc::Rc, time::Duration};

use gearshift_loadtests::{
    driver::{
        Endpoint,
        replay::{Event, Replay, Results, Slo},
    },
    mock::Settings,
    workload::{Arrivals, Class, Request, Workload},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::common::{MODEL, run, stub};

const FAST: Settings = Settings { chunks: 7, interval: Duration::from_millis(1) };

fn requests(name: &str, rate: f64, count: u64) -> impl Iterator<Item = Request> {
    let workload = Workload::find(name).unwrap().at_rate(rate).with_arrivals(Arrivals::Constant);
    workload.within_context(4_096).limited(count).requests(1)
}

async fn replay(endpoint: Endpoint, count: u64) -> Results {
    let requests = requests("chat", 500.0, count);
    Replay::new(vec![endpoint], MODEL).run(requests, Slo::default(), |_| {}).await.unwrap()
}

#[test]
fn every_request_is_sent_seen_and_counted() {
    run(async {
        let targets = vec![stub(FAST).await, stub(FAST).await];
        let (mut seen, mut targeted) = (BTreeMap::<u64, Vec<&str>>::new(), [0, 0]);
        let slo = Slo { ttft_s: Some(10.0), tpot_s: Some(10.0), e2e_s: None };
        let results = Replay::new(targets, MODEL)
            .run(requests("drift", 400.0, 100), slo, |event| {
                let (id, what) = match event {
                    Event::Sent { id, target, .. } => {
                        targeted[*target] += 1;
                        (*id, "sent")
                    }
                    Event::FirstToken { id, .. } => (*id, "first"),
                    Event::Finished(outcome) => (outcome.id, "finished"),
                    Event::Failed(outcome) => (outcome.id, "failed"),
                };
                seen.entry(id).or_default().push(what);
            })
            .await
            .unwrap();
        assert_eq!(targeted, [50, 50]);
        assert_eq!(seen.len(), 100);
        assert!(seen.values().all(|events| events == &["sent", "first", "finished"]));
        let total = results.total().unwrap();
        assert_eq!((total.requests, total.good, total.failed()), (100, 100, 0));
        // The stub's first and last chunks carry no text; its usage counts them.
        assert_eq!(total.output_tokens, 100 * FAST.chunks);
        assert_eq!(total.itl.count(), 100 * (FAST.chunks - 3));
        assert_eq!((total.ttft.count(), total.tpot.count(), total.e2e.count()), (100, 100, 100));
        assert!(results.classes().count() > 2);
        assert_eq!(results.classes().map(|(_, totals)| totals.requests).sum::<u64>(), 100);
    });
}

#[test]
fn latencies_are_on_the_workloads_clock() {
    run(async {
        // Streams of at least 50 ms, on a clock ten times as fast.
        let endpoint = stub(Settings { chunks: 6, interval: Duration::from_millis(10) }).await;
        let replay = Replay { time_scale: 10.0, ..Replay::new(vec![endpoint], MODEL) };
        let results = replay.run(requests("chat", 20.0, 10), Slo::default(), |_| {}).await.unwrap();
        assert_eq!(results.total().unwrap().failed(), 0);
        assert!(results.total().unwrap().e2e.quantile(0.0) >= 0.5);
        assert!(results.elapsed_s >= 9.0 / 20.0 + 0.5);
    });
}

/// Serves one scripted answer after another, one connection each; `None` closes without a word.
async fn scripted(answers: Vec<Option<&'static str>>) -> (Endpoint, Rc<Cell<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::from(listener.local_addr().unwrap());
    let connections = Rc::new(Cell::new(0));
    let count = Rc::clone(&connections);
    tokio::task::spawn_local(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.set(count.get() + 1);
            read_request(&mut stream).await;
            if let Some(answer) = answer {
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            stream.shutdown().await.unwrap();
        }
        std::future::pending::<()>().await;
    });
    (endpoint, connections)
}

/// Reads a whole request, so that closing does not reset the connection; false where there is none.
async fn read_request(stream: &mut TcpStream) -> bool {
    let (mut request, mut buffer) = (Vec::new(), vec![0; 16 * 1024]);
    loop {
        let length = stream.read(&mut buffer).await.unwrap_or_default();
        if length == 0 {
            return false;
        }
        request.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let line = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        if body.len() == line.parse::<usize>().unwrap() {
            return true;
        }
    }
}

const TOKEN: &str =
    "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
const GOOD: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\nX-Backend: one\r\n\r\n\
    data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n";
const GARBLED: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ndata: {\"choi\n\ndata: [DONE]\n\n";
const REPORTED: &str =
    "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ndata: {\"error\":{\"message\":\"x\"}}\n\ndata: [DONE]\n\n";
const CUT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\ndata: {}\n\n";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";

#[test]
fn failures_are_told_apart() {
    run(async {
        let script = [
            Some(TOKEN),
            Some(GOOD),
            Some(GARBLED),
            Some(REPORTED),
            Some(CUT),
            Some(BUSY),
            Some("gopher"),
            None,
        ];
        let count = script.len() as u64;
        let (endpoint, _) = scripted(script.to_vec()).await;
        let results = replay(endpoint, count).await;
        let total = results.total().unwrap();
        let expected = [
            ("connection closed", 2),
            ("error event", 1),
            ("malformed event", 1),
            ("no [DONE]", 1),
            ("not HTTP", 1),
            ("status 503", 1),
        ];
        let found: Vec<(&str, u64)> =
            total.failures.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        assert_eq!(found, expected);
        assert_eq!((total.requests, total.good), (count, 1));
        let nobody = replay(Endpoint::resolve("http://127.0.0.1:1").unwrap(), 2).await;
        assert_eq!(nobody.total().unwrap().failures["no connection"], 2);
    });
}

#[test]
fn the_backend_header_is_read() {
    run(async {
        let (endpoint, _) = scripted(vec![Some(GOOD)]).await;
        let asked = Some("x-backend".to_owned());
        let replay = Replay { backend_header: asked, ..Replay::new(vec![endpoint], MODEL) };
        let mut backend = None;
        let observer = |event: &Event<'_>| {
            if let Event::Finished(outcome) = event {
                backend.clone_from(&outcome.backend);
            }
        };
        replay.run(requests("chat", 100.0, 1), Slo::default(), observer).await.unwrap();
        assert_eq!(backend.as_deref(), Some("one"));
    });
}

#[test]
fn silence_and_the_end_of_the_run_are_failures() {
    run(async {
        let endless = Settings { chunks: 3, interval: Duration::from_secs(3_600) };
        let endpoint = stub(endless).await;
        let replay = Replay::new(vec![endpoint], MODEL);
        let short = Duration::from_millis(30);
        for (replay, name) in [
            (Replay { silence: short, ..replay.clone() }, "silent server"),
            (Replay { drain: short, ..replay }, "unfinished"),
        ] {
            let results = replay.run(requests("rag", 200.0, 4), Slo::default(), |_| {}).await.unwrap();
            let total = results.total().unwrap();
            assert_eq!((total.failures.get(name), total.requests), (Some(&4), 4), "{:?}", total.failures);
            assert_eq!(results.classes().next().unwrap().0, Class::Rag);
        }
    });
}

/// Serves every connection on its own: answers its requests with `answer`, or closes it after one, without having said so.
fn serving<A: Future<Output = ()> + 'static>(
    listener: TcpListener,
    one_answer_each: bool,
    before_answer: impl Fn() -> A + Clone + 'static,
) -> Rc<Cell<usize>> {
    const EVENTS: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"abc\"}}]}\n\ndata: [DONE]\n\n";
    let connections = Rc::new(Cell::new(0));
    let count = Rc::clone(&connections);
    tokio::task::spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.set(count.get() + 1);
            let before_answer = before_answer.clone();
            tokio::task::spawn_local(async move {
                while read_request(&mut stream).await {
                    before_answer().await;
                    let answer =
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{EVENTS}", EVENTS.len());
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    if one_answer_each {
                        return;
                    }
                }
            });
        }
    });
    connections
}

async fn listener() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::from(listener.local_addr().unwrap());
    (listener, endpoint)
}

#[test]
fn connections_are_used_again_and_replaced_where_the_server_closed_them() {
    run(async {
        for one_answer_each in [false, true] {
            let (listener, endpoint) = listener().await;
            let connections = serving(listener, one_answer_each, || async {});
            // Far enough apart that each is answered before the next is due, but on a machine that stands still meanwhile.
            let requests = requests("chat", 10.0, 5);
            let results =
                Replay::new(vec![endpoint], MODEL).run(requests, Slo::default(), |_| {}).await.unwrap();
            let total = results.total().unwrap();
            assert_eq!((total.good, total.failed()), (5, 0), "{:?}", total.failures);
            let replaced = connections.get() == 5;
            assert_eq!(replaced, one_answer_each, "{} connections", connections.get());
        }
    });
}

/// A server that answers nobody until the last request is there: what was due first has waited longest.
#[test]
fn waiting_counts_from_when_a_request_was_due() {
    run(async {
        const COUNT: u64 = 40;
        let (listener, endpoint) = listener().await;
        let (waiting, all) = (Rc::new(Cell::new(0)), Rc::new(Notify::new()));
        serving(listener, false, move || {
            let (waiting, all) = (Rc::clone(&waiting), Rc::clone(&all));
            async move {
                waiting.set(waiting.get() + 1);
                if waiting.get() < COUNT { all.notified().await } else { all.notify_waiters() }
            }
        });
        let results = replay(endpoint, COUNT).await;
        let total = results.total().unwrap();
        assert_eq!((total.requests, total.failed()), (COUNT, 0), "{:?}", total.failures);
        let span = (COUNT - 1) as f64 / 500.0;
        assert!(total.ttft.quantile(1.0) >= span * 0.99 && total.ttft.quantile(0.5) >= span * 0.45);
    });
}
