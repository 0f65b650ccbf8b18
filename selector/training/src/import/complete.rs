//! What a mapping leaves open and Gearshift knows: the catalog's numbers, and what follows from the other columns.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use gearshift_config::{Catalog, HardwareFacts, ModelFacts};
use gearshift_perfdb::{Cell, Cells, Facts, Observation, columns};
use gearshift_selector::Situation;

/// Columns that say what was asked.
const CONTEXT: &[&str] = &["model", "hardware", "workload", "concurrency"];

/// Cells of a row that is being put together.
#[derive(Debug, Default)]
pub(super) struct Held(HashMap<&'static str, Cell<'static>>);

impl Cells for Held {
    fn cell(&self, column: &str) -> Cell<'_> {
        self.0.get(column).cloned().unwrap_or(Cell::Null)
    }
}

impl Held {
    pub(super) fn set(&mut self, column: &'static str, cell: Cell<'static>) {
        self.0.insert(column, cell);
    }

    /// Fills in what follows from what is there; `provenance` is file and record.
    pub(super) fn complete(&mut self, provenance: &str) -> Result<(), String> {
        self.model()?;
        self.hardware()?;
        for (column, word) in [("source", "measured"), ("grain", "window"), ("engine", "vllm")] {
            self.or(column, Cell::Text(word.into()));
        }
        self.or("provenance", Cell::Text(provenance.to_owned().into()));
        self.or("hardware_count", Cell::Whole(1));
        for column in ["repeat", "requests", "requests_failed"] {
            self.or(column, Cell::Whole(0));
        }
        self.or("lossless", Cell::Flag(true));
        for column in ["prompt_cached_tokens", "prompt_spread", "output_spread"] {
            self.or(column, Cell::Number(0.0));
        }
        self.workload();
        self.outcome()?;
        let asked: Vec<String> = CONTEXT.iter().map(|column| self.shown(column)).collect();
        self.or("context", Cell::Text(asked.join("|").into()));
        let action = format!("{}|{}{}", self.shown("engine"), self.shown("hardware_count"), self.knobs());
        self.or("action", Cell::Text(action.into()));
        Ok(())
    }

    fn or(&mut self, column: &'static str, cell: Cell<'static>) {
        self.0.entry(column).or_insert(cell);
    }

    fn text(&self, column: &str) -> Option<String> {
        if let Cell::Text(text) = self.cell(column) { Some(text.into_owned()) } else { None }
    }

    fn number(&self, column: &str) -> Option<f64> {
        if let Cell::Number(number) = self.cell(column) { Some(number) } else { None }
    }

    fn shown(&self, column: &str) -> String {
        match self.cell(column) {
            Cell::Null => String::new(),
            Cell::Flag(flag) => flag.to_string(),
            Cell::Whole(number) => number.to_string(),
            Cell::Number(number) => number.to_string(),
            Cell::Text(text) => text.into_owned(),
            Cell::Numbers(numbers) => format!("{numbers:?}"),
            Cell::Texts(texts) => texts.join(","),
        }
    }

    /// The knobs that are known, as `|max_num_seqs=8`.
    fn knobs(&self) -> String {
        let known = columns().filter(|column| self.0.contains_key(column.name));
        let knobs = known.filter_map(|column| Some((column.name, column.name.strip_prefix("knob_")?)));
        knobs.map(|(column, knob)| format!("|{knob}={}", self.shown(column))).collect()
    }

    /// A model's numbers, by its name in the catalog; where that has none, the mapping must state them.
    fn model(&mut self) -> Result<(), String> {
        let name = self.text("model").ok_or("column model: which one was it?")?;
        let catalog = Catalog::shipped();
        match catalog.model(&name) {
            Some(facts) => {
                let is_it = |id: &&str| catalog.model(id).is_some_and(|other| Arc::ptr_eq(other, facts));
                let id = catalog.model_names().find(is_it).unwrap_or(&name).to_owned();
                self.facts_of(&blank(Some(facts), None), "model_");
                self.set("model", Cell::Text(id.into()));
            }
            None if self.0.contains_key("model_parameters_b") => {}
            None => {
                return Err(format!(
                    "model {name:?} is not in the catalog; state its numbers: model_parameters_b, model_layers, …"
                ));
            }
        }
        let family = self.shown("model");
        self.or("model_family", Cell::Text(family.into()));
        self.or("model_description", Cell::Text(Cow::Borrowed("")));
        Ok(())
    }

