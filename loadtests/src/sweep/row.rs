//! Rows: what is the same in all of them.

use gearshift_config::ModelFacts;
use gearshift_perfdb::{Facts, Grain, Load, Observation, Outcome, Source, Workload};
use gearshift_selector::{EngineKind, Situation, Software};
use std::sync::Arc;

use super::{
    profile::Action,
    site::{Served, Site},
};
use crate::workload::Class;

/// Digits of a value that are kept, bits after the first: what follows is chance, and does not compress.
const KEPT_BITS: u32 = 14;

/// What a row says beside its engine.
pub(super) struct Told {
    pub(super) grain: Grain,
    pub(super) dataset: Arc<str>,
    pub(super) provenance: Arc<str>,
    pub(super) context: String,
    pub(super) workload: Workload,
    pub(super) load: Load,
    pub(super) outcome: Outcome,
}

/// A row of a simulated engine.
pub(super) fn row(site: &Site, model: &Served, action: &Action, kv_tokens: u64, told: Told) -> Observation {
    Observation {
        source: Source::Simulated,
        grain: told.grain,
        dataset: told.dataset.to_string(),
        provenance: told.provenance.to_string(),
        context: told.context,
        action: action.name.clone(),
        repeat: 0,
        at_unix_s: None,
        facts: facts(site, model, action, Some(kv_tokens)),
        workload: told.workload,
        load: told.load,
        outcome: told.outcome,
        live: None,
    }
}

pub(super) fn facts(site: &Site, model: &Served, action: &Action, kv_tokens: Option<u64>) -> Facts {
    Facts {
        model: model.name.clone(),
        family: model.name.clone(),
        model_facts: ModelFacts::clone(&model.facts),
        hardware: site.name.clone(),
        hardware_facts: gearshift_config::HardwareFacts::clone(&site.facts),
        count: action.count,
        knobs: action.knobs.clone(),
        lossless: action.knobs.lossless(),
        software: Software { engine: EngineKind::Vllm, months: None },
        engine_version: Some("simulated 0.32".to_owned()),
        kv_tokens,
    }
}

/// A load, as a row has it.
pub(super) fn load(situation: &Situation, age_s: Option<f64>) -> Load {
    let load = &situation.load;
    Load {
        sequences: coarse(load.sequences),
        decoding: coarse(load.decoding),
        prefill_tokens: coarse(load.prefill_tokens),
        decode_tokens: coarse(load.decode_tokens),
        context_tokens: coarse(load.context_tokens),
        full_at: load.full_at.map(coarse),
        age_s: age_s.map(coarse),
    }
}

/// A value without what is chance.
pub(super) fn coarse(value: f64) -> f64 {
    let dropped = f64::MANTISSA_DIGITS - 1 - KEPT_BITS;
    let half = 1_u64 << (dropped - 1);
    let bits = value.to_bits().saturating_add(half) >> dropped << dropped;
    let rounded = f64::from_bits(bits);
    if rounded.is_finite() { rounded } else { value }
}

/// A class in a sentence, for people and the text encoder.
pub(super) fn description(class: Class) -> &'static str {
    match class {
        Class::Chat => "Conversations: turns build on the turns before them, answers of some hundred tokens.",
        Class::Rag => "Questions over retrieved passages that many prompts share; short answers.",
        Class::Agent => {
            "Tool-using agents: long shared instructions and a growing context, very short answers."
        }
        Class::Code => {
            "Code completion: prompts of one file that stay mostly the same, a line or two in answer."
        }
        Class::Summary => "Summaries of long documents, each another one; answers of a paragraph.",
        Class::Reasoning => "Short questions with long chains of thought.",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_coarse_value_is_near(value in 1e-9..1e9_f64) {
            prop_assert!((coarse(value) / value - 1.0).abs() < 5e-5);
            prop_assert_eq!(coarse(coarse(value)), coarse(value));
        }
    }

    #[test]
    fn whole_numbers_and_none_stay() {
        for value in [0.0, 1.0, 211.0, 8192.0, f64::INFINITY] {
            assert_eq!(coarse(value), value);
        }
    }
}
