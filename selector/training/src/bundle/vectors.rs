//! Vectors of descriptions.

use std::{collections::BTreeMap, path::Path};

use gearshift_config::Catalog;
use gearshift_selector::TextEncoder;
use serde::{Deserialize, Serialize};

use crate::{Error, dataset::Dataset};

/// Texts and their vectors; `vectors.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Vectors {
    /// Numbers of a vector; 0 where there are none.
    pub width: usize,
    /// Vectors by text.
    pub vectors: BTreeMap<String, Vec<f32>>,
}

impl Vectors {
    /// Vectors of all descriptions of the catalog and of samples.
    ///
    /// # Errors
    /// Where the encoder fails.
    pub fn new(encoder: &mut TextEncoder, catalog: &Catalog, datasets: &[&Dataset]) -> Result<Self, Error> {
        let mut known = Self { width: encoder.width(), vectors: BTreeMap::new() };
        let hardware = catalog.hardware_names().filter_map(|name| catalog.hardware(name));
        let models = catalog.model_names().filter_map(|name| catalog.model(name));
        let of_catalog =
            hardware.map(|facts| &facts.description).chain(models.map(|facts| &facts.description));
        let of_samples = datasets.iter().flat_map(|dataset| &dataset.samples).flat_map(|sample| {
            let facts = &sample.row.facts;
            [
                &facts.model_facts.description,
                &facts.hardware_facts.description,
                &sample.row.workload.description,
            ]
        });
        for text in of_catalog.chain(of_samples).filter(|text| !text.is_empty()) {
            if !known.vectors.contains_key(text) {
                let vector = encoder.encode(text).map_err(|error| Error::Failed(error.to_string()))?;
                known.vectors.insert(text.clone(), vector.into_iter().map(rounded).collect());
            }
        }
        Ok(known)
    }

    /// Reads `vectors.json` of a bundle.
    ///
    /// # Errors
    /// Where the file cannot be read or holds something else.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read(path).map_err(Error::file(path))?;
        serde_json::from_slice(&text).map_err(|error| Error::Failed(format!("{}: {error}", path.display())))
    }
}

/// To four decimals: written out, a vector is a third of its size, and the network cannot tell.
fn rounded(value: f32) -> f32 {
    (value * 1e4).round() / 1e4
}
