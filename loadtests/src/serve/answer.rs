//! What the answer to a prompt will be. A simulated engine knows it beforehand.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::body::GenerateBody;
use crate::workload::{BYTES_PER_TOKEN, Segment};

/// Why an answer ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finish {
    /// By itself, or at a stop string.
    Stop(Option<String>),
    /// At the cap on its length.
    Length,
    /// The engine dropped it.
    Abort,
}

/// An answer, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// Which text.
    seed: u64,
    /// Tokens the engine generates for it, at least 1.
    pub(super) tokens: u32,
    /// Bytes of it that the client gets: fewer than the tokens hold where a stop string cut it.
    bytes: usize,
    /// Why it ends.
    pub(super) finish: Finish,
}

/// Length of answers to requests that do not say it: ln tokens is normal with this mean and deviation, those of the
/// Azure conversation trace of 2023 (median 129, mean 211 tokens).
const LN_MEAN: f64 = 5.02;
const LN_DEVIATION: f64 = 0.86;

impl Answer {
    /// The answer number `choice` to a prompt whose hash is `prompt`, of `cap` tokens at most.
    pub(super) fn plan(body: &GenerateBody<'_>, prompt: u64, choice: u32, cap: u32) -> Self {
        let seed = body.vllm_xargs.sim_answer_seed.unwrap_or(prompt);
        let seed = if choice == 0 { seed } else { xxh3_64_with_seed(&choice.to_le_bytes(), seed) };
        let own = match body.vllm_xargs.sim_output_tokens {
            Some(tokens) => tokens,
            None if body.ignore_eos => u32::MAX,
            None => draw(seed).max(body.min_tokens.unwrap_or_default()),
        };
        let finish = if own < cap { Finish::Stop(None) } else { Finish::Length };
        let tokens = own.min(cap).max(1);
        let answer = Self { seed, tokens, bytes: tokens as usize * BYTES_PER_TOKEN, finish };
        match &body.stop {
            Some(stop) => answer.cut(stop.iter()),
            None => answer,
        }
    }

    /// Ends it before the first stop string in it.
    fn cut<'s>(self, stop: impl Iterator<Item = &'s str>) -> Self {
        let text = self.text();
        let place = |stop: &'s str| Some((text.find(stop).filter(|_| !stop.is_empty())?, stop));
        let Some((at, stop)) = stop.filter_map(place).min_by_key(|(at, stop)| at + stop.len()) else {
            return self;
        };
        let generated = (at + stop.len()).div_ceil(BYTES_PER_TOKEN);
        Self {
            tokens: u32::try_from(generated).unwrap_or(self.tokens),
            bytes: at,
            finish: Finish::Stop(Some(stop.to_owned())),
            ..self
        }
    }

    /// Ends it after `tokens` tokens, because the engine dropped it.
    pub(super) fn abort(&mut self, tokens: u32) {
        self.finish = Finish::Abort;
        self.bytes = self.bytes.min(tokens as usize * BYTES_PER_TOKEN);
    }

    /// The text of tokens `from..from + count`, as far as the client gets it.
    pub(super) fn append(&self, from: u32, count: u32, text: &mut Vec<u8>) {
        let room = self.bytes.saturating_sub(from as usize * BYTES_PER_TOKEN);
        let before = text.len();
        self.segment().write_tokens(from..from + count, text);
        text.truncate(before + room.min(text.len() - before));
    }

    /// All of its text.
    pub(super) fn text(&self) -> String {
        let mut text = Vec::new();
        self.append(0, self.tokens, &mut text);
        String::from_utf8(text).unwrap_or_default()
    }

    /// The bytes that the engine computes for it, cut ones included: what a prefix cache keeps.
    pub(super) fn append_computed(&self, bytes: &mut Vec<u8>) {
        self.segment().write_text(bytes);
    }

    fn segment(&self) -> Segment {
        Segment { seed: self.seed, tokens: self.tokens }
    }
}

fn draw(seed: u64) -> u32 {
    let mut random = fastrand::Rng::with_seed(seed);
    // Box and Muller's transformation.
    let (radius, angle) = ((-2.0 * (1.0 - random.f64()).ln()).sqrt(), std::f64::consts::TAU * random.f64());
    let tokens = (LN_MEAN + LN_DEVIATION * radius * angle.cos()).exp();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive; casts saturate")]
    let tokens = tokens as u32;
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(body: &str, cap: u32) -> Answer {
        Answer::plan(&serde_json::from_str(body).unwrap(), 77, 0, cap)
    }

    #[test]
    fn the_length_is_the_senders_then_the_caps_then_drawn() {
        let told = plan(r#"{"vllm_xargs":{"sim_output_tokens":9,"sim_answer_seed":5}}"#, 20);
        assert_eq!((told.tokens, told.seed, told.finish), (9, 5, Finish::Stop(None)));
        let capped = plan(r#"{"vllm_xargs":{"sim_output_tokens":9}}"#, 4);
        assert_eq!((capped.tokens, capped.seed, capped.finish), (4, 77, Finish::Length));
        assert_eq!(plan(r#"{"ignore_eos":true}"#, 300).tokens, 300);
        assert_eq!(plan("{}", 100_000), plan("{}", 100_000), "drawn by the prompt");
        assert!(plan(r#"{"min_tokens":5000}"#, 100_000).tokens >= 5000);
    }

    #[test]
    fn drawn_lengths_are_those_of_the_trace() {
        let mut lengths: Vec<u32> = (0..4000).map(|seed| draw(xxh3_64_with_seed(b"", seed))).collect();
        lengths.sort_unstable();
        let median = lengths[2000];
        let mean = lengths.iter().sum::<u32>() / 4000;
        assert!((140..165).contains(&median) && (200..240).contains(&mean), "{median} {mean}");
    }

    #[test]
    fn a_stop_string_ends_the_text_before_it() {
        let whole = plan(r#"{"ignore_eos":true}"#, 50);
        let text = whole.text();
        let stop = &text[42..45];
        let at = text.find(stop).unwrap();
        let cut =
            plan(&format!(r#"{{"ignore_eos":true,"stop":["no such",{}]}}"#, serde_json::json!(stop)), 50);
        assert_eq!(cut.text(), text[..at]);
        assert_eq!(cut.finish, Finish::Stop(Some(stop.to_owned())));
        assert_eq!(cut.tokens as usize, (at + 3).div_ceil(4));
        let mut pieces = Vec::new();
        (0..cut.tokens).for_each(|token| cut.append(token, 1, &mut pieces));
        assert_eq!(pieces, cut.text().as_bytes());
    }

    #[test]
    fn choices_differ() {
        let body = serde_json::from_str(r#"{"ignore_eos":true}"#).unwrap();
        assert_ne!(Answer::plan(&body, 1, 0, 8).text(), Answer::plan(&body, 1, 1, 8).text());
    }
}
