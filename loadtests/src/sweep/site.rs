//! Where engines stand: hardware of the catalog, and hardware that does not exist.

use std::sync::Arc;

use gearshift_config::{Catalog, HardwareFacts, Knobs, ModelFacts};

use super::grid::{FactorMode, Grid, HardwareLimits, Synthetic};
use crate::{
    scenario::{block_tokens, times},
    sim::{EngineSpec, Factors, Scheduling, StepModel},
};

/// A kind of hardware.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) name: String,
    pub(super) facts: Arc<HardwareFacts>,
    pub(super) limits: HardwareLimits,
}

/// A model of the grid.
#[derive(Debug, Clone)]
pub(super) struct Served {
    pub(super) name: String,
    pub(super) facts: Arc<ModelFacts>,
    pub(super) drafter: Option<String>,
}

/// Kinds of hardware of a collection.
pub(super) fn sites(grid: &Grid, synthetic: bool) -> Vec<Site> {
    let known = |(name, limits): (&String, &HardwareLimits)| {
        let facts = Arc::clone(Catalog::shipped().hardware(name)?);
        Some(Site { name: name.clone(), facts, limits: *limits })
    };
    let mut sites: Vec<Site> = grid.hardware.iter().filter_map(known).collect();
    if synthetic {
        let mut rng = fastrand::Rng::with_seed(grid.seed_of("synthetic"));
        sites.extend((0..grid.synthetic.kinds).map(|number| imagined(number, &grid.synthetic, &mut rng)));
    }
    sites
}

/// Models of the grid.
pub(super) fn models(grid: &Grid) -> Vec<Served> {
    let known = |(name, options): (&String, &super::grid::ModelOptions)| {
        let facts = Arc::clone(Catalog::shipped().model(name)?);
        Some(Served { name: name.clone(), facts, drafter: options.drafter.clone() })
    };
    grid.models.iter().filter_map(known).collect()
}

/// By the logarithm between the ends of a range.
pub(super) fn between([low, high]: [f64; 2], along: f64) -> f64 {
    (low.ln() + along * (high.ln() - low.ln())).exp()
}

/// Hardware with drawn numbers. Half of the kinds have an 8-bit unit of twice the rate, half of those a 4-bit one.
fn imagined(number: usize, ranges: &Synthetic, rng: &mut fastrand::Rng) -> Site {
    let mut draw = |range| rounded(between(range, rng.f64()));
    let bf16_tflops = draw(ranges.bf16_tflops);
    let memory_gb_per_s = rounded(bf16_tflops * 1e3 / draw(ranges.flops_per_byte));
    let (memory_gib, interconnect_gb_per_s) = (draw(ranges.memory_gib), draw(ranges.interconnect_gb_per_s));
    let fp8_tflops = number.is_multiple_of(2).then_some(2.0 * bf16_tflops);
    let fp4_tflops = number.is_multiple_of(4).then_some(4.0 * bf16_tflops);
    // Watts and dollars as the catalog's data-centre parts have them, by arithmetic.
    let tdp_w = rounded(60.0 * bf16_tflops.powf(0.38));
    let facts = HardwareFacts {
        description: "An accelerator that does not exist, for learning how numbers matter.".to_owned(),
        vendor: "none".to_owned(),
        architecture: "imagined".to_owned(),
        bf16_tflops,
        fp8_tflops,
        fp4_tflops,
        memory_gb_per_s,
        memory_gib,
        interconnect_gb_per_s,
        price_usd_per_hour: rounded(0.02 * bf16_tflops.powf(0.75)),
        tdp_w,
        idle_w: rounded(0.18 * tdp_w),
    };
    let limits = HardwareLimits { most: 8, largest_active_b: None };
    Site { name: format!("imagined-{number:02}"), facts: Arc::new(facts), limits }
}

/// To three digits: numbers as data sheets have them.
fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

/// An engine with these knobs; what has to be known of its hardware comes from the site.
pub(super) fn engine(
    site: &Site,
    count: u32,
    model: &Served,
    knobs: &Knobs,
    factors: FactorMode,
) -> EngineSpec {
    EngineSpec {
        name: "engine".to_owned(),
        hardware_id: site.name.clone(),
        block_tokens: block_tokens(&site.facts),
        hardware: Arc::clone(&site.facts),
        count,
        model_name: model.name.clone(),
        model: Arc::clone(&model.facts),
        knobs: knobs.clone(),
        draft: None,
        scheduling: Scheduling::Fcfs,
        max_queued: None,
        blocks: None,
        times: times(),
        factors: match factors {
            FactorMode::Fitted => None,
            FactorMode::Default => Some(Arc::new(Factors::default())),
        },
    }
}

/// Whether the engine holds its weights and one request of full length.
pub(super) fn fits(spec: &EngineSpec) -> bool {
    let tokens = spec.knobs.max_model_len.unwrap_or(spec.model.context);
    StepModel::new(spec).kv_tokens() >= u64::from(tokens) + u64::from(2 * spec.block_tokens)
}

/// Powers of two up to what the hardware is taken for.
pub(super) fn counts(site: &Site) -> impl Iterator<Item = u32> + Clone {
    let most = site.limits.most;
    (0..4).map(|power| 1 << power).filter(move |count| *count <= most)
}

/// The fewest accelerators that serve a model as published; nothing where none do.
pub(super) fn least_count(grid: &Grid, site: &Site, model: &Served) -> Option<u32> {
    if site.limits.largest_active_b.is_some_and(|most| model.facts.active_parameters_b > most) {
        return None;
    }
    let knobs = Knobs { max_model_len: Some(grid.context_tokens), ..Knobs::default() };
    counts(site).find(|&count| fits(&engine(site, count, model, &knobs, FactorMode::Default)))
}
