//! Profiles: MetaInf's eight combinations by name, and draws of continuous knobs.

use gearshift_config::{Knobs, KvCacheDtype, Quantization, Speculative};

use super::{
    grid::{FactorMode, Grid, KnobRanges},
    site::{Served, Site, between, counts, engine, fits},
};
use crate::sim::default_step_tokens;

/// The profile with every technique off.
pub const ALL_OFF: &str = "all-off";
/// The profile that vLLM has by itself: caching, chunked prefill, wide batching.
pub const VLLM_DEFAULTS: &str = "vllm-defaults";
/// `max_num_seqs` of narrow and of wide batching.
const SEQUENCES: [u32; 2] = [8, 256];

/// One thing that can be chosen in a context.
#[derive(Debug, Clone)]
pub(super) struct Action {
    pub(super) name: String,
    pub(super) count: u32,
    pub(super) knobs: Knobs,
}

/// Names of MetaInf's combinations: caching, chunked prefill, wide batching.
const NAMES: [(&str, [bool; 3]); 8] = [
    (ALL_OFF, [false, false, false]),
    ("cache", [true, false, false]),
    ("chunk", [false, true, false]),
    ("wide", [false, false, true]),
    ("cache-chunk", [true, true, false]),
    ("cache-wide", [true, false, true]),
    ("chunk-wide", [false, true, true]),
    (VLLM_DEFAULTS, [true, true, true]),
];

/// MetaInf's eight combinations on `count` accelerators. Chunked prefill has the budget that vLLM has on this hardware;
/// without it the budget takes whole prompts.
pub(super) fn named(grid: &Grid, site: &Site, count: u32, model: &Served) -> Vec<Action> {
    let action = |(name, [cache, chunk, wide]): (&str, [bool; 3])| {
        let knobs = Knobs {
            prefix_caching: Some(cache),
            chunked_prefill: Some(chunk),
            max_num_seqs: Some(SEQUENCES[usize::from(wide)]),
            max_model_len: Some(grid.context_tokens),
            ..Knobs::default()
        };
        let default = default_step_tokens(&engine(site, count, model, &knobs, FactorMode::Default));
        let budget = if chunk { default } else { grid.context_tokens };
        Action {
            name: name.to_owned(),
            count,
            knobs: Knobs { max_num_batched_tokens: Some(budget), ..knobs },
        }
    };
    NAMES.map(action).into()
}

/// Draws that fill a box evenly: every dimension is cut into as many parts as there are points, and each part has one.
pub(super) fn latin_hypercube<const D: usize>(points: usize, rng: &mut fastrand::Rng) -> Vec<[f64; D]> {
    let mut drawn = vec![[0.0; D]; points];
    for dimension in 0..D {
        let mut parts: Vec<usize> = (0..points).collect();
        rng.shuffle(&mut parts);
        for (point, part) in drawn.iter_mut().zip(parts) {
            point[dimension] = (part as f64 + rng.f64()) / points as f64;
        }
    }
    drawn
}

/// Numbers of one drawn action.
pub(super) type Draw = [f64; 8];

/// A drawn action; nothing where no engine of the site can be it.
pub(super) fn drawn(grid: &Grid, site: &Site, model: &Served, draw: &Draw) -> Option<Action> {
    let [budget, sequences, caching, speculating, drafts, kv, quantized, layout] = *draw;
    let ranges = &grid.knobs;
    let speculative = speculation(ranges, model, speculating, drafts);
    let budget = power_of_two(between(ranges.step_tokens.map(f64::from), budget));
    let sequences = whole(between(ranges.sequences.map(f64::from), sequences)).min(budget / 8).max(1);
    let knobs = Knobs {
        prefix_caching: Some(caching < ranges.share_caching),
        chunked_prefill: Some(true),
        max_num_batched_tokens: Some(budget),
        max_num_seqs: Some(sequences),
        max_model_len: Some(grid.context_tokens),
        speculative,
        kv_cache_dtype: (kv < ranges.share_small_kv).then_some(KvCacheDtype::Fp8),
        // Models that are published in fewer bits stay as they are.
        quantization: (quantized < ranges.share_quantized && model.facts.weight_bytes > 1.5)
            .then_some(Quantization::Fp8),
        ..Knobs::default()
    };
    let possible: Vec<(u32, Knobs)> = layouts(site, model)
        .map(|(count, layout)| (count, knobs.or(&layout)))
        .filter(|(count, knobs)| fits(&engine(site, *count, model, knobs, FactorMode::Default)))
        .collect();
    let at = usize::try_from(whole(layout * possible.len() as f64)).unwrap_or_default();
    let (count, knobs) = possible.get(at.min(possible.len().checked_sub(1)?))?.clone();
    Some(Action { name: name(count, &knobs), count, knobs })
}

