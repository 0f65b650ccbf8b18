//! Models: their numbers, their aliases, and who may be meant by a name.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{Check, catalog::model_facts, files::read_text};
use crate::{Catalog, Model, ModelFacts, ModelId, raw::RawModel, suggest::suggest, yaml::Path};

/// The largest `config.json` read; published ones have a few kilobytes.
const MAX_CONFIG_JSON: u64 = 4 << 20;

/// The models that the file declares.
pub(super) fn declared(
    check: &mut Check<'_>,
    at: &Path,
    raw: &IndexMap<String, RawModel>,
    catalog: &Catalog,
) -> Vec<Model> {
    let mut models: Vec<Model> = Vec::with_capacity(raw.len());
    let mut aliases: IndexMap<&str, usize> = IndexMap::new();
    for (name, model) in raw {
        let at = at.key(name);
        check.name(&at, name);
        if name == "detect" {
            let fix = "name it otherwise".to_owned();
            check.wrong_key(&at, "`detect` means that the engine is asked", fix);
        }
        for (index, alias) in model.aliases.iter().enumerate() {
            let at = at.key("aliases").index(index);
            check.name(&at, alias);
            if raw.contains_key(alias) {
                let what = format!("{alias:?} is a model of its own");
                check.wrong(&at, what, "take another alias, or remove that model".to_owned());
            } else if let Some(line) = aliases.get(alias.as_str()) {
                let what = format!("{alias:?} is an alias already, on line {line}");
                check.wrong(&at, what, "keep one".to_owned());
            } else {
                aliases.insert(alias, check.line(&at));
            }
        }
        if let Some(served) = &model.served_name {
            check.name(&at.key("served_name"), served);
        }
        models.push(Model {
            id: ModelId::new(name.as_str()),
            aliases: model.aliases.clone(),
            served_name: model.served_name.clone().unwrap_or_else(|| name.clone()),
            facts: facts(check, &at, name, model, catalog),
        });
    }
    models
}

/// A model that only the catalog declares, under the name the file uses for it.
pub(super) fn from_catalog(name: &str, catalog: &Catalog) -> Option<Model> {
    let facts = catalog.model(name)?;
    Some(Model {
        id: ModelId::new(name),
        aliases: Vec::new(),
        served_name: name.to_owned(),
        facts: Some(Arc::clone(facts)),
    })
}

fn facts(
    check: &mut Check<'_>,
    at: &Path,
    name: &str,
    raw: &RawModel,
    catalog: &Catalog,
) -> Option<Arc<ModelFacts>> {
    let sources = [
        ("catalog", raw.catalog.is_some()),
        ("config_json", raw.config_json.is_some()),
        ("numbers", raw.numbers.is_some()),
    ];
    let stated: Vec<&str> = sources.iter().filter(|(_, stated)| *stated).map(|(key, _)| *key).collect();
    if let [first, second, ..] = stated[..] {
        let what = format!("stands beside `{first}`; a model's numbers come from one place");
        check.wrong_key(&at.key(second), what, "keep one of the two".to_owned());
    }
    if let Some(entry) = &raw.catalog {
        let facts = catalog.model(entry).map(Arc::clone);
        if facts.is_none() {
            let what = format!("the catalog has no model {entry:?}");
            check.wrong(&at.key("catalog"), what, suggest(entry, catalog.model_names_and_aliases()));
        }
        return facts;
    }
    if let Some(file) = &raw.config_json {
        return config_json(check, &at.key("config_json"), file).map(Arc::new);
    }
    if let Some(numbers) = &raw.numbers {
        return Some(Arc::new(model_facts(check, &at.key("numbers"), name, numbers)));
    }
    catalog.model(name).map(Arc::clone)
}

fn config_json(check: &mut Check<'_>, at: &Path, file: &str) -> Option<ModelFacts> {
    let file = check.file(at, file);
    let text = match read_text(&file, MAX_CONFIG_JSON) {
        Ok(text) => text,
        Err(error) => {
            let fix = "name the config.json of a Hugging Face model".to_owned();
            check.wrong(at, format!("{} cannot be read: {error}", file.display()), fix);
            return None;
        }
    };
    match ModelFacts::from_hf_config(&text) {
        Ok(facts) => Some(facts),
        Err(error) => {
            let fix = "give the model's `numbers` instead".to_owned();
            check.wrong(at, format!("{}: {error}", file.display()), fix);
            None
        }
    }
}
