//! What is swept: a file, with its reasons in it.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::{Error, workload::Class};

const SHIPPED: &str = include_str!("../../data/sweep.json");

/// The grid. Every draw is by its seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// Seed of all draws.
    pub seed: u64,
    /// Most tokens of a prompt with its answer: every engine's `max_model_len`.
    pub context_tokens: u32,
    /// Accelerators of the catalog.
    pub hardware: BTreeMap<String, HardwareLimits>,
    /// Models of the catalog.
    pub models: BTreeMap<String, ModelOptions>,
    /// Workloads, each of one class.
    pub workloads: Vec<Class>,
    /// Requests in flight in contexts of named profiles.
    pub concurrencies: Vec<u32>,
    /// How a closed loop is run.
    pub window: WindowShape,
    /// Ranges of continuous knobs.
    pub knobs: KnobRanges,
    /// How open loops are run.
    pub requests: RequestShape,
    /// Hardware that does not exist.
    pub synthetic: Synthetic,
    /// Collections, by name.
    pub datasets: BTreeMap<String, Collection>,
}

/// Which engines a kind of hardware is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HardwareLimits {
    /// Accelerators of one engine.
    pub most: u32,
    /// Active parameters of a model, billions; any where absent.
    #[serde(default)]
    pub largest_active_b: Option<f64>,
}

/// What can be done with a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelOptions {
    /// Method of speculation by heads that were trained for it.
    #[serde(default)]
    pub drafter: Option<String>,
}

/// A closed loop's lengths, in requests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowShape {
    /// Not counted, for each place in flight.
    pub warm_up_per_place: usize,
    /// Not counted at least.
    pub warm_up_least: usize,
    /// Counted, for each place.
    pub counted_per_place: usize,
    /// Counted at least.
    pub counted_least: usize,
}

/// Ranges that knobs are drawn from, by their logarithm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnobRanges {
    /// `max_num_batched_tokens`.
    pub step_tokens: [u32; 2],
    /// `max_num_seqs`.
    pub sequences: [u32; 2],
    /// Requests in flight.
    pub concurrency: [u32; 2],
    /// Most draft tokens of speculation.
    pub draft_tokens: u32,
    /// Share of actions with prefix caching.
    pub share_caching: f64,
    /// With speculation.
    pub share_speculating: f64,
    /// With an 8-bit KV cache.
    pub share_small_kv: f64,
    /// With 8-bit weights.
    pub share_quantized: f64,
    /// Drawn actions of a context, beside the two named ones.
    pub actions: usize,
}

/// How open loops are run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestShape {
    /// Requests of a run.
    pub requests: u64,
    /// The first of them, as a share, of which there are no rows.
    pub warm_up: f64,
    /// Range of the load, as a share of capacity.
    pub loads: [f64; 2],
    /// Share of runs with several engines.
    pub fleet_share: f64,
    /// How many these have.
    pub fleet_engines: usize,
}

/// Ranges of hardware that does not exist, drawn by the logarithm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Synthetic {
    /// How many kinds.
    pub kinds: usize,
    /// TFLOP/s.
    pub bf16_tflops: [f64; 2],
    /// Arithmetic against bandwidth.
    pub flops_per_byte: [f64; 2],
    /// GiB.
    pub memory_gib: [f64; 2],
    /// GB/s.
    pub interconnect_gb_per_s: [f64; 2],
}

/// Which factors the simulated engines have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactorMode {
    /// Those fitted to measurements of each GPU.
    Fitted,
    /// The round figures that a fit starts from: nothing measured.
    Default,
}

/// How much goes into one collection.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collection {
    /// The engines' factors.
    pub factors: FactorMode,
    /// Every so many-th context of named profiles.
    pub one_in: usize,
    /// Contexts of continuous knobs.
    pub knob_contexts: usize,
    /// Open loops.
    pub runs: usize,
    /// Rows of each.
    pub rows_per_run: usize,
    /// Whether hardware that does not exist is among it.
    pub synthetic: bool,
}

impl Grid {
    /// The grid that ships, or the one in a file.
    ///
    /// # Errors
    /// Where the file cannot be read or is no grid.
    pub fn load(path: Option<&Path>) -> Result<Self, Error> {
        Ok(match path {
            None => serde_json::from_str(SHIPPED)?,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(Error::file(path))?;
                serde_json::from_str(&text)?
            }
        })
    }

    /// Names this very grid: what is kept of an earlier run belongs to it or not.
    pub fn key(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        format!("{:016x}", xxh3_64(&text))
    }

    /// A seed for one draw: the same whatever else is drawn.
    pub fn seed_of(&self, what: &str) -> u64 {
        xxh3_64(format!("{} {what}", self.seed).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use gearshift_config::Catalog;

    use super::*;

    #[test]
    fn the_shipped_grid_names_what_the_catalog_has() {
        let grid = Grid::load(None).unwrap();
        assert!(grid.hardware.keys().all(|name| Catalog::shipped().hardware(name).is_some()));
        assert!(grid.models.keys().all(|name| Catalog::shipped().model(name).is_some()));
        assert!(grid.hardware.len() >= 8 && grid.models.len() >= 8 && grid.knobs.actions >= 6);
        assert_ne!(grid.key(), Grid { seed: 5, ..grid }.key());
    }
}
