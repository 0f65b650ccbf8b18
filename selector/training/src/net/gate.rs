//! Whether a model on an accelerator is one that was trained on.

use std::collections::BTreeMap;

use gearshift_selector::inputs::{HARDWARE, MODEL, PROFILE};

use crate::fit::Prepared;

/// Numbers of an engine: model, hardware and profile, one after another.
pub const ENGINE: usize = MODEL.len() + HARDWARE.len() + PROFILE.len();
/// A number that is so far from what was trained on leaves the gate open by e⁻¹. Most are logarithms to base 2: another size of
/// a family, or another accelerator, is several times as far.
const REACH: f32 = 0.15;
/// Numbers of an accelerator; how many there are of it goes with the profile.
const COUNT: &str = "hardware.log2_count";
/// Age of the software.
const AGE: &str = "profile.software_months";

/// What was trained on: of each model on each accelerator a box around the profiles it ran with. What software's age makes of it
/// is learned from all of them, so the ages of all are in each.
///
/// How far the gate is open is a matter of model and accelerator alone, so that it is the same for all profiles that are compared. Members
/// behind it are shown the nearest engine of the nearest box: what no profile there had, they know nothing of, and what it makes is
/// the prior's to say.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Gate {
    /// Least numbers of each box, `boxes × ENGINE`.
    pub low: Vec<f32>,
    /// Greatest numbers of each box.
    pub high: Vec<f32>,
}

/// A box: its least numbers and its greatest.
type Bounds<'a> = (&'a [f32], &'a [f32]);

impl Gate {
    /// Boxes around the engines of these rows, which are those trained on: nothing that is to be unseen may be among them.
    pub fn new(rows: &Prepared) -> Self {
        let scale = Self::scale();
        let mut boxes: BTreeMap<Vec<u32>, [Vec<f32>; 2]> = BTreeMap::new();
        for row in 0..rows.len() {
            let engine = engine(rows, row);
            let key = (0..ENGINE).filter(|&at| scale[at] > 0.0).map(|at| engine[at].to_bits()).collect();
            let [low, high] = boxes.entry(key).or_insert_with(|| [engine.clone(), engine.clone()]);
            for (at, &value) in engine.iter().enumerate() {
                low[at] = low[at].min(value);
                high[at] = high[at].max(value);
            }
        }
        if let Some(age) = names().position(|name| name == AGE) {
            let least = boxes.values().map(|[low, _]| low[age]).fold(f32::INFINITY, f32::min);
            let most = boxes.values().map(|[_, high]| high[age]).fold(f32::NEG_INFINITY, f32::max);
            boxes.values_mut().for_each(|[low, high]| (low[age], high[age]) = (least, most));
        }
        let mut gate = Self::default();
        for [low, high] in boxes.into_values() {
            gate.low.extend(low);
            gate.high.extend(high);
        }
        gate
    }

    /// How many boxes.
    pub fn boxes(&self) -> usize {
        self.low.len() / ENGINE
    }

    /// One over the reach of each number: by so much outside of a box, the gate is open by e⁻¹. 0 for those that do not count.
    pub fn scale() -> Vec<f32> {
        let of_profile = MODEL.len() + HARDWARE.len();
        let counts = |(at, name): (usize, &str)| at < of_profile && name != COUNT;
        names().enumerate().map(|number| if counts(number) { 1.0 / REACH } else { 0.0 }).collect()
    }

    /// How far the gate is open for each row, 0–1; exactly 1 for a model on an accelerator that was trained on.
    pub fn open(&self, rows: &Prepared) -> Vec<f32> {
        let scale = Self::scale();
        let of_row = |row: usize| {
            self.nearest(&engine(rows, row), &scale).map_or(0.0, |(distance, _)| (-distance).exp())
        };
        (0..rows.len()).map(of_row).collect()
    }

    /// These rows as members behind the gate see them: each engine is the nearest one in the nearest box.
    #[must_use]
    pub fn nearest_known(&self, rows: &Prepared) -> Prepared {
        let scale = Self::scale();
        let mut seen = rows.clone();
        for row in 0..rows.len() {
            let engine = engine(rows, row);
            let Some((_, (low, high))) = self.nearest(&engine, &scale) else { continue };
            let known: Vec<f32> = (0..ENGINE).map(|at| engine[at].max(low[at]).min(high[at])).collect();
            let (model, rest) = known.split_at(MODEL.len());
            let (hardware, profile) = rest.split_at(HARDWARE.len());
            seen.model[row * MODEL.len()..][..MODEL.len()].copy_from_slice(model);
            seen.hardware[row * HARDWARE.len()..][..HARDWARE.len()].copy_from_slice(hardware);
            seen.profile[row * PROFILE.len()..][..PROFILE.len()].copy_from_slice(profile);
        }
        seen
    }

