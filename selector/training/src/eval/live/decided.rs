//! What a logged decision cost, and what was predicted of its candidates.

use gearshift_config::Objective;
use gearshift_perfdb::Ended;

use crate::live::Journey;

/// No request counts for more than this many times what the best was predicted to take: one that hangs says that it hung.
pub const MOST: f64 = 10.0;
/// Natural log of how much longer it took where the backend failed: what trees learn of it. It costs [`MOST`], whatever came of others.
const NEVER: f64 = 3.0;

/// What the route asks, seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Limits {
    ttft_s: Option<f64>,
    tpot_s: Option<f64>,
    e2e_s: Option<f64>,
}

impl Limits {
    /// What it costs that these are broken: nothing, or 1 and by how much the worst is exceeded.
    fn broken(&self, ttft_s: Option<f64>, tpot_s: Option<f64>, e2e_s: Option<f64>) -> f64 {
        let pairs = [(ttft_s, self.ttft_s), (tpot_s, self.tpot_s), (e2e_s, self.e2e_s)];
        let over = pairs.into_iter().filter_map(|(actual, limit)| Some(actual? / limit?));
        let worst = over.fold(0.0, f64::max);
        if worst > 1.0 { worst } else { 0.0 }
    }
}

/// A logged decision, as losses are worked out of it. Candidates are in the row's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// Position of the chosen one among the candidates.
    pub chosen: usize,
    /// Probability with which it was chosen.
    pub propensity: f64,
    /// Natural log of the time that came over the predicted one; of what failed, that of twenty.
    pub ln_ratio: f64,
    /// Whether the backend failed.
    failed: bool,
    /// End to end times as predicted when it was made, for the expected output length, seconds.
    pub e2e_s: Vec<f64>,
    /// The objective's numbers as predicted then, less what scales with the time: what the request delays others by.
    beside: Vec<f64>,
    /// Predicted times to first token and per token.
    parts_s: Vec<(f64, f64)>,
    limits: Limits,
    /// What limits that were broken cost, by the times that were measured.
    broken: f64,
    /// The part that scales with the time.
    scaled: Vec<f64>,
    /// The least that was predicted of any.
    reference: f64,
}

impl Decided {
    /// `None` where there was nothing to choose, not everything was predicted, or there were more candidates than the row has: its
    /// propensity is over all.
    pub fn new(journey: &Journey) -> Option<Self> {
        let live = journey.live();
        let candidates = &live.candidates;
        let known = |values: &[f64]| values.iter().all(|value| value.is_finite() && *value > 0.0);
        if cut_short(journey) {
            return None;
        }
        let (scores, e2e_s) = (&candidates.scores, &candidates.e2e_s);
        let count = candidates.backends.len();
        let whole = scores.len() == count && e2e_s.len() == count && known(scores) && known(e2e_s);
        if count < 2 || !whole || !(live.propensity > 0.0 && live.propensity <= 1.0) {
            return None;
        }
        let chosen = candidates.backends.iter().position(|name| *name == live.backend)?;
        let (beside, scaled) = match live.objective {
            Objective::Latency => {
                let imposed = scores.iter().zip(e2e_s).map(|(score, e2e_s)| (score - e2e_s).max(0.0));
                (imposed.collect(), e2e_s.clone())
            }
            Objective::Cost | Objective::Energy | Objective::Throughput => (vec![0.0; count], scores.clone()),
        };
        let each = |values: &[f64]| -> Vec<f64> {
            (0..count).map(|at| values.get(at).copied().unwrap_or(f64::NAN)).collect()
        };
        let limits = Limits { ttft_s: live.limit_ttft_s, tpot_s: live.limit_tpot_s, e2e_s: live.limit_e2e_s };
        let outcome = &journey.row.outcome;
        Some(Self {
            parts_s: each(&candidates.ttft_s).into_iter().zip(each(&candidates.tpot_s)).collect(),
            limits,
            broken: limits.broken(outcome.ttft_s, journey.tpot_s, Some(journey.ended_after_s)),
            failed: live.ended.failed(),
            chosen,
            propensity: live.propensity,
            ln_ratio: ln_ratio(journey, chosen)?,
            e2e_s: e2e_s.clone(),
            beside,
            scaled,
            reference: scores.iter().copied().fold(f64::INFINITY, f64::min),
        })
    }

    /// What a candidate costs that takes `ratio` times as long as was predicted.
    pub fn loss(&self, candidate: usize, ratio: f64) -> f64 {
        let ((ttft_s, tpot_s), e2e_s) = (self.parts_s[candidate], self.e2e_s[candidate]);
        let times = [ttft_s, tpot_s, e2e_s].map(|predicted_s| Some(predicted_s * ratio));
        let broken = self.limits.broken(times[0], times[1], times[2]);
        self.of_time(candidate, ratio, broken)
    }

    /// What the chosen one cost.
    pub fn cost(&self) -> f64 {
        if self.failed { MOST } else { self.of_time(self.chosen, self.ln_ratio.exp(), self.broken) }
    }

    fn of_time(&self, candidate: usize, ratio: f64, broken: f64) -> f64 {
        ((self.beside[candidate] + self.scaled[candidate] * ratio) / self.reference + broken).min(MOST)
    }
}

/// Whether there were more candidates than the row has room for.
pub(super) fn cut_short(journey: &Journey) -> bool {
    let live = journey.live();
    usize::try_from(live.considered).is_ok_and(|count| count > live.candidates.backends.len())
}

/// How much longer it took than predicted, natural log: at the expected output length where both parts were measured; else at the one that
/// came. Who cancelled would have waited longer, at least as long as was predicted.
fn ln_ratio(journey: &Journey, chosen: usize) -> Option<f64> {
    let candidates = &journey.live().candidates;
    let at = |values: &[f64]| values.get(chosen).copied().filter(|value| value.is_finite() && *value > 0.0);
    let (ttft_s, tpot_s) = (at(&candidates.ttft_s)?, at(&candidates.tpot_s)?);
    let after_first = (journey.row.workload.output_tokens - 1.0).max(0.0);
    match journey.live().ended {
        Ended::Ok | Ended::ClientError => {}
        Ended::UpstreamError | Ended::Cut => return Some(NEVER),
        Ended::Cancelled => {
            let ratio = journey.ended_after_s / (ttft_s + after_first * tpot_s);
            return Some(ratio.ln().max(0.0)).filter(|ln| ln.is_finite());
        }
    }
    let ratio = match (journey.row.outcome.ttft_s, journey.tpot_s) {
        (Some(first_s), Some(per_token_s)) => {
            (first_s + after_first * per_token_s) / (ttft_s + after_first * tpot_s)
        }
        _ => {
            let after_first = journey.output_tokens.map_or(after_first, |tokens| (tokens - 1.0).max(0.0));
            journey.ended_after_s / (ttft_s + after_first * tpot_s)
        }
    };
    Some(ratio.ln()).filter(|ln| ln.is_finite())
}
