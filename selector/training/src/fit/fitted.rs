//! A trained network.

use burn::tensor::Device;
use gearshift_loadtests::report::quantile;
use gearshift_selector::Correction;

use super::{Curve, Prepared, Recipe, TARGETS, rows::Rows, train::whole};
use crate::{
    Error,
    net::{Gate, Members, Part, Scaling, Shape, Weights, forward, numbers},
    onnx::{Graphs, export},
};

/// Rows that are looked at together when predicting.
const CHUNK: usize = 1024;
/// Outputs whose spread over members is the confidence: `relative` and the means.
const MEANS: usize = 3;

/// A trained network, and how it came to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// How it was trained; its shape says whether it takes texts.
    pub recipe: Recipe,
    /// How it scales its inputs.
    pub scaling: Scaling,
    /// What it learned.
    pub weights: Weights,
    /// Which engines its last members count for.
    pub gate: Gate,
    /// How the losses went.
    pub curves: Vec<Curve>,
    /// Epochs it was trained for.
    pub epochs: usize,
    /// A spread at which a correction counts half: twice what nine of ten rows trained on show, were they not known.
    pub spread_scale: f32,
}

/// What came of training some members.
pub(super) struct Learned {
    pub(super) scaling: Scaling,
    pub(super) weights: Weights,
    pub(super) curves: Vec<Curve>,
    pub(super) epochs: usize,
}

impl Learned {
    /// With the members of another, which are the last ones then.
    pub(super) fn and(mut self, mut near: Self, shape: &Shape, of_near: &Shape) -> Self {
        self.weights.forget(shape, &self.scaling);
        near.weights.forget(of_near, &near.scaling);
        self.scaling = self.scaling.or(&near.scaling);
        self.weights = self.weights.and(near.weights);
        for mut curve in near.curves {
            curve.name = format!("{}, known", curve.name);
            self.curves.push(curve);
        }
        self
    }
}

impl Fitted {
    pub(super) fn new(recipe: Recipe, learned: Learned, gate: Gate, train: &Prepared) -> Result<Self, Error> {
        let Learned { scaling, mut weights, curves, epochs } = learned;
        for part in [Part::Outputs, Part::OutputsBias] {
            weights.0[part as usize]
                .iter_mut()
                .step_by(TARGETS)
                .for_each(|weight| *weight *= recipe.relative_share);
        }
        let mut fitted = Self { recipe, scaling, weights, gate, curves, epochs, spread_scale: 1.0 };
        let unknown = vec![0.0; train.len()];
        let spreads: Vec<f64> =
            fitted.said(train, &unknown)?.iter().map(|row| f64::from(row.spread)).collect();
        #[expect(clippy::cast_possible_truncation, reason = "as precise as the spreads")]
        let common = quantile(&spreads, 0.9) as f32;
        fitted.spread_scale = (2.0 * common).max(1e-3);
        Ok(fitted)
    }

    /// What it says of rows.
    ///
    /// # Errors
    /// Where the rows' arrays do not fit each other or the network.
    pub fn predict(&self, rows: &Prepared) -> Result<Vec<Correction>, Error> {
        whole(rows)?;
        self.said(rows, &self.gate.open(rows))
    }

    /// What it says where the gate is open so far for each row.
    fn said(&self, rows: &Prepared, open: &[f32]) -> Result<Vec<Correction>, Error> {
        let shape = &self.recipe.shape;
        if shape.text > 0 && rows.texts.width != shape.text {
            return Err(Error::Failed(
                "rows have no texts, and the network was trained with texts".to_owned(),
            ));
        }
        let device = Device::flex();
        let members = Members::new(shape, &self.weights, &device);
        let scaled = Rows::new(rows, &self.scaling);
        let known = (shape.near > 0).then(|| Rows::new(&self.gate.nearest_known(rows), &self.scaling));
        let all: Vec<usize> = (0..scaled.len()).collect();
        let mut corrections = Vec::with_capacity(all.len());
        for chunk in all.chunks(CHUNK) {
            let of_all =
                |rows: &Rows| numbers(forward(&members, shape, &rows.feed(chunk, shape, &device, None)));
            let mut outputs = of_all(&scaled)?;
            if let Some(known) = &known {
                let far = (shape.members - shape.near) * chunk.len() * TARGETS;
                outputs.truncate(far);
                outputs.extend_from_slice(&of_all(known)?[far..]);
            }
            let of_row = |row: usize| ensemble(&outputs, row, chunk.len(), shape, open[chunk[row]]);
            corrections.extend((0..chunk.len()).map(of_row));
        }
        Ok(corrections)
    }

    /// The graphs of a bundle.
    pub fn graphs(&self) -> Graphs {
        export(&self.recipe.shape, &self.scaling, &self.weights, &self.gate)
    }
}

/// Mean and spread over the members of outputs `members × rows × TARGETS`, each counting for its share.
fn ensemble(outputs: &[f32], row: usize, rows: usize, shape: &Shape, open: f32) -> Correction {
    let output = |member: usize, column: usize| outputs[(member * rows + row) * TARGETS + column];
    let over = |of: &dyn Fn(usize) -> f32| -> f32 {
        (0..shape.members).map(|member| shape.share(member, open) * of(member)).sum()
    };
    let mean = |column: usize| over(&|member| output(member, column));
    let off = |column: usize| {
        let mean = mean(column);
        over(&|member| (output(member, column) - mean).powi(2))
    };
    Correction {
        relative: mean(0),
        ttft: mean(1),
        tpot: mean(2),
        ttft_p90: mean(3),
        tpot_p90: mean(4),
        saturation: mean(5),
        spread: ((0..MEANS).map(off).sum::<f32>() / MEANS as f32).sqrt(),
    }
}
