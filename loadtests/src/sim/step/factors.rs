//! What keeps hardware from its datasheet: utilisation factors and fixed times, per kind of hardware.

use std::{collections::BTreeMap, sync::LazyLock};

use gearshift_config::HardwareFacts;
use serde::{Deserialize, Serialize};

const SHIPPED: &str = include_str!("../../../data/hardware_fit.json");

/// Utilisation factors and overheads of one kind of hardware. Shares are of the datasheet's peak.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Factors {
    /// Share of memory bandwidth at which dense layers stream their weights.
    pub gemm_memory: f64,
    /// Share of the 16-bit peak that large dense layers reach.
    pub gemm_compute_16: f64,
    /// The same of the 8-bit peak.
    pub gemm_compute_8: f64,
    /// The same of the 4-bit peak.
    pub gemm_compute_4: f64,
    /// What a dense layer takes however small, seconds.
    pub gemm_s: f64,
    /// Share of the 16-bit peak that attention of prompts reaches.
    pub attention_prefill: f64,
    /// Share of memory bandwidth at which attention of decoding sequences reads a 16-bit KV cache.
    pub attention_decode_16: f64,
    /// The same for an 8-bit KV cache.
    pub attention_decode_8: f64,
    /// What attention takes however small, seconds.
    pub attention_s: f64,
    /// Share of memory bandwidth at which experts stream their weights.
    pub experts_memory: f64,
    /// Share of the 16-bit peak that experts reach.
    pub experts_compute_16: f64,
    /// The same of the 8-bit peak.
    pub experts_compute_8: f64,
    /// The same of the 4-bit peak.
    pub experts_compute_4: f64,
    /// Share of the 16-bit peak that experts with 4-bit weights reach where weights are widened.
    pub experts_compute_widened: f64,
    /// What a layer's experts take however few (routing, sorting, combining), seconds.
    pub experts_s: f64,
    /// Independent draws that a routed token counts for: below 1 where tokens crowd on some experts.
    pub experts_spread: f64,
    /// Share of the link's bandwidth that collectives reach.
    pub link: f64,
    /// Latency of one collective, seconds.
    pub collective_s: f64,
    /// Time of norms, rotary embeddings and the gaps between kernels, per layer, seconds.
    pub layer_s: f64,
    /// Memory traffic of activations, in hidden states read or written per token and layer.
    pub layer_passes: f64,
    /// Scheduling, input preparation and sampling that a step does not hide, seconds.
    pub step_s: f64,
    /// The same per sequence in the step, seconds.
    pub sequence_s: f64,
    /// The same per prompt taken into the step, seconds.
    pub prompt_s: f64,
    /// Time from the client to the scheduler and of the first token back (HTTP, tokenization, processes), seconds. No
    /// step takes it, and others run meanwhile: whoever serves adds it to the time to first token.
    pub front_s: f64,
    /// Time of a draft by lookup (n-gram, suffix) per sequence, seconds.
    pub lookup_s: f64,
    /// Share of the way from idle power to the limit that busy arithmetic draws.
    pub power_compute: f64,
    /// The same of busy memory.
    pub power_memory: f64,
}

impl Factors {
    /// The same, with no share of a peak above 1: where a fit wants more, its count of bytes or operations is off, and other
    /// factors have to say so.
    #[must_use]
    pub fn within_datasheet(mut self) -> Self {
        let shares = [
            &mut self.gemm_memory,
            &mut self.gemm_compute_16,
            &mut self.gemm_compute_8,
            &mut self.gemm_compute_4,
            &mut self.attention_prefill,
            &mut self.attention_decode_16,
            &mut self.attention_decode_8,
            &mut self.experts_memory,
            &mut self.experts_compute_16,
            &mut self.experts_compute_8,
            &mut self.experts_compute_4,
            &mut self.experts_compute_widened,
            &mut self.experts_spread,
            &mut self.link,
        ];
        for share in shares {
            *share = share.min(1.0);
        }
        self
    }
}

/// Whether factors were measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactorSource {
    /// Fitted to measurements of this hardware.
    Fitted,
    /// Taken from other hardware: a stated default.
    Default,
}

