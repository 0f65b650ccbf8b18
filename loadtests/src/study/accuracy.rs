//! Predicted against actual, before and after calibration.

use gearshift_selector::Prediction;

/// Bins of a decade of predicted time.
const BINS_A_DECADE: f64 = 4.0;
/// The first bin begins here, seconds.
const FROM_S: f64 = 1e-4;
/// Bins: up to 1,000 s.
const BINS: usize = 28;

/// How predictions of one policy did over a run, or over many.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Accuracy {
    /// Of the time to first token, network included.
    pub ttft: Part,
    /// Of the time per output token.
    pub tpot: Part,
}

/// How predictions of one quantity did: by the prior as it is, and by what the choice was made by.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Part {
    /// By the prior alone.
    pub before: Errors,
    /// By prior, meta-learner where there is one, and calibration, at the time of the choice.
    pub after: Errors,
}

/// Errors of one kind of prediction.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Errors {
    count: u64,
    absolute_percentage: f64,
    absolute_log: f64,
    /// By predicted time: outcomes, Σ ln predicted, Σ ln actual.
    #[serde(skip)]
    bins: Vec<(u64, f64, f64)>,
}

impl Accuracy {
    /// An answer came: its time to first token, and time per token where it was long enough to tell.
    pub(super) fn take(
        &mut self,
        prediction: &Prediction,
        round_trip_s: f64,
        ttft_s: f64,
        tpot_s: Option<f64>,
    ) {
        self.ttft.before.take(prediction.prior_ttft_s + round_trip_s, ttft_s);
        self.ttft.after.take(prediction.ttft_s, ttft_s);
        if let Some(tpot_s) = tpot_s {
            self.tpot.before.take(prediction.prior_tpot_s, tpot_s);
            self.tpot.after.take(prediction.tpot_s, tpot_s);
        }
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        for (ours, theirs) in [(&mut self.ttft, &other.ttft), (&mut self.tpot, &other.tpot)] {
            ours.before.merge(&theirs.before);
            ours.after.merge(&theirs.after);
        }
    }
}

impl Errors {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is bounded")]
    fn take(&mut self, predicted_s: f64, actual_s: f64) {
        let off = (predicted_s / actual_s).ln();
        if !off.is_finite() {
            return;
        }
        self.count += 1;
        self.absolute_percentage += (predicted_s / actual_s - 1.0).abs();
        self.absolute_log += off.abs();
        self.bins.resize(BINS, (0, 0.0, 0.0));
        let bin = ((predicted_s / FROM_S).log10() * BINS_A_DECADE).max(0.0) as usize;
        let (count, predicted, actual) = &mut self.bins[bin.min(BINS - 1)];
        *count += 1;
        *predicted += predicted_s.ln();
        *actual += actual_s.ln();
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.absolute_percentage += other.absolute_percentage;
        self.absolute_log += other.absolute_log;
        self.bins.resize(BINS, (0, 0.0, 0.0));
        for (ours, theirs) in self.bins.iter_mut().zip(&other.bins) {
            *ours = (ours.0 + theirs.0, ours.1 + theirs.1, ours.2 + theirs.2);
        }
    }

    /// Answers counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Mean absolute percentage error, as a share of the actual time.
    pub fn mape(&self) -> f64 {
        self.absolute_percentage / self.count.max(1) as f64
    }

    /// Mean factor by which predictions are off, either way; at least 1.
    pub fn factor(&self) -> f64 {
        (self.absolute_log / self.count.max(1) as f64).exp()
    }

    /// Geometric means of predicted and actual seconds, of answers with like predictions: bins with `least` answers or more.
    pub fn curve(&self, least: u64) -> impl Iterator<Item = (f64, f64)> {
        let full = self.bins.iter().filter(move |(count, ..)| *count >= least.max(1));
        full.map(|(count, predicted, actual)| {
            ((predicted / *count as f64).exp(), (actual / *count as f64).exp())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_shares_of_the_actual_time_and_curves_bin_the_predicted() {
        let mut errors = Errors::default();
        errors.take(0.2, 0.1);
        errors.take(0.2, 0.4);
        errors.take(0.0, 1.0);
        let mut all = Errors::default();
        all.merge(&errors);
        all.merge(&errors);
        assert_eq!(all.count(), 4);
        assert!((all.mape() - 0.75).abs() < 1e-9 && (all.factor() - 2.0).abs() < 1e-9);
        let curve: Vec<_> = all.curve(1).collect();
        assert_eq!(curve.len(), 1);
        assert!((curve[0].0 - 0.2).abs() < 1e-9 && (curve[0].1 - 0.2).abs() < 1e-9);
        assert_eq!(all.curve(5).count(), 0);
    }
}
