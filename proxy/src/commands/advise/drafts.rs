//! Ways to draft for speculative decoding.

use gearshift_config::{Knobs, Speculative};
use gearshift_selector::controller::speculates_unmodelled;

/// Draft tokens a step with which the search for their best number begins.
const DRAFTS: u32 = 3;

/// A method of vLLM's `--speculative-config`, with the model that drafts where there is one: `ngram`, `eagle3=MODEL`.
pub(super) fn way(text: &str) -> Result<Speculative, String> {
    let (method, model) = match text.split_once('=') {
        Some((method, model)) => (method, Some(model)),
        None => (text, None),
    };
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if method.is_empty() || !method.chars().all(is_word) || model.is_some_and(str::is_empty) {
        return Err(format!("{text:?} is not METHOD or METHOD=MODEL, such as ngram or eagle3=path/to/heads"));
    }
    if model.is_none() && (method.starts_with("eagle") || method == "draft_model") {
        return Err(format!("{method} drafts by a model of its own: {method}=MODEL"));
    }
    let model = model.map(str::to_owned);
    Ok(Speculative { method: method.to_owned(), num_speculative_tokens: DRAFTS, model })
}

/// What is to be said of ways whose gain nobody predicts.
pub(super) fn caveat(asked: &[Speculative], learned: bool) -> Option<String> {
    let with = |way: &&Speculative| {
        let knobs = Knobs { speculative: Some((*way).clone()), ..Knobs::default() };
        speculates_unmodelled(&knobs)
    };
    let methods: Vec<_> = asked.iter().filter(with).map(|way| way.method.as_str()).collect();
    let counted = if learned { "only the bundle has a say" } else { "it is counted as nothing" };
    let methods = methods.join(", ");
    (!methods.is_empty())
        .then(|| format!("What {methods} gains depends on the text; {counted}. Measure it on yours."))
}
