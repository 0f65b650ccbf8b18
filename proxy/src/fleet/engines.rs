//! Families of the engines' own metrics, summed up by model and profile: those that the configuration chooses.
//!
//! A sum over engines that come, go and restart must only ever grow where it is a counter. So what is added is what each engine
//! counted since its page before ([`Seen`]). Gauges are added up for each scrape, of what engines say now.
//!
//! What engines say is bounded: models and profiles are the configuration's, other labels a few for each engine, values between 0
//! and 1e15. What is left out is counted. Sums of a model and profile that no backend is in any more are dropped.

mod seen;
mod series;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, MutexGuard, PoisonError},
};

use gearshift_config::{EngineFamily, EngineFamilyKind};

use self::{
    seen::Page,
    series::{Part, Series},
};
pub(super) use self::{seen::Seen, series::Group};
use crate::metrics::text;

/// The sums.
#[derive(Debug, Default)]
#[expect(
    clippy::disallowed_types,
    reason = "watchers and scrapes, which take it, are one thread; no request core does"
)]
pub(super) struct Engines(std::sync::Mutex<Sums>);

type Families = Arc<[&'static EngineFamily]>;

/// Of one family: each series with its sum.
type OfFamily = BTreeMap<Series, f64>;

#[derive(Debug, Default)]
struct Sums {
    families: Families,
    /// What was counted, by families' names.
    counted: BTreeMap<Arc<Group>, HashMap<&'static str, OfFamily>>,
    /// What engines say now, by their own numbers.
    now: HashMap<u64, Now>,
    /// Numbers given to engines.
    engines: u64,
    /// Samples that were left out.
    left_out: u64,
}

/// What an engine says now.
#[derive(Debug)]
struct Now {
    group: Arc<Group>,
    gauges: Page,
}

impl Sums {
    /// Forgets the sums of groups that no engine is in.
    fn drop_unheld(&mut self) {
        let Self { counted, now, .. } = self;
        counted.retain(|group, _| now.values().any(|now| now.group == *group));
    }

    /// All series of a family, by group.
    fn of_family(&self, family: &EngineFamily) -> BTreeMap<&Group, OfFamily> {
        let mut all: BTreeMap<&Group, OfFamily> = BTreeMap::new();
        for (group, families) in &self.counted {
            if let Some(series) = families.get(family.name) {
                all.insert(group, series.clone());
            }
        }
        for Now { group, gauges } in self.now.values() {
            for (series, value) in gauges.get(family.name).into_iter().flatten() {
                *all.entry(group).or_default().entry(series.clone()).or_default() += value;
            }
        }
        all
    }
}

impl Engines {
    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sums up these families from now on; those that were chosen before go on.
    pub(super) fn choose(&self, families: &[&'static EngineFamily]) {
        let mut sums = self.sums();
        sums.families = families.into();
        let chosen = |name: &str| families.iter().any(|family| family.name == name);
        for counted in sums.counted.values_mut() {
            counted.retain(|name, _| chosen(name));
        }
        for now in sums.now.values_mut() {
            now.gauges.retain(|name, _| chosen(name));
        }
    }

    /// Writes the sums onto a page.
    pub(super) fn write(&self, page: &mut String) {
        let sums = self.sums();
        if sums.families.is_empty() {
            return;
        }
        for family in &*sums.families {
            let kind = match family.kind {
                EngineFamilyKind::Counter => "counter",
                EngineFamilyKind::Gauge => "gauge",
                EngineFamilyKind::Histogram => "histogram",
            };
            let help = format!("vLLM's {kind} of this name, summed up over engines by model and profile.");
            text::family(page, family.name, &help, kind, |page| {
                for (group, all) in sums.of_family(family) {
                    write_group(page, family, group, &all);
                }
            });
        }
        text::family(page, LEFT_OUT, LEFT_OUT_HELP, "counter", |page| {
            page.push_str(LEFT_OUT);
            page.push(' ');
            text::count(page, sums.left_out);
        });
    }
}

const LEFT_OUT: &str = "gearshift_engine_metrics_left_out_total";
const LEFT_OUT_HELP: &str = "Samples of engines' own metrics that were not summed up as they came: no number, out of bounds, or one series too many.";

fn write_group(page: &mut String, family: &EngineFamily, group: &Group, all: &OfFamily) {
    // Engines of two versions may have different bounds: what is below one is at least what is below the one before.
    let mut below = 0.0_f64;
    for (series, value) in all {
        let value = if series.part == Part::Bucket { value.max(below) } else { *value };
        if series.part == Part::Bucket {
            below = value;
        }
        series.write(page, family, group);
        text::number(page, value);
    }
}
