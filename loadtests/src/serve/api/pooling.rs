//! The endpoints that only read: embeddings, scores, classes.
//!
//! Vectors and scores are made of the text's hash: the same for the same text, and meaning nothing.

use std::{future::poll_fn, rc::Rc};

use serde::Deserialize;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::{Answer, failed, reply};
use crate::{
    serve::{
        body::{GenerateBody, Input, OneOrMany},
        errors::Failure,
        format::Protocol,
        host::{Entry, Host},
        mailbox::End,
        metrics::Ending,
        prompt, since_1970,
        stream::Broken,
        tokens,
    },
    sim::{RequestId, SimRequest, SimWork},
};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Task {
    Embed,
    Score,
    Rerank,
    Pool,
    Classify,
}

/// Bodies of all these endpoints, in their several spellings.
#[derive(Debug, Deserialize)]
struct Body<'a> {
    #[serde(borrow, alias = "queries", alias = "text_1", alias = "data_1")]
    query: Option<OneOrMany<'a>>,
    #[serde(borrow, alias = "items", alias = "text_2", alias = "data_2")]
    documents: Option<OneOrMany<'a>>,
    #[serde(default)]
    top_n: usize,
    #[serde(default)]
    encoding_format: Encoding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Float,
    Base64,
}

/// What is read, and how the answer is told.
struct Plan {
    /// Texts that the engine reads, one sequence each.
    texts: Vec<Vec<u8>>,
    documents: Vec<String>,
    top_n: usize,
    encoding: Encoding,
}

/// Answers a request.
pub(super) async fn answer(host: &Rc<Host>, task: Task, body: &[u8]) -> Result<Answer, Broken> {
    let plan = match plan(host, task, body) {
        Ok(plan) => plan,
        Err(failure) => return Ok(failed(host, Protocol::Chat, &failure)),
    };
    let entries = plan.texts.iter().map(|text| Entry {
        request: SimRequest {
            id: RequestId(0),
            work: SimWork::Encode,
            prompt_tokens: tokens::count(text.len()).max(1),
            output_tokens: 1,
            blocks: tokens::chain(text, host.spec.block_tokens, 0).into(),
            priority: 0,
            acceptance: 0.0,
        },
        ending: Ending::Stop,
    });
    let Ok(ride) = host.submit(entries) else {
        return Ok(failed(host, Protocol::Chat, &Failure::queue_full()));
    };
    let mut open = plan.texts.len();
    while open > 0 {
        match poll_fn(|context| ride.mailbox.poll(context)).await.end {
            Some(End::Aborted) => return Err(Broken::Request),
            Some(End::Finished { .. }) => open -= 1,
            None => {}
        }
    }
    Ok(reply::ok(host, &result(host, task, &plan)))
}

fn plan(host: &Host, task: Task, body: &[u8]) -> Result<Plan, Failure> {
    let fields: Body<'_> = serde_json::from_slice(body).map_err(|error| Failure::body(&error))?;
    let generic: GenerateBody<'_> = serde_json::from_slice(body).map_err(|error| Failure::body(&error))?;
    if let Some(model) = generic.model.as_deref()
        && model != host.spec.model_name
    {
        return Err(Failure::unknown_model(model, &host.spec.model_name));
    }
    let (top_n, encoding) = (fields.top_n, fields.encoding_format);
    let strings = |field: Option<OneOrMany<'_>>, name| {
        let strings = field.as_ref().map(|field| field.iter().map(str::to_owned).collect::<Vec<_>>());
        strings.ok_or_else(|| Failure::missing(name))
    };
    let (texts, documents) = match task {
        Task::Score | Task::Rerank => {
            let queries = strings(fields.query, "query")?;
            let documents = strings(fields.documents, "documents")?;
            let pair = |(at, document): (usize, &String)| {
                let query = queries.get(at).or(queries.first()).map(String::as_str).unwrap_or_default();
                [query.as_bytes(), b" ", document.as_bytes()].concat()
            };
            (documents.iter().enumerate().map(pair).collect(), documents)
        }
        Task::Embed | Task::Pool | Task::Classify => (inputs(&generic)?, Vec::new()),
    };
    let context = host.limits().context;
    match texts.iter().map(|text: &Vec<u8>| tokens::count(text.len())).find(|tokens| *tokens > context) {
        Some(tokens) => Err(Failure::too_long(context, tokens)),
        None => Ok(Plan { texts, documents, top_n, encoding }),
    }
}