/// Factors of one kind of hardware, and where they come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactorEntry {
    /// Measured or not.
    pub source: FactorSource,
    /// From what: package, version, engine, or which entries a default is the median of.
    pub provenance: String,
    /// Measured rows behind it, by kind of kernel.
    pub rows: BTreeMap<String, usize>,
    /// Median |relative error| on them after the fit, by kind of kernel.
    pub residual: BTreeMap<String, f64>,
    /// The factors.
    pub factors: Factors,
}

/// The table of factors: fitted hardware by its key, defaults by architecture, and one for all else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactorTable {
    /// What this is, for who opens the file.
    pub about: String,
    /// Fitted hardware, by the catalog's key.
    pub hardware: BTreeMap<String, FactorEntry>,
    /// Defaults by architecture.
    pub architectures: BTreeMap<String, FactorEntry>,
    /// The default for all else.
    pub otherwise: FactorEntry,
    /// What the fit says of hardware that it has seen nothing of, by that hardware: for validation only.
    #[serde(default)]
    pub held_out: BTreeMap<String, FactorEntry>,
}

impl FactorTable {
    /// The table that ships with Gearshift.
    pub fn shipped() -> &'static Self {
        static TABLE: LazyLock<FactorTable> = LazyLock::new(|| {
            // That the file is sound is held by a test, so the fallback is never taken.
            serde_json::from_str(SHIPPED).unwrap_or_else(|error| FactorTable::guess(&error.to_string()))
        });
        &TABLE
    }

    /// The entry for hardware: its own, its architecture's, or the default.
    pub fn entry(&self, hardware_id: &str, hardware: &HardwareFacts) -> &FactorEntry {
        self.hardware
            .get(hardware_id)
            .or_else(|| self.architectures.get(&hardware.architecture))
            .unwrap_or(&self.otherwise)
    }

    fn guess(why: &str) -> Self {
        let otherwise = FactorEntry {
            source: FactorSource::Default,
            provenance: why.to_owned(),
            rows: BTreeMap::new(),
            residual: BTreeMap::new(),
            factors: Factors::default(),
        };
        Self {
            about: String::new(),
            hardware: BTreeMap::new(),
            architectures: BTreeMap::new(),
            otherwise,
            held_out: BTreeMap::new(),
        }
    }
}

impl Default for Factors {
    /// Where a fit starts, and what it is drawn back to: round figures of the right size, not measurements.
    fn default() -> Self {
        Self {
            gemm_memory: 0.8,
            gemm_compute_16: 0.75,
            gemm_compute_8: 0.5,
            gemm_compute_4: 0.4,
            gemm_s: 4e-6,
            attention_prefill: 0.55,
            attention_decode_16: 0.8,
            attention_decode_8: 0.7,
            attention_s: 12e-6,
            experts_memory: 0.8,
            experts_compute_16: 0.45,
            experts_compute_8: 0.4,
            experts_compute_4: 0.45,
            experts_compute_widened: 0.3,
            experts_s: 30e-6,
            experts_spread: 0.9,
            link: 0.35,
            collective_s: 6e-6,
            layer_s: 15e-6,
            layer_passes: 12.0,
            step_s: 1.0e-3,
            sequence_s: 5e-6,
            prompt_s: 100e-6,
            front_s: 10e-3,
            lookup_s: 10e-6,
            power_compute: 0.9,
            power_memory: 0.4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_table_reads() {
        let table: FactorTable = serde_json::from_str(SHIPPED).unwrap();
        assert_eq!(&table, FactorTable::shipped());
        assert_eq!(table.otherwise.source, FactorSource::Default);
        assert!(table.architectures.values().all(|entry| entry.source == FactorSource::Default));
        assert!(table.hardware.values().all(|entry| entry.source == FactorSource::Fitted));
        let entries =
            table.hardware.values().chain(table.architectures.values()).chain(table.held_out.values());
        for FactorEntry { factors, .. } in entries {
            assert_eq!(*factors, factors.within_datasheet());
        }
    }
}
