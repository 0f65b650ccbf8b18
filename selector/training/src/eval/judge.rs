//! Figures of a pool.

use std::collections::BTreeMap;

use super::{
    pool::{Item, Mark, Pool},
    report::{Intervals, Paired, SelectorReport},
    resample::{Ends, Resamples, numbered},
};

/// Selectors that are fixed rules.
const RULES: [&str; 7] =
    ["single_best", "rule", "rule_plus", "rule_most", "rule_fewest", "rule_plus_most", "rule_plus_fewest"];
const SINGLE_BEST: &str = "single_best";
const META: &str = "metainf";
const RULE_PLUS: &str = "rule_plus";

/// A pool with the draws that all its intervals come from.
pub(super) struct Judge<'a> {
    pool: &'a Pool,
    regrets: BTreeMap<&'a str, Series>,
    all_off: Option<Series>,
    defaults: Option<Series>,
    /// Groups of model and hardware.
    pub cluster_count: usize,
    /// The fixed rule with the least mean regret, seen afterwards.
    pub best_rule: Option<String>,
}

/// A mean over the items, and over those of every draw.
struct Series {
    whole: f64,
    by_contexts: Vec<f64>,
    by_clusters: Vec<f64>,
}

/// A statistic of means, and where it lies in 95 of 100 draws.
struct Figure {
    value: f64,
    by_contexts: Option<Ends>,
    by_clusters: Option<Ends>,
}

impl Figure {
    fn of<const N: usize>(series: [&Series; N], statistic: impl Fn([f64; N]) -> f64) -> Self {
        let ends = |pick: fn(&Series) -> &Vec<f64>| {
            let draws = series.iter().map(|series| pick(series).len()).min().unwrap_or(0);
            Ends::of((0..draws).map(|draw| statistic(series.map(|series| pick(series)[draw]))))
        };
        Self {
            value: statistic(series.map(|series| series.whole)),
            by_contexts: ends(|series| &series.by_contexts),
            by_clusters: ends(|series| &series.by_clusters),
        }
    }

    fn ends(&self, clustered: bool) -> Option<Ends> {
        if clustered { self.by_clusters } else { self.by_contexts }
    }
}

impl<'a> Judge<'a> {
    /// Draws.
    pub(super) fn new(pool: &'a Pool, seed: u64) -> Self {
        let units = numbered(pool.items.iter().map(|item| &item.unit));
        let groups = numbered(pool.items.iter().map(|item| &item.cluster));
        let (contexts, clusters) = (Resamples::new(&units, seed), Resamples::new(&groups, seed));
        let series = |values: &[f64]| Series {
            whole: mean(values),
            by_contexts: contexts.means(values),
            by_clusters: clusters.means(values),
        };
        let of_marks =
            |marks: &Vec<Mark>| series(&marks.iter().map(|mark| mark.regret).collect::<Vec<f64>>());
        let regrets: BTreeMap<&str, Series> =
            pool.marks.iter().map(|(name, marks)| (name.as_str(), of_marks(marks))).collect();
        // Only where all items have the other action.
        let against = |of: fn(&Item) -> Option<f64>| {
            let values: Option<Vec<f64>> = pool.items.iter().map(of).collect();
            values.filter(|values| !values.is_empty()).map(|values| series(&values))
        };
        let rules = RULES.iter().filter_map(|rule| Some((*rule, regrets.get(rule)?.whole)));
        let best_rule = rules.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(rule, _)| rule.to_owned());
        Self {
            pool,
            all_off: against(|item| item.all_off),
            defaults: against(|item| item.defaults),
            cluster_count: groups.iter().max().map_or(0, |most| most + 1),
            regrets,
            best_rule,
        }
    }

    /// Figures of one selector; `limited` where a limit may be broken.
    pub(super) fn selector(&self, name: &str, limited: bool) -> Option<SelectorReport> {
        let (marks, own) = (self.pool.marks.get(name)?, self.regrets.get(name)?);
        let single = self.regrets.get(SINGLE_BEST);
        let rule = self.best_rule.as_deref().and_then(|rule| self.regrets.get(rule));
        let gap = |base: Option<&Series>| Some(Figure::of([own, base?], |[own, base]| 1.0 - own / base));
        let ratio = |base: Option<&Series>| Some(Figure::of([own, base?], |[own, base]| (base - own).exp()));
        let (gap_closed, over_rule) = (gap(single), gap(rule));
        let (off, defaults) = (ratio(self.all_off.as_ref()), ratio(self.defaults.as_ref()));
        let regret = Figure::of([own], |[own]| own.exp());
        let interval = |clustered: bool| {
            let pick = |figure: &Option<Figure>| figure.as_ref().and_then(|figure| figure.ends(clustered));
            Intervals {
                regret: regret.ends(clustered),
                gap_closed: pick(&gap_closed),
                gap_over_best_rule: pick(&over_rule),
                vs_defaults: pick(&defaults),
                acceleration: pick(&off),
            }
        };
        let finite = |figure: &Option<Figure>| figure.as_ref().map(|f| f.value).filter(|v| v.is_finite());
        let share = |value: fn(&Mark) -> f64| mean(&marks.iter().map(value).collect::<Vec<f64>>());
        let errors = self.pool.time_errors.get(name).filter(|errors| !errors.is_empty());
        Some(SelectorReport {
            name: name.to_owned(),
            accuracy: share(|mark| mark.best),
            within_2pct: share(|mark| mark.near),
            acceleration: finite(&off),
            vs_defaults: finite(&defaults),
            vs_single_best: finite(&ratio(single)),
            regret: regret.value,
            gap_closed: finite(&gap_closed),
            gap_over_best_rule: finite(&over_rule),
            violations: limited.then(|| share(|mark| mark.violated)),
            time_error: errors.map(|errors| by_samples(errors)),
            ci95: interval(false),
            ci95_clustered: interval(true),
            metainf_ahead: (name != META).then(|| self.paired(META, name)).flatten(),
            ahead_of_rule_plus: (name != RULE_PLUS).then(|| self.paired(name, RULE_PLUS)).flatten(),
        })
    }

    /// By how much `ahead` is better than `behind`: in gap closed where there is a single best.
    fn paired(&self, ahead: &str, behind: &str) -> Option<Paired> {
        let (ahead, behind) = (self.regrets.get(ahead)?, self.regrets.get(behind)?);
        let figure = match self.regrets.get(SINGLE_BEST) {
            Some(single) => {
                Figure::of([ahead, behind, single], |[ahead, behind, single]| (behind - ahead) / single)
            }
            None => Figure::of([ahead, behind], |[ahead, behind]| behind - ahead),
        };
        let (ci95, ci95_clustered) = (figure.ends(false), figure.ends(true));
        figure.value.is_finite().then_some(Paired { by: figure.value, ci95, ci95_clustered })
    }
}

/// The mean, each part with the weight of its samples.
fn by_samples(errors: &[(f64, usize)]) -> f64 {
    let samples: usize = errors.iter().map(|(_, samples)| samples).sum();
    errors.iter().map(|(error, samples)| error * *samples as f64).sum::<f64>() / samples as f64
}

fn mean(values: &[f64]) -> f64 {
    gearshift_loadtests::report::mean(values)
}
