//! Runs the probes against a real engine.

use std::{cell::RefCell, rc::Rc};

use tokio::{sync::Notify, task::JoinSet, time::Instant};

use super::{
    client::completion,
    outcome::rounded,
    probes::{Fresh, Probe, SHORT, Sample},
};
use crate::{
    Error,
    driver::Endpoint,
    report::median,
    validate::progress::Progress,
    vllm::{Answer, stream},
    workload::Content,
};

const SEED: u64 = 12;
/// Tokens of an answer in a batch: enough steps in which all decode, after those in which the first ones wait for the
/// last ones' prompts.
const BATCH_ANSWER: u32 = 18;
/// Tokens of the answers that a prompt joins.
const JOINED_ANSWER: u32 = 36;
/// Tokens that each of them has when it does.
const UNDER_WAY: usize = 6;

/// Times each probe.
///
/// # Errors
/// Where a request fails.
pub(super) async fn probe_all(
    endpoint: &Endpoint,
    probes: &[Probe],
    budget: u32,
    progress: &Progress,
) -> Result<Vec<Sample>, Error> {
    let mut fresh = Fresh::new(SEED);
    let mut samples = Vec::new();
    for &probe in probes {
        progress.say(format!("step times: {probe:?}"));
        let timed = match probe {
            Probe::Prompt { tokens } => alone(endpoint, &fresh.content(tokens, 2)).await?,
            Probe::Decode { count, tokens } => {
                let contents = (0..count).map(|_| fresh.content(tokens, BATCH_ANSWER)).collect();
                let answers = together(endpoint, contents).await?;
                decoding(&answers, tokens)
            }
            Probe::Join { count, tokens } => {
                let contents = (0..count).map(|_| fresh.content(SHORT, JOINED_ANSWER)).collect();
                joined(endpoint, contents, fresh.content(tokens, 1)).await?
            }
        };
        let Timed { context, seconds } =
            timed.ok_or_else(|| Error::Failed(format!("{probe:?}: no step to time")))?;
        samples.push(Sample { probe, budget, context, seconds: rounded(seconds) });
    }
    Ok(samples)
}

/// The time of a step and the context of the sequences that decode in it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Timed {
    context: u32,
    seconds: f64,
}

async fn alone(endpoint: &Endpoint, content: &Content) -> Result<Option<Timed>, Error> {
    let request = completion(endpoint, content);
    let answer = stream(endpoint, &request, Instant::now(), |_| {}).await?;
    Ok(answer.latencies().map(|(seconds, _)| Timed { context: 0, seconds }))
}

/// Sends them at once; their answers.
pub(super) async fn together(endpoint: &Endpoint, contents: Vec<Content>) -> Result<Vec<Answer>, Error> {
    let mut streams = JoinSet::new();
    for content in contents {
        let (endpoint, request) = (endpoint.clone(), completion(endpoint, &content));
        streams.spawn_local(async move { stream(&endpoint, &request, Instant::now(), |_| {}).await });
    }
    let mut answers = Vec::new();
    while let Some(answer) = streams.join_next().await {
        answers.push(answer??);
    }
    Ok(answers)
}

/// The median step in which all decode.
fn decoding(answers: &[Answer], prompt_tokens: u32) -> Option<Timed> {
    let gaps = decoding_gaps(answers);
    let answered = gaps.iter().map(|(tokens, _)| *tokens as f64).sum::<f64>() / gaps.len().max(1) as f64;
    let context = answers.len() as f64 * (f64::from(prompt_tokens) + answered);
    let gaps: Vec<f64> = gaps.into_iter().map(|(_, gap)| gap).collect();
    (!gaps.is_empty()).then(|| Timed { context: tokens_of(context), seconds: median(&gaps) })
}

/// Gaps between tokens, seconds, from when all decode until the first ends; each with the events before its end.
pub(super) fn decoding_gaps(answers: &[Answer]) -> Vec<(usize, f64)> {
    let from = answers.iter().filter_map(|answer| answer.events.first()).max();
    let to = answers.iter().filter_map(|answer| answer.events.last()).min();
    let (Some(from), Some(to)) = (from, to) else { return Vec::new() };
    let gaps = answers.iter().flat_map(|answer| answer.events.windows(2).enumerate());
    // The last prompt's first token is read a little after the others' of that step: their gaps begin with the next.
    gaps.filter(|(_, pair)| pair[0] >= *from && pair[1] <= *to)
        .map(|(index, pair)| (index + 1, pair[1].duration_since(pair[0]).as_secs_f64()))
        .collect()
}

/// Lets a prompt join sequences that decode; the step in which it is prefilled, as they see it.
async fn joined(
    endpoint: &Endpoint,
    contents: Vec<Content>,
    joining: Content,
) -> Result<Option<Timed>, Error> {
    let count = contents.len();
    let waiting = Rc::new((RefCell::new(count), Notify::new()));
    let mut streams = JoinSet::new();
    for content in contents {
        let (endpoint, request) = (endpoint.clone(), completion(endpoint, &content));
        let waiting = Rc::clone(&waiting);
        streams.spawn_local(async move {
            let mut under_way = false;
            let seen = |events| {
                if events >= UNDER_WAY && !std::mem::replace(&mut under_way, true) {
                    *waiting.0.borrow_mut() -= 1;
                    waiting.1.notify_one();
                }
            };
            stream(&endpoint, &request, Instant::now(), seen).await
        });
    }
    while *waiting.0.borrow() > 0 {
        waiting.1.notified().await;
    }
    let request = completion(endpoint, &joining);
    let sent = Instant::now();
    let joined = stream(endpoint, &request, sent, |_| {}).await?;
    let mut answers = Vec::new();
    while let Some(answer) = streams.join_next().await {
        answers.push(answer??);
    }
    Ok(longest_between(&answers, sent, *joined.events.last().unwrap_or(&sent)))
}

/// The median over streams of each one's longest gap that ends after `from` and begins before `to`.
fn longest_between(answers: &[Answer], from: Instant, to: Instant) -> Option<Timed> {
    let (mut gaps, mut context) = (Vec::new(), 0);
    for answer in answers {
        let gap = |pair: &[Instant]| pair[1].duration_since(pair[0]);
        let within = |pair: &[Instant]| pair[1] > from && pair[0] < to;
        let pairs = answer.events.windows(2).enumerate().filter(|(_, pair)| within(pair));
        let (index, pair) = pairs.max_by_key(|(_, pair)| gap(pair))?;
        gaps.push(gap(pair).as_secs_f64());
        context += index + 1 + SHORT as usize;
    }
    Some(Timed { context: u32::try_from(context).ok()?, seconds: median(&gaps) })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean of token counts")]
fn tokens_of(mean: f64) -> u32 {
    mean.max(0.0).round() as u32
}
