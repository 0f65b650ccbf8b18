//! Rows scaled and ready, and batches of them on burn's device.

use std::collections::HashMap;

use burn::tensor::{Device, Int, Tensor, TensorData};
use gearshift_selector::inputs::{HARDWARE, MODEL, PROFILE, QUERY_WIDTH};

use super::Prepared;
use crate::net::{Fed, Scaling, Shape};

/// Scaled rows; engines that are alike stand once.
pub(super) struct Rows {
    model: Vec<f32>,
    hardware: Vec<f32>,
    profile: Vec<f32>,
    query: Vec<f32>,
    texts: Vec<f32>,
    /// Texts of each engine: model, hardware, workload.
    text_of: Vec<[u32; 3]>,
    /// Engine of each row.
    engine_of: Vec<usize>,
}

/// What is left out or blurred while training.
pub(super) struct Dropout<'a> {
    pub(super) tokens: f32,
    pub(super) texts: f32,
    pub(super) query: f32,
    pub(super) hidden: f32,
    pub(super) random: &'a mut fastrand::Rng,
}

impl Rows {
    /// Scales rows and finds the engines that are alike, texts included.
    pub(super) fn new(rows: &Prepared, scaling: &Scaling) -> Self {
        let mut engines: HashMap<Vec<u32>, usize> = HashMap::new();
        let mut first = Vec::new();
        let mut engine_of = Vec::with_capacity(rows.len());
        for row in 0..rows.len() {
            let numbers = |values: &[f32], width: usize| -> Vec<u32> {
                values[row * width..][..width].iter().map(|value| value.to_bits()).collect()
            };
            let mut key = numbers(&rows.model, MODEL.len());
            key.extend(numbers(&rows.hardware, HARDWARE.len()));
            key.extend(numbers(&rows.profile, PROFILE.len()));
            key.extend([rows.texts.model[row], rows.texts.hardware[row], rows.texts.workload[row]]);
            engine_of.push(*engines.entry(key).or_insert_with(|| {
                first.push(row);
                first.len() - 1
            }));
        }
        let of_first =
            |values: &[f32], width: usize| -> Vec<f32> { gather(values, width, first.iter().copied()) };
        let texts = &rows.texts;
        Self {
            model: scaling.model.apply(&of_first(&rows.model, MODEL.len())),
            hardware: scaling.hardware.apply(&of_first(&rows.hardware, HARDWARE.len())),
            profile: scaling.profile.apply(&of_first(&rows.profile, PROFILE.len())),
            query: scaling.query.apply(&rows.query),
            texts: texts.vectors.clone(),
            text_of: first
                .iter()
                .map(|&row| [texts.model[row], texts.hardware[row], texts.workload[row]])
                .collect(),
            engine_of,
        }
    }

    /// How many rows.
    pub(super) fn len(&self) -> usize {
        self.engine_of.len()
    }

    /// Some rows as the network takes them.
    pub(super) fn feed(
        &self,
        chosen: &[usize],
        shape: &Shape,
        device: &Device,
        dropout: Option<Dropout<'_>>,
    ) -> Fed {
        let mut place: HashMap<usize, i64> = HashMap::new();
        let mut engines: Vec<usize> = Vec::new();
        let mut engine: Vec<i64> = Vec::with_capacity(chosen.len());
        for &row in chosen {
            let of = self.engine_of[row];
            engine.push(*place.entry(of).or_insert_with(|| {
                engines.push(of);
                engines.len() as i64 - 1
            }));
        }
        let tensor = |values: &[f32], width: usize, rows: &[usize]| {
            tensor3(gather(values, width, rows.iter().copied()), [1, rows.len(), width], device)
        };
        let text =
            |at: usize| index(engines.iter().map(|&of| i64::from(self.text_of[of][at])).collect(), device);
        let texts = (shape.text > 0).then(|| {
            let shape = [1, self.texts.len() / shape.text, shape.text];
            (tensor3(self.texts.clone(), shape, device), [text(0), text(1), text(2)])
        });
        let mut dropout = dropout;
        // Dropped with the probability that `share` says; the rest stays as it is, or makes up for it.
        let mut kept = |share: fn(&Dropout<'_>) -> f32, makes_up: bool, count: usize| {
            let dropout = dropout.as_mut().filter(|dropout| share(dropout) > 0.0)?;
            let dropped = share(dropout);
            let rest = if makes_up { 1.0 / (1.0 - dropped) } else { 1.0 };
            let mut one = || if dropout.random.f32() < dropped { 0.0 } else { rest };
            Some((0..count).map(|_| one()).collect::<Vec<f32>>())
        };
        let (m, n, t, rows) = (shape.members, engines.len(), shape.tokens(), chosen.len());
        let kept_tokens = kept(|dropout| dropout.tokens, false, m * n * t)
            .map(|kept| Tensor::from_data(TensorData::new(kept, [m, n, t, 1]), device));
        let kept_texts =
            kept(|dropout| dropout.texts, false, 3 * m * n).map(|kept| tensor3(kept, [m, n, 3], device));
        let kept_hidden = kept(|dropout| dropout.hidden, true, m * rows * shape.hidden)
            .map(|kept| tensor3(kept, [m, rows, shape.hidden], device));
        let query = tensor(&self.query, QUERY_WIDTH, chosen);
        let query = match kept(|dropout| dropout.query, true, m * rows * QUERY_WIDTH) {
            Some(kept) => query * tensor3(kept, [m, rows, QUERY_WIDTH], device),
            None => query,
        };
        Fed {
            model: tensor(&self.model, MODEL.len(), &engines),
            hardware: tensor(&self.hardware, HARDWARE.len(), &engines),
            profile: tensor(&self.profile, PROFILE.len(), &engines),
            texts,
            kept_tokens,
            kept_texts,
            engine: index(engine, device),
            query,
            kept_hidden,
        }
    }
}

fn gather(values: &[f32], width: usize, rows: impl Iterator<Item = usize>) -> Vec<f32> {
    rows.flat_map(|row| &values[row * width..][..width]).copied().collect()
}

pub(super) fn tensor3(values: Vec<f32>, shape: [usize; 3], device: &Device) -> Tensor<3> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn index(numbers: Vec<i64>, device: &Device) -> Tensor<1, Int> {
    let count = numbers.len();
    Tensor::from_data(TensorData::new(numbers, [count]), device)
}
