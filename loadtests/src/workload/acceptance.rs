//! How many of the tokens that speculation drafts are accepted, by method and kind of text: measured, not assumed.

use std::{collections::BTreeMap, sync::LazyLock};

use gearshift_config::Speculative;
use serde::Deserialize;

use super::Class;

/// Where each figure is from stands in the file.
const SHIPPED: &str = include_str!("../../data/acceptance.json");

/// The probability that a draft token is accepted, given that those before it were, by kind of text: under one way of
/// speculation, with a draft in every step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Acceptance([f64; Class::ALL.len()]);

impl Acceptance {
    /// Nothing is drafted, or nothing of it is accepted.
    pub const NONE: Self = Self([0.0; Class::ALL.len()]);

    /// Of what the table that ships with Gearshift says of a method; [`Self::NONE`] without speculation.
    ///
    /// Methods that look drafts up in the text so far are one, all others have a model or heads that draft.
    pub fn of(speculative: Option<&Speculative>) -> Self {
        // That the file is sound is held by a test.
        static TABLE: LazyLock<Option<Measured>> = LazyLock::new(|| serde_json::from_str(SHIPPED).ok());
        match (speculative, TABLE.as_ref()) {
            (Some(speculative), Some(table)) => table.acceptance(speculative),
            _ => Self::NONE,
        }
    }

    /// In text of one kind.
    pub fn in_text(&self, class: Class) -> f64 {
        self.0[class as usize]
    }

    /// In text of whatever kind: the mean over the kinds.
    pub fn in_any_text(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }
}

/// The probability per draft token with which drafts of `draft_tokens` in every step give `tokens_per_step` in the mean,
/// those drafted and the one that each step gives anyway.
pub fn acceptance_of(tokens_per_step: f64, draft_tokens: u32) -> f64 {
    let expected = |p: f64| (0..=draft_tokens).map(|position| p.powf(f64::from(position))).sum::<f64>();
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if expected(middle) < tokens_per_step { low = middle } else { high = middle }
    }
    low
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Measured {
    lookup: Lookup,
    drafter: Drafter,
}

/// Drafts looked up in the text so far.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lookup {
    #[serde(rename = "source")]
    _source: String,
    methods: Vec<String>,
    draft_tokens: u32,
    tokens_per_step: BTreeMap<Class, f64>,
}

/// Drafts by heads or a smaller model.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Drafter {
    #[serde(rename = "source")]
    _source: String,
    lengths: Vec<Length>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Length {
    draft_tokens: u32,
    /// Least and most of what was measured.
    tokens_per_step: [f64; 2],
}

impl Measured {
    fn acceptance(&self, speculative: &Speculative) -> Acceptance {
        let Self { lookup, drafter } = self;
        if lookup.methods.contains(&speculative.method) {
            return Acceptance(Class::ALL.map(|class| {
                let tokens = lookup.tokens_per_step.get(&class).copied().unwrap_or(1.0);
                acceptance_of(tokens, lookup.draft_tokens)
            }));
        }
        // The length measured that is nearest stands for the others: acceptance per token changes little with it.
        let off = |length: &&Length| length.draft_tokens.abs_diff(speculative.num_speculative_tokens);
        let nearest = drafter.lengths.iter().min_by_key(off);
        let acceptance = nearest.map_or(0.0, |length| {
            let [least, most] = length.tokens_per_step;
            acceptance_of(f64::midpoint(least, most), length.draft_tokens)
        });
        Acceptance([acceptance; Class::ALL.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::cpu::outcome::Measurement;

    fn speculative(method: &str, num_speculative_tokens: u32) -> Speculative {
        Speculative { method: method.to_owned(), num_speculative_tokens, model: None }
    }

    #[test]
    fn lookup_is_as_real_vllm_counted_it() {
        let counted = Measurement::shipped().unwrap().speculation.unwrap();
        let table = Acceptance::of(Some(&speculative("ngram", counted.tokens)));
        for (class, drafted) in counted.kinds {
            let (found, counted) = (table.in_text(class), drafted.acceptance(counted.tokens));
            assert!((found - counted).abs() < 2e-3, "{class:?}: {found} of {counted}");
        }
        assert!(table.in_any_text() > table.in_text(Class::Chat));
        assert!(table.in_any_text() < table.in_text(Class::Agent));
    }

    #[test]
    fn heads_give_the_lengths_measured_on_code() {
        for (drafts, least, most) in [(1, 1.6, 1.8), (3, 2.2, 2.8)] {
            let p = Acceptance::of(Some(&speculative("eagle3", drafts))).in_text(Class::Code);
            let length: f64 = (0..=drafts).map(|position| p.powf(f64::from(position))).sum();
            assert!((least..most).contains(&length), "{drafts} drafts: {length}");
        }
    }

    #[test]
    fn nothing_is_accepted_without_speculation() {
        assert_eq!(Acceptance::of(None), Acceptance::NONE);
        assert!(acceptance_of(1.0, 3) < 1e-9 && acceptance_of(4.0, 3) > 0.999);
    }
}
