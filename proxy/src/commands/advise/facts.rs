//! Model and hardware: from the catalog, or in numbers.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use gearshift_config::{Catalog, HardwareFacts, ModelFacts, suggest};

#[derive(Debug, Args)]
pub(super) struct Facts {
    /// The model, by its name in the catalog.
    #[arg(long, value_name = "NAME", required_unless_present = "model_config")]
    model: Option<String>,
    /// A model that the catalog lacks: its Hugging Face config.json.
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    model_config: Option<PathBuf>,
    /// One accelerator, by its name in the catalog.
    #[arg(long, value_name = "NAME", required_unless_present_all = ["bf16_tflops", "memory_gb_per_s", "memory_gib"])]
    hardware: Option<String>,
    /// How many accelerators there are.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    count: u32,
    /// What the accelerator is, in words, for a bundle's text encoder.
    #[arg(long, value_name = "TEXT")]
    hardware_description: Option<String>,
    /// Its dense BF16 peak, TFLOP/s. With --hardware, this and the numbers below replace the catalog's.
    #[arg(long, value_name = "N", value_parser = positive)]
    bf16_tflops: Option<f64>,
    /// Its dense FP8 peak, TFLOP/s, where it has one.
    #[arg(long, value_name = "N", value_parser = positive)]
    fp8_tflops: Option<f64>,
    /// Its memory bandwidth, GB/s.
    #[arg(long, value_name = "N", value_parser = positive)]
    memory_gb_per_s: Option<f64>,
    /// Its memory, GiB.
    #[arg(long, value_name = "N", value_parser = positive)]
    memory_gib: Option<f64>,
    /// Bandwidth to its peers, GB/s, one direction.
    #[arg(long, value_name = "N", value_parser = positive)]
    interconnect_gb_per_s: Option<f64>,
    /// Price of one, US dollars an hour.
    #[arg(long, value_name = "N", value_parser = positive)]
    price_usd_per_hour: Option<f64>,
    /// Power limit of one, W.
    #[arg(long, value_name = "N", value_parser = positive)]
    tdp_w: Option<f64>,
    /// Power of one when idle, W.
    #[arg(long, value_name = "N", value_parser = positive)]
    idle_w: Option<f64>,
}

/// What [`Facts`] come to.
pub(super) struct Resolved {
    pub(super) model: Arc<ModelFacts>,
    pub(super) served: String,
    pub(super) hardware: Arc<HardwareFacts>,
    pub(super) hardware_name: String,
    pub(super) count: u32,
}

/// A number that makes sense here.
pub(super) fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| format!("{text:?} is no positive number"))
}

impl Facts {
    pub(super) fn resolve(&self) -> Result<Resolved, String> {
        let (model, served) = self.model()?;
        let (hardware, hardware_name) = self.hardware()?;
        Ok(Resolved { model, served, hardware: Arc::new(hardware), hardware_name, count: self.count })
    }

    fn model(&self) -> Result<(Arc<ModelFacts>, String), String> {
        if let Some(path) = &self.model_config {
            let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
            let facts = ModelFacts::from_hf_config(&text).map_err(|error| wrong(&error))?;
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            return Ok((
                Arc::new(facts),
                directory.map_or_else(|| ".".into(), |path| path.display().to_string()),
            ));
        }
        let (name, catalog) = (self.model.as_deref().unwrap_or_default(), Catalog::shipped());
        let facts = catalog.model(name).cloned();
        let facts = facts.ok_or_else(|| {
            unknown("model", name, catalog.model_names_and_aliases(), "--model-config config.json")
        })?;
        Ok((facts, name.to_owned()))
    }

    fn hardware(&self) -> Result<(HardwareFacts, String), String> {
        let (mut facts, name) = match &self.hardware {
            Some(name) => {
                let catalog = Catalog::shipped();
                let facts = catalog.hardware(name).map(|facts| HardwareFacts::clone(facts));
                let numbers = "--bf16-tflops, --memory-gb-per-s and --memory-gib";
                (
                    facts.ok_or_else(|| unknown("hardware", name, catalog.hardware_names(), numbers))?,
                    name.clone(),
                )
            }
            None => (nothing_known(), "hardware in numbers".to_owned()),
        };
        let Self { hardware_description, fp8_tflops, .. } = self;
        facts.fp8_tflops = fp8_tflops.or(facts.fp8_tflops);
        facts.description = hardware_description.clone().unwrap_or(facts.description);
        for (number, stated) in [
            (&mut facts.bf16_tflops, self.bf16_tflops),
            (&mut facts.memory_gb_per_s, self.memory_gb_per_s),
            (&mut facts.memory_gib, self.memory_gib),
            (&mut facts.interconnect_gb_per_s, self.interconnect_gb_per_s),
            (&mut facts.price_usd_per_hour, self.price_usd_per_hour),
            (&mut facts.tdp_w, self.tdp_w),
            (&mut facts.idle_w, self.idle_w),
        ] {
            *number = stated.unwrap_or(*number);
        }
        Ok((facts, name))
    }
}

/// Of hardware that is given in numbers: no price, no power, and peers over PCIe.
fn nothing_known() -> HardwareFacts {
    HardwareFacts {
        description: String::new(),
        vendor: "unknown".to_owned(),
        architecture: "unknown".to_owned(),
        bf16_tflops: 0.0,
        fp8_tflops: None,
        fp4_tflops: None,
        memory_gb_per_s: 0.0,
        memory_gib: 0.0,
        interconnect_gb_per_s: 32.0,
        price_usd_per_hour: 0.0,
        tdp_w: 0.0,
        idle_w: 0.0,
    }
}

fn unknown<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str>, otherwise: &str) -> String {
    let hint = suggest(name, known).unwrap_or_default();
    format!("no {kind} of the catalog is called {name:?}; {hint}\nOr describe it: {otherwise}")
}