fn speculation(ranges: &KnobRanges, model: &Served, speculating: f64, drafts: f64) -> Option<Speculative> {
    let share = speculating / ranges.share_speculating;
    if share >= 1.0 {
        return None;
    }
    let drafts = 1 + whole(drafts * f64::from(ranges.draft_tokens)).min(ranges.draft_tokens - 1);
    // A third of them looks drafts up, where the model has heads of its own.
    let method = model.drafter.as_deref().filter(|_| share > 1.0 / 3.0).unwrap_or("ngram");
    Some(Speculative { method: method.to_owned(), num_speculative_tokens: drafts, model: None })
}

/// Ways to lay a model over 1 to `most` accelerators: tensor parallel, data parallel, half and half; experts whole or cut.
fn layouts(site: &Site, model: &Served) -> impl Iterator<Item = (u32, Knobs)> {
    let sparse = model.facts.experts.is_some();
    counts(site).flat_map(move |count| {
        let ways = [(count, 1), (1, count), (count / 2, 2)];
        let distinct = ways.into_iter().take(if count > 2 { 3 } else { usize::try_from(count).unwrap_or(1) });
        distinct.flat_map(move |(tensor, data)| {
            let experts: &[bool] = if sparse && count > 1 { &[false, true] } else { &[false] };
            experts.iter().map(move |&expert| {
                let layout = Knobs {
                    tensor_parallel: Some(tensor),
                    data_parallel: Some(data),
                    expert_parallel: Some(expert),
                    ..Knobs::default()
                };
                (count, layout)
            })
        })
    })
}

fn name(count: u32, knobs: &Knobs) -> String {
    let flag = |on: bool, name: &str| if on { format!("-{name}") } else { String::new() };
    let number = |value: Option<u32>| value.unwrap_or(1);
    let drafts = knobs.speculative.as_ref();
    let drafts = drafts.map_or_else(String::new, |s| format!("-{}{}", s.method, s.num_speculative_tokens));
    format!(
        "x{count}-tp{}-dp{}{}-b{}-s{}{}{}{}{drafts}",
        number(knobs.tensor_parallel),
        number(knobs.data_parallel),
        flag(knobs.expert_parallel == Some(true), "ep"),
        number(knobs.max_num_batched_tokens),
        number(knobs.max_num_seqs),
        flag(knobs.prefix_caching == Some(true), "cache"),
        flag(knobs.kv_cache_dtype == Some(KvCacheDtype::Fp8), "kv8"),
        flag(knobs.quantization == Some(Quantization::Fp8), "fp8"),
    )
}

/// The nearest power of two.
fn power_of_two(value: f64) -> u32 {
    1 << whole(value.log2().round())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float casts saturate; all are small"
)]
pub(super) fn whole(value: f64) -> u32 {
    value as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latin_hypercube_has_one_point_in_every_part() {
        let points = latin_hypercube::<3>(7, &mut fastrand::Rng::with_seed(1));
        for dimension in 0..3 {
            let mut parts: Vec<u32> = points.iter().map(|point| whole(point[dimension] * 7.0)).collect();
            parts.sort_unstable();
            assert_eq!(parts, [0, 1, 2, 3, 4, 5, 6]);
        }
    }

    #[test]
    fn every_combination_is_there_once_and_the_anchors_are_what_they_say() {
        let grid = Grid::load(None).unwrap();
        let sites = super::super::site::sites(&grid, false);
        let models = super::super::site::models(&grid);
        for site in &sites {
            let actions = named(&grid, site, 1, &models[0]);
            let knobs = |name| &actions.iter().find(|action| action.name == name).unwrap().knobs;
            assert_eq!(actions.len(), 8);
            let off = knobs(ALL_OFF);
            assert_eq!((off.prefix_caching, off.chunked_prefill), (Some(false), Some(false)));
            assert_eq!((off.max_num_seqs, off.max_num_batched_tokens), (Some(8), Some(grid.context_tokens)));
            let defaults = knobs(VLLM_DEFAULTS);
            assert_eq!((defaults.prefix_caching, defaults.chunked_prefill), (Some(true), Some(true)));
            assert_eq!(defaults.max_num_seqs, Some(256));
        }
    }
}
