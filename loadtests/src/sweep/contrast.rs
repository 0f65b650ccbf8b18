//! How much a choice matters: the same question answered by different actions.

use std::collections::BTreeMap;

use gearshift_perfdb::{Grain, Observation};
use serde::{Deserialize, Serialize};

use super::profile::{ALL_OFF, VLLM_DEFAULTS};

/// From this much on a choice matters, natural log.
const MATTERS: f64 = 0.02;

/// Over contexts of several actions, by mean time end to end. Logarithms are summed, so that parts can be added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Contrast {
    /// Contexts.
    pub(super) contexts: usize,
    /// Of these, in how many the worst action takes over 2 % longer than the best.
    pub(super) matters: usize,
    /// Sum of ln(worst / best).
    pub(super) ln_worst: f64,
    /// Contexts with everything off among the actions, and its sum of ln(off / best).
    pub(super) ln_off: (usize, f64),
    /// The same for vLLM's defaults.
    pub(super) ln_defaults: (usize, f64),
    /// In how many vLLM's defaults take over 2 % longer than the best.
    pub(super) defaults_matter: usize,
}

impl Contrast {
    /// Of rows, windows only.
    pub(super) fn of(rows: &[Observation]) -> Self {
        let mut contexts: BTreeMap<&str, Vec<(&str, f64)>> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.grain == Grain::Window) {
            let Some(e2e) = row.outcome.e2e_s else { continue };
            contexts.entry(&row.context).or_default().push((&row.action, e2e));
        }
        contexts.values().fold(Self::default(), |sum, actions| sum.with(&Self::one(actions)))
    }

    fn one(actions: &[(&str, f64)]) -> Self {
        let best = actions.iter().map(|(_, e2e)| *e2e).fold(f64::INFINITY, f64::min);
        let worst = actions.iter().map(|(_, e2e)| *e2e).fold(0.0, f64::max);
        if actions.len() < 2 {
            return Self::default();
        }
        let of =
            |name: &str| actions.iter().find(|(action, _)| *action == name).map(|(_, e2e)| (e2e / best).ln());
        let counted = |ln: Option<f64>| (usize::from(ln.is_some()), ln.unwrap_or(0.0));
        let defaults = of(VLLM_DEFAULTS);
        Self {
            contexts: 1,
            matters: usize::from((worst / best).ln() > MATTERS),
            ln_worst: (worst / best).ln(),
            ln_off: counted(of(ALL_OFF)),
            ln_defaults: counted(defaults),
            defaults_matter: usize::from(defaults.is_some_and(|ln| ln > MATTERS)),
        }
    }

    /// Both together.
    pub(super) fn with(&self, other: &Self) -> Self {
        let sum = |a: (usize, f64), b: (usize, f64)| (a.0 + b.0, a.1 + b.1);
        Self {
            contexts: self.contexts + other.contexts,
            matters: self.matters + other.matters,
            ln_worst: self.ln_worst + other.ln_worst,
            ln_off: sum(self.ln_off, other.ln_off),
            ln_defaults: sum(self.ln_defaults, other.ln_defaults),
            defaults_matter: self.defaults_matter + other.defaults_matter,
        }
    }

    /// Cells of a table: share that matters, worst, all off and defaults over the best (geometric means).
    pub(super) fn cells(&self) -> [String; 5] {
        let share = |part: usize| {
            if self.contexts == 0 {
                "–".to_owned()
            } else {
                format!("{:.0} %", 100.0 * part as f64 / self.contexts as f64)
            }
        };
        let factor = |count: usize, ln: f64| {
            if count == 0 { "–".to_owned() } else { format!("{:.2}×", (ln / count as f64).exp()) }
        };
        [
            share(self.matters),
            share(self.defaults_matter),
            factor(self.contexts, self.ln_worst),
            factor(self.ln_off.0, self.ln_off.1),
            factor(self.ln_defaults.0, self.ln_defaults.1),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_counted_and_parts_add_up() {
        let one = Contrast::one(&[(ALL_OFF, 4.0), ("cache", 1.0), (VLLM_DEFAULTS, 1.01)]);
        assert_eq!((one.contexts, one.matters, one.defaults_matter), (1, 1, 0));
        assert!((one.ln_off.1 - 4.0_f64.ln()).abs() < 1e-12 && one.ln_worst == one.ln_off.1);
        assert_eq!(one.with(&one).ln_off.0, 2);
        assert_eq!(Contrast::one(&[("cache", 1.0)]), Contrast::default());
        assert_eq!(Contrast::default().cells()[2], "–");
    }
}
