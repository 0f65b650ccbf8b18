//! The driver counts what happened, no more and no less.

use std::{cell::Cell, rc::Rc, time::Duration};

use gearshift_loadtests::{
    driver::{Endpoint, Expected, closed::ClosedLoop, open::OpenLoop, streams::Streams},
    mock::Settings,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Notify,
};

use crate::common::{chat, metric, run, stub};

/// Tokens of the stub's answer where it does not stream.
const COMPLETION_TOKENS: f64 = 16.0;
const FAST: Settings = Settings { chunks: 7, interval: Duration::from_millis(1) };

#[test]
fn the_closed_loop_counts_every_request() {
    run(async {
        let endpoint = stub(FAST).await;
        let mut load = ClosedLoop::new(chat(&endpoint, Expected::Body), 4);
        let first = load.run(Duration::from_millis(20)).await.unwrap();
        let second = load.run(Duration::from_millis(20)).await.unwrap();
        assert_eq!(first.failures.count() + second.failures.count(), 0);
        assert!(first.requests >= 4 && second.requests >= 4);
        let answered = metric(&endpoint, "vllm:generation_tokens_total").await / COMPLETION_TOKENS;
        assert_eq!((first.requests + second.requests) as f64, answered);
    });
}

#[test]
fn the_closed_loop_counts_every_chunk() {
    run(async {
        let endpoint = stub(FAST).await;
        let mut load = ClosedLoop::new(chat(&endpoint, Expected::Events(FAST.chunks)), 3);
        let tally = load.run(Duration::from_millis(10)).await.unwrap();
        assert_eq!(tally.failures.count(), 0, "{:?}", tally.failures.first());
        assert_eq!(tally.events, tally.requests * FAST.chunks);
        assert_eq!(tally.events as f64, metric(&endpoint, "vllm:generation_tokens_total").await);
        assert_eq!(metric(&endpoint, "vllm:num_requests_running").await, 0.0);
    });
}

#[test]
fn a_connection_stops_at_its_first_failure() {
    run(async {
        let endpoint = stub(FAST).await;
        let mut load = ClosedLoop::new(chat(&endpoint, Expected::Events(FAST.chunks + 1)), 3);
        let tally = load.run(Duration::from_secs(60)).await.unwrap();
        assert_eq!((tally.requests, tally.failures.count()), (0, 3));
        assert!(tally.failures.first().unwrap().contains("expected status 200 with 8 events"));
    });
}

#[test]
fn nobody_listening_is_a_failure() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::from(listener.local_addr().unwrap());
        drop(listener);
        let mut load = ClosedLoop::new(chat(&endpoint, Expected::Body), 1);
        let tally = load.run(Duration::from_secs(60)).await.unwrap();
        assert_eq!((tally.requests, tally.failures.count()), (0, 1));
        assert!(tally.failures.first().unwrap().starts_with("connecting to 127.0.0.1:"));
    });
}

#[test]
fn the_open_loop_sends_every_arrival() {
    run(async {
        let endpoint = stub(FAST).await;
        let load = OpenLoop { rate: 2_000.0, duration: Duration::from_millis(100), seed: 3 };
        let tally = load.run(&chat(&endpoint, Expected::Body)).await.unwrap();
        assert_eq!(tally.failures.count(), 0);
        assert_eq!(tally.requests, load.arrivals().count() as u64);
    });
}

/// A server that answers nobody until the last request is there: what came due first has waited longest,
/// though a driver that waits for answers would have sent only one.
#[test]
fn the_open_loop_leaves_no_waiting_out() {
    run(async {
        let load = OpenLoop { rate: 1_000.0, duration: Duration::from_millis(60), seed: 5 };
        let arrivals: Vec<Duration> = load.arrivals().collect();
        let endpoint = answering_together(arrivals.len()).await;
        let tally = load.run(&chat(&endpoint, Expected::Body)).await.unwrap();
        assert_eq!(tally.failures.count(), 0);
        assert_eq!(tally.requests, arrivals.len() as u64);
        let longest = arrivals[arrivals.len() - 1] - arrivals[0];
        assert!(tally.latency_us(1.0) >= longest.as_secs_f64() * 1e6 * 0.99);
        let median = arrivals[arrivals.len() - 1] - arrivals[arrivals.len() / 2];
        assert!(tally.latency_us(0.5) >= median.as_secs_f64() * 1e6 * 0.9);
    });
}

async fn answering_together(count: usize) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::from(listener.local_addr().unwrap());
    let (waiting, all) = (Rc::new(Cell::new(0)), Rc::new(Notify::new()));
    tokio::task::spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (waiting, all) = (Rc::clone(&waiting), Rc::clone(&all));
            tokio::task::spawn_local(async move {
                stream.read_exact(&mut [0; 1_000]).await.unwrap();
                waiting.set(waiting.get() + 1);
                if waiting.get() < count {
                    all.notified().await;
                } else {
                    all.notify_waiters();
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
                // Stays open: the client decides when the connection ends.
                let _ = stream.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    endpoint
}

#[test]
fn all_streams_are_open_at_once_and_close_when_dropped() {
    run(async {
        // The first chunk comes at once and the next one never: nothing ends before all have begun.
        let endless = Settings { chunks: 2, interval: Duration::from_secs(3_600) };
        let endpoint = stub(endless).await;
        let mut streams = Streams::open(&chat(&endpoint, Expected::Events(2)), 100).unwrap();
        streams.all_begun().await.unwrap();
        assert_eq!(metric(&endpoint, "vllm:num_requests_running").await, 100.0);
        drop(streams);
        while metric(&endpoint, "vllm:num_requests_running").await > 0.0 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn every_stream_delivers_every_chunk() {
    run(async {
        let endpoint = stub(FAST).await;
        let streams = Streams::open(&chat(&endpoint, Expected::Events(FAST.chunks)), 200).unwrap();
        let tally = streams.finish().await.unwrap();
        assert_eq!((tally.requests, tally.events, tally.failures.count()), (200, 200 * FAST.chunks, 0));
    });
}

#[test]
fn a_stream_that_is_cut_is_lost() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::from(listener.local_addr().unwrap());
        tokio::task::spawn_local(async move {
            for cut in [false, true, false] {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.read_exact(&mut [0; 1_000]).await.unwrap();
                let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ndata: 1\n\n";
                stream.write_all(head.as_bytes()).await.unwrap();
                if !cut {
                    stream.write_all(b"data: [DONE]\n\n").await.unwrap();
                }
                // Reads what is left of the request, so that closing does not reset the connection.
                stream.shutdown().await.unwrap();
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        });
        let streams = Streams::open(&chat(&endpoint, Expected::Events(1)), 3).unwrap();
        let tally = streams.finish().await.unwrap();
        assert_eq!((tally.requests, tally.events, tally.failures.count()), (2, 2, 1));
    });
}
