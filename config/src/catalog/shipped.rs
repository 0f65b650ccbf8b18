//! The catalog that ships: two data files, read once.

use std::{
    collections::HashMap,
    path,
    sync::{Arc, LazyLock},
};

use indexmap::IndexMap;
use serde::{Deserialize, de::DeserializeOwned};

use super::{HardwareFacts, ModelFacts};
use crate::{
    Errors, HardwareId, ModelId,
    raw::{RawHardware, RawModelNumbers},
    report,
    validate::{Check, Surroundings, hardware_facts, model_facts},
    yaml::{self, Path},
};

const HARDWARE: &str = include_str!("../../catalog/hardware.yaml");
const MODELS: &str = include_str!("../../catalog/models.yaml");

/// Known hardware and models, by name.
#[derive(Debug, Default)]
pub struct Catalog {
    hardware: IndexMap<HardwareId, Entry<HardwareFacts>>,
    models: IndexMap<ModelId, Entry<ModelFacts>>,
    /// Lower-case Hugging Face names to the model's id.
    hugging_face: HashMap<String, ModelId>,
    /// The same names as they are written, in the catalog's order.
    aliases: Vec<String>,
}

#[derive(Debug)]
struct Entry<T> {
    facts: Arc<T>,
    source: String,
}

/// A model of the catalog as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawCatalogModel {
    hugging_face: Vec<String>,
    source: String,
    numbers: RawModelNumbers,
}

impl Catalog {
    /// The catalog that ships with Gearshift.
    pub fn shipped() -> &'static Self {
        // That the files are sound is held by a test, so the fallback is never taken.
        static SHIPPED: LazyLock<Catalog> =
            LazyLock::new(|| Catalog::read(HARDWARE, MODELS).unwrap_or_default());
        &SHIPPED
    }

    fn read(hardware: &str, models: &str) -> Result<Self, Errors> {
        let hardware = entries("hardware.yaml", hardware, |check, at, name, raw: &RawHardware| Entry {
            facts: Arc::new(hardware_facts(check, at, name, raw, None)),
            source: raw.source.clone().unwrap_or_default(),
        })?;
        let (mut hugging_face, mut aliases) = (HashMap::new(), Vec::new());
        let models = entries("models.yaml", models, |check, at, name, raw: &RawCatalogModel| {
            for other in &raw.hugging_face {
                hugging_face.insert(other.to_lowercase(), ModelId::new(name));
                aliases.push(other.clone());
            }
            let facts = Arc::new(model_facts(check, &at.key("numbers"), name, &raw.numbers));
            Entry { facts, source: raw.source.clone() }
        })?;
        Ok(Self {
            hardware: hardware.into_iter().map(|(name, entry)| (HardwareId::new(name), entry)).collect(),
            models: models.into_iter().map(|(name, entry)| (ModelId::new(name), entry)).collect(),
            hugging_face,
            aliases,
        })
    }

    /// One accelerator of the kind `name`.
    pub fn hardware(&self, name: &str) -> Option<&Arc<HardwareFacts>> {
        self.hardware.get(name).map(|entry| &entry.facts)
    }

    /// The model `name`: an id of the catalog, or a name on Hugging Face in any case.
    pub fn model(&self, name: &str) -> Option<&Arc<ModelFacts>> {
        self.model_entry(name).map(|entry| &entry.facts)
    }

    /// Names of all hardware, in the catalog's order.
    pub fn hardware_names(&self) -> impl Iterator<Item = &str> {
        self.hardware.keys().map(HardwareId::as_str)
    }

    /// Ids of all models, in the catalog's order.
    pub fn model_names(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(ModelId::as_str)
    }

    /// All that a model may be called: ids, then names on Hugging Face.
    pub fn model_names_and_aliases(&self) -> impl Iterator<Item = &str> {
        self.model_names().chain(self.aliases.iter().map(String::as_str))
    }

    /// Where the numbers of hardware or of a model come from.
    pub fn source(&self, name: &str) -> Option<&str> {
        let hardware = self.hardware.get(name).map(|entry| &entry.source);
        hardware.or_else(|| self.model_entry(name).map(|entry| &entry.source)).map(String::as_str)
    }

    fn model_entry(&self, name: &str) -> Option<&Entry<ModelFacts>> {
        self.models.get(name).or_else(|| self.models.get(self.hugging_face.get(&name.to_lowercase())?))
    }
}

fn entries<R: DeserializeOwned, T>(
    file: &str,
    text: &str,
    mut entry: impl FnMut(&mut Check<'_>, &Path, &str, &R) -> T,
) -> Result<IndexMap<String, T>, Errors> {
    let (mut root, mut findings) = yaml::parse(text).map_err(|findings| report(file, findings))?;
    let decoded = yaml::decode::<IndexMap<String, R>>(&mut root, &mut findings);
    let nothing = |_: &str| None;
    let around = Surroundings { base_dir: path::Path::new(""), environment: &nothing };
    let mut check = Check::new(&root, &decoded.cut, around);
    let mut entries = IndexMap::new();
    for (name, raw) in decoded.value.unwrap_or_default() {
        let at = Path::default().key(&name);
        let value = entry(&mut check, &at, &name, &raw);
        entries.insert(name, value);
    }
    findings.extend(check.into_findings());
    if findings.is_empty() { Ok(entries) } else { Err(report(file, findings)) }
}

#[cfg(test)]
mod tests;
