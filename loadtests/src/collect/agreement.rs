//! Do profiles answer as the reference does?

use super::{
    kept::{Cell, Folder, Greedily},
    plan::Plan,
};
use crate::Error;

/// Greedy answers of a profile beside those of the reference.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Agreement {
    /// The model.
    pub model: String,
    /// The profile.
    pub profile: String,
    /// Whether it is declared to leave answers as they are.
    pub declared_lossless: bool,
    /// One request at a time, its prompt new.
    pub alone: Share,
    /// One request at a time, its prompt seen before.
    pub again: Share,
    /// In the workloads, several requests in flight; all repeats.
    pub loaded: Share,
}

impl Agreement {
    /// Declared lossless, and its answers to lone requests are others.
    pub fn diverges(&self) -> bool {
        self.declared_lossless && (self.alone.diverges() || self.again.diverges())
    }

    /// Declared lossless, and only its answers under load are others: steps of other shapes round otherwise.
    pub fn diverges_under_load(&self) -> bool {
        self.declared_lossless && !self.diverges() && self.loaded.diverges()
    }

    /// Share of lone requests answered as the reference does; `None` where none was asked for.
    pub fn share_alone(&self) -> Option<f64> {
        let (equal, of) = (self.alone.equal + self.again.equal, self.alone.of + self.again.of);
        (of > 0).then(|| equal as f64 / of as f64)
    }
}

/// How many answers are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Share {
    /// Those that are.
    pub equal: usize,
    /// All.
    pub of: usize,
    /// Position of the first token that is another, from 0: the earliest in any answer.
    pub earliest: Option<usize>,
}

impl Share {
    /// Whether any answer is another.
    pub fn diverges(&self) -> bool {
        self.equal < self.of
    }

    fn count(&mut self, right: &[u32], answer: &[u32]) {
        self.of += 1;
        let same = right.iter().zip(answer).take_while(|(right, answer)| right == answer).count();
        if same == right.len() && same == answer.len() {
            self.equal += 1;
        } else {
            self.earliest = Some(self.earliest.map_or(same, |earliest| earliest.min(same)));
        }
    }

    fn of_answers(right: &[Vec<u32>], answers: &[Vec<u32>]) -> Self {
        let mut share = Self::default();
        right.iter().zip(answers).for_each(|(right, answer)| share.count(right, answer));
        share
    }
}

/// All profiles of which answers were kept. The reference itself stands beside its own later answers, from another start of
/// its engine: what differs there is no profile's doing.
pub(super) fn agreements(plan: &Plan, folder: &Folder, cells: &[Cell]) -> Result<Vec<Agreement>, Error> {
    let mut all = Vec::new();
    for model in plan.models.keys() {
        let Some(reference) = folder.greedily(plan, model, &plan.reference, 0)? else { continue };
        for (name, profile) in &plan.profiles {
            let itself = *name == plan.reference;
            let repeat = if itself { plan.repeats } else { 0 };
            let answers = folder.greedily(plan, model, name, repeat)?;
            let Some(Greedily { first, second, .. }) = answers else { continue };
            all.push(Agreement {
                model: model.clone(),
                profile: name.clone(),
                declared_lossless: plan.declared_lossless(profile),
                alone: Share::of_answers(&reference.first, &first),
                again: Share::of_answers(&reference.first, &second),
                loaded: loaded(plan, cells, model, name),
            });
        }
    }
    Ok(all)
}

/// Answers under load beside those of the reference's first repeat.
fn loaded(plan: &Plan, cells: &[Cell], model: &str, profile: &str) -> Share {
    let mut share = Share::default();
    let of = |cell: &&Cell, profile: &str| cell.key.model == model && cell.key.profile == profile;
    for cell in cells.iter().filter(|cell| of(cell, profile)) {
        let right = cells.iter().filter(|cell| of(cell, &plan.reference)).find(|right| {
            right.key.repeat == 0
                && right.key.workload == cell.key.workload
                && right.key.concurrency == cell.key.concurrency
                && right.key != cell.key
        });
        let Some(right) = right else { continue };
        for answer in &cell.answers {
            if let Some(right) = right.answers.iter().find(|right| right.request == answer.request) {
                share.count(&right.tokens, &answer.tokens);
            }
        }
    }
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_other_token_counts() {
        let right = [vec![1, 2, 3], vec![4, 5, 6], vec![7, 8, 9]];
        let share = Share::of_answers(&right, &[vec![1, 2, 3], vec![4, 5, 0], vec![7, 0, 9]]);
        assert_eq!(share, Share { equal: 1, of: 3, earliest: Some(1) });
        let shorter = Share::of_answers(&right[..1], &[vec![1, 2]]);
        assert_eq!(shorter, Share { equal: 0, of: 1, earliest: Some(2) });
    }

    #[test]
    fn only_what_is_declared_lossless_is_flagged() {
        let other = Share { equal: 1, of: 2, earliest: Some(0) };
        let same = Share { equal: 2, of: 2, earliest: None };
        let agreement = |declared_lossless, alone, loaded| Agreement {
            model: String::new(),
            profile: String::new(),
            declared_lossless,
            alone,
            again: same,
            loaded,
        };
        assert!(agreement(true, other, same).diverges());
        assert_eq!(agreement(true, other, same).share_alone(), Some(0.75));
        assert!(!agreement(false, other, same).diverges());
        assert!(!agreement(true, same, other).diverges());
        assert!(agreement(true, same, other).diverges_under_load());
    }
}
