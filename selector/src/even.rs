//! What choosing blindly would have been predicted to give: the yardstick for what a choice saves.

use crate::rank::Candidate;

/// The mean of end-to-end times predicted over all candidates, seconds: what the next request of a round robin gets on
/// average, at the loads that are there. `None` where a candidate has no prediction, or there is none.
///
/// Times only: an idle engine charges its whole time to one request, so the mean of costs says nothing of a fleet
/// whose load is spread.
pub(crate) fn mean_e2e_s(candidates: &[Candidate]) -> Option<f64> {
    let sum: f64 =
        candidates.iter().map(|candidate| candidate.ranked.prediction.map(|p| p.e2e_s)).sum::<Option<_>>()?;
    Some(sum / candidates.len() as f64).filter(|mean| mean.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_to_choose_from_is_no_mean() {
        assert_eq!(mean_e2e_s(&[]), None);
    }
}
