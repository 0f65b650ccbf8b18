//! Requests of a plan to the real engine: completions of token ids.

use std::rc::Rc;

use tokio::{task::JoinSet, time::Instant};

use super::load::token_ids;
use crate::{
    Error,
    driver::{Endpoint, Pacer},
    vllm::{Answer, post, stream},
    workload::{Content, Request},
};

/// The name under which the model is served.
pub const SERVED: &str = "smollm2";

/// The request for a completion of `content`, as bytes: the answer has just the tokens that it should have.
pub fn completion(endpoint: &Endpoint, content: &Content) -> Rc<[u8]> {
    let body = serde_json::json!({
        "model": SERVED,
        "prompt": token_ids(content),
        "max_tokens": content.output_tokens(),
        "ignore_eos": true,
        "temperature": 0,
        "stream": true,
    });
    post(endpoint, "/v1/completions", &body)
}

/// Sends requests when they are due, whatever becomes of those before them; answers in the order of requests.
///
/// # Errors
/// Where one of them fails.
pub async fn replay(endpoint: &Endpoint, requests: &[Request]) -> Result<Vec<Answer>, Error> {
    let prepared: Vec<_> =
        requests.iter().map(|request| (request.at, completion(endpoint, &request.content))).collect();
    let pacer = Pacer::new()?;
    let mut streams = JoinSet::new();
    let mut answers = Vec::new();
    let start = Instant::now();
    for (index, (at, bytes)) in prepared.into_iter().enumerate() {
        let due = start + at;
        pacer.sleep_until(due).await?;
        let endpoint = endpoint.clone();
        streams.spawn_local(
            async move { Ok::<_, Error>((index, stream(&endpoint, &bytes, due, |_| {}).await?)) },
        );
        while let Some(ended) = streams.try_join_next() {
            answers.push(ended??);
        }
    }
    while let Some(ended) = streams.join_next().await {
        answers.push(ended??);
    }
    answers.sort_by_key(|(index, _)| *index);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}