/// The texts of `input`: strings or tokens, or a conversation.
fn inputs(body: &GenerateBody<'_>) -> Result<Vec<Vec<u8>>, Failure> {
    match &body.input {
        Some(Input::Plain(input)) => prompt::plain(input),
        None if body.messages.is_none() => Err(Failure::missing("input")),
        _ => prompt::prompts(body),
    }
}

fn result(host: &Host, task: Task, plan: &Plan) -> Value {
    let tokens: u32 = plan.texts.iter().map(|text| tokens::count(text.len())).sum();
    let (model, created, id) = (&host.spec.model_name, since_1970().as_secs(), fastrand::u64(..));
    let usage = json!({
        "prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0, "prompt_tokens_details": null,
    });
    let list = |prefix: &str, data: Vec<Value>| {
        json!({
            "id": format!("{prefix}-{id:016x}"), "object": "list", "created": created, "model": model, "data": data,
            "usage": usage,
        })
    };
    let texts = plan.texts.iter().enumerate();
    match task {
        Task::Embed => {
            list("embd", texts.map(|(at, text)| vector_of(host, plan, at, text, "embedding")).collect())
        }
        Task::Pool => {
            list("pool", texts.map(|(at, text)| vector_of(host, plan, at, text, "pooling")).collect())
        }
        Task::Score => list(
            "embd",
            texts.map(|(at, text)| json!({"index": at, "object": "score", "score": score(text)})).collect(),
        ),
        Task::Classify => list(
            "classify",
            texts
                .map(|(at, text)| {
                    let yes = score(text);
                    let label = if yes > 0.5 { "LABEL_1" } else { "LABEL_0" };
                    json!({"index": at, "label": label, "probs": [1.0 - yes, yes], "num_classes": 2})
                })
                .collect(),
        ),
        Task::Rerank => {
            let mut results: Vec<_> = texts.map(|(at, text)| (at, score(text))).collect();
            results.sort_by(|a, b| b.1.total_cmp(&a.1));
            results.truncate(if plan.top_n == 0 { usize::MAX } else { plan.top_n });
            let result = |(at, score): &(usize, f64)| {
                let text = plan.documents.get(*at);
                json!({"index": at, "document": {"text": text, "multi_modal": null}, "relevance_score": score})
            };
            json!({
                "id": format!("rerank-{id:016x}"), "model": model,
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
                "results": results.iter().map(result).collect::<Vec<_>>(),
            })
        }
    }
}

/// One vector of an answer that calls itself `kind`.
fn vector_of(host: &Host, plan: &Plan, at: usize, text: &[u8], kind: &str) -> Value {
    let vector = vector(text, host.spec.model.hidden);
    let vector = match plan.encoding {
        Encoding::Float => json!(vector),
        Encoding::Base64 => json!(base64(&vector)),
    };
    let field = if kind == "embedding" { "embedding" } else { "data" };
    json!({"index": at, "object": kind, field: vector})
}

/// Between 0 and 1.
fn score(text: &[u8]) -> f64 {
    fastrand::Rng::with_seed(xxh3_64(text)).f64()
}

/// A vector of length 1.
fn vector(text: &[u8], dimensions: u32) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(xxh3_64(text));
    let vector: Vec<f32> = (0..dimensions).map(|_| random.f32() - 0.5).collect();
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    vector.into_iter().map(|value| value / length).collect()
}

/// Little-endian numbers in base 64, as OpenAI's clients ask for them.
fn base64(vector: &[f32]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            let padding = digit > group.len();
            text.push(if padding { '=' } else { char::from(DIGITS[index as usize]) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        // 1.0 is 00 00 80 3f.
        assert_eq!(base64(&[1.0]), "AACAPw==");
        assert_eq!(base64(&[1.0, 1.0, 1.0]), "AACAPwAAgD8AAIA/");
    }

    #[test]
    fn vectors_have_length_1_and_depend_on_the_text() {
        let length = |vector: &[f32]| vector.iter().map(|value| value * value).sum::<f32>();
        let one = vector(b"one", 64);
        assert!((length(&one) - 1.0).abs() < 1e-5);
        assert_eq!(one, vector(b"one", 64));
        assert_ne!(one, vector(b"two", 64));
    }
}
