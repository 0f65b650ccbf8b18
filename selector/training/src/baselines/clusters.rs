//! g-means: k-means that goes on splitting clusters until each looks normal (Hamerly and Elkan, 2003).

use super::matrix::{Matrix, distance, dot};

/// Clusters smaller than twice this are not split.
const LEAST: usize = 8;
/// Critical value of the Anderson–Darling statistic at a significance of 0.0001, as in the paper.
const CRITICAL: f64 = 1.8692;
const ROUNDS: usize = 30;
/// More are not made.
const MOST: usize = 64;

/// Centres, and who belongs to which.
#[derive(Debug, Clone)]
pub struct Clusters {
    centres: Vec<Vec<f64>>,
    members: Vec<Vec<usize>>,
}

impl Clusters {
    /// Clusters rows, which should be scaled.
    pub fn fit(rows: &Matrix, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let all: Vec<usize> = (0..rows.rows()).collect();
        let mut waiting = vec![all];
        let mut centres = Vec::new();
        while let Some(members) = waiting.pop() {
            if members.is_empty() {
                continue;
            }
            let room = centres.len() + waiting.len() + 1 < MOST;
            match halves(rows, &members, &mut random).filter(|_| room) {
                Some(halves) => waiting.extend(halves),
                None => centres.push(centre(rows, &members)),
            }
        }
        lloyd(rows, &(0..rows.rows()).collect::<Vec<_>>(), centres)
    }

    /// The cluster nearest to a row; `None` where there is none at all.
    pub fn nearest(&self, row: &[f64]) -> Option<usize> {
        nearest(&self.centres, row)
    }

    /// The rows of a cluster.
    pub fn members(&self, cluster: usize) -> &[usize] {
        &self.members[cluster]
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.centres.len()
    }
}

fn nearest(centres: &[Vec<f64>], row: &[f64]) -> Option<usize> {
    let far = |at: &usize| distance(&centres[*at], row);
    (0..centres.len()).min_by(|a, b| far(a).total_cmp(&far(b)))
}

fn centre(rows: &Matrix, members: &[usize]) -> Vec<f64> {
    let mut sum = vec![0.0; rows.width()];
    for &member in members {
        sum.iter_mut().zip(rows.row(member)).for_each(|(sum, value)| *sum += value);
    }
    let count = members.len().max(1) as f64;
    sum.iter_mut().for_each(|value| *value /= count);
    sum
}

/// k-means from these centres over the members given.
fn lloyd(rows: &Matrix, members: &[usize], mut centres: Vec<Vec<f64>>) -> Clusters {
    let mut of = Vec::new();
    for _ in 0..ROUNDS {
        of = vec![Vec::new(); centres.len()];
        for &member in members {
            if let Some(cluster) = nearest(&centres, rows.row(member)) {
                of[cluster].push(member);
            }
        }
        let moved: Vec<Vec<f64>> = of
            .iter()
            .zip(&centres)
            .map(|(members, old)| if members.is_empty() { old.clone() } else { centre(rows, members) })
            .collect();
        if moved == centres {
            break;
        }
        centres = moved;
    }
    Clusters { centres, members: of }
}

/// Two halves of a cluster, where it does not look normal along the line between their centres.
fn halves(rows: &Matrix, members: &[usize], random: &mut fastrand::Rng) -> Option<[Vec<usize>; 2]> {
    if members.len() < 2 * LEAST {
        return None;
    }
    let first = rows.row(members[random.usize(..members.len())]);
    let far = |at: &&usize| distance(rows.row(**at), first);
    let second = rows.row(*members.iter().max_by(|a, b| far(a).total_cmp(&far(b)))?);
    let split = lloyd(rows, members, vec![first.to_vec(), second.to_vec()]);
    let line: Vec<f64> = split.centres[0].iter().zip(&split.centres[1]).map(|(a, b)| a - b).collect();
    let along: Vec<f64> = members.iter().map(|&member| dot(rows.row(member), &line)).collect();
    let [a, b]: [Vec<usize>; 2] = split.members.try_into().ok()?;
    (a.len().min(b.len()) >= LEAST && anderson_darling(along) > CRITICAL).then_some([a, b])
}

/// The Anderson–Darling statistic against a normal distribution of unknown mean and variance.
fn anderson_darling(mut values: Vec<f64>) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    if variance <= 0.0 {
        return 0.0;
    }
    values.sort_by(f64::total_cmp);
    let p: Vec<f64> = values
        .iter()
        .map(|value| normal((value - mean) / variance.sqrt()).clamp(1e-12, 1.0 - 1e-12))
        .collect();
    let term = |(at, low): (usize, &f64)| {
        let high = p[p.len() - 1 - at];
        (2.0 * at as f64 + 1.0) * (low.ln() + (1.0 - high).ln())
    };
    let statistic = -n - p.iter().enumerate().map(term).sum::<f64>() / n;
    statistic * (1.0 + 4.0 / n - 25.0 / (n * n))
}

/// The normal distribution function, to 1e-7 (Abramowitz and Stegun, 7.1.26).
fn normal(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let polynomial = t
        * (0.254_829_592
            + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let erf = 1.0 - polynomial * (-x * x).exp();
    0.5 * (1.0 + erf.copysign(z))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normals(random: &mut fastrand::Rng) -> f64 {
        (0..12).map(|_| random.f64()).sum::<f64>() - 6.0
    }

    #[test]
    fn as_many_clusters_as_there_are() {
        let mut random = fastrand::Rng::with_seed(3);
        for count in [1_u32, 2, 4] {
            let mut rows = Matrix::new(2);
            for at in 0..count * 150 {
                let shift = 40.0 * f64::from(at % count);
                rows.push(&[shift + normals(&mut random), normals(&mut random)]);
            }
            let clusters = Clusters::fit(&rows, 1);
            assert_eq!(clusters.count(), usize::try_from(count).unwrap());
            assert_eq!(clusters.nearest(rows.row(0)), clusters.nearest(&[0.0, 0.0]));
        }
    }

    #[test]
    fn normal_is_normal() {
        for (z, p) in [(0.0, 0.5), (1.0, 0.841_344_7), (-1.96, 0.024_997_9)] {
            assert!((normal(z) - p).abs() < 1e-6);
        }
    }
}
