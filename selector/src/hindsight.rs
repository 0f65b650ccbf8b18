//! What a choice is held against once its answer has come: the best of the other candidates.
//!
//! What that one would have taken is never seen, so this is an estimate of regret, and rather too high: the noise of one measurement
//! counts against the choice, and the best of many predictions is better than it would have been.

use gearshift_config::Objective;

use crate::rank::{Candidate, Class};

/// The best candidate but the chosen one, as predicted at the decision. Seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rival {
    /// Time to first token there.
    ttft_s: f64,
    /// Time per output token after it there.
    tpot_s: f64,
    /// By how much the request would have delayed others there.
    imposed_s: f64,
    /// By how much it delays others where it went.
    chosen_imposed_s: f64,
}

/// An answer's time and the time predicted elsewhere, both with what the request delays others by, as predicted. Seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hindsight {
    /// As measured where it went.
    pub chosen_s: f64,
    /// As predicted of the best other candidate, for the output that came.
    pub best_other_s: f64,
}

impl Rival {
    /// `None` where the decision was not about time, or the chosen candidate or all others were not predicted to keep the
    /// route's limits: then it was not time that decided between them.
    pub(crate) fn of(objective: Objective, candidates: &[Candidate], chosen: usize) -> Option<Self> {
        let meets = |candidate: &&Candidate| candidate.class == Class::Meets;
        let others = candidates.iter().enumerate().filter(|(at, _)| *at != chosen).map(|(_, other)| other);
        let own = candidates.get(chosen).filter(meets).filter(|_| objective == Objective::Latency)?;
        let best = others.filter(meets).min_by(|a, b| a.value.total_cmp(&b.value))?;
        let predicted = best.ranked.prediction?;
        Some(Self {
            ttft_s: predicted.ttft_s,
            tpot_s: predicted.tpot_s,
            imposed_s: best.estimate?.imposed_s(),
            chosen_imposed_s: own.estimate?.imposed_s(),
        })
    }

    /// The choice against this, when an answer took `measured_s` from the choice to its end, with `further` output tokens after the
    /// first of each sequence.
    pub(crate) fn hindsight(&self, measured_s: f64, further: f64) -> Hindsight {
        Hindsight {
            chosen_s: measured_s + self.chosen_imposed_s,
            best_other_s: self.ttft_s + further * self.tpot_s + self.imposed_s,
        }
    }
}
