//! The requests of a workload: the same for every profile and repeat.

use std::{collections::BTreeMap, ops::Range, path::Path};

use fastrand::Rng;
use serde_json::{Value, json};

use super::plan::{Prompts, Workload};
use crate::{Error, driver::Endpoint, vllm::ask_json};

/// A request: its prompt in token ids, and how long its answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) prompt: Vec<u32>,
    pub(super) output: u32,
}

/// A workload's requests on a model of this vocabulary. `texts` are the token ids of the texts that it is made of.
pub(super) fn requests(
    name: &str,
    workload: &Workload,
    vocabulary: &Range<u32>,
    seed: u64,
    texts: &[Vec<u32>],
) -> Vec<Request> {
    let mut random = Rng::with_seed(seed ^ xxhash_rust::xxh3::xxh3_64(name.as_bytes()));
    let mut source = Source { random: random.fork(), vocabulary: vocabulary.clone() };
    let prompts: Vec<Vec<u32>> = match workload.prompt {
        Prompts::Shared { prefixes, prefix_tokens, tokens } => {
            let prefixes: Vec<_> = (0..prefixes.max(1)).map(|_| source.tokens(prefix_tokens)).collect();
            let choose = |_| [random.choice(&prefixes).cloned().unwrap_or_default(), source.between(tokens)];
            (0..workload.requests).map(choose).map(|parts| parts.concat()).collect()
        }
        Prompts::Unique { tokens } => (0..workload.requests).map(|_| source.by_logarithm(tokens)).collect(),
        Prompts::Chat { system_tokens, sessions, turns, question, reply } => {
            let chat = Chat { system: source.tokens(system_tokens), turns, question, reply };
            chat.prompts(workload.requests, sessions, &mut source)
        }
        Prompts::Texts { .. } => texts.iter().cycle().take(workload.requests as usize).cloned().collect(),
    };
    let (from, to) = workload.output;
    prompts.into_iter().map(|prompt| Request { prompt, output: random.u32(from..=to) }).collect()
}

/// Draws tokens.
struct Source {
    random: Rng,
    vocabulary: Range<u32>,
}

impl Source {
    fn tokens(&mut self, count: u32) -> Vec<u32> {
        (0..count).map(|_| self.random.u32(self.vocabulary.clone())).collect()
    }

    fn between(&mut self, (from, to): (u32, u32)) -> Vec<u32> {
        let count = self.random.u32(from..=to.max(from));
        self.tokens(count)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between two token counts")]
    fn by_logarithm(&mut self, (from, to): (u32, u32)) -> Vec<u32> {
        let (from, to) = (f64::from(from.max(1)), f64::from(to.max(from).max(1)));
        let count = from * (to / from).powf(self.random.f64());
        self.tokens(count.round() as u32)
    }
}

struct Chat {
    system: Vec<u32>,
    turns: u32,
    question: (u32, u32),
    reply: (u32, u32),
}

impl Chat {
    /// Turn by turn, the conversations in rotation.
    fn prompts(&self, requests: u32, sessions: u32, source: &mut Source) -> Vec<Vec<u32>> {
        let mut conversations = vec![self.system.clone(); sessions.max(1) as usize];
        let mut prompts = Vec::new();
        for request in 0..requests {
            let turn = request / sessions.max(1) % self.turns.max(1);
            let conversation = &mut conversations[(request % sessions.max(1)) as usize];
            if turn == 0 {
                conversation.clone_from(&self.system);
            }
            conversation.extend(source.between(self.question));
            prompts.push(conversation.clone());
            conversation.extend(source.between(self.reply));
        }
        prompts
    }
}

/// Texts by list, as they lie in a file.
pub(super) fn texts(file: &Path) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let text = std::fs::read_to_string(file).map_err(Error::file(file))?;
    Ok(serde_json::from_str(&text)?)
}

/// The numbered texts of a workload, in token ids of the engine's model; none where it has no texts.
pub(super) async fn tokenized(
    endpoint: &Endpoint,
    model: &str,
    workload: &Workload,
) -> Result<Vec<Vec<u32>>, Error> {
    let Prompts::Texts { file, list } = &workload.prompt else { return Ok(Vec::new()) };
    let lists = texts(file)?;
    let missing = || Error::Failed(format!("{} has no texts {list}", file.display()));
    let texts = lists.get(list).filter(|texts| !texts.is_empty()).ok_or_else(missing)?;
    let mut tokenized = Vec::new();
    for (number, text) in (1..=workload.requests).zip(texts.iter().cycle()) {
        tokenized.push(tokens(endpoint, model, &format!("# {number}\n\n{text}")).await?);
    }
    Ok(tokenized)
}

/// A text in token ids of the engine's model.
pub(super) async fn tokens(endpoint: &Endpoint, model: &str, text: &str) -> Result<Vec<u32>, Error> {
    let body = json!({"model": model, "prompt": text, "add_special_tokens": false});
    let answer = ask_json(endpoint, "/tokenize", &body).await?;
    let ids = answer["tokens"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(ids.iter().filter_map(Value::as_u64).filter_map(|id| u32::try_from(id).ok()).collect())
}

/// What a router that remembers all prompts predicts to be in the cache: for each request the longest beginning that an
/// earlier one had, in whole blocks, less than all of it.
pub(super) fn predicted_cached(requests: &[Request], block_tokens: u32) -> Vec<usize> {
    let block = block_tokens.max(1) as usize;
    let common = |one: &[u32], other: &[u32]| one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let longest = |index: usize| {
        let prompt = &requests[index].prompt;
        let earlier = requests[..index].iter().map(|other| common(prompt, &other.prompt)).max();
        earlier.unwrap_or(0).min(prompt.len().saturating_sub(1)) / block * block
    };
    (0..requests.len()).map(longest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(prompt: Prompts) -> Workload {
        Workload { description: String::new(), prompt, output: (4, 8), requests: 12, concurrency: vec![4] }
    }

    fn made(prompt: Prompts) -> Vec<Request> {
        requests("w", &workload(prompt), &(100..900), 7, &[])
    }

    #[test]
    fn the_same_seed_gives_the_same_requests_within_the_vocabulary() {
        let unique = || made(Prompts::Unique { tokens: (10, 80) });
        assert_eq!(unique(), unique());
        for request in unique() {
            assert!((10..=80).contains(&request.prompt.len()) && (4..=8).contains(&request.output));
            assert!(request.prompt.iter().all(|token| (100..900).contains(token)));
        }
        assert_eq!(predicted_cached(&unique(), 8), [0; 12]);
    }

    #[test]
    fn shared_prefixes_are_predicted_in_whole_blocks() {
        let requests = made(Prompts::Shared { prefixes: 1, prefix_tokens: 50, tokens: (5, 9) });
        assert_eq!(predicted_cached(&requests, 16), [&[0_usize][..], &[48; 11]].concat());
    }

    #[test]
    fn a_conversation_goes_on_and_begins_anew() {
        let chat =
            Prompts::Chat { system_tokens: 20, sessions: 2, turns: 3, question: (5, 5), reply: (7, 7) };
        let requests = made(chat);
        let lengths: Vec<usize> = requests.iter().map(|request| request.prompt.len()).collect();
        assert_eq!(lengths, [25, 25, 37, 37, 49, 49, 25, 25, 37, 37, 49, 49]);
        assert_eq!(requests[2].prompt[..25], requests[0].prompt[..]);
        assert_eq!(requests[6].prompt[..20], requests[0].prompt[..20]);
        assert_ne!(requests[6].prompt[20..], requests[0].prompt[20..]);
    }
}
