//! Golden rows: what the network said where it was made, for whoever loads it to compare.

use gearshift_selector::{
    Correction,
    inputs::{HARDWARE, MODEL, PROFILE, QUERY_WIDTH},
};
use serde::Serialize;

use crate::{
    Error,
    fit::{Fitted, Prepared, TARGETS},
};

/// How many; 32 are the fewest that are taken.
const ROWS: usize = 48;

/// By how much accelerators are made others, in the first of their numbers (log₂ of FLOP/s): not at all, so that the gate is half open for
/// those it was open for, and so that it is shut.
const MOVED: [f32; 3] = [0.0, -0.125, -3.0];

/// `golden.json`.
#[derive(Debug, Serialize)]
pub(super) struct Golden {
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    model: Vec<f32>,
    hardware: Vec<f32>,
    profile: Vec<f32>,
    model_text: String,
    hardware_text: String,
    workload_text: String,
    query: Vec<f32>,
    prediction: [f32; TARGETS + 1],
}

impl Golden {
    /// Rows evenly spread over those trained on, two thirds of them moved so that all members have their say.
    pub(super) fn new(fitted: &Fitted, rows: &Prepared) -> Result<Self, Error> {
        if rows.len() < ROWS {
            return Err(Error::Failed(format!("{} rows; a bundle needs {ROWS}", rows.len())));
        }
        let chosen: Vec<usize> = (0..ROWS).map(|at| at * rows.len() / ROWS).collect();
        let mut rows = rows.clone();
        for (&row, by) in chosen.iter().zip(MOVED.into_iter().cycle()) {
            rows.hardware[row * HARDWARE.len()] += by;
        }
        let predictions = fitted.predict(&rows)?;
        let texts = &rows.texts;
        let name = |number: u32| texts.names.get(number as usize).cloned().unwrap_or_default();
        let row = |at: usize| Row {
            model: part(&rows.model, MODEL.len(), at),
            hardware: part(&rows.hardware, HARDWARE.len(), at),
            profile: part(&rows.profile, PROFILE.len(), at),
            model_text: name(texts.model[at]),
            hardware_text: name(texts.hardware[at]),
            workload_text: name(texts.workload[at]),
            query: part(&rows.query, QUERY_WIDTH, at),
            prediction: flat(&predictions[at]),
        };
        Ok(Self { rows: chosen.into_iter().map(row).collect() })
    }
}

fn part(values: &[f32], width: usize, row: usize) -> Vec<f32> {
    values[row * width..][..width].to_vec()
}

/// In the order of [`gearshift_selector::OUTPUTS`].
pub(super) fn flat(said: &Correction) -> [f32; TARGETS + 1] {
    let Correction { relative, ttft, tpot, ttft_p90, tpot_p90, saturation, spread } = *said;
    [relative, ttft, tpot, ttft_p90, tpot_p90, saturation, spread]
}
