//! The requests that real and simulated engines get: mixed lengths, shared prefixes, fixed answers.

use std::{ops::RangeInclusive, time::Duration};

use fastrand::Rng;

use crate::workload::{Class, Content, Request, Segment};

/// Requests of one phase.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Seed of arrivals, lengths and tokens.
    pub seed: u64,
    /// Poisson arrivals at this rate, or all at once.
    pub arrivals_per_s: Option<f64>,
    /// How long requests arrive, where they arrive at a rate.
    pub duration: Duration,
    /// How many at most.
    pub requests: usize,
}

/// The load's requests in order of arrival: the same for the same load.
pub fn requests(load: &Load) -> Vec<Request> {
    let mut texts = Texts::new(load.seed);
    let arrivals: Vec<Duration> = match load.arrivals_per_s {
        Some(rate) => {
            arrivals(load.seed, rate).take_while(|at| *at < load.duration).take(load.requests).collect()
        }
        None => vec![Duration::ZERO; load.requests],
    };
    (0_u64..).zip(arrivals).map(|(id, at)| texts.request(id, at)).collect()
}

/// Poisson arrivals. Drawn here and not by the driver, so that a measurement stays one of this plan whatever becomes of
/// the driver.
fn arrivals(seed: u64, per_s: f64) -> impl Iterator<Item = Duration> {
    let mut random = Rng::with_seed(seed);
    let mut at = Duration::ZERO;
    std::iter::repeat_with(move || {
        at += Duration::from_secs_f64(-(1.0 - random.f64()).ln() / per_s);
        at
    })
}

/// The prompt as token ids: equal where segments are equal, never a special token of a small vocabulary.
pub fn token_ids(content: &Content) -> Vec<u32> {
    /// Ids below are special or single bytes in the usual vocabularies; those from the sum on may not exist.
    const FIRST: u64 = 1_000;
    const COUNT: u64 = 40_000;
    let ids = content.prompt.iter().flat_map(|segment| {
        (0..u64::from(segment.tokens)).map(move |index| {
            let mut token = Rng::with_seed(segment.seed.rotate_left(32) ^ index);
            FIRST + token.u64(0..COUNT)
        })
    });
    ids.filter_map(|id| u32::try_from(id).ok()).collect()
}

/// A conversation: what it has so far, replies included. Replies are scripted, so that a turn never waits for
/// an answer.
#[derive(Debug, Default)]
struct Conversation {
    history: Vec<Segment>,
    turns: u32,
}

/// Texts to draw requests from.
#[derive(Debug)]
struct Texts {
    random: Rng,
    next_seed: u64,
    system_prompts: Vec<Segment>,
    documents: Vec<Segment>,
    conversations: Vec<Conversation>,
}

/// Turns after which a conversation begins anew.
const TURNS: u32 = 4;

impl Texts {
    fn new(seed: u64) -> Self {
        let mut texts = Self {
            random: Rng::with_seed(seed),
            next_seed: seed << 24,
            system_prompts: Vec::new(),
            documents: Vec::new(),
            conversations: std::iter::repeat_with(Conversation::default).take(4).collect(),
        };
        texts.system_prompts = [210, 300, 420].map(|tokens| texts.of(tokens)).into();
        texts.documents = [520, 660, 800].map(|tokens| texts.of(tokens)).into();
        texts
    }

    /// So many tokens that nothing else has.
    fn of(&mut self, tokens: u32) -> Segment {
        self.next_seed += 1;
        Segment { seed: self.next_seed, tokens }
    }

    fn between(&mut self, tokens: RangeInclusive<u32>) -> Segment {
        let tokens = self.random.u32(tokens);
        self.of(tokens)
    }

    fn one_of(&mut self, segments: &[Segment]) -> Segment {
        segments[self.random.usize(..segments.len())]
    }

    fn request(&mut self, id: u64, at: Duration) -> Request {
        let (class, prompt, answer) = match self.random.u32(0..100) {
            0..30 => self.assistant(),
            30..60 => self.turn(),
            60..75 => self.question(),
            75..83 => (Class::Summary, vec![self.between(400..=900)], 8..=16),
            _ => (Class::Reasoning, vec![self.between(20..=80)], 48..=80),
        };
        let content = Content { prompt: prompt.into(), answer: self.between(answer) };
        Request { id, at, class, max_tokens: Some(content.output_tokens()), content }
    }

    /// A task under one of a few system prompts.
    fn assistant(&mut self) -> (Class, Vec<Segment>, RangeInclusive<u32>) {
        let system = self.one_of(&self.system_prompts.clone());
        (Class::Agent, vec![system, self.between(15..=90)], 12..=40)
    }

    /// A question about one of a few documents.
    fn question(&mut self) -> (Class, Vec<Segment>, RangeInclusive<u32>) {
        let document = self.one_of(&self.documents.clone());
        (Class::Rag, vec![document, self.between(15..=50)], 8..=24)
    }

    /// The next turn of a conversation, after its scripted past.
    fn turn(&mut self) -> (Class, Vec<Segment>, RangeInclusive<u32>) {
        let said = self.between(40..=110);
        let reply = self.between(60..=120);
        let chosen = self.random.usize(..self.conversations.len());
        let conversation = &mut self.conversations[chosen];
        if conversation.turns == TURNS {
            *conversation = Conversation::default();
        }
        conversation.history.push(said);
        let prompt = conversation.history.clone();
        conversation.history.push(reply);
        conversation.turns += 1;
        (Class::Chat, prompt, 16..=32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::cpu::plan::{MODEL_LEN, Phase};

    #[test]
    fn the_same_load_is_the_same_requests() {
        for phase in Phase::ALL {
            let contents =
                |load| requests(&load).into_iter().map(|request| request.content).collect::<Vec<_>>();
            let load = phase.load();
            assert_eq!(contents(load), contents(load));
            assert_ne!(contents(load), contents(Load { seed: load.seed + 1, ..load }));
        }
    }

    #[test]
    fn every_request_fits_and_much_of_it_is_shared() {
        for phase in Phase::ALL {
            let requests = requests(&phase.load());
            assert!(requests.len() >= 24);
            let mut seen = std::collections::HashSet::new();
            let (mut shared, mut all) = (0, 0);
            for request in &requests {
                let content = &request.content;
                assert!(content.prompt_tokens() + content.output_tokens() <= MODEL_LEN);
                for segment in content.prompt.iter() {
                    all += segment.tokens;
                    shared += if seen.insert(segment.seed) { 0 } else { segment.tokens };
                }
            }
            let share = f64::from(shared) / f64::from(all);
            assert!((0.3..0.8).contains(&share), "{phase:?}: {share}");
        }
    }

    #[test]
    fn equal_segments_are_equal_tokens() {
        let segment = |seed, tokens| Segment { seed, tokens };
        let ids = |prompt: &[Segment]| token_ids(&Content { prompt: prompt.into(), answer: segment(9, 1) });
        let (long, short) = (ids(&[segment(1, 50), segment(2, 30)]), ids(&[segment(1, 40)]));
        assert_eq!(long.len(), 80);
        assert_eq!(long[..40], short[..]);
        assert_ne!(long[50..], ids(&[segment(3, 30)])[..]);
        assert!(long.iter().all(|id| (1_000..41_000).contains(id)));
    }
}
