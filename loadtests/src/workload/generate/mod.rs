//! The generator: sessions of every class, from a seed.
//!
//! Arrivals are given; each is a request of a class drawn from the mix of that moment. It continues the session of that class
//! that has waited longest for its next turn, or opens a new one. So the rate, the spread of the gaps and the mix are exactly
//! those asked for, and sessions still take the time that thinking and tools take. A session that nobody continues (its class
//! went out of fashion) is given up after a while.

mod lengths;
mod mix;
mod session;
mod shapes;

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

pub use mix::{Mix, Phase, Weights};
use session::Session;

use super::{Class, Request, random::Random};

/// How long a session waits for an arrival of its class before it is given up.
const PATIENCE: Duration = Duration::from_secs(180);
/// Requests drawn for this long before the workload starts, so that it begins with sessions of every age …
const BEFORE: Duration = Duration::from_secs(900);
/// … but not more than these.
const MOST_BEFORE: usize = 20_000;
/// Requests draw from a stream of their own: they are the same whatever the arrivals are, as far as time allows.
const REQUESTS_STREAM: u64 = 0x5E55;

/// Makes requests for arrivals.
#[derive(Debug)]
pub(super) struct Generator {
    mix: Mix,
    context: u32,
    /// What tells this workload's shared prompts from those of others.
    seed: u64,
    random: Random,
    waiting: [BinaryHeap<Waiting>; Class::ALL.len()],
    /// Time that has passed before the workload's start.
    before: Duration,
}

/// A session and when its next request comes at the earliest; the greatest is the earliest.
#[derive(Debug)]
struct Waiting {
    ready: Reverse<Duration>,
    session: Session,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.ready == other.ready
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.ready.cmp(&other.ready)
    }
}

impl Generator {
    /// A generator whose sessions are as old as if `rate` requests a second had come for a while.
    pub(super) fn new(mix: Mix, context: u32, rate: f64, seed: u64) -> Self {
        let mut generator = Self {
            mix,
            context,
            seed,
            random: Random::new(seed, REQUESTS_STREAM),
            waiting: Default::default(),
            before: Duration::ZERO,
        };
        let gap = 1.0 / rate;
        let earlier = (0..MOST_BEFORE).map(|index| Duration::from_secs_f64(gap * index as f64));
        let start = generator.mix.at(Duration::ZERO);
        for at in earlier.take_while(|at| *at < BEFORE) {
            generator.draw(at, start);
            generator.before = at;
        }
        generator
    }

    /// Request number `id`, which comes at `at`; never earlier than the one before.
    pub(super) fn request(&mut self, id: u64, at: Duration) -> Request {
        let (class, turn) = self.draw(self.before + at, self.mix.at(at));
        Request { id, at, class, content: turn.content, max_tokens: turn.max_tokens }
    }

    fn draw(&mut self, now: Duration, weights: Weights) -> (Class, session::Turn) {
        let class = Class::ALL[self.random.weighted(&weights.to_array())];
        let mut session =
            self.continued(class, now).unwrap_or_else(|| Session::open(class, self.seed, &mut self.random));
        let turn = session.turn(self.context, &mut self.random);
        if let Some(after) = turn.again_after {
            self.waiting[class as usize].push(Waiting { ready: Reverse(now + after), session });
        }
        (class, turn)
    }

