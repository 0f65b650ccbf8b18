//! Sessions: requests that build on each other.

use std::{sync::Arc, time::Duration};

use super::{
    super::{
        Class, Content, Segment,
        random::{PASSAGES, Random, Zipf, scramble, tokens},
    },
    shapes::{Growth, Shape, shape},
};

/// Tokens that a prompt needs at least besides its answer.
const LEAST_PROMPT: u32 = 16;

/// One user's, agent's or editor's requests so far.
#[derive(Debug)]
pub(super) struct Session {
    class: Class,
    /// What the next prompt begins with.
    history: Vec<Segment>,
    history_tokens: u32,
    /// Tokens that the opening adds to the system prompt.
    opening: u32,
    turns: usize,
}

/// One request of a session.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) content: Content,
    pub(super) max_tokens: Option<u32>,
    /// When the session's next request comes at the earliest, counted from this one; nothing where it ends.
    pub(super) again_after: Option<Duration>,
}

impl Session {
    /// A new session of `class`, whose system prompt is one of those that `workload` has.
    pub(super) fn open(class: Class, workload: u64, random: &mut Random) -> Self {
        let shape = shape(class);
        let opening = match shape.growth {
            Growth::Conversation | Growth::Prefix(_) => shape.opening.tokens(random, u32::MAX),
            Growth::Passages(_) => 0,
        };
        let mut session = Self { class, history: Vec::new(), history_tokens: 0, opening, turns: 0 };
        if let Growth::Prefix(share) = shape.growth {
            session.append(random.bits(), tokens(f64::from(opening) * share));
            return session;
        }
        let mut system = system(class, shape, workload, random);
        if matches!(class, Class::Chat) {
            // Measured prompts hold their system prompt already.
            system.tokens = system.tokens.min(opening.saturating_sub(1)).max(1);
            session.opening = opening.saturating_sub(system.tokens).max(1);
        }
        session.append(system.seed, system.tokens);
        if let Growth::Passages(count) = shape.growth {
            (0..count).for_each(|_| session.append_passage(shape, workload, random));
        }
        session
    }

    /// The session's next request, in at most `context` tokens.
    pub(super) fn turn(&mut self, context: u32, random: &mut Random) -> Turn {
        let shape = shape(self.class);
        let cap = shape.max_tokens.unwrap_or(u32::MAX).min(context / 2);
        let answer = Segment { seed: random.bits(), tokens: shape.answer.tokens(random, cap) };
        let room = context.saturating_sub(answer.tokens).max(LEAST_PROMPT);
        let added = self.added(shape, random);
        let own = Segment { seed: random.bits(), tokens: added };
        let content = Content { prompt: fitted(&self.history, own, room), answer };
        self.turns += 1;
        if shape.growth == Growth::Conversation {
            self.append(own.seed, own.tokens);
            self.append(answer.seed, answer.tokens);
        }
        let goes_on = shape.goes_on[(self.turns - 1).min(shape.goes_on.len() - 1)];
        let full = self.history_tokens.saturating_add(LEAST_PROMPT) > context / 2 + context / 4;
        let ends = full || random.share() >= goes_on;
        let again_after = (!ends).then(|| Duration::from_secs_f64(shape.gap_ms.amount(random) / 1e3));
        Turn { content, max_tokens: shape.max_tokens.map(|most| most.min(context / 2).max(1)), again_after }
    }

    /// Tokens that this turn's prompt has beyond the history.
    fn added(&self, shape: &Shape, random: &mut Random) -> u32 {
        match shape.growth {
            Growth::Prefix(_) => self.opening.saturating_sub(self.history_tokens).max(1),
            Growth::Conversation if self.turns == 0 => self.opening,
            Growth::Conversation => shape.follow_up.tokens(random, MOST_ADDED),
            Growth::Passages(_) => shape.follow_up.tokens(random, u32::MAX),
        }
    }

    fn append(&mut self, seed: u64, tokens: u32) {
        self.history.push(Segment { seed, tokens });
        self.history_tokens = self.history_tokens.saturating_add(tokens);
    }

