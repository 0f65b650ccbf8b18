//! A request, understood: which sequences the engine is to compute, and how their answers go back.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::{
    answer::Answer,
    body::{GenerateBody, StreamOptions},
    errors::Failure,
    format::Protocol,
    prompt, tokens,
};
use crate::{
    sim::{RequestId, SimRequest, SimWork},
    workload::Acceptance,
};

/// Tokens of an answer at `/v1/completions` where the request does not say, in vLLM as in OpenAI's API.
const COMPLETION_TOKENS: u32 = 16;

/// Choices that vLLM makes for one prompt at most, unless `VLLM_MAX_N_SEQUENCES` says otherwise.
const MAX_CHOICES: u32 = 16_384;

/// What jobs are checked against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits<'a> {
    /// The name the model is served under.
    pub(super) model: &'a str,
    /// Longest sequence, tokens.
    pub(super) context: u32,
    /// Tokens of a KV block.
    pub(super) block_tokens: u32,
    /// What is accepted of drafts where the request does not say.
    pub(super) acceptance: Acceptance,
}

/// A valid request.
#[derive(Debug)]
pub(super) struct Job {
    /// One for each choice: `n` for each prompt.
    pub(super) sequences: Vec<Sequence>,
    /// Whether the answer is streamed.
    pub(super) stream: bool,
    /// What the stream is to carry.
    pub(super) options: StreamOptions,
    /// Tokens of all prompts.
    pub(super) prompt_tokens: u32,
    /// Choices for each prompt.
    pub(super) choices: u32,
    /// The cap on output tokens, asked for or what the context leaves.
    pub(super) max_tokens: u32,
}

/// One sequence of a job.
#[derive(Debug, Clone)]
pub(super) struct Sequence {
    pub(super) prompt_tokens: u32,
    pub(super) answer: Answer,
    blocks: Arc<[u64]>,
    priority: i32,
    acceptance: f64,
}

impl Sequence {
    /// What the engine is asked; whoever submits it names it.
    pub(super) fn request(&self) -> SimRequest {
        SimRequest {
            id: RequestId(0),
            work: SimWork::Generate,
            prompt_tokens: self.prompt_tokens,
            output_tokens: self.answer.tokens,
            blocks: Arc::clone(&self.blocks),
            priority: self.priority,
            acceptance: self.acceptance,
        }
    }
}

impl Job {
    /// Checks a body as vLLM does, in its order.
    pub(super) fn new(
        body: &GenerateBody<'_>,
        protocol: Protocol,
        limits: Limits<'_>,
    ) -> Result<Self, Failure> {
        if let Some(model) = body.model.as_deref()
            && model != limits.model
        {
            return Err(Failure::unknown_model(model, limits.model));
        }
        if let Some(field) = protocol.missing(body) {
            return Err(Failure::missing(field));
        }
        let stream = body.stream.unwrap_or(false);
        if body.stream_options.is_some() && !stream {
            let message = "Stream options can only be defined when `stream=True`.";
            return Err(Failure::parameter("stream_options", message));
        }
        let asked = asked_tokens(body, protocol, limits.context)?;
        let choices = choices(body)?;
        let prompts = prompt::prompts(body)?;
        let mut job = Self {
            sequences: Vec::with_capacity(prompts.len() * choices as usize),
            stream,
            options: body.stream_options.unwrap_or_default(),
            prompt_tokens: 0,
            choices,
            max_tokens: 0,
        };
        for prompt in prompts {
            job.add(body, &prompt, asked, limits)?;
        }
        Ok(job)
    }

    fn add(
        &mut self,
        body: &GenerateBody<'_>,
        prompt: &[u8],
        asked: Option<u32>,
        limits: Limits<'_>,
    ) -> Result<(), Failure> {
        let prompt_tokens = tokens::count(prompt.len());
        if prompt_tokens >= limits.context {
            return Err(Failure::too_long(limits.context, prompt_tokens));
        }
        let room = limits.context - prompt_tokens;
        let cap = asked.map_or(room, |asked| asked.min(room));
        self.prompt_tokens += prompt_tokens;
        self.max_tokens = cap;
        let salt = body.cache_salt.as_deref().map_or(0, |salt| xxh3_64(salt.as_bytes()));
        let hash = xxh3_64(prompt);
        for choice in 0..self.choices {
            let answer = Answer::plan(body, hash, choice, cap);
            let mut all = prompt.to_vec();
            answer.append_computed(&mut all);
            self.sequences.push(Sequence {
                prompt_tokens,
                answer,
                blocks: tokens::chain(&all, limits.block_tokens, salt).into(),
                priority: body.priority,
                acceptance: body.vllm_xargs.acceptance(&limits.acceptance),
            });
        }
        Ok(())
    }
}

