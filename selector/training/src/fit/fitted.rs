//! A trained network.

use burn::tensor::Device;
use gearshift_loadtests::report::quantile;
use gearshift_selector::Correction;

use super::{Curve, Prepared, Recipe, TARGETS, rows::Rows};
use crate::{
    Error,
    net::{Members, Part, Scaling, Weights, forward, numbers},
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
    /// How the losses went.
    pub curves: Vec<Curve>,
    /// Epochs it was trained for.
    pub epochs: usize,
    /// A spread at which a correction counts half: twice what nine of ten rows trained on show.
    pub spread_scale: f32,
}

impl Fitted {
    pub(super) fn new(
        recipe: Recipe,
        scaling: Scaling,
        mut weights: Weights,
        curves: Vec<Curve>,
        epochs: usize,
        train: &Prepared,
    ) -> Result<Self, Error> {
        for part in [Part::Outputs, Part::OutputsBias] {
            weights.0[part as usize]
                .iter_mut()
                .step_by(TARGETS)
                .for_each(|weight| *weight *= recipe.relative_share);
        }
        let mut fitted = Self { recipe, scaling, weights, curves, epochs, spread_scale: 1.0 };
        let spreads: Vec<f64> = fitted.predict(train)?.iter().map(|row| f64::from(row.spread)).collect();
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
        rows.check().map_err(|array| Error::Failed(format!("rows: {array} has not the length it should")))?;
        let shape = &self.recipe.shape;
        if shape.text > 0 && rows.texts.width != shape.text {
            return Err(Error::Failed(
                "rows have no texts, and the network was trained with texts".to_owned(),
            ));
        }
        let device = Device::flex();
        let members = Members::new(shape, &self.weights, &device);
        let scaled = Rows::new(rows, &self.scaling);
        let all: Vec<usize> = (0..scaled.len()).collect();
        let mut corrections = Vec::with_capacity(all.len());
        for chunk in all.chunks(CHUNK) {
            let outputs = numbers(forward(&members, shape, &scaled.feed(chunk, shape, &device, None)))?;
            corrections
                .extend((0..chunk.len()).map(|row| ensemble(&outputs, row, chunk.len(), shape.members)));
        }
        Ok(corrections)
    }

    /// The graphs of a bundle.
    pub fn graphs(&self) -> Graphs {
        export(&self.recipe.shape, &self.scaling, &self.weights)
    }
}

/// Mean and spread over the members of outputs `members × rows × TARGETS`.
fn ensemble(outputs: &[f32], row: usize, rows: usize, members: usize) -> Correction {
    let output = |member: usize, column: usize| outputs[(member * rows + row) * TARGETS + column];
    let mean =
        |column: usize| (0..members).map(|member| output(member, column)).sum::<f32>() / members as f32;
    let off = |column: usize| {
        let mean = mean(column);
        (0..members).map(|member| (output(member, column) - mean).powi(2)).sum::<f32>()
    };
    Correction {
        relative: mean(0),
        ttft: mean(1),
        tpot: mean(2),
        ttft_p90: mean(3),
        tpot_p90: mean(4),
        saturation: mean(5),
        spread: ((0..MEANS).map(off).sum::<f32>() / (members * MEANS) as f32).sqrt(),
    }
}
