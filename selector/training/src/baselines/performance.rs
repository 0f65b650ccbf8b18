//! What is known of which action in which context: the input of the selectors of the algorithm-selection literature.

use std::collections::BTreeMap;

/// A sparse table of contexts and actions; lower is better.
#[derive(Debug, Clone, Default)]
pub struct Performance {
    /// Actions, sorted; their positions are what the rows speak of.
    pub actions: Vec<String>,
    /// Of each context: the actions that were tried, and how much worse than the context's best they were, or how they did.
    pub rows: Vec<Vec<(usize, f64)>>,
}

impl Performance {
    /// Numbers the actions.
    pub fn new(contexts: impl IntoIterator<Item = Vec<(String, f64)>>) -> Self {
        let contexts: Vec<Vec<(String, f64)>> = contexts.into_iter().collect();
        let mut names: BTreeMap<String, usize> =
            contexts.iter().flatten().map(|(action, _)| (action.clone(), 0)).collect();
        names.values_mut().enumerate().for_each(|(at, number)| *number = at);
        let row = |context: &Vec<(String, f64)>| {
            context.iter().filter_map(|(action, value)| Some((*names.get(action)?, *value))).collect()
        };
        let rows = contexts.iter().map(row).collect();
        Self { actions: names.into_keys().collect(), rows }
    }

    /// Position of an action.
    pub fn action(&self, name: &str) -> Option<usize> {
        self.actions.binary_search_by(|known| known.as_str().cmp(name)).ok()
    }

    /// Each action's mean over the contexts given, as if it had `PULL` more that were average.
    pub fn shrunken_means(&self, contexts: impl IntoIterator<Item = usize>) -> Means {
        let mut sums = vec![(0.0, 0.0); self.actions.len()];
        let (mut total, mut count) = (0.0, 0.0);
        for context in contexts {
            for &(action, value) in &self.rows[context] {
                sums[action].0 += value;
                sums[action].1 += 1.0;
                total += value;
                count += 1.0;
            }
        }
        let overall = if count > 0.0 { total / count } else { 0.0 };
        let shrunken = |&(sum, n): &(f64, f64)| (sum + PULL * overall) / (n + PULL);
        Means { overall, by_action: sums.iter().map(shrunken).collect() }
    }
}

/// Contexts' worth of trust in the mean of all.
const PULL: f64 = 5.0;

/// Means of every action.
#[derive(Debug, Clone)]
pub struct Means {
    /// Of all.
    pub overall: f64,
    /// By action; the overall one where an action was never tried.
    pub by_action: Vec<f64>,
}