    /// The session of `class` that has waited longest for its next turn.
    fn continued(&mut self, class: Class, now: Duration) -> Option<Session> {
        let waiting = &mut self.waiting[class as usize];
        loop {
            let ready = waiting.peek()?.ready.0;
            if ready > now {
                return None;
            }
            let session = waiting.pop()?.session;
            if ready + PATIENCE >= now {
                return Some(session);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::workload::Arrivals;

    const CONTEXT: u32 = 32_768;

    fn requests(weights: Weights, rate: f64, seed: u64, count: u64) -> Vec<Request> {
        let mut generator = Generator::new(Mix::steady(weights), CONTEXT, rate, seed);
        let times = Arrivals::Poisson.times(rate, seed);
        (0..count).zip(times).map(|(id, at)| generator.request(id, at)).collect()
    }

    fn sorted(requests: &[Request], value: impl Fn(&Request) -> u32) -> Vec<f64> {
        let mut values: Vec<f64> = requests.iter().map(|request| f64::from(value(request))).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    /// Share of prompt tokens that an unbounded prefix cache would have, in blocks of 16.
    fn cached(requests: &[Request]) -> f64 {
        let mut seen = HashSet::new();
        let (mut hits, mut all) = (0, 0);
        for request in requests {
            let chain = request.content.prompt_chain(16, 0);
            hits += chain.iter().take_while(|block| seen.contains(*block)).count();
            all += chain.len();
            seen.extend(request.content.chain(16, 0));
        }
        hits as f64 / all as f64
    }

    #[test]
    fn chat_has_azures_lengths() {
        let requests = requests(Weights::only(Class::Chat), 20.0, 1, 30_000);
        let prompts = sorted(&requests, |request| request.content.prompt_tokens());
        let outputs = sorted(&requests, |request| request.content.output_tokens());
        for (what, ours, azure) in [
            ("mean prompt", mean(&prompts), 1_155.0),
            ("90 % of prompts", prompts[prompts.len() * 9 / 10], 2_735.0),
            ("mean output", mean(&outputs), 211.0),
            ("median output", outputs[outputs.len() / 2], 129.0),
        ] {
            assert!((ours / azure - 1.0).abs() < 0.12, "{what}: {ours} for {azure}");
        }
    }

    #[test]
    fn code_has_azures_lengths() {
        let requests = requests(Weights::only(Class::Code), 20.0, 1, 30_000);
        let prompts = sorted(&requests, |request| request.content.prompt_tokens());
        let outputs = sorted(&requests, |request| request.content.output_tokens());
        assert!((mean(&prompts) / 2_048.0 - 1.0).abs() < 0.12, "{}", mean(&prompts));
        assert!((mean(&outputs) / 27.9 - 1.0).abs() < 0.2, "{}", mean(&outputs));
    }

    #[test]
    fn classes_share_prefixes_as_their_kind_does() {
        let share = |class| cached(&requests(Weights::only(class), 5.0, 2, 6_000));
        let [chat, rag, agent, code] = [Class::Chat, Class::Rag, Class::Agent, Class::Code].map(share);
        assert!((0.3..0.6).contains(&chat), "chat {chat}");
        assert!((0.2..0.6).contains(&rag), "rag {rag}");
        assert!((0.8..0.98).contains(&agent), "agent {agent}");
        assert!((0.5..0.8).contains(&code), "code {code}");
        assert!(share(Class::Summary) < 0.05);
    }

    #[test]
    fn classes_come_by_their_weights_and_the_seed_decides() {
        let weights = Weights { chat: 3.0, summary: 1.0, ..Weights::default() };
        let first = requests(weights, 10.0, 7, 8_000);
        let share = first.iter().filter(|request| request.class == Class::Summary).count() as f64 / 8_000.0;
        assert!((0.23..0.27).contains(&share), "{share}");
        let contents =
            |requests: &[Request]| -> Vec<_> { requests.iter().map(|one| one.content.clone()).collect() };
        assert_eq!(contents(&first), contents(&requests(weights, 10.0, 7, 8_000)));
        assert_ne!(contents(&first), contents(&requests(weights, 10.0, 8, 8_000)));
    }

    #[test]
    fn a_workload_begins_with_conversations_under_way() {
        let requests = requests(Weights::only(Class::Chat), 5.0, 3, 6_000);
        let later = |part: &[Request]| {
            part.iter().filter(|one| one.content.prompt.len() > 2).count() as f64 / part.len() as f64
        };
        let (early, late) = (later(&requests[..500]), later(&requests[5_500..]));
        assert!((early - late).abs() < 0.1, "{early} then {late}");
        assert!((0.3..0.6).contains(&late), "{late} of requests are follow-ups");
    }
}
