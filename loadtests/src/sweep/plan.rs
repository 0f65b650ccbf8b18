//! The contexts of a collection: which question is asked of which engines.

use super::{
    grid::{Collection, Grid},
    profile::{Action, drawn, latin_hypercube, named, whole},
    site::{Served, Site, between, least_count, models, sites},
};
use crate::workload::Class;

/// Actions for one model, on one kind of hardware, under one workload at one concurrency.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) name: String,
    pub(super) site: Site,
    pub(super) model: Served,
    pub(super) class: Class,
    pub(super) concurrency: u32,
    pub(super) actions: Vec<Action>,
}

/// Contexts of MetaInf's eight combinations.
pub(super) fn named_contexts(grid: &Grid, collection: &Collection) -> Vec<Context> {
    let models = models(grid);
    let mut contexts = Vec::new();
    for (i, site) in sites(grid, false).iter().enumerate() {
        for (j, model) in models.iter().enumerate() {
            let Some(count) = least_count(grid, site, model) else { continue };
            let actions = named(grid, site, count, model);
            for (k, &class) in grid.workloads.iter().enumerate() {
                for (l, &concurrency) in grid.concurrencies.iter().enumerate() {
                    if (i + j + k + l) % collection.one_in.max(1) != 0 {
                        continue;
                    }
                    contexts.push(Context {
                        name: format!("{}/{}/{}/c{concurrency}", site.name, model.name, class.name()),
                        site: site.clone(),
                        model: model.clone(),
                        class,
                        concurrency,
                        actions: actions.clone(),
                    });
                }
            }
        }
    }
    contexts
}

/// Contexts of continuous knobs: site, model, workload and concurrency are drawn as well.
pub(super) fn knob_contexts(grid: &Grid, dataset: &str, collection: &Collection) -> Vec<Context> {
    let (sites, models) = (sites(grid, collection.synthetic), models(grid));
    let context = |number: usize| {
        let mut rng = fastrand::Rng::with_seed(grid.seed_of(&format!("{dataset} knobs {number}")));
        let (site, model, count) = pair(grid, &sites, &models, &mut rng)?;
        let class = grid.workloads[rng.usize(..grid.workloads.len())];
        let concurrency = whole(between(grid.knobs.concurrency.map(f64::from), rng.f64()).round()).max(1);
        let anchors = named(grid, site, count, model);
        let mut actions: Vec<Action> = anchors.into_iter().step_by(7).collect();
        for draw in latin_hypercube(grid.knobs.actions, &mut rng) {
            let action = drawn(grid, site, model, &draw)?;
            if actions.iter().all(|other| other.name != action.name) {
                actions.push(action);
            }
        }
        let name = format!("{}/{}/{}/c{concurrency}/k{number}", site.name, model.name, class.name());
        Some(Context { name, site: site.clone(), model: model.clone(), class, concurrency, actions })
    };
    (0..collection.knob_contexts).filter_map(context).collect()
}

/// Hardware, a model that fits, and the fewest accelerators for it.
pub(super) fn pair<'g>(
    grid: &Grid,
    sites: &'g [Site],
    models: &'g [Served],
    rng: &mut fastrand::Rng,
) -> Option<(&'g Site, &'g Served, u32)> {
    let site = sites.get(rng.usize(..sites.len().max(1)))?;
    let fitting: Vec<(&Served, u32)> =
        models.iter().filter_map(|model| Some((model, least_count(grid, site, model)?))).collect();
    let (model, count) = *fitting.get(rng.usize(..fitting.len().max(1)))?;
    Some((site, model, count))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{
        super::profile::{ALL_OFF, VLLM_DEFAULTS},
        *,
    };

    #[test]
    fn every_context_has_the_anchors_and_every_hardware_models() {
        let grid = Grid::load(None).unwrap();
        for (dataset, collection) in &grid.datasets {
            let named = named_contexts(&grid, collection);
            let knobs = knob_contexts(&grid, dataset, &Collection { knob_contexts: 40, ..*collection });
            assert!(named.iter().all(|context| context.actions.len() == 8));
            assert!(knobs.len() > 30 && knobs.iter().all(|context| context.actions.len() >= 6));
            for context in named.iter().chain(&knobs) {
                for anchor in [ALL_OFF, VLLM_DEFAULTS] {
                    assert!(context.actions.iter().any(|action| action.name == anchor), "{}", context.name);
                }
            }
            let names: BTreeSet<&str> = named.iter().map(|context| context.name.as_str()).collect();
            assert_eq!(names.len(), named.len());
            let sites: BTreeSet<&str> = named.iter().map(|context| context.site.name.as_str()).collect();
            assert_eq!(sites.len(), grid.hardware.len());
        }
    }
}
