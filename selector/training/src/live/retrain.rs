//! A bundle trained further, on shipped and live rows together.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use gearshift_perfdb::Source;
use gearshift_selector::{Encoder, Manifest, TrainingRows};
use serde::Serialize;

use super::{Grouping, Journey, dataset};
use crate::{
    Error,
    bundle::{self, Contents, Vectors, counts},
    dataset::{Dataset, Protocol, read},
    fit::{self, Fitted, Prepared, Progress, WarmStart},
    onnx,
    prepare::prepare,
    prior_fit::Priors,
};

/// How a bundle is trained further.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Retraining {
    /// Share of the weight that live rows have together, 0–1; the rest is that of the shipped ones.
    pub live_share: f64,
    /// Simulated rows that are gone through again at most, whole contexts drawn by the seed.
    pub simulated_rows: usize,
    /// Live rows at most, the newest of those that [teach](Journey::teaches).
    pub live_rows: usize,
    /// Passes over the rows; the recipe's where not given.
    pub epochs: Option<usize>,
    /// The same rows and seed give the same bundle.
    pub seed: u64,
}

impl Default for Retraining {
    fn default() -> Self {
        Self { live_share: 0.5, simulated_rows: 3000, live_rows: 20_000, epochs: None, seed: 1 }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Retrained {
    /// The network.
    pub fitted: Fitted,
    /// The rows it was trained on.
    pub rows: Prepared,
    /// The prior it corrects: that of the bundle it began from.
    pub priors: Priors,
    /// The encoder of its texts, where it takes any.
    pub encoder: Option<Encoder>,
    /// Vectors of descriptions.
    pub vectors: Vectors,
    /// Rows by source.
    pub training: Vec<TrainingRows>,
    /// What the bundle that it began from calls itself.
    pub warm_start: String,
}

/// Trains the bundle in `warm_start` further on these requests and the shipped rows in `shipped`.
///
/// # Errors
/// Where the bundle is none that gearshift-train made, the shipped rows cannot be read, or no request teaches anything.
pub fn retrain(
    journeys: &[Journey],
    shipped: &Path,
    warm_start: &Path,
    how: &Retraining,
    progress: &dyn Progress,
) -> Result<Retrained, Error> {
    let file = |name: &str| {
        let path = warm_start.join(name);
        std::fs::read(&path).map_err(Error::file(&path))
    };
    let manifest: Manifest = serde_json::from_slice(&file("manifest.json")?)
        .map_err(|error| Error::Failed(format!("{}: {error}", warm_start.join("manifest.json").display())))?;
    let priors = Priors { ranking: manifest.prior, level: manifest.level.unwrap_or(manifest.prior) };
    let mut start = WarmStart::new(onnx::restore(&file("context.onnx")?, &file("regressor.onnx")?)?);
    start.recipe.training.epochs = how.epochs.unwrap_or(start.recipe.training.epochs);
    let takes_texts = start.from.shape.text > 0;
    let vectors =
        if takes_texts { Vectors::read(&warm_start.join("vectors.json"))? } else { Vectors::default() };
    let live = dataset(newest(journeys, how.live_rows), &Grouping::default());
    if live.samples.is_empty() {
        return Err(Error::Failed(
            "no live row teaches anything: streamed answers of 8 tokens and more are needed".to_owned(),
        ));
    }
    let measured = Dataset::new(read(shipped, &[Source::Measured])?, Protocol::Era);
    let simulated = read(shipped, &[Source::Simulated, Source::SimulatedKernel])?;
    let simulated = drawn(&Dataset::new(simulated, Protocol::Clean), how.simulated_rows, how.seed);
    let training = counts(&[&live, &measured, &simulated]);
    let all = live.and(&measured).and(&simulated);
    let mut rows = prepare(&all, &priors.ranking, &vectors);
    weigh(&mut rows, &all, how.live_share);
    let fitted = fit::refit(&rows, &start, how.seed, progress)?;
    let (encoder, warm_start) = (manifest.encoder, manifest.id);
    Ok(Retrained { fitted, rows, priors, encoder, vectors, training, warm_start })
}

impl Retrained {
    /// Writes it as a bundle of this name. The manifest says until when rows were trained on, so that nobody judges it by these.
    ///
    /// # Errors
    /// As [`bundle::write`].
    pub fn write(&self, directory: &Path, id: &str, trained_until_s: f64) -> Result<Manifest, Error> {
        let evaluation = serde_json::json!({
            "warm_start": self.warm_start,
            "live": {"trained_until_unix_s": trained_until_s},
        });
        let contents = Contents {
            id,
            fitted: &self.fitted,
            rows: &self.rows,
            priors: &self.priors,
            encoder: self.encoder.as_ref(),
            vectors: &self.vectors,
            training: self.training.clone(),
            evaluation,
        };
        bundle::write(directory, &contents)
    }
}

/// Until when the live rows of a bundle's training go, seconds since 1970; `None` where there were none.
pub fn trained_until_s(manifest: &Manifest) -> Option<f64> {
    manifest.evaluation.get("live")?.get("trained_until_unix_s")?.as_f64()
}

/// The newest journeys, so many that teach among them at most.
fn newest(journeys: &[Journey], most: usize) -> &[Journey] {
    let teaching = journeys.iter().enumerate().rev().filter(|(_, journey)| journey.teaches());
    let from = teaching.take(most).last().map_or(journeys.len(), |(at, _)| at);
    &journeys[from..]
}

/// Whole contexts in an order drawn by the seed, until there are rows enough.
fn drawn(dataset: &Dataset, most: usize, seed: u64) -> Dataset {
    // Contexts of two sources may have one name; they go together.
    let names: BTreeSet<&str> = dataset.contexts.iter().map(|context| context.name.as_str()).collect();
    let mut order: Vec<&str> = names.into_iter().collect();
    fastrand::Rng::with_seed(seed).shuffle(&mut order);
    let rank: HashMap<&str, usize> = order.into_iter().enumerate().map(|(rank, name)| (name, rank)).collect();
    let mut sizes = vec![0; rank.len()];
    for context in &dataset.contexts {
        sizes[rank[context.name.as_str()]] += context.samples.len();
    }
    let mut sum = 0;
    let taken = sizes.iter().take_while(|&&size| {
        sum += size;
        sum <= most
    });
    let taken = taken.count();
    dataset.of_contexts(|context| rank[context.name.as_str()] < taken)
}

/// Gives live rows their share of the weight. A context of `n` rows weighs `√n` in training.
fn weigh(rows: &mut Prepared, dataset: &Dataset, live_share: f64) {
    let is_live = |at: usize| dataset.samples[at].row.source == Source::Live;
    let (mut live, mut shipped) = (0.0, 0.0);
    for pair in rows.offsets.windows(2) {
        let weight = ((pair[1] - pair[0]) as f64).sqrt();
        if is_live(pair[0]) { live += weight } else { shipped += weight }
    }
    let share = if shipped == 0.0 { 1.0 } else { live_share.clamp(0.0, 1.0) };
    let all = live + shipped;
    for (at, weight) in rows.weights.iter_mut().enumerate() {
        let wanted = if is_live(at) { share * all / live } else { (1.0 - share) * all / shipped };
        #[expect(clippy::cast_possible_truncation, reason = "weights are single precision")]
        let wanted = wanted as f32;
        *weight *= wanted;
    }
}

#[cfg(test)]
mod tests {
    use gearshift_perfdb::{Ended, Observation};

    use super::*;
    use crate::{
        dataset::tests::row,
        live::{journeys, made},
    };

    #[test]
    fn live_rows_have_the_share_that_was_asked_for() {
        let shipped = (0..50).flat_map(|context| ["x", "y"].map(|action| row(&context.to_string(), action)));
        let shipped = Dataset::new(shipped.collect(), Protocol::Clean);
        let live = dataset(&journeys(made::rows(30, 1)).0, &Grouping::default());
        let all = live.and(&shipped);
        for share in [0.2, 0.5] {
            let mut rows = prepare(&all, &gearshift_selector::PriorFactors::default(), &Vectors::default());
            weigh(&mut rows, &all, share);
            let weight = |of_live: bool| -> f64 {
                let pairs = rows.offsets.windows(2);
                let pairs = pairs.filter(|pair| (all.samples[pair[0]].row.source == Source::Live) == of_live);
                pairs.map(|pair| f64::from(rows.weights[pair[0]]) * ((pair[1] - pair[0]) as f64).sqrt()).sum()
            };
            assert!((weight(true) / (weight(true) + weight(false)) - share).abs() < 1e-3);
        }
    }

    #[test]
    fn failures_take_no_room_of_what_teaches() {
        let mut rows = made::rows(40, 1);
        rows.iter_mut().skip(20).for_each(|row| made::end(row, Ended::UpstreamError, 1.0));
        let (all, _) = journeys(rows);
        let teaching = |some: &[Journey]| some.iter().filter(|journey| journey.teaches()).count();
        let known = teaching(&all);
        assert!(known > 5 && known <= 20);
        for most in [0, 5, known, 1000] {
            assert_eq!(teaching(newest(&all, most)), most.min(known));
        }
        assert!(newest(&all, 5)[0].sent_s > newest(&all, known)[0].sent_s);
        assert_eq!(dataset(newest(&all, 5), &Grouping::default()).samples.len(), 5);
    }

    #[test]
    fn simulated_rows_are_drawn_as_whole_contexts() {
        let rows = (0..50).flat_map(|context| ["x", "y"].map(|action| row(&context.to_string(), action)));
        let dataset = Dataset::new(rows.collect(), Protocol::Clean);
        let some = drawn(&dataset, 21, 1);
        assert_eq!(some.samples.len(), 20);
        assert!(some.contexts.iter().all(|context| context.samples.len() == 2));
        assert_ne!(drawn(&dataset, 21, 2).contexts[0].name, some.contexts[0].name);
    }

    #[test]
    fn contexts_of_two_sources_may_have_one_name() {
        let of = |source| move |action: &str| Observation { source, ..row("the same", action) };
        let rows = ["x", "y"].map(of(Source::Simulated)).into_iter();
        let rows = rows.chain(["x", "y"].map(of(Source::SimulatedKernel))).collect();
        let dataset = Dataset::new(rows, Protocol::Clean);
        assert_eq!(dataset.contexts.len(), 2);
        assert_eq!(drawn(&dataset, 4, 1).samples.len(), 4);
        assert!(drawn(&dataset, 3, 1).samples.is_empty());
    }
}
