//! Speculation by n-gram lookup on real vLLM: how much of it is accepted by kind of text, and what a step costs.

use std::collections::BTreeMap;

use tokio::{
    task::JoinSet,
    time::{Duration, Instant, sleep},
};

use super::{
    client::SERVED,
    measure::whole,
    outcome::{DraftStep, Drafted, Speculation, rounded},
    probe::{decoding_gaps, together},
    probes::Fresh,
};
use crate::{
    Error,
    driver::Endpoint,
    report::mean,
    validate::progress::Progress,
    vllm::{Metrics, Server, post, stream},
    workload::{Class, Content, acceptance_of},
};

/// Draft tokens a step.
const TOKENS: u32 = 3;
/// Longest n-gram looked up.
const LOOKUP_MAX: u32 = 4;
/// Tokens of an answer at most.
const ANSWER: u32 = 128;

/// Prompts by kind of text, written for this.
const PROMPTS: &str = include_str!("../../../data/speculation_prompts.json");

/// The engine's flags.
pub(super) fn flags() -> Vec<String> {
    let config = serde_json::json!({
        "method": "ngram",
        "num_speculative_tokens": TOKENS,
        "prompt_lookup_max": LOOKUP_MAX,
    });
    vec![format!("--speculative-config={config}")]
}

/// Measures both.
///
/// # Errors
/// Where a request fails.
pub(super) async fn measure(server: &Server, progress: &Progress) -> Result<Speculation, Error> {
    let mut kinds = BTreeMap::new();
    for (kind, texts) in prompts()? {
        progress.say(format!("speculation: {}", kind.name()));
        let before = server.metrics().await?;
        answer_all(server.endpoint(), &texts).await?;
        kinds.insert(kind, since(&before, &settled(server).await?));
    }
    let mut steps = Vec::new();
    for count in [1, 8] {
        progress.say(format!("speculation: steps of {count}"));
        steps.push(step(server, count).await?);
    }
    Ok(Speculation { tokens: TOKENS, lookup_max: LOOKUP_MAX, kinds, steps })
}

fn prompts() -> Result<BTreeMap<Class, Vec<String>>, Error> {
    Ok(serde_json::from_str(PROMPTS)?)
}

async fn answer_all(endpoint: &Endpoint, texts: &[String]) -> Result<(), Error> {
    let mut streams = JoinSet::new();
    for text in texts {
        let body = serde_json::json!({
            "model": SERVED,
            "messages": [{"role": "user", "content": text}],
            "max_tokens": ANSWER,
            "temperature": 0,
            "stream": true,
        });
        let (endpoint, request) = (endpoint.clone(), post(endpoint, "/v1/chat/completions", &body));
        streams.spawn_local(async move { stream(&endpoint, &request, Instant::now(), |_| {}).await });
    }
    while let Some(answer) = streams.join_next().await {
        answer??;
    }
    Ok(())
}

/// Its metrics once the last request's end is counted.
async fn settled(server: &Server) -> Result<Metrics, Error> {
    sleep(Duration::from_millis(500)).await;
    server.metrics().await
}

fn since(before: &Metrics, after: &Metrics) -> Drafted {
    const POSITIONS: &str = "vllm:spec_decode_num_accepted_tokens_per_pos_total";
    let counted = |name: &str| whole(after.total(name) - before.total(name));
    let earlier: BTreeMap<_, _> = before.by_label(POSITIONS, "position").collect();
    let mut accepted: Vec<(&str, u64)> = after
        .by_label(POSITIONS, "position")
        .map(|(position, count)| (position, whole(count - earlier.get(position).unwrap_or(&0.0))))
        .collect();
    accepted.sort_unstable();
    Drafted {
        generated: counted("vllm:generation_tokens_total"),
        drafts: counted("vllm:spec_decode_num_drafts_total"),
        drafted: counted("vllm:spec_decode_num_draft_tokens_total"),
        accepted: accepted.into_iter().map(|(_, count)| count).collect(),
    }
}

/// Text that repeats itself, so that nearly every step has drafts to verify.
async fn step(server: &Server, count: u32) -> Result<DraftStep, Error> {
    const PROMPT: u32 = 128;
    const PERIOD: u32 = 16;
    const LONG_ANSWER: u32 = 64;
    let mut fresh = Fresh::new(13);
    let contents = (0..count).map(|_| {
        let Content { prompt, answer } = fresh.content(PERIOD, LONG_ANSWER);
        let prompt = prompt.repeat((PROMPT / PERIOD) as usize).into();
        Content { prompt, answer }
    });
    let before = server.metrics().await?;
    let answers = together(server.endpoint(), contents.collect()).await?;
    let counted = since(&before, &settled(server).await?);
    // Steps differ by how many drafts they have, so it is their mean that goes with the share of drafts.
    let gaps: Vec<f64> = decoding_gaps(&answers).into_iter().map(|(_, gap)| gap).collect();
    Ok(DraftStep {
        count,
        context: count * (PROMPT + LONG_ANSWER / 2),
        drafted: rounded(counted.drafts_per_step()),
        seconds: rounded(mean(&gaps)),
    })
}

impl Drafted {
    /// Draft tokens accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted.iter().sum()
    }

    /// Share of sequences and steps that had a draft: each step of a sequence gives one token and what was accepted.
    pub fn drafts_per_step(&self) -> f64 {
        self.drafts as f64 / (self.generated.saturating_sub(self.accepted())).max(1) as f64
    }

    /// Tokens that a step of a sequence gave.
    pub fn tokens_per_step(&self) -> f64 {
        self.generated as f64 / (self.generated.saturating_sub(self.accepted())).max(1) as f64
    }

    /// The probability that a draft token is accepted, given that those before it were, with which drafts of this
    /// length in *every* step give as many tokens.
    pub fn acceptance(&self, draft_tokens: u32) -> f64 {
        acceptance_of(self.tokens_per_step(), draft_tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_text_has_prompts() {
        let prompts = prompts().unwrap();
        assert!(Class::ALL.iter().all(|kind| prompts[kind].len() >= 5));
    }

    #[test]
    fn acceptance_gives_back_the_tokens_of_a_step() {
        // 100 steps, drafts in half of them: 40 first, 30 second and 20 third tokens accepted.
        let counted = Drafted { generated: 190, drafts: 50, drafted: 150, accepted: vec![40, 30, 20] };
        assert!((counted.drafts_per_step() - 0.5).abs() < 1e-9);
        assert!((counted.tokens_per_step() - 1.9).abs() < 1e-9);
        let p = counted.acceptance(3);
        assert!((p + p * p + p * p * p - 0.9).abs() < 1e-6);
        assert!(Drafted::default().acceptance(3) < 1e-9, "nothing generated, nothing accepted");
    }
}
