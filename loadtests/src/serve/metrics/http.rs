//! The families of vLLM's HTTP layer: what was asked, how large, how long.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use hyper::{Method, StatusCode};
use tokio::time::Instant;

use super::{histogram::Histogram, page::Page};

const FINE: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 7.5, 10.0,
    30.0, 60.0,
];
const COARSE: &[f64] = &[0.1, 0.5, 1.0];

/// Counts over requests to paths that vLLM counts; probes are not among them.
#[derive(Debug)]
pub(in crate::serve) struct HttpMeter(RefCell<Counts>);

#[derive(Debug)]
struct Counts {
    /// By path, method and class of status.
    requests: BTreeMap<(&'static str, &'static str, &'static str), u64>,
    request_bytes: BTreeMap<&'static str, (u64, f64)>,
    response_bytes: BTreeMap<&'static str, (u64, f64)>,
    seconds: Histogram,
    seconds_by_handler: BTreeMap<(&'static str, &'static str), Histogram>,
}

impl Default for HttpMeter {
    fn default() -> Self {
        Self(RefCell::new(Counts {
            requests: BTreeMap::new(),
            request_bytes: BTreeMap::new(),
            response_bytes: BTreeMap::new(),
            seconds: Histogram::new(FINE),
            seconds_by_handler: BTreeMap::new(),
        }))
    }
}

/// A request under way: counted when dropped, which is when its response has been sent.
#[derive(Debug)]
pub(in crate::serve) struct Timed {
    meter: Option<Rc<HttpMeter>>,
    path: &'static str,
    method: &'static str,
    since: Instant,
    status: StatusCode,
    request_bytes: u64,
    response_bytes: u64,
}

impl HttpMeter {
    /// Begins to time a request to `path`, one of the server's routes, and counts it at its end if it is `counted`.
    pub(in crate::serve) fn begin(
        self: &Rc<Self>,
        path: &'static str,
        method: &Method,
        counted: bool,
    ) -> Timed {
        let method = if *method == Method::GET { "GET" } else { "POST" };
        Timed {
            meter: counted.then(|| Rc::clone(self)),
            path,
            method,
            since: Instant::now(),
            status: StatusCode::OK,
            request_bytes: 0,
            response_bytes: 0,
        }
    }

    pub(super) fn render(&self, page: &mut Page) {
        let counts = self.0.borrow();
        let requests: Vec<_> = counts
            .requests
            .iter()
            .map(|((handler, method, status), count)| {
                ([("handler", *handler), ("method", *method), ("status", *status)], *count as f64)
            })
            .collect();
        let requests: Vec<_> = requests.iter().map(|(labels, count)| (labels.as_slice(), *count)).collect();
        page.counter("http_requests", "Requests by path, method and class of status.", &requests);
        for (name, help, sizes) in [
            ("http_request_size_bytes", "Size of request bodies.", &counts.request_bytes),
            ("http_response_size_bytes", "Size of response bodies of known length.", &counts.response_bytes),
        ] {
            let sizes: Vec<_> =
                sizes.iter().map(|(handler, size)| ([("handler", *handler)], *size)).collect();
            let sizes: Vec<_> = sizes.iter().map(|(labels, size)| (labels.as_slice(), *size)).collect();
            page.summary(name, help, &sizes);
        }
        let help = "Duration of requests to the last byte of the response.";
        page.histogram("http_request_duration_highr_seconds", help, &[(&[], &counts.seconds)]);
        let seconds: Vec<_> = counts
            .seconds_by_handler
            .iter()
            .map(|((handler, method), seconds)| ([("handler", *handler), ("method", *method)], seconds))
            .collect();
        let seconds: Vec<_> = seconds.iter().map(|(labels, seconds)| (labels.as_slice(), *seconds)).collect();
        page.histogram("http_request_duration_seconds", help, &seconds);
    }
}

impl Timed {
    /// Notes the size of the request's body.
    pub(in crate::serve) fn received(&mut self, bytes: usize) {
        self.request_bytes = bytes as u64;
    }

    /// Notes the head of the response; `bytes` is 0 where its length is not known.
    pub(in crate::serve) fn answered(&mut self, status: StatusCode, bytes: u64) {
        self.status = status;
        self.response_bytes = bytes;
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        let Some(meter) = &self.meter else { return };
        let mut counts = meter.0.borrow_mut();
        let status = match self.status.as_u16() / 100 {
            2 => "2xx",
            4 => "4xx",
            5 => "5xx",
            _ => "3xx",
        };
        *counts.requests.entry((self.path, self.method, status)).or_default() += 1;
        let add =
            |(count, sum): &mut (u64, f64), bytes: u64| (*count, *sum) = (*count + 1, *sum + bytes as f64);
        add(counts.request_bytes.entry(self.path).or_default(), self.request_bytes);
        add(counts.response_bytes.entry(self.path).or_default(), self.response_bytes);
        let seconds = self.since.elapsed().as_secs_f64();
        counts.seconds.observe(seconds);
        let by_handler = counts.seconds_by_handler.entry((self.path, self.method));
        by_handler.or_insert_with(|| Histogram::new(COARSE)).observe(seconds);
    }
}
