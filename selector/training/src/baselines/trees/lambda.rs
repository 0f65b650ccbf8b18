//! LambdaMART: where the ranking loss pulls, after Burges (2010), in LightGBM's form.

use super::Pull;

/// Rows that are ranked against each other, and what each is worth at the top.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Rows.
    pub rows: Vec<usize>,
    /// Gain of each of them, not negative; greater is better.
    pub gains: Vec<f64>,
}

/// The pulls of the loss: pairs of which one is among the first `truncation`, weighted by how much NDCG would change if
/// they swapped places.
pub fn lambda(groups: &[Group], truncation: usize) -> impl FnMut(&[f64], &mut [Pull]) {
    move |predictions, pulls| {
        pulls.fill(Pull::default());
        groups.iter().for_each(|group| rank(group, truncation, predictions, pulls));
    }
}

fn discount(place: usize) -> f64 {
    1.0 / ((place + 2) as f64).log2()
}

fn best_dcg(gains: &[f64], truncation: usize) -> f64 {
    let mut sorted = gains.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    sorted.iter().take(truncation).enumerate().map(|(place, gain)| gain * discount(place)).sum()
}

fn rank(group: &Group, truncation: usize, predictions: &[f64], pulls: &mut [Pull]) {
    let best = best_dcg(&group.gains, truncation);
    if best <= 0.0 {
        return;
    }
    let score = |at: usize| predictions[group.rows[at]];
    let mut order: Vec<usize> = (0..group.rows.len()).collect();
    order.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
    let spread = order.first().zip(order.last()).map_or(0.0, |(&first, &last)| score(first) - score(last));
    let mut total = 0.0;
    for high in 0..order.len().min(truncation) {
        for low in high + 1..order.len() {
            let (a, b) = (order[high], order[low]);
            if group.gains[a] == group.gains[b] {
                continue;
            }
            let (better, worse) = if group.gains[a] > group.gains[b] { (a, b) } else { (b, a) };
            let apart = score(better) - score(worse);
            let mut weight =
                (group.gains[better] - group.gains[worse]) * (discount(high) - discount(low)).abs() / best;
            if spread > 0.0 {
                weight /= 0.01 + apart.abs();
            }
            let wrong = 1.0 / (1.0 + apart.exp());
            let hessian = weight * wrong * (1.0 - wrong);
            for (at, sign) in [(better, -1.0), (worse, 1.0)] {
                let pull = &mut pulls[group.rows[at]];
                pull.gradient += sign * weight * wrong;
                pull.hessian += hessian;
            }
            total += 2.0 * weight * wrong;
        }
    }
    // Large groups would outweigh all others.
    if total > 0.0 {
        let norm = (1.0 + total).log2() / total;
        for &row in &group.rows {
            pulls[row].gradient *= norm;
            pulls[row].hessian *= norm;
        }
    }
}