    /// The same of the hardware.
    fn hardware(&mut self) -> Result<(), String> {
        let name = self.text("hardware").ok_or("column hardware: which one was it?")?;
        match Catalog::shipped().hardware(&name) {
            Some(facts) => self.facts_of(&blank(None, Some(facts)), "hardware_"),
            None if self.0.contains_key("hardware_memory_gb_per_s") => {
                for column in ["hardware_description", "hardware_vendor", "hardware_architecture"] {
                    self.or(column, Cell::Text(Cow::Borrowed("")));
                }
            }
            None => {
                return Err(format!(
                    "hardware {name:?} is not in the catalog; state its numbers: hardware_memory_gb_per_s, …"
                ));
            }
        }
        Ok(())
    }

    fn facts_of(&mut self, row: &Observation, prefix: &str) {
        let about_the_row = ["model_family", "hardware_count"];
        let wanted = columns().filter(|column| column.name.starts_with(prefix));
        for column in wanted.filter(|column| !about_the_row.contains(&column.name)) {
            self.or(column.name, column.cell(row).into_owned());
        }
    }

    fn workload(&mut self) {
        let lengths =
            (self.number("prompt_tokens"), self.number("output_tokens"), self.number("concurrency"));
        // What is missing is missed, by name, when the row is put together.
        let (Some(prompt), Some(output), Some(concurrency)) = lengths else { return };
        self.or("workload", Cell::Text(format!("{prompt:.0}x{output:.0}").into()));
        let description = format!("Prompts of {prompt:.0} tokens, answers of {output:.0}.");
        self.or("workload_description", Cell::Text(description.into()));
        let cached = self.number("prompt_cached_tokens").unwrap_or_default();
        let load = Situation::closed_loop(concurrency, prompt, cached, output).load;
        self.or("load_sequences", Cell::Number(load.sequences));
        self.or("load_decoding", Cell::Number(load.decoding));
        self.or("load_prefill_tokens", Cell::Number(load.prefill_tokens));
        self.or("load_decode_tokens", Cell::Number(load.decode_tokens));
        self.or("load_context_tokens", Cell::Number(load.context_tokens));
    }

    fn outcome(&mut self) -> Result<(), String> {
        let steps = self.number("output_tokens").unwrap_or_default() - 1.0;
        match (self.number("ttft_s"), self.number("tpot_s"), self.number("e2e_s")) {
            (None, None, None) => return Err("none of ttft_s, tpot_s and e2e_s is known".into()),
            (Some(ttft), Some(tpot), None) => self.set("e2e_s", Cell::Number(steps.mul_add(tpot, ttft))),
            (Some(ttft), None, Some(whole)) if steps > 0.0 => {
                self.set("tpot_s", Cell::Number((whole - ttft).max(0.0) / steps));
            }
            (None, Some(tpot), Some(whole)) => {
                self.set("ttft_s", Cell::Number(steps.mul_add(-tpot, whole).max(0.0)));
            }
            (Some(_), _, _) | (None, Some(_), None) | (None, None, Some(_)) => {}
        }
        Ok(())
    }
}

/// A row that says nothing but these facts, from which their cells are taken.
fn blank(model: Option<&Arc<ModelFacts>>, hardware: Option<&Arc<HardwareFacts>>) -> Observation {
    Observation {
        facts: Facts {
            model_facts: model.map(|facts| facts.as_ref().clone()).unwrap_or_default(),
            hardware_facts: hardware.map(|facts| facts.as_ref().clone()).unwrap_or_default(),
            ..Facts::default()
        },
        ..Observation::default()
    }
}
