//! ISAC (Kadioglu et al., 2010): contexts are clustered by their features, and each cluster has its best action.

use super::{
    clusters::Clusters,
    matrix::{Matrix, Scaling},
    performance::{Means, Performance},
};

/// Contexts' worth of trust in an action's mean over all clusters.
const PULL: f64 = 2.0;

/// Clusters with a mean performance of every action.
#[derive(Debug, Clone)]
pub struct Isac {
    scaling: Scaling,
    clusters: Clusters,
    by_cluster: Vec<Vec<f64>>,
    everywhere: Means,
}

impl Isac {
    /// Learns from contexts: `features` and `performance` by the same rows.
    pub fn fit(features: &Matrix, performance: &Performance, seed: u64) -> Self {
        let scaling = Scaling::of(features);
        let clusters = Clusters::fit(&scaling.matrix(features), seed);
        let everywhere = performance.shrunken_means(0..performance.rows.len());
        let of_cluster = |cluster: usize| {
            let mut sums: Vec<(f64, f64)> =
                everywhere.by_action.iter().map(|mean| (PULL * mean, PULL)).collect();
            for &context in clusters.members(cluster) {
                for &(action, value) in &performance.rows[context] {
                    sums[action].0 += value;
                    sums[action].1 += 1.0;
                }
            }
            sums.iter().map(|(sum, count)| sum / count).collect()
        };
        let by_cluster = (0..clusters.count()).map(of_cluster).collect();
        Self { scaling, clusters, by_cluster, everywhere }
    }

    /// Expected performance of every action in a context with these features.
    pub fn values(&self, features: &[f64]) -> &[f64] {
        let cluster = self.clusters.nearest(&self.scaling.apply(features));
        cluster.map_or(&self.everywhere.by_action, |cluster| &self.by_cluster[cluster])
    }

    /// What is expected of an action that was never tried.
    pub fn mean(&self) -> f64 {
        self.everywhere.overall
    }
}