fn choices(body: &GenerateBody<'_>) -> Result<u32, Failure> {
    let choices = body.n.unwrap_or(1);
    if let Some(temperature) = body.temperature
        && temperature < 0.0
    {
        let message = format!("temperature must be non-negative, got {temperature:?}.");
        return Err(Failure::value("temperature", format!("{temperature:?}"), &message));
    }
    if choices == 0 {
        return Err(Failure::value("n", 0, "n must be at least 1, got 0."));
    }
    if choices > MAX_CHOICES {
        let message = format!("n must be at most {MAX_CHOICES}, got {choices}.");
        return Err(Failure::value("n", choices, &message));
    }
    if choices > 1 && body.temperature == Some(0.0) {
        let message = format!("n must be 1 when using greedy sampling, got {choices}.");
        return Err(Failure::bad_request(message));
    }
    Ok(choices)
}

/// The cap on output tokens that the request states or the endpoint implies.
fn asked_tokens(body: &GenerateBody<'_>, protocol: Protocol, context: u32) -> Result<Option<u32>, Failure> {
    let Some((name, asked)) = body.cap() else {
        return Ok((protocol == Protocol::Completion).then_some(COMPLETION_TOKENS));
    };
    match u32::try_from(asked) {
        Ok(tokens) if (1..=context).contains(&tokens) => Ok(Some(tokens)),
        Ok(1..) => {
            let message = format!("{name}={asked} cannot be greater than max_model_len={context}.");
            Err(Failure::value(name, asked, &message))
        }
        Ok(0) | Err(_) => {
            let message = format!("{name} must be at least 1, got {asked}.");
            Err(Failure::value(name, asked, &message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits<'static> =
        Limits { model: "tiny", context: 100, block_tokens: 4, acceptance: Acceptance::NONE };

    fn job(body: &str, protocol: Protocol) -> Result<Job, serde_json::Value> {
        Job::new(&serde_json::from_str(body).unwrap(), protocol, LIMITS).map_err(|failure| failure.openai())
    }

    #[test]
    fn what_vllm_refuses_is_refused_in_its_shape() {
        // As vLLM 0.32 answered the same requests.
        let chat = |rest: &str| {
            job(&format!(r#"{{"messages":[{{"role":"user","content":"x"}}],{rest}}}"#), Protocol::Chat)
                .unwrap_err()
        };
        let error = |message: &str, kind: &str, param: Option<&str>, code: u16| {
            let error = serde_json::json!({"message": message, "type": kind, "param": param, "code": code});
            serde_json::json!({ "error": error })
        };
        assert_eq!(
            chat(r#""model":"nope""#),
            error(
                "The model `nope` does not exist. Valid aliases: tiny.",
                "NotFoundError",
                Some("model"),
                404
            )
        );
        assert_eq!(
            chat(r#""max_tokens":-1"#),
            error(
                "max_tokens must be at least 1, got -1. (parameter=max_tokens, value=-1)",
                "BadRequestError",
                Some("max_tokens"),
                400
            )
        );
        assert_eq!(
            chat(r#""temperature":-3"#),
            error(
                "temperature must be non-negative, got -3.0. (parameter=temperature, value=-3.0)",
                "BadRequestError",
                Some("temperature"),
                400
            )
        );
        assert_eq!(
            chat(r#""n":2,"temperature":0"#),
            error("n must be 1 when using greedy sampling, got 2.", "BadRequestError", None, 400)
        );
        for (rest, param) in [
            (r#""max_tokens":101"#, "max_tokens"),
            (r#""max_completion_tokens":0"#, "max_completion_tokens"),
            (r#""stream_options":{}"#, "stream_options"),
        ] {
            let error = chat(rest);
            assert_eq!((&error["error"]["param"], &error["error"]["code"]), (&param.into(), &400.into()));
        }
        let missing = job(r#"{"model":"tiny"}"#, Protocol::Chat).unwrap_err();
        assert_eq!(missing["error"]["param"], "body.messages");
        let long =
            job(&format!(r#"{{"prompt":"{}"}}"#, "abc ".repeat(100)), Protocol::Completion).unwrap_err();
        assert_eq!(long["error"]["param"], "input_tokens");
        assert!(long["error"]["message"].as_str().unwrap().contains("maximum context length is 100 tokens"));
    }

    #[test]
    fn an_answer_never_leaves_the_context() {
        let prompt = "abc ".repeat(90);
        let body = format!(r#"{{"prompt":"{prompt}","max_tokens":50,"ignore_eos":true}}"#);
        let job = job(&body, Protocol::Completion).unwrap();
        assert_eq!((job.prompt_tokens, job.sequences[0].answer.tokens, job.max_tokens), (90, 10, 10));
        assert_eq!(job.sequences[0].blocks.len(), 25);
    }

    #[test]
    fn every_prompt_has_n_choices_that_share_its_blocks() {
        let body = r#"{"prompt":["aaaabbbbccccdddd","x"],"n":2,"cache_salt":"s"}"#;
        let salted = job(body, Protocol::Completion).unwrap();
        assert_eq!((salted.sequences.len(), salted.prompt_tokens, salted.max_tokens), (4, 5, 16));
        let first = |job: &Job, sequence: usize| job.sequences[sequence].blocks[0];
        assert_eq!(first(&salted, 0), first(&salted, 1));
        let plain = job(&body.replace(r#","cache_salt":"s""#, ""), Protocol::Completion).unwrap();
        assert_ne!(first(&salted, 0), first(&plain, 0));
    }
}
