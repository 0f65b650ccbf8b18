//! Made-up rows for tests: the residual depends on the query, the engine and, where there are texts, on the text.

use gearshift_selector::inputs::{HARDWARE, MODEL, PROFILE, QUERY_WIDTH};

use super::{Prepared, TARGETS, Texts};
use crate::net::Shape;

/// A network that is trained in a moment.
pub(crate) fn small_shape() -> Shape {
    Shape { members: 2, width: 8, heads: 2, encoder: 8, hidden: 16, combine: 8, ..Shape::default() }
}

/// `contexts` contexts of 4 rows on 3 kinds of hardware; texts of width `text`, none where 0.
pub(crate) fn sample(contexts: usize, text: usize, seed: u64) -> Prepared {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut uniform = move || random.f32() * 4.0 - 2.0;
    let mut rows = Prepared { offsets: vec![0], ..Prepared::default() };
    rows.texts = Texts { width: text, vectors: vec![0.0; text], ..Texts::default() };
    rows.texts.vectors.extend((0..3 * text).map(|_| uniform()));
    rows.texts.names = ["", "one", "two", "three"].map(str::to_owned).to_vec();
    for context in 0..contexts {
        let group = context % 3;
        let model: Vec<f32> = (0..MODEL.len()).map(|_| uniform()).collect();
        for _ in 0..4 {
            rows.model.extend(&model);
            rows.hardware.extend((0..HARDWARE.len()).map(|at| (group * (at + 1)) as f32));
            rows.profile.extend((0..PROFILE.len()).map(|_| uniform().round()));
            rows.query.extend((0..QUERY_WIDTH).map(|_| uniform()));
            let query = &rows.query[rows.query.len() - QUERY_WIDTH..];
            let profile = rows.profile[rows.profile.len() - PROFILE.len()];
            let residual = 0.2 * query[2] + 0.1 * query[3].abs() + 0.1 * profile * query[4];
            let target = [residual, residual - 0.1, residual + 0.1, f32::NAN, residual + 0.3, f32::NAN];
            rows.targets.extend(target);
            rows.masks.extend([1.0, 1.0, 1.0, 0.0, 1.0, 0.0]);
            rows.regrets.push(0.2 * uniform().abs());
            rows.weights.push(1.0);
            let number = u32::try_from(group).unwrap() + 1;
            let number = if text == 0 { 0 } else { number };
            rows.texts.model.push(number);
            rows.texts.hardware.push(number);
            rows.texts.workload.push(0);
        }
        rows.offsets.push(rows.weights.len());
        rows.groups.push(u32::try_from(group).unwrap());
    }
    assert_eq!(rows.targets.len(), rows.len() * TARGETS);
    rows.check().unwrap();
    rows
}
