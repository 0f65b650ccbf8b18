//! A workload by a constant number of clients.

use std::{cell::Cell as Shared, rc::Rc};

use tokio::{task::JoinSet, time::Instant};

use super::{
    answers::{ask, completion, tokens},
    kept::Answered,
    prompts::Request,
};
use crate::{Error, driver::Endpoint, validate::cpu::outcome::rounded};

/// What came of a workload.
#[derive(Debug, Clone)]
pub(super) struct Window {
    /// In the order of requests.
    pub(super) answers: Vec<Answered>,
    pub(super) failed: u32,
    /// From the first request to the last answer, seconds.
    pub(super) wall_s: f64,
}

/// Sends all requests, `clients` at a time: each client sends the next one when its last is answered.
///
/// # Errors
/// Where all requests fail, with the first one's reason.
pub(super) async fn closed_loop(
    endpoint: &Endpoint,
    model: &str,
    requests: &[Request],
    clients: u32,
) -> Result<Window, Error> {
    let prepared: Rc<[Rc<[u8]>]> =
        requests.iter().map(|request| completion(endpoint, model, request)).collect();
    let next = Rc::new(Shared::new(0));
    let mut running = JoinSet::new();
    let began = Instant::now();
    for _ in 0..clients {
        let (endpoint, prepared, next) = (endpoint.clone(), Rc::clone(&prepared), Rc::clone(&next));
        running.spawn_local(async move {
            let mut answered = Vec::new();
            while let Some(bytes) = prepared.get(next.get()) {
                let request = next.replace(next.get() + 1);
                answered.push((request, ask(&endpoint, bytes).await));
            }
            answered
        });
    }
    let mut results = Vec::new();
    while let Some(answered) = running.join_next().await {
        results.extend(answered?);
    }
    let wall_s = began.elapsed().as_secs_f64();
    results.sort_by_key(|(request, _)| *request);
    let (mut answers, mut failures) = (Vec::new(), Vec::new());
    for (request, result) in results {
        match result.map(|(answer, payload)| (answer.latencies(), payload)) {
            Ok((Some((ttft, e2e)), payload)) => {
                let (ttft_s, e2e_s) = (rounded(ttft), rounded(e2e));
                answers.push(Answered { request, ttft_s, e2e_s, tokens: tokens(&payload) });
            }
            Ok((None, _)) => failures.push(Error::Failed("an answer without a token".into())),
            Err(error) => failures.push(error),
        }
    }
    let failed = u32::try_from(failures.len()).unwrap_or(u32::MAX);
    match failures.into_iter().next() {
        Some(first) if answers.is_empty() => Err(first),
        _ => Ok(Window { answers, failed, wall_s }),
    }
}
