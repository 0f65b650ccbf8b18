//! Risk and coverage: whether a selector knows when it does not know.

use super::{pool::Pool, report::RiskCoverage};

const POINTS: usize = 20;

/// The curve of a selector over a pool; `None` where it has no spread, or too few contexts.
pub(super) fn risk_coverage(pool: &Pool, selector: &str, name: &str, dataset: &str) -> Option<RiskCoverage> {
    let marks = pool.marks.get(selector)?;
    let mut pairs: Vec<(f64, f64)> =
        marks.iter().map(|mark| Some((mark.spread?, mark.regret))).collect::<Option<_>>()?;
    if pairs.len() < POINTS {
        return None;
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let count = pairs.len();
    let point = |step: usize| {
        let kept = (count * step / POINTS).max(1);
        let mean = pairs[..kept].iter().map(|pair| pair.1).sum::<f64>() / kept as f64;
        (kept as f64 / count as f64, mean.exp())
    };
    Some(RiskCoverage {
        name: name.to_owned(),
        dataset: dataset.to_owned(),
        selector: selector.to_owned(),
        curve: (1..=POINTS).map(point).collect(),
        rank_correlation: rank_correlation(&pairs),
    })
}

/// Spearman's, of pairs in the order of their first.
fn rank_correlation(pairs: &[(f64, f64)]) -> f64 {
    let ranks = |values: Vec<f64>| {
        let below = |value: f64| values.iter().filter(|&&other| other < value).count() as f64;
        let equal = |value: f64| values.iter().filter(|&&other| other == value).count() as f64;
        values.iter().map(|&value| below(value) + (equal(value) - 1.0) / 2.0).collect::<Vec<f64>>()
    };
    let (a, b) = (ranks(pairs.iter().map(|p| p.0).collect()), ranks(pairs.iter().map(|p| p.1).collect()));
    let middle = (pairs.len() as f64 - 1.0) / 2.0;
    let product =
        |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - middle) * (y - middle)).sum::<f64>();
    product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::pool::Mark;

    #[test]
    fn a_spread_that_knows_keeps_regret_low() {
        let mut pool = Pool::default();
        let mark =
            |at: u32| Mark { regret: f64::from(at) / 40.0, spread: Some(f64::from(at)), ..Mark::default() };
        pool.marks.insert("m".into(), (0..40).map(mark).collect());
        let curve = risk_coverage(&pool, "m", "hardware:x", "d").unwrap();
        assert!((curve.rank_correlation - 1.0).abs() < 1e-9);
        assert!(curve.curve.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        assert!(risk_coverage(&pool, "other", "", "").is_none());
    }
}