    fn append_passage(&mut self, shape: &Shape, workload: u64, random: &mut Random) {
        let seed = scramble(workload ^ scramble(0x9A55 + PASSAGES.draw(random)));
        // A passage has one length wherever it is found.
        let length = shape.opening.tokens(&mut Random::new(seed, 0), u32::MAX);
        self.append(seed, length);
    }
}

/// Longer messages are uploads, which Azure's conversations do not have.
const MOST_ADDED: u32 = 1_024;

/// One of a class's system prompts.
fn system(class: Class, shape: &Shape, workload: u64, random: &mut Random) -> Segment {
    let rank = match shape.system.count {
        1 => 0,
        count => Zipf::new(count, 1.0).draw(random),
    };
    let seed = scramble(workload ^ scramble((class as u64) << 32 | rank));
    Segment { seed, tokens: shape.system.length.tokens(&mut Random::new(seed, 0), u32::MAX) }
}

/// History and the turn's own text, cut to `room` tokens; at least one token of its own is kept.
fn fitted(history: &[Segment], own: Segment, room: u32) -> Arc<[Segment]> {
    let mut left = room.saturating_sub(1).max(1);
    let cut = |segment: &Segment, left: &mut u32| {
        let tokens = segment.tokens.min(*left);
        *left -= tokens;
        Segment { tokens, ..*segment }
    };
    let mut prompt: Vec<Segment> = Vec::with_capacity(history.len() + 1);
    prompt.extend(history.iter().map(|segment| cut(segment, &mut left)));
    prompt.retain(|segment| segment.tokens > 0);
    prompt.push(Segment { tokens: own.tokens.min(left + 1), ..own });
    prompt.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn class() -> impl Strategy<Value = Class> {
        prop::sample::select(Class::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn every_turn_fits_the_context(class in class(), context in 128_u32..40_000, seed in any::<u64>()) {
            let mut random = Random::new(seed, 0);
            let mut session = Session::open(class, seed, &mut random);
            for _ in 0..20 {
                let turn = session.turn(context, &mut random);
                let content = &turn.content;
                prop_assert!(content.prompt_tokens() + content.output_tokens() <= context);
                prop_assert!(content.prompt.iter().all(|segment| segment.tokens > 0));
                prop_assert!(content.output_tokens() >= 1);
                prop_assert!(turn.max_tokens.is_none_or(|most| most >= content.output_tokens()));
                if turn.again_after.is_none() { break; }
            }
        }

        #[test]
        fn the_next_prompt_of_a_conversation_contains_the_last_answer(seed in any::<u64>()) {
            let mut random = Random::new(seed, 0);
            let mut session = Session::open(Class::Agent, 1, &mut random);
            let first = session.turn(1 << 20, &mut random).content;
            let second = session.turn(1 << 20, &mut random).content;
            let mut begins: Vec<Segment> = first.prompt.to_vec();
            begins.push(first.answer);
            prop_assert_eq!(&second.prompt[..begins.len()], &begins[..]);
        }
    }

    #[test]
    fn completions_of_one_file_share_their_prefix_and_no_more() {
        let mut random = Random::new(2, 0);
        let mut session = Session::open(Class::Code, 1, &mut random);
        let turns: Vec<Content> = (0..2).map(|_| session.turn(8_192, &mut random).content).collect();
        assert_eq!(turns[0].prompt[0], turns[1].prompt[0]);
        assert_ne!(turns[0].prompt[1].seed, turns[1].prompt[1].seed);
    }

    #[test]
    fn popular_passages_come_again() {
        let mut random = Random::new(4, 0);
        let mut seen = std::collections::HashMap::<u64, u32>::new();
        for _ in 0..2_000 {
            let mut session = Session::open(Class::Rag, 1, &mut random);
            let content = session.turn(32_768, &mut random).content;
            assert_eq!(content.prompt.len(), 7, "system prompt, five passages, question");
            for passage in &content.prompt[1..6] {
                *seen.entry(passage.seed).or_default() += 1;
            }
        }
        let mut counts: Vec<u32> = seen.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let share = f64::from(counts[..600].iter().sum::<u32>()) / 10_000.0;
        assert!((0.6..0.75).contains(&share), "3 % of passages are two thirds of what is retrieved: {share}");
    }
}