    /// The nearest box, the first of equals, and how far it is, squared, in reaches.
    fn nearest(&self, engine: &[f32], scale: &[f32]) -> Option<(f32, Bounds<'_>)> {
        let distance = |(low, high): Bounds<'_>| -> f32 {
            let off = |at: usize| (low[at] - engine[at]).max(engine[at] - high[at]).max(0.0) * scale[at];
            (0..ENGINE).map(|at| off(at).powi(2)).sum()
        };
        let boxes = self.low.chunks_exact(ENGINE).zip(self.high.chunks_exact(ENGINE));
        boxes.map(|one| (distance(one), one)).min_by(|(a, _), (b, _)| a.total_cmp(b))
    }
}

/// Names of an engine's numbers.
fn names() -> impl Iterator<Item = &'static str> {
    MODEL.iter().chain(&HARDWARE).chain(&PROFILE).copied()
}

/// An engine's numbers.
fn engine(rows: &Prepared, row: usize) -> Vec<f32> {
    let part = |values: &[f32], width: usize| values[row * width..][..width].to_vec();
    [part(&rows.model, MODEL.len()), part(&rows.hardware, HARDWARE.len()), part(&rows.profile, PROFILE.len())]
        .concat()
}

#[cfg(test)]
mod tests {
    use super::{ENGINE, Gate, PROFILE, engine};
    use crate::fit::{Prepared, sample::sample};

    fn engines(rows: &Prepared) -> Vec<Vec<f32>> {
        (0..rows.len()).map(|row| engine(rows, row)).collect()
    }

    #[test]
    fn open_for_models_and_accelerators_trained_on_and_shut_for_others() {
        let rows = sample(9, 0, 1);
        let gate = Gate::new(&rows);
        assert_eq!((gate.boxes(), gate.low.len()), (9, 9 * ENGINE));
        assert!(gate.open(&rows).iter().all(|&open| open == 1.0));
        assert_eq!(engines(&gate.nearest_known(&rows)), engines(&rows));
        for part in
            [|rows| &mut rows.model, |rows| &mut rows.hardware] as [fn(&mut Prepared) -> &mut Vec<f32>; 2]
        {
            let mut other = rows.clone();
            part(&mut other).iter_mut().for_each(|value| *value += 10.0);
            assert!(gate.open(&other).iter().all(|&open| open < 1e-6));
        }
        let mut near = rows.clone();
        near.model.iter_mut().step_by(14).for_each(|value| *value += 0.05);
        assert!(gate.open(&near).iter().all(|&open| open > 0.8 && open < 1.0));
        assert_eq!(engines(&gate.nearest_known(&near)), engines(&rows));
        let nothing = Gate::default();
        assert!(nothing.open(&rows).iter().all(|&open| open == 0.0));
        assert_eq!(engines(&nothing.nearest_known(&rows)), engines(&rows));
    }

    #[test]
    fn a_profile_that_nobody_ran_is_taken_for_the_nearest_and_opens_or_shuts_nothing() {
        let mut rows = sample(1, 0, 1);
        rows.profile.iter_mut().enumerate().for_each(|(at, value)| *value = (at / PROFILE.len()) as f32);
        let gate = Gate::new(&rows);
        let with = |value: f32| {
            let mut rows = rows.clone();
            rows.profile.iter_mut().for_each(|number| *number = value);
            rows
        };
        for (value, known) in [(1.5, 1.5), (-4.0, 0.0), (50.0, 3.0)] {
            assert!(gate.open(&with(value)).iter().all(|&open| open == 1.0), "{value}");
            assert_eq!(engines(&gate.nearest_known(&with(value))), engines(&with(known)), "{value}");
        }
    }

    #[test]
    fn ages_of_all_are_known_of_each() {
        let rows = sample(9, 0, 1);
        let gate = Gate::new(&rows);
        let age = PROFILE.len() - 1;
        let mut other = rows.clone();
        other.profile.iter_mut().skip(age).step_by(PROFILE.len()).for_each(|one| *one = rows.profile[age]);
        assert_eq!(engines(&gate.nearest_known(&other)), engines(&other));
    }
}
